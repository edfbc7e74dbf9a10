"""Which circuits and observables are recognised, and how they are laid out."""

import numpy as np
import pennylane as qml
import pytest
from batched_circuits import random_states
from hypothesis import given
from hypothesis import strategies as st

from qkd_pl.devices.lightning import BatchedLightning
from qkd_pl.devices.lightning.batch import recognise
from qkd_pl.devices.lightning.crosses import Crosses
from qkd_pl.devices.lightning.gates import Gates
from qkd_pl.devices.lightning.layout import layout_of
from qkd_pl.devices.lightning.readout import MAX_DENSE_WIRES, readout_of
from qkd_pl.devices.lightning.register import BEST_REGISTER_BYTES, sample_wires
from qkd_pl.devices.lightning.templates import template_of


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


class DoubledAngles(qml.operation.Operation):
    """An embedding that changes its features."""

    num_params = 1
    ndim_params = (1,)

    @staticmethod
    def compute_decomposition(features, wires):
        return [qml.RX(2 * features[..., i], wires=wire) for i, wire in enumerate(wires)]


@pytest.mark.parametrize(
    "circuit",
    [
        lambda x: [qml.RX(np.array([0.1, 0.2]), 0), qml.adjoint(qml.Rot(x, 0.2, 0.3, wires=0))],
        lambda x: [DoubledAngles(np.array([[x, 0.1], [0.2, x]]), wires=[0, 1]), qml.CNOT([0, 1])],
        lambda x: [qml.RX(np.array([0.1, 0.2]), 0), qml.adjoint(Layers(np.full((1, 3), x), wires=[0, 1]))],
    ],
)
def test_numbers_are_never_taken_from_an_earlier_tape(circuit):
    device, exact = BatchedLightning(wires=2), qml.device("default.qubit", wires=2)
    for x in (0.4, 1.3):
        tape = qml.tape.QuantumScript(circuit(x), [qml.expval(qml.Z(0)), qml.expval(qml.Z(1))])
        ours, theirs = (qml.execute([tape], simulator) for simulator in (device, exact))
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


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


def test_templates_that_copy_their_weights_are_learnt():
    template = template_of(Layers(np.zeros((2, 3)), wires=["a", "b"]))
    assert template.names == ["RX"] * 6 + ["CNOT", "S"]
    assert template.wires[-2:] == [("a", "b"), ("b",)]
    assert template.inverses == [False] * 7 + [True]
    np.testing.assert_array_equal(template.flat, np.arange(6)[::-1])


@pytest.mark.parametrize("change", [np.sin, lambda angle: 2 * angle, lambda angle: 1.5 + 0 * angle])
def test_templates_that_change_their_weights_are_not(change):
    assert template_of(Layers(np.zeros((2, 3)), wires=[0, 1], change=change)) is None


def test_operations_with_unhashable_settings_are_no_obstacle():
    unhashable = Unhashable(0.3, wires=0)
    assert template_of(unhashable) is None
    layout = layout_of(broadcast_tape(unhashable), False, False)
    assert layout.gates.names == ["QubitUnitary"]
    np.testing.assert_allclose(layout.gates.matrices[0], qml.RX.compute_matrix(0.3))


