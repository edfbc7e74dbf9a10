"""The fault matrix for QNodes and for the command line: outages, hangs, redirects, IAM, and damaged results."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from children import qnode
from damaged_results import DAMAGE, damaging
from fault_checks import DEADLINE
from loopback import Server, cut_json, hang, reset_after, reset_before, respond, truncate
from loopback.faults import Action, redirect_to
from plans import LOGITS, TOLERANCE, make_plan
from typer.testing import CliRunner

import qkd_pl as kd
from qkd_pl.cli.job_commands import app
from qkd_pl.devices.ibm.jobs.jobs import Job, attach, jobs, submit
from qkd_pl.devices.ibm.service import polling, tokens
from qkd_pl.devices.ibm.service.job_status import Stage
from qkd_pl.devices.ibm.service.remote import open_remote
from qkd_pl.errors import JobResultError, QKDError

pytestmark = pytest.mark.usefixtures("impatient", "no_secrets")
FAULTS: dict[str, Action] = {
    "401": respond(401),
    "403": respond(403),
    "429": respond(429),
    "503": respond(503),
    "reset": reset_before,
    "no answer": hang(),
    "truncated": truncate,
    "cut": cut_json,
    "{}": respond(200, {}),
    "redirect": redirect_to("https://elsewhere.example/jobs", 307),
    "redirect in clear text": redirect_to("http://quantum.cloud.ibm.com/api/v1/jobs", 302),
    "lost": reset_after,
    "no answer, accepted": hang(accept=True),
}
SEND, FIND, STATUS, RESULT = ("POST", "/jobs"), ("GET", "/jobs"), ("GET", "/jobs/[^/]+"), ("GET", "/jobs/[^/]+/results")
REFUSALS = {"401", "403"}
AFTER_ACCEPTING = {"lost", "no answer, accepted", "truncated", "cut"}
BY_PROXY = {"reset", "no answer", "truncated"}
PASSING = [each for each in FAULTS if each not in REFUSALS]


def cells(faults: Iterable[str], *places: tuple[str, str]) -> pytest.MarkDecorator:
    """Each fault at each place, directly; those of the connection by proxy as well."""
    found = []
    for fault in faults:
        for place in places:
            if place != SEND and fault in ("lost", "no answer, accepted"):
                continue  # nothing is accepted there
            ways = ["direct", "proxied"] if fault in BY_PROXY else ["direct"]
            found += [pytest.param(fault, place, way, id=f"{fault}-{' '.join(place)}-{way}") for way in ways]
    return pytest.mark.parametrize(("fault", "place", "way"), found)


@pytest.fixture
def way() -> str:
    return "direct"


@pytest.fixture
def server(way: str, request: pytest.FixtureRequest) -> Server:
    reached: Server = request.getfixturevalue(way)
    return reached


@pytest.fixture
def short_outages(monkeypatch: pytest.MonkeyPatch) -> None:
    """An outage that lasts is given up after a moment."""
    monkeypatch.setattr(polling, "OUTAGE_SECONDS", 0.3)


@pytest.fixture
def fresh_connections(impatient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process of its own."""
    monkeypatch.setattr("qkd_pl.devices.ibm.jobs.work.open_remote", open_remote)
    monkeypatch.setattr(tokens, "SECONDS", 0.5)


def run(*arguments: object) -> Any:
    finished = CliRunner().invoke(app, [str(each) for each in arguments])
    if finished.exit_code:
        assert finished.stderr.startswith("error: ")
        assert "Traceback" not in finished.stderr
        assert len(finished.stderr) < 3000
    return finished


@pytest.fixture
def submitting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """``qkd-pl submit`` of a model for hardware, in a folder with a ``devices.yaml``."""
    model, data = tmp_path / "model.safetensors", tmp_path / "data.npz"
    network = kd.QNN(2, 1, embedding="angle")
    kd.trained(network, np.zeros(network.weights_shape)).save(model)
    np.savez(data, inputs=np.array([[0.1, 0.2], [0.3, 0.4]]), labels=np.array([0, 1]))
    settings = "plugin: qkd.ibm, backend: ibm_manila, token_env: QISKIT_IBM_TOKEN, transpile_attempts: 1, shots: 1000"
    entry = f"there: {{{settings}, max_qpu_seconds: 100}}"
    (tmp_path / "devices.yaml").write_text(f"default: there\ndevices:\n  {entry}\n")
    monkeypatch.chdir(tmp_path)
    return lambda: run("submit", model, "--device", "there", "--data", data, "--json")


def only_job() -> Job:
    (job,) = jobs()
    return job


def assert_the_command_reads(job: str, server: Server) -> None:
    """One job at the service, whose numbers the command prints."""
    told = json.loads(run("result", job, "--json", "--timeout", 30).stdout)
    assert np.isfinite(told["logits"]).all()
    assert len(server.service.active) == 1


def assert_one_good_value(job: Job, server: Server) -> None:
    if job.receipt.parts[0].stage in (Stage.PREPARED, Stage.SENDING):
        job.send()
    np.testing.assert_allclose(job.values(timeout=30)[0][0], np.cos([[0.3]]), atol=TOLERANCE)
    assert len(server.service.active) == 1


@cells(PASSING, SEND, FIND, STATUS, RESULT)
def test_a_qnode_survives_what_breaks_once(fault: str, place: tuple[str, str], way: str, server: Server) -> None:
    circuit = qnode()
    broken = server.break_on(*place, FAULTS[fault], times=1)
    np.testing.assert_allclose(circuit(0.3), np.cos(0.3), atol=TOLERANCE)
    assert broken.hit.is_set()
    assert len(server.service.active) == 1


