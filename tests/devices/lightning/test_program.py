"""What is learnt about operations, and how gates merge."""

import numpy as np
import pennylane as qml
import pytest
from batched_circuits import outputs_and_gradient, random_states
from hypothesis import given
from hypothesis import strategies as st

from qkd_pl.devices.lightning import BatchedLightning

# In default.qubit, autograd casts the derivative of a PhaseShift to real numbers.
pytestmark = pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")


class Layers(qml.operation.Operation):
    """A template that copies its weights, up to a function of them, into gates."""

    num_params = 1
    ndim_params = (2,)

    def __init__(self, weights, wires, change=None):
        self._hyperparameters = {"change": change}
        super().__init__(weights, wires=wires)

    @staticmethod
    def compute_decomposition(weights, wires, change):
        entries = [weights[i, j] for i in range(weights.shape[0]) for j in range(weights.shape[1])]
        angles = entries[::-1] if change is None else [change(entry) for entry in entries]
        return [*[qml.RX(angle, wires[0]) for angle in angles], qml.CNOT(wires), qml.adjoint(qml.S)(wires[1])]


class SquaredAngles(qml.operation.Operation):
    """An embedding that changes its features."""

    num_params = 1
    ndim_params = (1,)

    @staticmethod
    def compute_decomposition(features, wires):
        return [qml.RX(features[..., i] ** 2, wires=wire) for i, wire in enumerate(wires)]


class Unhashable(qml.operation.Operation):
    """A rotation with a list among its settings."""

    num_params = 1
    ndim_params = (0,)

    def __init__(self, angle, wires):
        self._hyperparameters = {"settings": [1, 2]}
        super().__init__(angle, wires=wires)

    @staticmethod
    def compute_matrix(angle, settings):
        return qml.RX.compute_matrix(angle)


def assert_gradients_agree(operations, n_weights, native=True):
    """Operations of weights on three wires, after broadcast states, against ``default.qubit``."""
    rng = np.random.default_rng(n_weights)
    inputs, weights = random_states(rng, 2), rng.uniform(-3, 3, n_weights)

    def circuit(inputs, weights, wires):
        qml.StatePrep(inputs, wires=wires)
        qml.RY(weights[0], wires[0])
        operations(weights[1:])

    def observables(wires):
        return [qml.X(0), qml.Y(0), qml.Z(1), qml.X(1) @ qml.Y(2), qml.Y(0) @ qml.Z(1) @ qml.X(2), qml.Z(2)]

    with qml.queuing.AnnotatedQueue() as queue:
        circuit(inputs, weights, range(3))
        qml.expval(qml.Z(0))
    tape = qml.tape.QuantumScript.from_queue(queue)
    tape.trainable_params = range(1, tape.num_params)
    device = BatchedLightning(wires=3)
    assert device.runs_natively(tape) == native
    arguments = (circuit, observables, inputs, weights, range(3))
    ours = outputs_and_gradient(device, "adjoint", *arguments, device_vjp=True)
    exact = outputs_and_gradient(qml.device("default.qubit"), "backprop", *arguments)
    for here, there in zip(ours, exact, strict=True):
        np.testing.assert_allclose(here, there, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    "operations",
    [
        lambda weights: Layers(weights.reshape(2, 3), wires=[2, 0]),
        lambda weights: Layers(weights.reshape(1, 6), [0, 1], change=lambda angle: 2 * angle),
        lambda weights: Layers(weights.reshape(3, 2), [0, 1], change=lambda angle: 1.5 + 0 * angle),
        lambda weights: Layers(weights.reshape(2, 3), [1, 2], change=lambda angle: 1.5 - angle),
        lambda weights: qml.adjoint(Layers(weights.reshape(2, 3), wires=[2, 0])),
        lambda weights: [qml.adjoint(qml.RX(weights[0], 0)), qml.CRY(weights[1], [0, 2]), qml.U3(*weights[:3], 1)],
    ],
)
def test_operations_may_use_affine_functions_of_their_parameters(operations):
    assert_gradients_agree(operations, 7)


@pytest.mark.parametrize("change", [qml.math.sin, lambda angle: angle**2])
def test_other_functions_are_not_native(change):
    assert_gradients_agree(lambda weights: Layers(weights.reshape(2, 3), [0, 1], change=change), 7, native=False)


@pytest.mark.parametrize(
    "circuit",
    [
        lambda x: [qml.RX(np.array([0.1, 0.2]), 0), qml.adjoint(qml.Rot(x, 0.2, 0.3, wires=0))],
        lambda x: [SquaredAngles(np.array([[x, 0.1], [0.2, x]]), wires=[0, 1]), qml.CNOT([0, 1])],
        lambda x: [qml.RX(np.array([0.1, 0.2]), 0), qml.adjoint(Layers(np.full((1, 3), x), wires=[0, 1]))],
        lambda x: [qml.RX(np.array([0.1, 0.2]), 0), Unhashable(x, wires=0)],
        lambda x: [qml.RX(np.array([0.1, 0.2]), 0), qml.QubitUnitary(qml.RX.compute_matrix(x), wires=0)],
        lambda x: [qml.RX(np.array([0.1, 0.2]), 0), qml.exp(qml.X(0) @ qml.Z(1), 1j * x)],
        lambda x: [qml.IQPEmbedding(np.array([[x, 0.1], [0.2, x]]), wires=[0, 1], n_repeats=2)],
    ],
)
def test_numbers_are_never_taken_from_an_earlier_tape(circuit):
    device, exact = BatchedLightning(wires=2), qml.device("default.qubit", wires=2)
    for x in (0.4, 1.3):
        tape = qml.tape.QuantumScript(circuit(x), [qml.expval(qml.Z(0)), qml.expval(qml.Z(1))])
        assert device.runs_natively(tape, differentiable=False)
        ours, theirs = (qml.execute([tape], simulator) for simulator in (device, exact))
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


