"""The commands ``qkd-pl submit``, ``jobs``, ``result``, ``send`` and ``cancel``.

They import what needs PennyLane or Qiskit when they run: that takes seconds, which ``jobs`` and ``--help`` do not need.
"""

import json
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from qkd_pl.cli.console import DEVICE_OF_JOBS, Json, clear_errors
from qkd_pl.cli.data_files import read_samples
from qkd_pl.cli.python_names import named_object
from qkd_pl.devices.ibm.service.deadline import CALL_SECONDS
from qkd_pl.devices.ibm.service.job_status import Status, known
from qkd_pl.errors import FileFormatError, InvalidInputError

if TYPE_CHECKING:
    from qkd_pl.devices.ibm.jobs.ledger import Ledger
    from qkd_pl.devices.ibm.jobs.schema import Damaged, Receipt
    from qkd_pl.networks.models import TrainedNetwork

app = typer.Typer()

_GROUND_STATES = 64
# What a report says of calibrated outputs, and again of raw ones.
_OF_DEVICE = ("accuracy", "mean_logit_error")

Id = Annotated[str, typer.Argument(help="Id of the job, as `qkd-pl submit` and `qkd-pl jobs` print it.")]


@app.command("submit")
def submit_command(
    model: Annotated[Path, typer.Argument(help="A saved classifier or regressor.")],
    device: Annotated[str, typer.Option(help=f"Where to run it: {DEVICE_OF_JOBS}.")] = "manila",
    samples: Annotated[
        int | None, typer.Option(min=1, help="Number of inputs; by default all of --data, or 64 ground states.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help=".npz file with `inputs` and maybe `labels`; by default ground states of the chain."),
    ] = None,
    autoencoder: Annotated[Path | None, typer.Option(help="A saved QAE that compresses the inputs first.")] = None,
    network: Annotated[
        str | None, typer.Option(help="MODULE:NAME of the network, for a model of a circuit of your own.")
    ] = None,
    shots: Annotated[int | None, typer.Option(min=1, help="Shots per circuit; by default those of the device.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the ground states, if no data are given.")] = 999,
    calibrate: Annotated[
        int,
        typer.Option(min=0, help="How many of the inputs calibrate the job, 5 or more, at no cost; 0 for none."),
    ] = 0,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Send nothing to run; print the plan, and for hardware IBM's estimate.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Evaluate a model on a device: plan it, print its cost, write a receipt and send it as one job."""
    from qkd_pl.deployment.planning import plan
    from qkd_pl.devices.ibm.jobs.jobs import submit
    from qkd_pl.devices.ibm.jobs.rehearsal import rehearse
    from qkd_pl.devices.registry import resolve_device
    from qkd_pl.devices.spec import EXACT, DeviceSpec
    from qkd_pl.networks.models import TrainedQAE, TrainedQNN, load_model

    with clear_errors():
        loaded = load_model(model, None if network is None else named_object(network, "--network"))
        if isinstance(loaded, TrainedQAE):
            raise InvalidInputError(f"{model} is an autoencoder, not a classifier; did you mean --autoencoder?")
        spec = resolve_device(device)  # an unknown name is refused before data are read or made
        inputs, labels = _inputs(loaded, samples, data, autoencoder, seed)
        if shots is not None and isinstance(spec, DeviceSpec):
            spec = spec.changed(shots=shots)
        labels = labels if isinstance(loaded, TrainedQNN) else None
        planned = plan(loaded, inputs, spec, labels, calibrate=calibrate or False)
        if not as_json:
            print(f"plan:    {planned.cost}")
        if dry_run:
            seconds = rehearse(planned) if planned.target["remote"] else None
            print(json.dumps({**planned.summary(), "ibm_qpu_seconds": seconds}) if as_json else _rehearsed(seconds))
            return
        job = submit(replace(planned, exact_logits=loaded.outputs(inputs, EXACT)))
    if as_json:
        print(json.dumps({"id": job.id, **planned.summary()}))
        return
    sent = "sent" if job.receipt.target["remote"] else "written down; it runs when its result is asked for"
    print(f"job:     {job.id}, {sent}\nreceipt: {job.ledger.path}\nnext:    qkd-pl result {job.id}")


@app.command("jobs")
def jobs_command(as_json: Json = False) -> None:
    """List all jobs of the ledger, newest first, with used and estimated QPU time; asks no service."""
    from qkd_pl.devices.ibm.jobs.ledger import Ledger

    with clear_errors():
        ledger = Ledger()
        described = [_describe(receipt, ledger) for receipt in ledger.receipts()]
    if as_json:
        print(json.dumps(described, indent=1))
        return
    for each in described:
        print(_line(each))
    if not described:
        print("no jobs yet: `qkd-pl submit` makes one")


@app.command("result")
def result_command(
    job: Id,
    timeout: Annotated[float | None, typer.Option(min=0, help="Seconds to wait; by default until it is done.")] = None,
    as_json: Json = False,
) -> None:
    """Wait for a job, and print its accuracy on the device beside the exact one."""
    from qkd_pl.devices.ibm.jobs.jobs import attach

    with clear_errors():
        handle = attach(job)
        logits = handle.result(timeout)
        arrays = handle.ledger.arrays(job)
        report = _describe(handle.receipt, handle.ledger) | _accuracies(logits, arrays)
        raw = handle.result(timeout, calibrated=False)
        report["calibrated"] = not np.array_equal(raw, logits)
        report |= {f"raw_{name}": value for name, value in _accuracies(raw, arrays).items() if name in _OF_DEVICE}
        text = json.dumps(report | {"logits": logits.tolist()}) if as_json else _format(report)
    print(text)


@app.command("send")
def send_command(
    job: Id,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds for sending it.")] = CALL_SECONDS,
    as_json: Json = False,
) -> None:
    """Send a job that could not be sent when it was submitted; the service never gets it twice."""
    from qkd_pl.devices.ibm.jobs.jobs import attach

    with clear_errors():
        handle = attach(job)
        handle.send(timeout)
        status = handle.status(timeout)
    print(json.dumps({"id": job, "status": status}) if as_json else f"job {job}: {status}")


@app.command("resend")
def resend_command(
    job: Id,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds for sending it.")] = CALL_SECONDS,
    as_json: Json = False,
) -> None:
    """Send those parts of a job again that failed or were cancelled, and pay for them again; others stay."""
    from qkd_pl.devices.ibm.jobs.jobs import attach

    with clear_errors():
        handle = attach(job)
        handle.resend(timeout)
        status = handle.status(timeout)
    print(json.dumps({"id": job, "status": status}) if as_json else f"job {job}: {status}")


@app.command("cancel")
def cancel_command(
    job: Id,
    timeout: Annotated[float, typer.Option(min=0, help="Seconds for reaching the service.")] = CALL_SECONDS,
    as_json: Json = False,
) -> None:
    """Cancel a job, unless it has ended."""
    from qkd_pl.devices.ibm.jobs.jobs import attach

    with clear_errors():
        status = attach(job).cancel(timeout)
    told = status if status is Status.CANCELLED else f"not cancelled, it had ended before: {status}"
    print(json.dumps({"id": job, "status": status}) if as_json else f"job {job}: {told}")


def _inputs(
    model: "TrainedNetwork", samples: int | None, data: Path | None, autoencoder: Path | None, seed: int
) -> tuple[np.ndarray, np.ndarray | None]:
    from qkd_pl.datasets import topological_phases
    from qkd_pl.devices.spec import EXACT
    from qkd_pl.networks.composed import EncodedNetwork
    from qkd_pl.networks.models import TrainedQAE, load_model

    compressor = None if autoencoder is None else load_model(autoencoder)
    if compressor is not None and not isinstance(compressor, TrainedQAE):
        raise InvalidInputError(f"{autoencoder} is a classifier, not an autoencoder")
    if data is not None:
        inputs, labels = read_samples(data)
        inputs, labels = inputs[:samples], None if labels is None else labels[:samples]
    elif not isinstance(model.network, EncodedNetwork) and getattr(model.network, "embedding", None) != "state":
        embedding = getattr(model.network, "embedding", None)
        raise InvalidInputError(f"a model with embedding {embedding!r} needs --data")
    else:
        n_qubits = len((compressor or model).network.wires)
        if n_qubits < 3:
            raise InvalidInputError(f"a {n_qubits}-qubit model does not fit the chain; give --autoencoder or --data")
        _, (inputs, labels) = topological_phases(n_qubits, 0, samples or _GROUND_STATES, seed)
    return (inputs if compressor is None else compressor.compress(inputs, EXACT)), labels


def _line(described: dict[str, Any]) -> str:
    if described["status"] == "damaged":
        return f"{described['id']:<16}  damaged: {described['reason']}"
    created, device, backend = described["created"][:19], described["device"], described["backend"]
    line = f"{described['id']}  {created}  {device:<10} {backend:<14} {_seconds(described):<28} {described['status']}"
    # Somebody else's text must not steer the terminal.
    return "".join(letter if letter.isprintable() else "?" for letter in line)


def _describe(receipt: "Receipt | Damaged", ledger: "Ledger") -> dict[str, Any]:
    """A job as the ledger knows it, JSON-able; its status in the words of :meth:`Job.status`."""
    from qkd_pl.devices.ibm.jobs.schema import Damaged

    if isinstance(receipt, Damaged):
        return {"id": receipt.id, "status": "damaged", "reason": receipt.reason}
    return {
        "id": receipt.id,
        "created": receipt.created,
        "device": receipt.target["device"]["name"],
        "backend": receipt.target["backend"],
        "status": known([part.stage for part in receipt.parts], receipt.target["remote"]),
        "service_ids": [part.service_id for part in receipt.parts],
        "cost": receipt.cost,
        # A simulator uses none, whatever its job would take on hardware.
        "estimated_qpu_seconds": ledger.estimated(receipt),
        "used_qpu_seconds": ledger.used(receipt) if receipt.target["remote"] else None,
    }


def _seconds(described: dict[str, Any]) -> str:
    """Used against estimated QPU seconds, where there are any."""
    estimated, used = described["estimated_qpu_seconds"], described["used_qpu_seconds"]
    if estimated is None:
        return ""
    return f"{'?' if used is None else format(used, ',.0f')} of about {estimated:,.0f} QPU seconds"


def _rehearsed(seconds: float | None) -> str:
    if seconds is None:
        return "IBM:     no estimate, since the backend is a simulator; nothing was run"
    return f"IBM:     about {seconds:,.0f} QPU seconds by its own estimate; nothing was run"


def _accuracies(logits: np.ndarray, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    from qkd_pl.circuits.readout import logits_of

    report: dict[str, Any] = {"samples": len(logits)}
    exact, labels = arrays.get("exact_logits"), arrays.get("labels")
    logits, exact = logits_of(logits), None if exact is None else logits_of(exact)
    if labels is not None:
        report["accuracy"] = float(np.mean(logits.argmax(axis=1) == labels))
    if exact is not None:
        report["mean_logit_error"] = float(np.mean(np.abs(logits - exact)))
    if exact is not None and labels is not None:
        report["exact_accuracy"] = float(np.mean(exact.argmax(axis=1) == labels))
    return report


def _format(report: dict[str, Any]) -> str:
    from qkd_pl.devices.ibm.compile.cost import Cost

    cost = report["cost"]
    lines = [f"job      {report['id']}: {report['samples']} samples on {report['backend']} ({report['device']})"]
    if "accuracy" not in report:
        lines.append("accuracy unknown: the job has no labels; --json prints the logits")
    else:
        exact = f", exact {report['exact_accuracy']:.4f}" if "exact_accuracy" in report else ""
        raw = f", without its calibration {report['raw_accuracy']:.4f}" if report["calibrated"] else ""
        lines.append(f"accuracy {report['accuracy']:.4f}{exact}{raw}")
    if "mean_logit_error" in report:
        raw = f", raw ones by {report['raw_mean_logit_error']:.4f}" if report["calibrated"] else ""
        lines.append(f"logits   differ from the exact ones by {report['mean_logit_error']:.4f} on average{raw}")
    if missing := [each.name for each in fields(Cost) if each.name not in cost and each.default is MISSING]:
        raise FileFormatError(f"the receipt of job {report['id']} lacks {', '.join(missing)} in its cost")
    spent = _seconds(report)
    lines.append(f"used     {spent}" if spent else "used     no QPU time: it was simulated; on hardware:")
    lines.append(f"cost     {Cost(**{each.name: cost[each.name] for each in fields(Cost) if each.name in cost})}")
    lines.append(f"layout   {cost.get('layouts', 'unknown')}")
    return "\n".join(lines)