@cells(FAULTS, SEND, STATUS, RESULT)
@pytest.mark.usefixtures("short_outages")
def test_a_qnode_where_something_stays_broken_leaves_a_job_to_attach_to(
    fault: str, place: tuple[str, str], way: str, server: Server
) -> None:
    circuit = qnode()
    server.break_on(*place, FAULTS[fault])
    if place == SEND and fault in AFTER_ACCEPTING:  # the tag finds the job, which nobody knew to be there
        np.testing.assert_allclose(circuit(0.3), np.cos(0.3), atol=TOLERANCE)
    else:
        with pytest.raises(QKDError) as refused:
            circuit(0.3)
        if place == SEND:
            assert only_job().id in refused.value.__notes__[0]
            assert server.service.jobs == {}
    server.faults.clear()
    assert_one_good_value(attach(only_job().id), server)


@cells(PASSING, SEND)
def test_the_command_submit_survives_what_breaks_once(
    fault: str, place: tuple[str, str], way: str, server: Server, submitting: Callable[[], Any]
) -> None:
    broken = server.break_on(*place, FAULTS[fault], times=1)
    submitted = json.loads(submitting().stdout)
    assert broken.hit.is_set()
    assert_the_command_reads(submitted["id"], server)


@cells([each for each in FAULTS if each not in AFTER_ACCEPTING], SEND)
def test_the_commands_submit_and_send_fail_in_one_line_and_work_later(
    fault: str, place: tuple[str, str], way: str, server: Server, submitting: Callable[[], Any]
) -> None:
    server.break_on(*place, FAULTS[fault])
    finished = submitting()
    assert finished.exit_code == 1
    assert only_job().id in finished.stderr
    assert run("send", only_job().id, "--timeout", DEADLINE).exit_code == 1
    assert server.service.jobs == {}
    server.faults.clear()
    assert run("send", only_job().id).exit_code == 0
    assert_the_command_reads(only_job().id, server)


@cells(PASSING, STATUS, RESULT)
def test_the_command_result_survives_what_breaks_once(
    fault: str, place: tuple[str, str], way: str, server: Server
) -> None:
    job = submit(make_plan())
    broken = server.break_on(*place, FAULTS[fault], times=1)
    told = json.loads(run("result", job.id, "--timeout", DEADLINE, "--json").stdout)
    np.testing.assert_allclose(told["logits"], LOGITS, atol=TOLERANCE)
    assert broken.hit.is_set()


@cells(FAULTS, STATUS, RESULT)
def test_the_command_result_fails_in_one_line_and_works_later(
    fault: str, place: tuple[str, str], way: str, server: Server
) -> None:
    job = submit(make_plan())
    server.break_on(*place, FAULTS[fault])
    assert run("result", job.id, "--timeout", 1).exit_code == 1
    server.faults.clear()
    assert_the_command_reads(job.id, server)


def test_the_commands_jobs_and_cancel_in_an_outage(server: Server) -> None:
    server.service.polls_until_done = 10_000
    job = submit(make_plan())
    server.break_on("GET", "/jobs/[^/]+", respond(503))
    server.break_on("POST", "/jobs/[^/]+/cancel", respond(503))
    assert job.id in run("jobs").stdout
    assert run("cancel", job.id, "--timeout", 1).exit_code == 1
    server.faults.clear()
    assert "cancelled" in run("cancel", job.id).stdout


IAM = pytest.mark.parametrize("fault", ["401", "403", "429", "503", "reset", "no answer", "cut", "{}", "redirect"])
TOKEN = "POST", "/identity/token"


@IAM
@pytest.mark.usefixtures("fresh_connections", "short_outages")
def test_a_qnode_while_iam_is_out(fault: str, server: Server) -> None:
    """When its device is opened, and when its job is sent."""
    server.break_on(*TOKEN, FAULTS[fault])
    with pytest.raises(QKDError):
        qnode()
    server.faults.clear()
    circuit = qnode()
    server.break_on(*TOKEN, FAULTS[fault])
    with pytest.raises(QKDError):
        circuit(0.3)
    assert server.service.jobs == {}
    server.faults.clear()
    assert_one_good_value(attach(only_job().id), server)


@IAM
@pytest.mark.usefixtures("fresh_connections", "short_outages")
def test_the_commands_while_iam_is_out(fault: str, server: Server, submitting: Callable[[], Any]) -> None:
    server.break_on(*TOKEN, FAULTS[fault])
    assert submitting().exit_code == 1
    assert jobs() == []
    server.faults.clear()
    job = json.loads(submitting().stdout)["id"]
    server.break_on(*TOKEN, FAULTS[fault])
    assert run("result", job, "--timeout", 1).exit_code == 1
    server.faults.clear()
    assert_the_command_reads(job, server)


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_qnode_never_takes_a_damaged_result(damage: str, server: Server) -> None:
    circuit = qnode()
    server.break_on(*RESULT, damaging(damage))
    with pytest.raises(JobResultError):
        circuit(0.3)
    server.faults.clear()
    server.break_on(*RESULT, damaging(damage), times=2)
    assert_one_good_value(attach(only_job().id), server)


@pytest.mark.parametrize("damage", DAMAGE)
def test_the_command_result_never_takes_a_damaged_result(damage: str, server: Server) -> None:
    job = submit(make_plan())
    server.break_on(*RESULT, damaging(damage))
    assert "result" in run("result", job.id, "--timeout", DEADLINE).stderr
    server.faults.clear()
    server.break_on(*RESULT, damaging(damage), times=2)
    assert_the_command_reads(job.id, server)