@given(st.integers(1, 20), st.integers(0, 300), st.sampled_from([np.complex64, np.complex128]))
def test_blocks_are_small_and_hardly_padded(n_wires, batch_size, c_dtype):
    n_sample_wires = sample_wires(n_wires, batch_size, c_dtype)
    register_bytes = 2 ** (n_wires + n_sample_wires) * np.dtype(c_dtype).itemsize
    assert n_sample_wires == 0 or register_bytes <= BEST_REGISTER_BYTES
    padded = -(-batch_size // 2**n_sample_wires) * 2**n_sample_wires
    assert padded <= max(2 * batch_size - 1, 0)


def broadcast_tape(*operations, observable=None, **keywords):
    embedding = qml.RX(np.array([0.1, 0.2]), wires=0)
    return qml.tape.QuantumScript([embedding, *operations], [qml.expval(observable or qml.Z(0))], **keywords)


def is_native(tape, differentiable=False):
    return recognise(tape, None, differentiable, causal_cone=False) is not None


@pytest.mark.parametrize(
    "tape",
    [
        broadcast_tape(qml.CNOT([0, 1]), qml.RX(np.array([0.1, 0.2]), wires=1)),
        broadcast_tape(qml.RX(np.array([0.1, 0.2]), wires=0), shots=10),
        broadcast_tape(qml.IsingZZ(np.array([0.1, 0.2]), wires=[0, 1])),
        broadcast_tape(qml.CNOT([0, 1]), qml.StatePrep(np.array([1, 0]), wires=1)),
        broadcast_tape(observable=qml.SparseHamiltonian(qml.Z(0).sparse_matrix(), wires=[0])),
        broadcast_tape(observable=qml.prod(*(qml.X(wire) for wire in range(MAX_DENSE_WIRES + 1)))),
        broadcast_tape(observable=qml.prod(qml.X(0), qml.Hermitian(np.ones((4, 4)), wires=[0, 1]))),
        qml.tape.QuantumScript([qml.RX(0.1, wires=0)], [qml.expval(qml.Z(0))]),
    ],
)
def test_circuits_of_another_form_are_not_native(tape):
    assert not is_native(tape)


def test_trainable_parameters_must_be_those_of_shared_gates():
    tape = broadcast_tape(qml.RY(0.3, wires=0))
    for trainable, native in [([1], True), ([0], False), ([0, 1], False)]:
        tape.trainable_params = trainable
        assert is_native(tape, differentiable=True) == native
        assert is_native(tape, differentiable=False)


def test_layouts_are_learnt_once_per_structure():
    first, again = (broadcast_tape(qml.RY(angle, wires=0)) for angle in (0.1, 0.2))
    assert layout_of(first, False, True) is layout_of(again, False, True)


@pytest.mark.parametrize(
    "other",
    [
        broadcast_tape(qml.QubitUnitary(np.diag([1, -1]), wires=0)),
        broadcast_tape(qml.QubitUnitary(np.diag([1, 1j]), wires=1)),
        broadcast_tape(qml.QubitUnitary(np.diag([1, 1j]), wires=0), observable=qml.X(0)),
        broadcast_tape(qml.adjoint(qml.QubitUnitary(np.diag([1, 1j]), wires=0))),
    ],
)
def test_what_differs_in_constants_wires_or_reach_has_another_layout(other):
    tape = broadcast_tape(qml.QubitUnitary(np.diag([1, 1j]), wires=0))
    assert layout_of(tape, False, True) is layout_of(tape, False, True)
    assert layout_of(other, False, True) is not layout_of(tape, False, True)


single_qubit_gates = st.builds(
    lambda kind, angle, wire, inverse: qml.adjoint(kind(angle, wire)) if inverse else kind(angle, wire),
    st.sampled_from(
        [qml.RX, qml.RY, qml.RZ, qml.PhaseShift]
        + [lambda _, wire, kind=kind: kind(wire) for kind in (qml.S, qml.T, qml.SX, qml.Hadamard, qml.X)]
        + [lambda angle, wire: qml.QubitUnitary(qml.U2.compute_matrix(angle, 0.3), wire)]
    ),
    st.floats(-6, 6),
    st.integers(0, 1),
    st.booleans(),
)


several_qubit_gates = st.builds(
    lambda kind, angle, order: kind(*[angle] * kind.num_params, wires=order[: kind.num_wires]),
    st.sampled_from([qml.CNOT, qml.CZ, qml.CY, qml.Toffoli, qml.CRX, qml.IsingXY]),
    st.floats(-6, 6),
    st.permutations(range(3)),
)


@given(st.lists(single_qubit_gates | several_qubit_gates, max_size=12))
def test_segments_do_what_the_gates_did(operations):
    gates = Gates()
    for op in operations:
        assert gates.add(op, op, op.wires.labels, False) is not None
    kernels = gates.kernels(3, {0: 0, 1: 1, 2: 2}, range(len(gates.names)))
    merged = kernels.runs.merged(kernels.runs.gates(gates.values([])))
    ordered = []
    for segment in kernels.segments:
        assert not segment.runs or all(gate not in kernels.angle_of for gate in segment.gates)
        ordered += [operations[gate] for gate in segment.gates]
        ordered += [qml.QubitUnitary(merged[run], wires=kernels.run_positions[run]) for run in segment.runs]
    whole, expected = (
        qml.matrix(qml.tape.QuantumScript([qml.I([0, 1, 2]), *ops]), [0, 1, 2]) for ops in (ordered, operations)
    )
    global_phase = np.trace(whole @ expected.conj().T) / 8
    np.testing.assert_allclose(whole, global_phase * expected, atol=1e-12)
    np.testing.assert_allclose(abs(global_phase), 1, atol=1e-12)


@pytest.mark.parametrize("entangler", [qml.CNOT, qml.CZ])
def test_a_layer_of_rotations_and_a_ring_are_one_segment(entangler):
    operations = []
    for _ in range(3):
        operations += [qml.RY(0.1, wire) for wire in range(4)] + [qml.RZ(0.1, wire) for wire in range(4)]
        operations += [entangler([wire, (wire + 1) % 4]) for wire in range(4)]
    gates = Gates()
    for op in operations:
        gates.add(op, op, op.wires.labels, True)
    segments = gates.kernels(4, {wire: wire for wire in range(4)}, range(len(gates.names))).segments
    assert [(len(segment.gates), len(segment.runs)) for segment in segments] == [(0, 4), (4, 4), (4, 4), (4, 0)]


@given(st.integers(1, 9), st.integers(1, 3), st.integers(0, 2**32 - 1), st.data())
def test_cross_matrices_are_partial_traces(n_wires, n_samples, seed, data):
    rng = np.random.default_rng(seed)
    kets, bras = (random_states(rng, n_samples, n_wires) for _ in range(2))
    positions = data.draw(st.lists(st.integers(0, n_wires - 1), min_size=1))
    crosses = Crosses(n_wires, [[], positions])
    for sample in range(n_samples):
        crosses.add(1, kets[[sample]], bras[[sample]].conj())
    assert not crosses.of_wires()[0].any()
    for position in positions:
        left, right = (np.moveaxis(states.reshape(-1, *[2] * n_wires), position + 1, 0) for states in (kets, bras))
        expected = left.reshape(2, -1) @ right.reshape(2, -1).conj().T
        np.testing.assert_allclose(crosses.of_wires()[1, position], expected, atol=1e-12)


observables = st.recursive(
    st.builds(lambda kind, wire: kind(wire), st.sampled_from([qml.X, qml.Y, qml.Z, qml.Hadamard]), st.integers(0, 3))
    | st.builds(
        lambda bits, wires: qml.Projector(bits, wires=wires[:2]),
        st.lists(st.integers(0, 1), min_size=2, max_size=2),
        st.permutations(range(4)),
    ),
    lambda inner: st.builds(qml.sum, inner, inner) | st.builds(qml.s_prod, st.floats(-2, 2), inner),
    max_leaves=4,
)


@given(observables, st.integers(0, 2**16))
def test_readout_agrees_with_the_matrix_of_an_observable(observable, seed):
    rng = np.random.default_rng(seed)
    states = rng.normal(size=(3, 16)) + 1j * rng.normal(size=(3, 16))
    readout = readout_of([qml.expval(observable), qml.expval(qml.Y(2) @ qml.Z(0))], {wire: wire for wire in range(4)})
    matrices = [qml.matrix(operator, wire_order=range(4)) for operator in (observable, qml.Y(2) @ qml.Z(0))]
    exact = [np.einsum("bi,ij,bj->b", states.conj(), matrix, states).real for matrix in matrices]
    np.testing.assert_allclose(readout.expectations(states), exact, atol=1e-10)
    coefficients = rng.normal(size=(2, 3))
    applied = np.einsum("kb,kij,bj->bi", coefficients, matrices, states)
    np.testing.assert_allclose(readout.bras(states, coefficients), applied.conj(), atol=1e-10)
