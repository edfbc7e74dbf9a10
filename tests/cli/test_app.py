import json
import re

import pytest
from typer.testing import CliRunner

import qkd_pl
from qkd_pl.cli.app import app


@pytest.fixture(scope="module")
def run():
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, [str(argument) for argument in arguments])


def test_devices_lists_the_registry(run):
    result = run("devices")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].endswith("devices.yaml, default: lightning")
    assert any(re.match(r"  default +default\.qubit +exact +backprop +this machine$", line) for line in lines)
    assert any(re.match(r"  sampled +default\.qubit +4096 +parameter-shift +this machine$", line) for line in lines)


def test_an_option_that_a_device_does_not_take_is_named(run, tmp_path, monkeypatch):
    path = tmp_path / "mine.yaml"
    path.write_text("default: a\ndevices:\n  a: {plugin: qkd.ibm, shots: 7, backned: fake_manila}\n")
    monkeypatch.setenv("QKD_PL_DEVICES", str(path))
    result = run("distill", "--device", "a", "--out", tmp_path / "out")
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


def test_the_version_is_printed(run):
    assert run("--version").stdout == f"{qkd_pl.__version__}\n"


def test_help_names_the_commands(run):
    text = run("--help").stdout
    for command in ("devices", "distill", "submit", "jobs", "result"):
        assert command in text
