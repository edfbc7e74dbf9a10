"""The causal cone against brute force: dropping gates must change neither values nor gradients."""

import numpy as np
import pennylane as qml
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qkd_pl.devices.causal_cone import Reach, causal_cone, needed_gates

ONE_WIRE = [qml.RX, qml.RY, qml.RZ, qml.PhaseShift]
TWO_WIRES = [qml.CNOT, qml.CZ, qml.SWAP]
PARAMETRIC = [qml.IsingZZ, qml.CRX, qml.CRZ, qml.IsingXX]
N_WIRES = 4


@st.composite
def operations(draw):
    wires = draw(st.permutations(range(N_WIRES)))
    kind = draw(st.integers(0, 4))
    angle = draw(st.floats(-3, 3))
    if kind == 0:
        return draw(st.sampled_from(ONE_WIRE))(angle, wires=wires[0])
    if kind == 1:
        return draw(st.sampled_from(TWO_WIRES))(wires=wires[:2])
    if kind == 2:
        return draw(st.sampled_from(PARAMETRIC))(angle, wires=wires[:2])
    if kind == 3:
        return qml.adjoint(draw(st.sampled_from(ONE_WIRE)))(angle, wires=wires[0])
    return draw(st.sampled_from([qml.Hadamard, qml.S, qml.T]))(wires=wires[0])


@st.composite
def measurements(draw):
    wires = draw(st.permutations(range(N_WIRES)))
    return draw(
        st.sampled_from(
            [
                qml.expval(qml.Z(wires[0])),
                qml.expval(qml.X(wires[0])),
                qml.expval(qml.Z(wires[0]) @ qml.Z(wires[1])),
                qml.expval(qml.prod(qml.Y(wires[0]), qml.Projector([0, 1], wires=wires[1:3]))),
                qml.expval(qml.Projector([1, 0], wires=wires[:2])),
                qml.expval(0.3 * qml.Z(wires[0]) + qml.X(wires[0]) @ qml.Z(wires[1])),
                qml.expval(qml.ops.Controlled(qml.Z(wires[0]), wires[1])),
                qml.expval(qml.ops.Controlled(qml.X(wires[0]), wires[1])),
                qml.expval(qml.CNOT(wires[:2])),
                qml.var(qml.Z(wires[1])),
                qml.probs(wires=wires[:2]),
                qml.probs(op=qml.Hadamard(wires[0])),
            ]
        )
    )


def values(operations, measured):
    results = qml.device("default.qubit").execute(qml.tape.QuantumScript(operations, measured))
    return np.hstack(results if len(measured) > 1 else [results])


@settings(max_examples=150, deadline=None)
@given(st.lists(operations(), max_size=25), st.lists(measurements(), min_size=1, max_size=2))
def test_dropped_gates_change_nothing_whatever_their_angles(gates, measured):
    (cone,), _ = causal_cone(qml.tape.QuantumScript(gates, measured))
    before = values(gates, measured)
    np.testing.assert_allclose(values(cone.operations, measured), before, atol=1e-10)
    kept = {id(op) for op in cone.operations}
    turned = [
        op if id(op) in kept or not op.data else qml.ops.functions.bind_new_parameters(op, [op.data[0] + 1 + i])
        for i, op in enumerate(gates)
    ]
    np.testing.assert_allclose(values(turned, measured), before, atol=1e-10)


def student(weights, n_qubits, entangler=qml.CZ):
    for block in weights[:-1]:
        for wire in range(n_qubits):
            qml.RX(block[wire, 0], wire)
            qml.RY(block[wire, 1], wire)
            qml.RZ(block[wire, 2], wire)
        for wire in range(n_qubits):
            entangler([wire, (wire + 1) % n_qubits])
    for wire in range(n_qubits):
        qml.RX(weights[-1][wire, 0], wire)
        qml.RY(weights[-1][wire, 1], wire)
        qml.RZ(weights[-1][wire, 2], wire)


def product_student(n_qubits, n_layers, entangler=qml.CZ):
    def circuit(inputs, weights):
        for wire in range(n_qubits):
            qml.Hadamard(wire)
            qml.RZ(inputs[..., wire], wire)
        student(weights, n_qubits, entangler)
        return [qml.expval(qml.Z(0)), qml.expval(qml.Z(1))]

    weights = np.random.default_rng(0).uniform(0, 6, (n_layers + 1, n_qubits, 3))
    return circuit, np.random.default_rng(1).uniform(0, 3, (2, n_qubits)), weights


