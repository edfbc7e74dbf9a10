"""What we use of pennylane-qiskit, also on the day on which the primitives that it imports are gone."""

import subprocess
import sys

import pennylane as qml
import pytest
from pennylane_qiskit import qiskit_session
from qiskit.circuit import Gate
from qiskit_aer import AerSimulator

from qkd_pl.errors import InvalidInputError
from qkd_pl.upstream import plugin

# Every import of the two names fails, as it will; then a job runs through our device.
WITHOUT_OLD_PRIMITIVES = """
import qiskit_ibm_runtime
for name in ("EstimatorV2", "SamplerV2"):
    delattr(qiskit_ibm_runtime, name)
import pennylane as qml
from qkd_pl.devices.ibm.device import IBMDevice
from qkd_pl.upstream import runtime
assert not hasattr(qiskit_ibm_runtime, "EstimatorV2"), "the client is left as it was"
assert runtime.Generation.V2 not in runtime.installed()
if runtime.installed():
    node = qml.QNode(lambda x: (qml.RX(x, 0), qml.expval(qml.Z(0)))[1], qml.device("qkd.ibm", wires=1))
    assert abs(node(0.0) - 1) < 1e-9
print("works")
"""


def test_works_without_the_old_primitives() -> None:
    command = [sys.executable, "-W", "error", "-c", WITHOUT_OLD_PRIMITIVES]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert finished.stdout.strip() == "works", finished.stderr


def test_the_remote_device_is_a_pennylane_device() -> None:
    assert issubclass(plugin.RemoteDevice, qml.devices.Device)


def test_the_map_leads_from_names_of_operations_to_gates() -> None:
    for name in ("RX", "RY", "RZ", "CZ", "CNOT", "Hadamard"):
        n_parameters = getattr(qml, name).num_params
        assert isinstance(plugin.QISKIT_OPERATION_MAP[name](*[0.1] * n_parameters), Gate)


def test_the_plugin_asks_a_device_for_its_session_before_it_opens_one() -> None:
    device = plugin.SessionlessDevice(wires=1, backend=AerSimulator())
    with pytest.raises(InvalidInputError, match="takes no session"), qiskit_session(device):
        pytest.fail("the session would be ignored")
