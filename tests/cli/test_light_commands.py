"""Commands that read a YAML file or the ledger import no simulator: that alone takes seconds."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("pennylane", "qiskit", "qiskit_aer", "qiskit_ibm_runtime", "scipy", "sklearn", "matplotlib", "jax", "torch")
RUN = """
import sys
from qkd_pl.cli.app import app
try:
    app({arguments!r})
except SystemExit as end:
    assert not end.code, end.code
loaded = [name for name in {heavy!r} if name in sys.modules]
assert not loaded, loaded
"""


@pytest.mark.parametrize(
    "arguments",
    ["--help", "--version", "devices", "devices --json", "devices --help", "jobs", "submit --help", "distill --help"],
)
def test_imports_nothing_heavy(arguments, tmp_path):
    code = RUN.format(arguments=arguments.split(), heavy=HEAVY)
    environment = {**os.environ, "QKD_PL_LEDGER": str(tmp_path / "ledger.sqlite")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_options_of_a_plugin_are_checked_without_importing_it(tmp_path):
    (tmp_path / "devices.yaml").write_text(
        "default: exact\ndevices:\n  exact: {plugin: qkd.lightning, workers: 2, mcmc: true}\n"
        "  noisy: {plugin: qkd.noisy, backend: fake_manila, memory_limit: 2}\n"
        "  aer: {plugin: qiskit.aer, shots: 10, method: automatic}\n"
        "  torino: {plugin: qkd.ibm, backend: ibm_torino, shots: 10, optimization_level: 1, max_qpu_seconds: 60}\n"
    )
    code = RUN.format(arguments=["devices"], heavy=HEAVY)
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_importing_the_package_imports_nothing_heavy():
    code = f"import sys, qkd_pl; assert not [name for name in {HEAVY!r} if name in sys.modules]"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_devices_shows_backend_and_place(tmp_path):
    (tmp_path / "devices.yaml").write_text(
        "default: exact\ndevices:\n  exact: {plugin: default.qubit}\n"
        "  torino: {plugin: qkd.ibm, backend: ibm_torino, shots: 100, max_qpu_seconds: 60}\n"
    )
    command = [sys.executable, "-c", "from qkd_pl.cli.app import app; app()", "devices"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout.splitlines()
    assert lines[0] == f"{Path(tmp_path) / 'devices.yaml'}, default: exact"
    assert lines[2].split() == ["exact", "default.qubit", "exact", "backprop", "this", "machine"]
    assert lines[3].split("  ")[-1] == "hardware, ≤ 60 s a job"
    assert "ibm_torino" in lines[3]
