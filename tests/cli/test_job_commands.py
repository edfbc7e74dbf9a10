"""The commands, from a saved model to a result, each invocation on its own."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from loopback import Server, respond
from plans import make_plan
from typer.testing import CliRunner

from qkd_pl.cli.job_commands import app
from qkd_pl.cli.python_names import named_object
from qkd_pl.datasets import topological_phases
from qkd_pl.devices.ibm.jobs.jobs import attach, jobs, submit
from qkd_pl.devices.spec import EXACT
from qkd_pl.networks.models import load_model, trained
from qkd_pl.networks.networks import QAE, QNN
from qkd_pl.upstream import runtime

RUN = "import sys; from qkd_pl.cli.job_commands import app; app(sys.argv[1:])"


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QKD_PL_CACHE", str(tmp_path / "cache"))
    network = QNN(3, 1)
    path = tmp_path / "student.safetensors"
    trained(network, np.random.default_rng(0).uniform(0, 6, network.weights_shape)).save(path)
    return path


def run(*arguments: object) -> str:
    finished = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert finished.exit_code == 0, finished.output
    return finished.stdout


def test_rehearsal_in_separate_processes(model: Path) -> None:
    """`submit` in one process, `result` in another: the accuracies, shots, cost and circuit figures are printed."""
    submitted = json.loads(run("submit", model, "--device", "manila", "--samples", 16, "--json"))
    command = [sys.executable, "-c", RUN, "result", submitted["id"]]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    for words in ("accuracy 0.", "exact 0.", "16 circuits", "65,536 shots", "QPU seconds", "depth", "two-qubit gates"):
        assert words in printed
    again = json.loads(run("result", submitted["id"], "--json"))
    assert np.shape(again["logits"]) == (16, 2)
    assert 0 <= again["accuracy"] <= 1
    assert again["status"] == "done"
    assert submitted["shots"] == again["cost"]["shots"] == 16 * 4096


def test_submit_with_fewer_shots_than_the_device_has(model: Path) -> None:
    submitted = json.loads(run("submit", model, "--samples", 2, "--shots", 128, "--json"))
    assert submitted["shots"] == 2 * 128
    assert jobs()[0].receipt.target["device"]["shots"] == 128


def test_a_job_calibrates_itself_when_asked(model: Path) -> None:
    """The device shrinks the outputs; what is told beside the raw ones is corrected, at no further circuit."""
    states = np.random.default_rng(1).normal(size=(24, 8))
    states /= np.linalg.norm(states, axis=1, keepdims=True)
    np.savez(model.with_name("states.npz"), inputs=states, labels=np.arange(24) % 2)
    options = ("--data", model.with_name("states.npz"), "--shots", 4096, "--json")
    submitted = json.loads(run("submit", model, "--calibrate", 20, *options))
    assert submitted["circuits"] == 24, "all of the file"
    told = json.loads(run("result", submitted["id"], "--json"))
    assert told["calibrated"]
    assert told["mean_logit_error"] < told["raw_mean_logit_error"]
    assert "without its calibration" in run("result", submitted["id"])
    plain = json.loads(run("submit", model, *options))
    told = json.loads(run("result", plain["id"], "--json"))
    assert not told["calibrated"]
    assert told["accuracy"] == told["raw_accuracy"]


def test_submit_says_what_to_do_next(model: Path) -> None:
    printed = run("submit", model, "--samples", 2)
    (job,) = jobs()
    assert "2 circuits" in printed
    assert f"qkd-pl result {job.id}" in printed
    assert str(job.ledger.path) in printed


@pytest.mark.skipif(not runtime.can_rehearse(), reason="the client has no dry run yet")
def test_ibms_estimate_stands_beside_ours(model: Path, direct: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qkd_pl.deployment.planning.plan", lambda *_, **__: make_plan())  # for hardware
    printed = run("submit", model, "--samples", 2, "--dry-run")
    assert printed.startswith("plan: ")
    assert "IBM:     about 4 QPU seconds by its own estimate; nothing was run" in printed
    assert json.loads(run("submit", model, "--samples", 2, "--dry-run", "--json"))["ibm_qpu_seconds"] == 3.5
    assert jobs() == []


def test_a_simulator_has_no_estimate_of_ibms(model: Path) -> None:
    printed = run("submit", model, "--samples", 2, "--device", "fake_manila", "--dry-run")
    assert printed.startswith("plan: ")
    assert "no estimate, since the backend is a simulator; nothing was run" in printed
    assert json.loads(run("submit", model, "--samples", 2, "--dry-run", "--json"))["ibm_qpu_seconds"] is None
    assert jobs() == []


def test_jobs_and_cancel(direct: Server) -> None:
    direct.service.polls_until_done = 1000
    job = submit(make_plan())
    assert job.id in run("jobs")
    assert json.loads(run("jobs", "--json"))[0]["status"] == "queued"
    assert "cancelled" in run("cancel", job.id)
    assert json.loads(run("jobs", "--json"))[0]["status"] == "cancelled"
    assert direct.service.active == []


def test_jobs_says_the_words_of_python() -> None:
    job = submit(make_plan(remote=False))
    assert run("jobs").split()[-1] == job.status() == "queued"
    assert json.loads(run("jobs", "--json"))[0]["status"] == job.status()


def test_one_damaged_row_hides_no_other_job() -> None:
    ids = [submit(make_plan(remote=False)).id for _ in range(3)]
    with closing(sqlite3.connect(jobs()[0].ledger.path)) as database, database:
        database.execute("UPDATE jobs SET target = CAST(x'ff00fe' AS TEXT) WHERE id = ?", (ids[1],))
    newest, damaged, oldest = run("jobs").splitlines()
    assert [newest.split()[0], oldest.split()[0]] == [ids[2], ids[0]]
    assert damaged.startswith(f"{ids[1]}  damaged: ")
    assert [each["status"] for each in json.loads(run("jobs", "--json"))] == ["queued", "damaged", "queued"]
    finished = CliRunner().invoke(app, ["result", ids[1]])
    assert finished.exit_code == 1
    assert finished.stderr.startswith("error: ")


def test_a_finished_job_is_not_called_cancelled(direct: Server) -> None:
    job = submit(make_plan())
    assert run("cancel", job.id) == f"job {job.id}: not cancelled, it had ended before: done\n"


def test_names_in_the_ledger_do_not_steer_the_terminal() -> None:
    job = submit(make_plan(remote=False))
    with closing(sqlite3.connect(job.ledger.path)) as database, database:
        database.execute("""UPDATE jobs SET target = replace(target, '"test"', '"\\u001b[2J"')""")
    assert "\x1b" not in run("jobs")


def test_an_empty_ledger_says_so() -> None:
    assert "no jobs yet" in run("jobs")
    assert json.loads(run("jobs", "--json")) == []


def test_own_data_and_autoencoder(model: Path, tmp_path: Path) -> None:
    qae = QAE(3, 2, 1)
    trained(qae, np.zeros(qae.weights_shape)).save(tmp_path / "qae.safetensors")
    small = QNN(2, 1)
    trained(small, np.zeros(small.weights_shape)).save(tmp_path / "small.safetensors")
    np.savez(tmp_path / "data.npz", inputs=np.eye(8)[:5], labels=np.zeros(5, dtype=int))
    arguments = ("--autoencoder", tmp_path / "qae.safetensors", "--data", tmp_path / "data.npz", "--samples", 3)
    planned = json.loads(run("submit", tmp_path / "small.safetensors", *arguments, "--json"))
    assert planned["circuits"] == 3
    assert json.loads(run("result", planned["id"], "--json"))["samples"] == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("result", "nonsense"), "no job 'nonsense'"),
        (("submit", "missing.safetensors"), "missing.safetensors"),
        (("submit", "{model}", "--device", "lightning"), "qkd.ibm"),
        (("submit", "{model}", "--data", "{model}"), "not an .npz file"),
        (("submit", "{model}", "--data", "{array}"), "not an .npz file"),
        (("submit", "{model}", "--data", "{truncated}"), "not an .npz file"),
        (("submit", "{model}", "--data", "{folder}"), "not an .npz file"),
        (("submit", "{model}", "--data", "missing.npz"), "missing.npz: no such data file"),
        (("submit", "{model}", "--autoencoder", "{model}"), "not an autoencoder"),
        (("submit", "{model}", "--device", "fake_torin", "--data", "missing.npz"), "did you mean fake_torino"),
        (("submit", "{model}", "--samples", "20", "--calibrate", "500"), "calibrate=500: must be at most 20"),
    ],
)
def test_errors_are_one_line(arguments: tuple[str, ...], message: str, model: Path) -> None:
    paths = {"model": model, "folder": model.parent}
    paths |= {name: model.parent / f"{name}.npz" for name in ("array", "truncated")}
    np.save(model.parent / "array.npy", np.eye(8))
    (model.parent / "array.npy").rename(paths["array"])
    np.savez(paths["truncated"], inputs=np.eye(8), labels=np.zeros(8, dtype=int))
    paths["truncated"].write_bytes(paths["truncated"].read_bytes()[:300])
    finished = CliRunner().invoke(app, [each.format(**paths) for each in arguments])
    assert finished.exit_code == 1
    assert message in finished.stderr
    assert finished.stderr.startswith("error: ")
    assert len(finished.stderr.splitlines()) == 1


def test_a_refused_submission_names_its_receipt(model: Path, direct: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    direct.break_on("POST", "/jobs", respond(403))
    monkeypatch.setattr("qkd_pl.devices.ibm.jobs.jobs.submit", lambda plan: submit(make_plan()))
    finished = CliRunner().invoke(app, ["submit", str(model), "--samples", "1"])
    assert finished.exit_code == 1
    (job,) = jobs()
    assert job.id in finished.stderr


def test_exact_logits_are_exact_whatever_the_default_device_is(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = "  noisy: {plugin: default.qubit, shots: 1}\n  aer: {plugin: qkd.ibm, backend: aer, shots: 8}\n"
    (tmp_path / "devices.yaml").write_text(f"default: noisy\ndevices:\n{entries}")
    monkeypatch.setenv("QKD_PL_DEVICES", str(tmp_path / "devices.yaml"))
    submitted = json.loads(run("submit", model, "--device", "aer", "--samples", 4, "--seed", 0, "--json"))
    arrays = attach(submitted["id"]).ledger.arrays(submitted["id"])
    _, (inputs, _) = topological_phases(3, 0, 4, seed=0)
    np.testing.assert_allclose(arrays["exact_logits"], load_model(model).logits(inputs, EXACT), atol=1e-12)


OWN_CIRCUIT = """
import pennylane as qml
from qkd_pl import CircuitNetwork