def broadcast_tape(*operations, observable=None, **keywords):
    embedding = qml.RX(np.array([0.1, 0.2]), wires=0)
    return qml.tape.QuantumScript([embedding, *operations], [qml.expval(observable or qml.Z(0))], **keywords)


@pytest.mark.parametrize(
    "tape",
    [
        broadcast_tape(qml.RX(np.array([0.1, 0.2]), wires=0), shots=10),
        broadcast_tape(qml.QubitUnitary(np.stack([np.eye(4), np.eye(4)]), wires=[0, 1])),
        broadcast_tape(qml.CNOT([0, 1]), qml.StatePrep(np.array([1, 0]), wires=1)),
        broadcast_tape(observable=qml.Hermitian(np.eye(128), wires=range(7))),
        broadcast_tape(qml.Snapshot()),
        broadcast_tape(qml.RY(0.1, "elsewhere")),
    ],
)
def test_circuits_of_another_form_are_not_native(tape):
    assert not BatchedLightning(wires=3).runs_natively(tape, differentiable=False)


def test_trainable_parameters_must_be_those_of_gates_that_are_known():
    operations = [qml.StatePrep(np.eye(2), wires=0), qml.RY(0.3, wires=0), qml.QubitUnitary(np.eye(2), wires=0)]
    for trainable, native in [([1], True), ([0], False), ([2], False), ([0, 1], False)]:
        tape = qml.tape.QuantumScript(operations, [qml.expval(qml.Z(0))], trainable_params=trainable)
        device = BatchedLightning(wires=1)
        assert device.runs_natively(tape, differentiable=True) == native
        assert device.runs_natively(tape, differentiable=False)


@pytest.mark.parametrize(
    "other",
    [
        broadcast_tape(qml.Hadamard(0), qml.QubitUnitary(np.diag([1, -1]), wires=0), qml.RX(0.3, 0)),
        broadcast_tape(qml.Hadamard(0), qml.QubitUnitary(np.diag([1, 1j]), wires=1), qml.RX(0.3, 0)),
        broadcast_tape(qml.Hadamard(0), qml.QubitUnitary(np.diag([1, 1j]), wires=0), observable=qml.Y(0)),
        broadcast_tape(qml.Hadamard(0), qml.adjoint(qml.QubitUnitary(np.diag([1, 1j]), wires=0)), qml.RX(0.3, 0)),
    ],
)
def test_circuits_that_differ_in_constants_wires_or_observables_are_told_apart(other):
    tape = broadcast_tape(qml.Hadamard(0), qml.QubitUnitary(np.diag([1, 1j]), wires=0), qml.RX(0.3, 0))
    device, exact = BatchedLightning(wires=2), qml.device("default.qubit", wires=2)
    found, expected = (qml.execute([tape, other, tape], simulator) for simulator in (device, exact))
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert np.abs(found[0] - found[1]).max() > 0.01


single_qubit_gates = st.builds(
    lambda kind, angle, wire, inverse: qml.adjoint(kind(angle, wire)) if inverse else kind(angle, wire),
    st.sampled_from(
        [qml.RX, qml.RY, qml.RZ, qml.PhaseShift]
        + [lambda _, wire, kind=kind: kind(wire) for kind in (qml.S, qml.T, qml.SX, qml.Hadamard, qml.X)]
    ),
    st.floats(-6, 6),
    st.integers(0, 2),
    st.booleans(),
)
several_qubit_gates = st.builds(
    lambda kind, angle, order: kind(*[angle] * kind.num_params, wires=order[: kind.num_wires]),
    st.sampled_from([qml.CNOT, qml.CZ, qml.CY, qml.Toffoli, qml.CRX, qml.CRZ, qml.IsingXY, qml.IsingYY, qml.ISWAP])
    | st.sampled_from([qml.SingleExcitation, qml.ControlledPhaseShift, qml.CSWAP, qml.IsingZZ]),
    st.floats(-6, 6),
    st.permutations(range(3)),
)


@given(st.lists(single_qubit_gates | several_qubit_gates, min_size=1, max_size=12))
def test_merged_gates_do_what_the_operations_did(operations):
    def apply(weights):
        angles = iter(weights)
        for op in operations:
            base = op.base if isinstance(op, qml.ops.Adjoint) else op
            bound = qml.ops.functions.bind_new_parameters(base, [next(angles) for _ in base.data])
            qml.apply(bound) if base is op else qml.adjoint(bound)

    assert_gradients_agree(apply, 1 + sum(len(op.data) for op in operations))
