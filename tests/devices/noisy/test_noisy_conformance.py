"""PennyLane's own conformance suite on ``qkd.noisy`` without noise: it passes wherever it applies."""

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pennylane as qml

SUITE = Path(qml.__file__).parent / "devices" / "tests"
# The suite's templates are left out: they are made of the gates tested here, and take minutes.
MODULES = ("compare_default_qubit", "gates", "gradients_autograd", "measurements", "return_system", "tracker", "wires")
#: What the device does not do: states are never pure under noise, and some gates have no decomposition.
NOT_APPLICABLE = {
    "test_supported_gates_can_be_implemented[device_kwargs0-Snapshot]",
    "test_supported_gates_can_be_implemented[device_kwargs0-BlockEncode]",
    "test_supported_gates_can_be_implemented[device_kwargs0-DoubleExcitationPlus]",
    "test_supported_gates_can_be_implemented[device_kwargs0-DoubleExcitationMinus]",
    "test_custom_state_measurement[device_kwargs0]",
}


def test_conformance_suite_passes_where_it_applies(tmp_path):
    report = tmp_path / "report.xml"
    files = [str(SUITE / f"test_{name}.py") for name in MODULES]
    arguments = ["--device=qkd.noisy", "--shots=None", "-q", "-p", "no:xdist", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTEST_ADDOPTS": f"--junit-xml={report}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", *files, "--rootdir", str(tmp_path), *arguments]
    subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False, timeout=900)
    cases = list(ET.parse(report).iter("testcase"))
    tags = {case.get("name"): {each.tag for each in case} for case in cases}
    failed = {name for name, found in tags.items() if found & {"failure", "error"}}
    assert failed == NOT_APPLICABLE
    assert sum(not found for found in tags.values()) > 200