def circuit(inputs, weights):
    qml.RX(inputs[0] * weights["scale"], wires=0)
    qml.RY(weights["angles"][0], wires=0)
    qml.CNOT([0, 1])
    qml.RY(weights["angles"][1] + inputs[1], wires=1)
    return qml.expval(qml.Z(1))


network = CircuitNetwork(circuit, wires=2, weights_shape={"scale": (), "angles": (2,)})
other = CircuitNetwork(lambda inputs, weights: qml.expval(qml.Z(1)), wires=2, weights_shape=2)
"""


@pytest.fixture
def own_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "own_circuit_of_a_test.py").write_text(OWN_CIRCUIT)
    monkeypatch.chdir(tmp_path)
    network = named_object("own_circuit_of_a_test:network", "--network")
    trained(network, {"scale": 0.7, "angles": [0.2, 2.5]}).save(tmp_path / "own.safetensors")
    rng = np.random.default_rng(1)
    np.savez(tmp_path / "data.npz", inputs=rng.uniform(0, 3, (4, 2)), labels=np.arange(4) % 2)
    return tmp_path / "own.safetensors"


def test_a_circuit_of_the_users_own(own_model: Path) -> None:
    """Written for one row, with a single output: all rows are one circuit on the device, the logits are (z, -z)."""
    options = ("--network", "own_circuit_of_a_test:network", "--data", own_model.with_name("data.npz"))
    submitted = json.loads(run("submit", own_model, "--device", "aer", *options, "--json"))
    report = json.loads(run("result", submitted["id"], "--json"))
    network = named_object("own_circuit_of_a_test:network", "--network")
    inputs = np.load(own_model.with_name("data.npz"))["inputs"]
    exact = load_model(own_model, network=network).logits(inputs)
    assert (submitted["jobs"], submitted["circuits"]) == (1, 4)
    np.testing.assert_allclose(report["logits"], exact[:, :1], atol=6 / np.sqrt(4096))
    assert report["exact_accuracy"] == np.mean(exact.argmax(axis=1) == np.arange(4) % 2)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (None, "no file can hold; give it"),
        ("own_circuit_of_a_test", "must be MODULE:NAME"),
        ("no_such_module_anywhere:network", "cannot be imported"),
        ("own_circuit_of_a_test:absent", "has no absent"),
        ("own_circuit_of_a_test:other", "differs from the one stored in weights_shape"),
    ],
)
def test_the_network_of_a_custom_model_must_be_named(own_model: Path, network: str | None, message: str) -> None:
    options = [] if network is None else ["--network", network]
    refused = CliRunner().invoke(app, ["submit", str(own_model), "--device", "aer", *options])
    assert refused.exit_code == 1
    assert message in " ".join(refused.stderr.split())
