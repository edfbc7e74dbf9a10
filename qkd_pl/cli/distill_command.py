"""The command ``qkd-pl distill``: the user's data and teacher, or, without them, the demonstration of the README."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from qkd_pl.cli.console import Json, clear_errors
from qkd_pl.cli.distill_settings import Demonstration, OwnDistillation
from qkd_pl.errors import InvalidInputError

app = typer.Typer()

_OWN = "Your own data and teacher"


def _own(name: str, text: str, **limits: Any) -> Any:
    """An option that goes with ``--data``; None unless it is given."""
    default = getattr(OwnDistillation, name, None)
    shown = default if isinstance(default, str) or default is None else str(default)
    return typer.Option(help=text, rich_help_panel=_OWN, show_default=shown or False, **limits)


@app.command("distill")
def distill_command(
    data: Annotated[
        Path | None, _own("data", "An .npz file with `inputs` (n, …) and, optionally, class indices `labels` (n,).")
    ] = None,
    teacher: Annotated[
        Path | None, _own("teacher", "A saved QNN, or its outputs (n, K) for all inputs in an .npy file.")
    ] = None,
    qubits: Annotated[int | None, _own("qubits", "Qubits of the student; by default the teacher's.", min=1)] = None,
    layers: Annotated[int | None, _own("layers", "Layers of the student.", min=1)] = None,
    embedding: Annotated[
        str | None,
        _own("embedding", "How inputs enter: state, amplitude, phase, angle or basis; by default the teacher's."),
    ] = None,
    topology: Annotated[
        str | None,
        _own("topology", "Of the student's entanglers: ring, or line, which takes fewer gates on a device."),
    ] = None,
    iterations: Annotated[int | None, _own("iterations", "Updates of the weights.", min=1)] = None,
    learning_rate: Annotated[
        float | None, _own("learning_rate", "Adam's step size, in radians; times 0.9 every 10 updates.")
    ] = None,
    batch_size: Annotated[int | None, _own("batch_size", "Samples per update.", min=1)] = None,
    temperature: Annotated[
        float | None,
        _own("temperature", "Temperature T of the KD loss; by default 0.5, or 1/30 for log-probabilities."),
    ] = None,
    alpha: Annotated[float | None, _own("alpha", "Weight α of the teacher; 1 needs no labels.", min=0, max=1)] = None,
    logit_scale: Annotated[float | None, _own("logit_scale", "Logit scale s of the cross-entropy.")] = None,
    test_fraction: Annotated[float | None, _own("test_fraction", "Fraction of samples held out for scores.")] = None,
    seed: Annotated[int | None, _own("seed", "Seed of the split, the initial weights and the batches.", min=0)] = None,
    seeds: Annotated[
        int | None,
        typer.Option(min=1, help="Runs per arm, of the demonstration.", show_default=str(Demonstration.seeds)),
    ] = None,
    device: Annotated[str, typer.Option(help="Device to train on, a name in devices.yaml.")] = Demonstration.device,
    out: Annotated[Path, typer.Option(help="Folder of models and checkpoints.")] = Path("runs/distill"),
    as_json: Json = False,
) -> None:
    """Distil your own data and teacher into a student, or, without --data, show distillation on quantum phases.

    The demonstration trains a teacher of 7 qubits and distils it into 2 qubits
    behind an autoencoder, and into 1 layer, beside the same students without a
    teacher and with cross-entropy on scaled logits. It takes half a minute.
    Repeating a command resumes it.
    """
    own = {
        "data": data,
        "teacher": teacher,
        "qubits": qubits,
        "layers": layers,
        "embedding": embedding,
        "topology": topology,
        "iterations": iterations,
        "learning_rate": learning_rate,
        "batch_size": batch_size,
        "temperature": temperature,
        "alpha": alpha,
        "logit_scale": logit_scale,
        "test_fraction": test_fraction,
        "seed": seed,
    }
    given = {name: value for name, value in own.items() if value is not None}
    with clear_errors():
        _check_together(given, seeds)
        report, text = _distil_own(given | {"device": device}, out) if given else _demonstrate(seeds, device, out)
    print(json.dumps(report, indent=1) if as_json else text)


def _check_together(given: dict[str, Any], seeds: int | None) -> None:
    """Refuse options of the demonstration and of own data together, and half of a pair."""
    if given and (missing := [name for name in ("data", "teacher") if name not in given]):
        others = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise InvalidInputError(
            f"{others}: needs --{' and --'.join(missing)}; without both, only the demonstration runs"
        )
    if given and seeds is not None:
        raise InvalidInputError(f"--seeds {seeds}: belongs to the demonstration; with --data there is --seed")


def _distil_own(given: dict[str, Any], out: Path) -> tuple[dict[str, Any], str]:
    from qkd_pl.cli.distill_data import distil_own, format_own

    report = distil_own(OwnDistillation(**given), out)
    return report, format_own(report)


def _demonstrate(seeds: int | None, device: str, out: Path) -> tuple[dict[str, Any], str]:
    from qkd_pl.cli.distill_demonstration import demonstrate, format_demonstration

    chosen = {} if seeds is None else {"seeds": seeds}
    report = demonstrate(Demonstration(**chosen, device=device), out)
    return report, format_demonstration(report)