@pytest.mark.parametrize(
    ("n_layers", "entangler", "n_wires"),
    [(4, qml.CZ, 10), (5, qml.CZ, 12), (6, qml.CZ, 14), (7, qml.CZ, 15), (2, qml.CNOT, 15)],
)
def test_wires_of_a_fifteen_qubit_student(n_layers, entangler, n_wires):
    circuit, inputs, weights = product_student(15, n_layers, entangler)
    (cone,), _ = causal_cone(qml.tape.make_qscript(circuit)(inputs, weights))
    assert len(cone.wires) == n_wires
    assert cone.batch_size == 2


def test_state_preparation_keeps_its_wires():
    with qml.tape.QuantumTape() as tape:
        qml.StatePrep(np.ones(8) / np.sqrt(8), wires=range(3))
        qml.RX(0.1, 2)
        qml.expval(qml.Z(0))
    (cone,), _ = causal_cone(tape)
    assert [op.name for op in cone.operations] == ["StatePrep"]
    assert set(cone.wires) == {0, 1, 2}


def test_templates_lose_the_gates_that_are_not_needed():
    tape = qml.tape.QuantumScript(
        [qml.AngleEmbedding([0.1, 0.2, 0.3], wires=range(3)), qml.CZ([0, 1])], [qml.expval(qml.Z(0))]
    )
    (cone,), _ = causal_cone(tape)
    assert [(op.name, op.wires.tolist()) for op in cone.operations] == [("RX", [0])]


@pytest.mark.parametrize("diff_method", ["backprop", "adjoint", "parameter-shift"])
def test_gradients_through_a_qnode(diff_method):
    circuit, inputs, weights = product_student(5, 1)
    weights = qml.numpy.array(weights)
    inputs = qml.numpy.array(inputs, requires_grad=False)

    def cost(weights, transform):
        qnode = qml.QNode(circuit, qml.device("default.qubit"), diff_method=diff_method)
        return qml.math.sum(qml.math.stack((causal_cone(qnode) if transform else qnode)(inputs, weights)))

    ours = qml.grad(cost)(weights, True)
    np.testing.assert_allclose(ours, qml.grad(cost)(weights, False), atol=1e-10)
    np.testing.assert_array_equal(ours[1, 3], np.zeros(3))
    assert np.any(ours[0, 1])


def test_trainable_parameters_are_renumbered():
    operations = [qml.RX(0.1, 1), qml.RX(0.2, 0), qml.RY(0.3, 0), qml.RX(0.4, 1)]
    hermitian = qml.Hermitian(np.diag([1.0, 2.0]), wires=0)
    tape = qml.tape.QuantumScript(operations, [qml.expval(hermitian)], trainable_params=[0, 2, 4])
    (cone,), _ = causal_cone(tape)
    assert cone.trainable_params == [1, 2]


def test_results_keep_the_batch_that_they_do_not_depend_on():
    @causal_cone
    @qml.qnode(qml.device("default.qubit"))
    def circuit(angles):
        qml.RX(angles, wires=0)
        qml.RY(0.5, wires=1)
        return qml.expval(qml.Z(1))

    np.testing.assert_allclose(circuit(np.zeros(4)), np.full(4, np.cos(0.5)))


@pytest.mark.parametrize("measurement", [qml.state(), qml.density_matrix(wires=0), qml.purity(wires=0)])
def test_circuits_that_return_states_are_left_alone(measurement):
    tape = qml.tape.QuantumScript([qml.RX(0.1, 1), qml.RZ(0.1, 0)], [measurement])
    (cone,), _ = causal_cone(tape)
    assert cone is tape


def test_mid_circuit_measurements_are_left_alone():
    with qml.tape.QuantumTape() as tape:
        qml.Hadamard(1)
        outcome = qml.measure(1)
        qml.cond(outcome, qml.X)(0)
        qml.expval(qml.Z(0))
    assert causal_cone(tape)[0] == (tape,)


class CountedGates(list):
    """Gates as :func:`needed_gates` takes them, which count how often one is looked at."""

    looks = 0

    def __getitem__(self, index):
        self.looks += 1
        return super().__getitem__(index)


@pytest.mark.parametrize("n_layers", [10, 1000])
def test_every_gate_is_looked_at_once(n_layers):
    gates = CountedGates([((wire, (wire + 1) % 4), True) for _ in range(n_layers) for wire in range(4)])
    needed_gates(gates, {0: Reach.ANY})
    assert gates.looks == len(gates)
