"""What is learnt about operations, and how gates merge."""

from dataclasses import replace

import numpy as np
import pennylane as qml
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qkd_pl.devices.lightning import BatchedLightning
from qkd_pl.devices.lightning.gates import form_of, leaves_of
from qkd_pl.devices.lightning.program import Options, program_of
from qkd_pl.devices.lightning.schedule import segments
from qkd_pl.devices.lightning.states import Runs, merged
from qkd_pl.devices.lightning.sweep import sample_wires


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


def rotations_of(op):
    return [(gate.entry, gate.scale, gate.offset) for gate in form_of(op).gates if gate.pauli is not None]


def test_templates_that_copy_their_weights_are_learnt():
    op = Layers(np.zeros((2, 3)), wires=["a", "b"])
    assert rotations_of(op) == [(entry, 1.0, 0.0) for entry in (6, 5, 4, 3, 2, 1)]
    *_, entangler, last = form_of(op).gates
    assert (entangler.kernel, entangler.wires) == ("CNOT", ("a", "b"))
    np.testing.assert_allclose(last.matrix, np.diag([1, -1j]))


@pytest.mark.parametrize(
    ("op", "scales"),
    [
        (Layers(np.zeros((1, 2)), [0, 1], change=lambda angle: 2 * angle), [2, 2]),
        (Layers(np.zeros((1, 2)), [0, 1], change=lambda angle: 1.5 + 0 * angle), [0, 0]),
        (Layers(np.zeros((1, 2)), [0, 1], change=lambda angle: 1.5 - angle), [-1, -1]),
        (qml.adjoint(qml.RX(0.1, 0)), [-1]),
        (qml.CRY(0.1, [0, 1]), [0.5, -0.5]),
    ],
)
def test_angles_may_be_affine_functions_of_a_parameter(op, scales):
    assert [scale for _, scale, _ in rotations_of(op)] == scales


@pytest.mark.parametrize("change", [np.sin, lambda angle: angle**2])
def test_other_functions_are_not_learnt(change):
    assert form_of(Layers(np.zeros((2, 3)), wires=[0, 1], change=change)).gates is None


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


@given(st.integers(1, 20), st.integers(0, 300), st.sampled_from([np.complex64, np.complex128]))
def test_blocks_are_small_and_hardly_padded(n_wires, batch_size, c_dtype):
    n_sample_wires = sample_wires(n_wires, batch_size, c_dtype)
    assert n_sample_wires == 0 or 2 ** (n_wires + n_sample_wires) * np.dtype(c_dtype).itemsize <= 2**19
    padded = -(-batch_size // 2**n_sample_wires) * 2**n_sample_wires
    assert padded <= max(2 * batch_size - 1, 0)


def broadcast_tape(*operations, observable=None, **keywords):
    embedding = qml.RX(np.array([0.1, 0.2]), wires=0)
    return qml.tape.QuantumScript([embedding, *operations], [qml.expval(observable or qml.Z(0))], **keywords)


@pytest.mark.parametrize(
    "tape",
    [
        broadcast_tape(qml.RX(np.array([0.1, 0.2]), wires=0), shots=10),
        broadcast_tape(qml.QubitUnitary(np.stack([np.eye(4), np.eye(4)]), wires=[0, 1])),
        broadcast_tape(qml.CNOT([0, 1]), qml.StatePrep(np.array([1, 0]), wires=1)),
        broadcast_tape(observable=qml.SparseHamiltonian(qml.Z(0).sparse_matrix(), wires=[0])),
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


def program(tape):
    leaves = leaves_of(tape, frozenset())
    return program_of([leaves], tape, frozenset(), Options())


def test_programs_are_found_once_per_structure():
    first, again = (program(broadcast_tape(qml.RY(angle, wires=0))) for angle in (0.1, 0.2))
    assert first is again


@pytest.mark.parametrize(
    "other",
    [
        broadcast_tape(qml.QubitUnitary(np.diag([1, -1]), wires=0)),
        broadcast_tape(qml.QubitUnitary(np.diag([1, 1j]), wires=1)),
        broadcast_tape(qml.QubitUnitary(np.diag([1, 1j]), wires=0), observable=qml.X(0)),
        broadcast_tape(qml.adjoint(qml.QubitUnitary(np.diag([1, 1j]), wires=0))),
    ],
)
def test_what_differs_in_constants_wires_or_observables_has_another_program(other):
    tape = broadcast_tape(qml.QubitUnitary(np.diag([1, 1j]), wires=0))
    assert program(tape) is program(tape)
    assert program(other) is not program(tape)


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


@given(st.lists(single_qubit_gates | several_qubit_gates, max_size=12))
def test_segments_do_what_the_operations_did(operations):
    entries, gates = [0.0], []
    for op in operations:
        for gate in form_of(op).gates:
            shift = len(entries) - 1 if gate.entry else 0
            gates.append(replace(gate, entry=gate.entry + shift))
        entries += op.data
    ordered = []
    for segment in segments(gates, per_sample=False):
        ordered += [
            getattr(qml, gate.kernel)(wires=gate.wires) if gate.kernel else qml.QubitUnitary(gate.matrix, gate.wires)
            for gate in segment.entanglers
        ]
        if segment.runs:
            runs = Runs([run.gates for run in segment.runs])
            matrices = merged(runs.factors(np.array(entries)[:, None]))[0][..., 0].transpose(2, 0, 1)
            ordered += [
                qml.QubitUnitary(matrix, wires=run.wire) for matrix, run in zip(matrices, segment.runs, strict=True)
            ]
    whole, expected = (
        qml.matrix(qml.tape.QuantumScript([qml.I([0, 1, 2]), *ops]), [0, 1, 2]) for ops in (ordered, operations)
    )
    global_phase = np.trace(whole @ expected.conj().T) / 8
    np.testing.assert_allclose(whole, global_phase * expected, atol=1e-10)
    np.testing.assert_allclose(abs(global_phase), 1, atol=1e-10)


@pytest.mark.parametrize("entangler", [qml.CNOT, qml.CZ])
def test_a_layer_of_rotations_and_a_ring_are_one_segment(entangler):
    operations = []
    for _ in range(3):
        operations += [qml.RY(0.1, wire) for wire in range(4)] + [qml.RZ(0.1, wire) for wire in range(4)]
        operations += [entangler([wire, (wire + 1) % 4]) for wire in range(4)]
    found = segments([gate for op in operations for gate in form_of(op).gates], per_sample=False)
    assert [(len(segment.entanglers), len(segment.runs)) for segment in found] == [(0, 4), (4, 4), (4, 4), (4, 0)]
