import json
import re
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from qkd_pl.cli.app import app
from reproduction.dark_knowledge import PROBLEMS, DarkKnowledgeSettings
from reproduction.figure4 import Figure4Settings

SMALL = ("--seeds", "1", "--workers", "1", "--teacher-candidates", "1")
CHAIN = ("--qubits", "3", "--teacher-layers", "1", "--iterations", "2", "--train-size", "12", "--test-size", "12")
IMAGES = ("--train-size", "130", "--test-size", "20")


@pytest.fixture
def run():
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, ["reproduce", *(str(argument) for argument in arguments)])


def check(result, out, name):
    assert result.exit_code == 0, result.output
    assert f"summary.json and {name}.png are in {out}" in result.stdout
    assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    return json.loads((out / "summary.json").read_text())


def test_figure4(run, tmp_path):
    summary = check(run("figure4", *SMALL, *CHAIN, "--layers", "2,1", "--out", tmp_path), tmp_path, "figure4")
    assert list(summary["settings"]["student_layers"]) == [2, 1]
    assert (summary["settings"]["iterations"], summary["settings"]["teacher_iterations"]) == (2, 2)


def test_figure5(mnist_file, run, tmp_path):
    chain = CHAIN[:-4]
    summary = check(run("figure5", *SMALL, *chain, *IMAGES, "--layers", "1", "--out", tmp_path), tmp_path, "figure5")
    assert summary["teacher"]["kind"] == "qnn"
    assert summary["settings"]["data"]["n_train"] == 130


def test_figure6_with_a_classical_teacher(mnist_file, run, tmp_path):
    options = (*SMALL, *IMAGES, "--teacher", "mlp", "--layers", "1", "--epochs", "1")
    summary = check(run("figure6", *options, "--out", tmp_path), tmp_path, "figure6")
    assert summary["teacher"]["kind"] == "mlp"
    assert summary["settings"]["epochs"] == 1


def test_dark_knowledge(run, tmp_path, monkeypatch):
    problem = Figure4Settings(n_qubits=3, teacher_layers=1, iterations=1, teacher_iterations=1, n_train=12, n_test=12)
    small = DarkKnowledgeSettings(problem=problem, student_layers=1, temperatures=(0.1,), scales=(1.0,), ensemble=1)
    monkeypatch.setitem(PROBLEMS, "table1", small)
    options = ("--json", "--out", tmp_path)
    result = run("dark-knowledge", *SMALL, *options)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == json.loads((tmp_path / "summary.json").read_text())
    assert (tmp_path / "dark-knowledge.png").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("figure4", "--layers", "1,x"), "--layers 1,x: expected different positive integers"),
        (("figure4", "--layers", "1,1"), "--layers 1,1: expected different"),
        (("figure5", "--teacher", "svm"), "--teacher svm: must be one of qnn, mlp"),
        (("figure6", "--device", "moon"), "no device 'moon'"),
        (("dark-knowledge", "--experiment", "table9"), "--experiment table9: must be one of table1, figure4"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_made(run, tmp_path, arguments, message):
    result = run(*arguments, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["figure4", "figure5", "figure6", "dark-knowledge"])
def test_help_says_how_long_it_takes(run, command):
    text = re.sub(r"\x1b\[[0-9;]*m|\s+", " ", run(command, "--help").stdout)
    assert re.search(r"a seed takes about .* on two cores", text)
    assert "--dask" in text


def test_a_killed_figure_goes_on_and_ends_as_one_that_was_not(run, tmp_path):
    """Killed as soon as its first student is stored; what was finished is left as it is."""
    options = (*SMALL, *CHAIN[:-6], "--iterations", "20", *CHAIN[-4:], "--layers", "1,2")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert run("figure4", *options, "--out", whole).exit_code == 0
    command = [sys.executable, "-c", "from qkd_pl.cli.app import app; app()", "reproduce", "figure4", *options]
    process = subprocess.Popen([*command, "--out", str(killed)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    first = killed / "students" / "01-layers-no_kd-00.json"
    while not first.exists() and process.poll() is None:
        time.sleep(0.002)
    process.kill()
    process.wait()
    assert process.returncode in (-signal.SIGKILL, 0)
    before = {path: path.stat().st_mtime_ns for path in killed.rglob("*.json") if path.name != "summary.json"}
    assert run("figure4", *options, "--out", killed).exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert (killed / "summary.json").read_bytes() == (whole / "summary.json").read_bytes()
    assert not list(killed.rglob("checkpoints/*"))
