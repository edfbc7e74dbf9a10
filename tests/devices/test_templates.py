"""What operations decompose into, against PennyLane's own decompositions with other numbers."""

import numpy as np
import pennylane as qml
import pytest
from pennylane.operation import Operation

from qkd_pl.devices.templates import Templates, gates_in

ROTATIONS = {"RX", "RY", "RZ", "CNOT", "CZ", "Hadamard", "PhaseShift"}


def is_gate(op):
    return op.name in ROTATIONS


class Shifted(Operation):
    """A rotation by a function of an angle that its settings choose."""

    num_params = 1
    ndim_params = (0,)

    def __init__(self, angle, wires, change):
        self._hyperparameters = {"change": change}
        super().__init__(angle, wires=wires)

    @staticmethod
    def compute_decomposition(angle, wires, change):
        return [qml.RX(change(angle), wires), qml.RZ(0.7, wires)]


class Repeated(Operation):
    """An operation that takes whole numbers only."""

    num_params = 1
    ndim_params = (0,)

    @staticmethod
    def compute_decomposition(times, wires):
        return [qml.RX(0.1, wires) for _ in range(times)]


@pytest.mark.parametrize(
    "make",
    [
        lambda x: qml.RX(x[0], 0),
        lambda x: qml.Rot(*x[:3], wires=1),
        lambda x: qml.StronglyEntanglingLayers(x.reshape(2, 2, 3), wires=[1, 0]),
        lambda x: qml.adjoint(qml.BasicEntanglerLayers(x.reshape(4, 3), wires=[2, 0, 1])),
        lambda x: qml.CRX(x[1], wires=[0, 1]),
        lambda x: qml.IsingXX(x[2], wires=[1, 2]),
        lambda x: qml.prod(qml.U2(x[0], x[1], wires=0), qml.X(1)),
        lambda x: Shifted(x[0], 1, lambda angle: 0.3 - 2 * angle),
        lambda x: qml.Hadamard(1),
        lambda x: qml.QFT(wires=[0, 1, 2]),
    ],
)
def test_a_template_filled_with_numbers_is_the_decomposition(make):
    templates, rng = Templates(is_gate), np.random.default_rng(0)
    for _ in range(2):
        op = make(rng.uniform(-3, 3, 12))
        template = templates.of(op)
        decomposed = list(gates_in(op, is_gate))
        numbers = np.concatenate([*map(np.ravel, op.data), np.zeros(1)])
        angles = numbers[template.entries] * template.scales + template.offsets
        np.testing.assert_allclose(angles, [angle for gate in decomposed for angle in gate.data], atol=1e-9)
        assert [(gate.name, gate.wires) for gate in template.gates] == [(gate.name, gate.wires) for gate in decomposed]


@pytest.mark.parametrize(
    "op",
    [
        Shifted(0.2, 1, lambda angle: angle**2),
        qml.QubitUnitary(np.eye(2), wires=0),
        qml.StatePrep(np.array([1.0, 0.0]), wires=0),
        qml.IQPEmbedding(np.array([0.1, 0.2]), wires=[0, 1]),
        qml.Snapshot(),
        Repeated(2, wires=0),
        qml.PauliRot(0.2 + 0j, "X", wires=0),
    ],
)
def test_other_operations_have_none(op):
    assert Templates(is_gate).of(op) is None


def test_operations_that_differ_in_numbers_and_batch_share_a_template():
    templates = Templates(is_gate)
    first, second = (qml.AngleEmbedding(np.full((n, 3), 0.1 * n), wires=range(3)) for n in (2, 5))
    assert templates.of(first) is templates.of(second)
    single = templates.of(qml.AngleEmbedding(np.ones(3), wires=range(3)))
    assert (single.shapes, single.batched) == (((3,),), (False,))
    assert (templates.of(first).shapes, templates.of(first).batched) == (((3,),), (True,))


def test_operations_that_differ_in_settings_or_wires_do_not():
    templates = Templates(is_gate)
    weights = np.ones((1, 3, 3))
    ops = [qml.StronglyEntanglingLayers(weights, wires=wires, ranges=[1]) for wires in ([0, 1, 2], [1, 0, 2])]
    ops += [qml.StronglyEntanglingLayers(weights, wires=[0, 1, 2], ranges=[1], imprimitive=qml.CZ)]
    assert len({templates.of(op) for op in ops}) == 3
