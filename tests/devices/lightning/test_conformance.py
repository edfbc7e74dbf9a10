"""PennyLane's own conformance suite: it passes on ``qkd.lightning`` exactly where it passes on ``lightning.qubit``."""

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pennylane as qml

SUITE = Path(qml.__file__).parent / "devices" / "tests"


def outcomes(device: str, directory: Path) -> dict[str, str]:
    """Test name → passed, failed or skipped, of ``pl-device-test`` on one device."""
    report = directory / f"{device}.xml"
    arguments = [f"--device={device}", "--shots=None", "-q", "-p", "no:xdist", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTEST_ADDOPTS": f"--junit-xml={report}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", str(SUITE), "--rootdir", str(directory), *arguments]
    subprocess.run(command, cwd=directory, env=environment, capture_output=True, check=False, timeout=300)
    kinds = {"failure": "failed", "error": "failed", "skipped": "skipped"}
    return {
        f"{case.get('classname')}.{case.get('name')}": next((kinds[e.tag] for e in case if e.tag in kinds), "passed")
        for case in ET.parse(report).iter("testcase")
    }


def test_conformance_suite_agrees_with_lightning_qubit(tmp_path):
    assert "qkd.lightning" in qml.plugin_devices, "the installed package registers the device"
    stock, ours = (outcomes(device, tmp_path) for device in ("lightning.qubit", "qkd.lightning"))
    assert sum(outcome == "passed" for outcome in stock.values()) > 200
    assert ours == stock
