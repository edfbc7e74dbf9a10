import json
import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

import qkd_pl
from qkd_pl.cli.app import app

TINY = [
    *("distill", "--qubits", "4", "--seeds", "2", "--iterations", "2", "--qae-iterations", "2"),
    *("--teacher-candidates", "2", "--train-size", "12", "--test-size", "12", "--workers", "1"),
]


@pytest.fixture(scope="module")
def run():
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def distilled(tmp_path_factory):
    """One run by the real command, in a process of its own."""
    out = tmp_path_factory.mktemp("distilled") / "run"
    command = [sys.executable, "-c", "from qkd_pl.cli.app import app; app()", *TINY, "--out", str(out)]
    return out, subprocess.run(command, capture_output=True, text=True)


def test_devices_lists_the_registry(run):
    result = run("devices")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].endswith("devices.yaml, default: lightning")
    assert any(re.match(r"  default +default\.qubit +exact +backprop$", line) for line in lines)
    assert any(re.match(r"  sampled +default\.qubit +4096 shots +parameter-shift$", line) for line in lines)


def test_an_option_that_a_device_does_not_take_is_named(run, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("default: a\ndevices:\n  a: {plugin: qkd.ibm, shots: 7, backned: fake_manila}\n")
    result = run("devices", "--path", path)
    assert result.exit_code == 1
    assert "backned" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_devices_as_json(run, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("default: a\ndevices:\n  a: {plugin: default.qubit, shots: 7}\n")
    result = run("devices", "--path", path, "--json")
    listed = json.loads(result.stdout)
    assert listed["path"] == str(path)
    assert listed["default"] == "a"
    assert listed["devices"]["a"]["shots"] == 7


def test_a_wrong_device_file_is_one_line_and_exit_code_1(run, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("default: a\ndevices:\n  a: {plugin: default.qubit, shots: -7}\n")
    result = run("devices", "--path", path)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert re.fullmatch(rf"error: {path}: device 'a': shots: .*-7.*\n", result.stderr)


def test_distill_prints_the_table_and_where_everything_is(distilled):
    out, finished = distilled
    assert finished.returncode == 0, finished.stderr
    assert "teacher, 4 qubits × 2 layers: test accuracy" in finished.stdout
    assert "KD − no KD" in finished.stdout
    assert "KD − scaled CE" in finished.stdout
    assert finished.stdout.count("±") == 10
    assert f"are in {out}" in finished.stdout
    assert "students: 100%" in finished.stderr
    assert (out / "table1.png").read_bytes().startswith(b"\x89PNG")
    summary = json.loads((out / "summary.json").read_text())
    assert summary["seeds"] == 2
    settings = summary["settings"]
    assert (settings["n_qubits"], settings["iterations"], settings["teacher_iterations"]) == (4, 2, 2)
    assert (settings["qae_iterations"], settings["n_train"], settings["n_test"]) == (2, 12, 12)


def test_distill_again_resumes_and_prints_json(run, distilled, monkeypatch):
    out, _ = distilled
    monkeypatch.setattr("qkd_pl.training.trainer.KDTrainer.fit", lambda *_, **__: pytest.fail("trained again"))
    result = run(*TINY, "--out", out, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == json.loads((out / "summary.json").read_text())


def test_more_seeds_are_added_to_a_finished_run(run, distilled):
    out, _ = distilled
    more = ["3" if TINY[i - 1] == "--seeds" else argument for i, argument in enumerate(TINY)]
    before = (out / "students" / "few_layers-kd-01.json").read_bytes()
    result = run(*more, "--out", out, "--json")
    assert json.loads(result.stdout)["seeds"] == 3
    assert (out / "students" / "few_layers-kd-02.json").is_file()
    assert (out / "students" / "few_layers-kd-01.json").read_bytes() == before


def test_other_settings_in_the_same_place_are_refused(run, distilled):
    out, _ = distilled
    result = run(*TINY, "--learning-rate", "0.1", "--out", out)
    assert result.exit_code == 1
    assert re.match(r"error: .*teachers.*other settings \(trainer\); choose another output directory", result.stderr)


def test_an_unknown_device_is_refused_before_anything_is_made(run, tmp_path):
    result = run(*TINY, "--device", "moon", "--out", tmp_path / "run")
    assert result.exit_code == 1
    assert "no device 'moon'; there are: lightning" in result.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--qubits", "4", "--student-qubits", "4"], "n_latent=4"),
        (["--temperature", "0"], "temperature=0.0"),
        (["--teachers", "3", "--teacher-candidates", "2"], "teachers=3: must be 1 to 2"),
    ],
)
def test_wrong_settings_are_one_line_before_anything_is_trained(run, options, message, tmp_path):
    result = run("distill", *options, "--out", tmp_path / "run")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("arguments", [["--seeds", "0"], ["--iterations", "0"], ["--qubits", "x"], ["--no-such"]])
def test_wrong_options_are_refused_by_name(run, arguments):
    result = run("distill", *arguments)
    assert result.exit_code == 2
    assert arguments[0] in re.sub(r"\x1b\[[0-9;]*m", "", result.stderr)


def test_reproduce_table1_uses_the_settings_of_the_paper(run, monkeypatch, tmp_path):
    seen = {}

    def record(settings, seeds, directory, *, data_sets, workers):
        seen.update(settings=settings, seeds=seeds, data_sets=data_sets)
        raise FileNotFoundError("enough")

    monkeypatch.setattr("qkd_pl.cli.app.run_over_data_sets", record)
    arguments = ["--seeds", "4", "--data-sets", "6", "--iterations", "300", "--teachers", "5", "--out", tmp_path]
    assert run("reproduce", "table1", *arguments).exit_code == 1
    settings = seen["settings"]
    assert (seen["seeds"], seen["data_sets"], settings.iterations, settings.teachers) == (4, 6, 300, 5)
    assert (settings.n_qubits, settings.teacher_layers, settings.student_qubits) == (7, 2, 2)
    assert (settings.teacher_candidates, settings.teacher_iterations, settings.n_train) == (20, 50, 500)
    assert (settings.learning_rate, settings.temperature, settings.logit_scale) == (0.3, 0.5, 30.0)


def test_an_output_that_is_a_file_is_one_line(run, tmp_path):
    (tmp_path / "taken").write_text("")
    result = run("distill", "--out", tmp_path / "taken")
    assert result.exit_code == 1
    assert re.fullmatch(r"error: .*taken.*\n", result.stderr)


def test_the_version_is_printed(run):
    assert run("--version").stdout == f"{qkd_pl.__version__}\n"


def test_help_names_the_commands(run):
    text = run("--help").stdout
    for command in ("devices", "distill", "reproduce"):
        assert command in text


def test_the_command_line_imports_qiskit_only_for_jobs():
    """Its import takes seconds, which ``--help`` and the experiments do not need."""
    program = "import sys, qkd_pl.cli.app; print('qiskit' in sys.modules)"
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert finished.stdout.strip() == "False"
