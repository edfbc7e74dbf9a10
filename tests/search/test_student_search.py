"""A whole search on a small device: found, resumed after SIGKILL, refused in one clear error."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from qkd_pl.datasets import topological_phases
from qkd_pl.devices.ibm.jobs.jobs import submit
from qkd_pl.devices.spec import DeviceSpec
from qkd_pl.errors import DeviceConfigError, FileFormatError, InvalidInputError
from qkd_pl.networks.models import trained
from qkd_pl.networks.networks import QNN
from qkd_pl.search.space import SearchSpace
from qkd_pl.search.student_search import StudentSearch
from qkd_pl.training.losses import CrossEntropy
from qkd_pl.training.trainer import KDTrainer

SPACE = SearchSpace(n_layers=(1,), topology=("line", "device"), train_on=("lightning",))
PLAIN = SearchSpace(n_qubits=(3,), n_layers=(1, 2), topology=("line",), entangler=("cz",), absorb=(False,))


def search_of(**settings) -> StudentSearch:
    train, _ = topological_phases(n_qubits=3, n_train=40, n_test=4, seed=0)
    teacher = KDTrainer(iterations=30, seed=1).fit(QNN(3, 2), train, loss=CrossEntropy(logit_scale=10.0))
    device = DeviceSpec(
        name="m", plugin="qkd.ibm", shots=256, options={"backend": "fake_manila", "transpile_attempts": 1}
    )
    given = {"space": SPACE, "trials": 3, "iterations": 12, "preparation": "ideal", "labels": train.labels}
    return StudentSearch(teacher, train.inputs, device, **{**given, **settings})


def test_finds_saves_and_resumes(tmp_path: Path) -> None:
    found = search_of().run(tmp_path)
    assert {row.name for row in found.table} | set(found.left_out) == {"teacher", "0", "1", "2"}
    assert any(row.name == "teacher" for row in found.table)
    assert found.best_row.two_qubit_gates <= 4
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    again = search_of().run(tmp_path)
    assert str(again.table) == str(found.table)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")} == before
    assert len(found.figure().axes) == 1
    with pytest.raises(FileFormatError, match="other data or settings"):
        search_of(iterations=13).run(tmp_path)


@pytest.mark.filterwarnings("ignore::qkd_pl.errors.MisfitWarning")  # a calibration that does not fit is left out
def test_the_table_is_what_a_job_gives(tmp_path: Path) -> None:
    """Prediction and rehearsal through the ledger on Aer, with states prepared by the circuit."""
    search = search_of(preparation="device", trials=1)
    found = search.run(tmp_path)
    planned = found.plan(search.inputs)
    assert planned.cost.qpu_seconds == pytest.approx(found.best_row.qpu_seconds, rel=0.05)
    assert planned.cost.two_qubit_gates == found.best_row.two_qubit_gates
    logits = submit(planned).result()
    job = np.mean(logits.argmax(axis=1) == search.teacher.logits(search.inputs).argmax(axis=1))
    assert abs(job - found.best_row.agreement) < 0.35  # ten held-out inputs: two standard errors


def test_a_killed_search_loses_no_finished_trial(tmp_path: Path) -> None:
    code = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_student_search import search_of
search_of(trials=6).run({str(tmp_path / "killed")!r})
"""
    process = subprocess.Popen([sys.executable, "-c", code])
    results = tmp_path / "killed" / "trials"
    while process.poll() is None and len(list(results.glob("*/result.json"))) < 2:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = {path: path.stat().st_mtime_ns for path in results.glob("*/result.json")}
    assert len(kept) >= 2
    resumed = search_of(trials=6).run(tmp_path / "killed")
    assert all(path.stat().st_mtime_ns == time_ for path, time_ in kept.items())
    assert str(resumed.table) == str(search_of(trials=6).run(tmp_path / "whole").table)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"max_two_qubit_gates": 0, "space": PLAIN}, InvalidInputError, "no student .* two_qubit_gates 2 is above 0"),
        ({"max_depth": 2, "space": PLAIN}, InvalidInputError, "no student .* depth .* is above 2"),
        ({"max_qpu_seconds": 1, "space": PLAIN}, InvalidInputError, "no student .* qpu_seconds .* is above 1"),
        ({"trials": 0}, InvalidInputError, "trials=0"),
        ({"preparation": "none"}, InvalidInputError, "preparation='none'"),
        ({"labels": [3]}, InvalidInputError, "labels"),
        ({"space": SearchSpace(n_qubits=(9,))}, InvalidInputError, "n_qubits=9"),
    ],
)
def test_bad_input_is_one_clear_error(settings, error, message, tmp_path: Path) -> None:
    with pytest.raises(error, match=message):
        search_of(**settings).run(tmp_path / "search")
    assert not (tmp_path / "search").exists()  # nothing was tried


def test_devices_and_teachers_are_checked_first(tmp_path: Path) -> None:
    model = trained(QNN(1, 1), np.zeros((2, 1, 3)))
    for device in ("fake_nowhere", "lightning"):
        with pytest.raises((DeviceConfigError, RuntimeError)):
            StudentSearch(model, np.eye(2).repeat(5, 0), device).run(tmp_path)
    with pytest.raises(InvalidInputError, match="logits have shape"):
        StudentSearch(np.zeros((3, 2)), np.eye(2).repeat(5, 0), "fake_manila").run(tmp_path)
    assert not list(tmp_path.iterdir())
