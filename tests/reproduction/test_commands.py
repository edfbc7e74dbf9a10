import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from reproduction.__main__ import app
from reproduction.dark_knowledge import PROBLEMS, DarkKnowledgeSettings
from reproduction.experiments import stored_run
from reproduction.figure4 import Figure4Settings
from reproduction.results import Results, finished_file

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results"
SMALL = ("--seeds", "1", "--workers", "1", "--teacher-candidates", "1")
CIRCUIT = ("--n-qubits", "3", "--teacher-layers", "1", "--iterations", "2", "--teacher-iterations", "2")
STATES = ("--n-train", "12", "--n-test", "12")
IMAGES = ("--n-train", "130", "--n-test", "20")


@pytest.fixture
def run():
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def out(tmp_path):
    return tmp_path / "it"


def summary_of(run, out, *arguments):
    """What a command prints as JSON; then, as text, where its results are."""
    result = run(*arguments, "--out", out, "--json")
    assert result.exit_code == 0, result.output
    text = run(*arguments, "--out", out)
    assert f"raw results and figure: {out}.jsonl and .png" in text.stdout
    assert out.with_name("it.png").read_bytes().startswith(b"\x89PNG")
    assert out.with_name("it.pdf").read_bytes().startswith(b"%PDF")
    return json.loads(result.stdout)


def test_table1(run, out):
    sizes = ("--n-qubits", "4", "--iterations", "2", "--teacher-iterations", "2", "--qae-layers", "1")
    options = (*SMALL, *STATES, *sizes, "--qae-iterations", "2", "--qae-candidates", "1", "--data-sets", "2")
    summary = summary_of(run, out, "table1", *options)
    assert (summary["data_sets"], summary["seeds"], summary["settings"]["qae_layers"]) == (2, 1, 1)


def test_figure4(run, out):
    summary = summary_of(run, out, "figure4", *SMALL, *CIRCUIT, *STATES, "--student-layers", "2,1")
    assert list(summary["students"]) == ["2", "1"]
    assert (summary["settings"]["iterations"], summary["settings"]["teacher_iterations"]) == (2, 2)


def test_figure5(mnist_file, run, out):
    summary = summary_of(run, out, "figure5", *SMALL, *CIRCUIT, *IMAGES, "--student-layers", "1")
    assert summary["teacher"]["kind"] == "qnn"
    assert summary["settings"]["data"]["n_train"] == 130


def test_figure6_with_a_classical_teacher(mnist_file, run, out):
    summary = summary_of(run, out, "figure6", *SMALL, *IMAGES, "--teacher", "mlp", "--n-layers", "1", "--epochs", "1")
    assert summary["teacher"]["kind"] == "mlp"
    assert summary["settings"]["epochs"] == 1


def test_dark_knowledge(run, out, monkeypatch):
    problem = Figure4Settings(n_qubits=3, teacher_layers=1, iterations=1, teacher_iterations=1, n_train=12, n_test=12)
    small = DarkKnowledgeSettings(problem=problem, student_layers=1, temperatures=(0.1,), scales=(1.0,), ensemble=1)
    monkeypatch.setitem(PROBLEMS, "table1", small)
    summary = summary_of(run, out, "dark-knowledge", *SMALL, "--device", "default")
    assert list(summary["teachers"]) == ["raw", "scaled", "ensemble"]
    assert summary["settings"]["problem"]["device"] == "default"


def test_a_stored_run_is_read_without_its_settings(run, out):
    summary = summary_of(run, out, "figure4", *SMALL, *CIRCUIT, *STATES, "--student-layers", "1,2")
    stored = stored_run(out.with_name("it.jsonl"))
    assert json.loads(json.dumps(stored.summary)) == summary
    again = run(*stored.command.split()[3:], "--out", out, "--json")
    assert json.loads(again.stdout) == summary


@pytest.mark.parametrize("name", ["table1", "figure5-mlp", "dark-knowledge-figure6"])
def test_the_committed_results_are_enough_for_their_command(run, tmp_path, monkeypatch, name):
    """In a clone there are no models and no data: nothing is computed, and the committed figures are printed."""
    monkeypatch.setattr("qkd_pl.training.trainer.KDTrainer.fit", lambda *_, **__: pytest.fail("trained"))
    monkeypatch.setattr("reproduction.arms.load_data", lambda *_: pytest.fail("loaded data"))
    committed = RESULTS / f"{name}.jsonl"
    shutil.copy(committed, tmp_path)
    command = stored_run(committed).command.split()[3:]
    result = run(*command, "--out", tmp_path / name, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == json.loads(json.dumps(stored_run(committed).summary))
    assert (tmp_path / committed.name).read_bytes() == committed.read_bytes()
    assert {path.suffix for path in tmp_path.iterdir()} == {".jsonl", ".png", ".pdf"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("figure4", "--student-layers", "1,x"), "--student-layers 1,x: expected numbers separated by commas"),
        (("figure4", "--student-layers", "1,1"), "student_layers=(1, 1): must be different depths"),
        (("figure4", "--seeds", "0"), "seeds=0: must be a whole number of at least 1"),
        (("table1", "--n-qubits", "4", "--student-qubits", "4"), "n_latent=4"),
        (("table1", "--temperature", "0"), "temperature=0.0"),
        (("table1", "--teachers", "3", "--teacher-candidates", "2"), "teachers=3: must be 1 to 2"),
        (("figure5", "--teacher", "svm"), "--teacher svm: must be one of qnn, mlp"),
        (("figure6", "--device", "moon"), "no device 'moon'"),
        (("dark-knowledge", "--experiment", "table9"), "--experiment table9: must be one of table1, figure4"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_made(run, tmp_path, arguments, message):
    result = run(*arguments, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["figure4", "figure5", "figure6", "dark-knowledge"])
def test_help_says_how_long_it_takes(run, command):
    text = re.sub(r"\x1b\[[0-9;]*m|\s+", " ", run(command, "--help").stdout)
    assert re.search(r"a seed takes about .* on two cores", text)
    assert "--dask" in text


def test_an_output_that_cannot_be_is_one_line(run, tmp_path):
    (tmp_path / "taken").write_text("")
    result = run("figure4", *SMALL, *CIRCUIT, *STATES, "--out", tmp_path / "taken")
    assert result.exit_code == 1
    assert re.fullmatch(r"error: .*taken is a file; give a folder, which may be new\n", result.stderr)


def test_a_killed_figure_goes_on_and_ends_as_one_that_was_not(run, tmp_path):
    """Killed as soon as its first student is stored; what was finished is left as it is."""
    options = (*SMALL, *CIRCUIT, *STATES, "--student-layers", "1,2", "--iterations", "20")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert run("figure4", *options, "--out", whole).exit_code == 0
    command = [sys.executable, "-m", "reproduction", "figure4", *options, "--out", str(killed)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    first = finished_file(killed, "students/01-layers-no_kd-00")
    while not first.exists() and process.poll() is None:
        time.sleep(0.002)
    process.kill()
    process.wait()
    assert process.returncode in (-signal.SIGKILL, 0)
    before = Results(killed).records
    assert run("figure4", *options, "--out", killed).exit_code == 0
    after = Results(killed).records
    assert len(before) >= 4
    assert {key: after[key] for key in before} == before, "a finished unit was computed again"
    expected = Results(whole).records
    assert {key: record["result"] for key, record in after.items()} == {k: r["result"] for k, r in expected.items()}
    assert not list(killed.rglob("checkpoints/*"))
