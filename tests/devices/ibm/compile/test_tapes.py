"""Every gate that reaches Qiskit means there what it means in PennyLane; so do gates that are decomposed first."""

import numpy as np
import pennylane as qml
import pytest

from qkd_pl.devices.ibm.compile.tapes import GATES
from qkd_pl.devices.ibm.device import IBMDevice

CONTROLLED = [qml.CRX, qml.CRY, qml.CRZ, qml.ControlledPhaseShift, qml.CRot, qml.Rot, qml.MultiRZ, qml.IsingXY]


def operation(name):
    """The gate called ``name`` with some angles, on wires out of order."""
    if name.startswith("Adjoint("):
        return qml.adjoint(operation(name[8:-1]))
    if name == "QubitUnitary":
        return qml.QubitUnitary(qml.matrix(qml.CRX(0.4, wires=[0, 1])), wires=[2, 0])
    return made(getattr(qml, name))


def made(gate):
    return gate(*(0.3 + 0.4 * np.arange(gate.num_params)), wires=[2, 0, 1][: gate.num_wires or 2])


@pytest.mark.parametrize(
    "applied", [*map(operation, sorted(GATES)), *map(made, CONTROLLED)], ids=lambda gate: gate.name
)
def test_gate_means_the_same(applied):
    rng = np.random.default_rng(0)
    state = rng.normal(size=8) + 1j * rng.normal(size=8)

    def circuit():
        qml.StatePrep(state / np.linalg.norm(state), wires=[0, 1, 2])
        qml.apply(applied)
        words = [qml.Z(0), qml.X(1) @ qml.Y(2), qml.Y(0) @ qml.X(2), qml.X(0) @ qml.Z(1)]
        return [qml.expval(word) for word in words]

    found = qml.QNode(circuit, IBMDevice(wires=3))()
    wanted = qml.QNode(circuit, qml.device("default.qubit", wires=3))()
    np.testing.assert_allclose(found, wanted, atol=1e-12)
