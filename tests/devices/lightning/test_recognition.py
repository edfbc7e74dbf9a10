"""What is taken for a native circuit, and that its numbers and its gates are its own."""

from concurrent.futures import ThreadPoolExecutor

import autograd
import numpy as np
import pennylane as qml
import pytest
from batched_circuits import BY_PRODUCTS

from qkd_pl.devices.lightning import BatchedLightning

ANGLES = np.array([0.3, 0.7])
BROADCAST_MATRICES = np.stack([np.eye(4), np.diag([1, -1, 1j, 1])])


def assert_equal(*operations):
    tape = qml.tape.QuantumScript(operations, [qml.expval(qml.Z(0)), qml.expval(qml.Z(1))])
    exact = qml.execute([tape], qml.device("default.qubit"))[0]
    for _ in range(2):  # the second time with what was found out the first time
        ours = qml.execute([tape.copy(copy_operations=True)], BatchedLightning(wires=3))[0]
        np.testing.assert_allclose(ours, exact, atol=1e-12)


@pytest.mark.parametrize(
    "preparation",
    [qml.StatePrep(np.array([[1, 0], [0.6, 0.8]]), 0), qml.BasisState([1], 0), qml.StatePrep([0.6, 0.8], 0)],
)
def test_gates_that_follow_a_preparation_of_one_wire_act_on_it(preparation):
    assert_equal(preparation, qml.RX(ANGLES, 0), qml.Hadamard(0), qml.RZ(-ANGLES, 0), qml.RX(0.2, 0), qml.CNOT([0, 1]))


@pytest.mark.parametrize(
    "gates",
    [
        [qml.prod(qml.X(0), qml.Z(1)), qml.prod(qml.Z(0), qml.Z(1)), qml.prod(qml.Z(1), qml.X(0))],
        [qml.ApproxTimeEvolution(qml.X(wire) + 0.5 * qml.Z(1), 0.7, 2) for wire in (0, 1)],
        [qml.TrotterProduct(qml.X(wire) + 0.5 * qml.Z(1), 0.7, n=2) for wire in (0, 1)],
        [qml.exp(qml.X(wire), 0.3j) for wire in (0, 1)],
    ],
    ids=["products", "time evolution", "Trotter", "exponentials"],
)
def test_operations_made_of_others_are_not_mistaken_for_each_other(gates):
    for gate in gates:
        assert_equal(qml.RX(ANGLES, 0), qml.RY(ANGLES, 1), gate)


@pytest.mark.parametrize("device", [BatchedLightning, qml.devices.DefaultQubit])
def test_what_pennylane_fails_to_decompose_while_it_is_broadcast(device):
    """Its decomposition of a controlled rotation takes the matrix of a batch of one for that of a gate."""

    @qml.qnode(device(wires=3))
    def circuit(angles):
        qml.Hadamard(1)
        qml.Hadamard(2)
        qml.ctrl(qml.RZ, [0, 1], control_values=[0, 1])(angles, wires=2)
        return qml.expval(qml.X(2))

    np.testing.assert_allclose(circuit(np.array([0.8])), [(1 + np.cos(0.8)) / 2], atol=1e-12)


def test_weights_that_change_in_place_after_another_circuit_was_executed():
    """The states that wait for a backward sweep are not those of the numbers that the array holds by then."""
    weights, cotangent = np.array([[0.3, 0.4]]), (np.ones(2),)

    def tape():
        operations = [qml.RX(ANGLES, 0), qml.BasicEntanglerLayers(weights, wires=[0, 1])]
        return qml.tape.QuantumScript(operations, [qml.expval(qml.Z(0))], trainable_params=[1])

    device = BatchedLightning(wires=2)
    device.execute((tape(),), BY_PRODUCTS)
    weights += 1
    found, expected = (
        each.compute_vjp((tape(),), cotangent, BY_PRODUCTS)[0] for each in (device, BatchedLightning(wires=2))
    )
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_numbers_that_change_in_place_are_read_anew():
    features, weights = np.ones((2, 3)), np.ones((1, 3, 3))
    operations = qml.AngleEmbedding(features, range(3)), qml.StronglyEntanglingLayers(weights, range(3))
    tape = qml.tape.QuantumScript(operations, [qml.expval(qml.Z(0))])
    device, exact = BatchedLightning(wires=3), qml.device("default.qubit")
    for change in (0.0, 0.5):
        weights += change
        features -= change
        np.testing.assert_allclose(qml.execute([tape], device)[0], qml.execute([tape], exact)[0], atol=1e-12)


@pytest.mark.parametrize(
    "gate",
    [qml.QubitUnitary(BROADCAST_MATRICES, [0, 1]), qml.GlobalPhase(ANGLES), qml.IsingXX(ANGLES, [0, 1])],
    ids=["matrices", "global phases", "couplings"],
)
def test_broadcast_gates_on_other_than_one_wire(gate):
    assert_equal(qml.RX(ANGLES, 0), gate, qml.RY(0.3, 1))


@pytest.mark.parametrize("batch_size", [0, 1, 3])
def test_an_embedding_of_one_wire_is_native(batch_size):
    embedding = qml.AngleEmbedding(np.ones((batch_size, 1)), wires=[0])
    tape = qml.tape.QuantumScript([embedding], [qml.expval(qml.Z(0))])
    device = BatchedLightning(wires=1)
    assert device.runs_natively(tape, differentiable=False)
    np.testing.assert_allclose(qml.execute([tape], device)[0], np.full(batch_size, np.cos(1)))


@pytest.mark.parametrize("gate", [lambda w: qml.CRot(w, 0.1, 0.2, [0, 1]), lambda w: qml.ctrl(qml.RX(w, 1), [0, 2])])
def test_parameter_shift_of_gates_without_a_kernel(gate):
    def gradient(device):
        @qml.qnode(device, diff_method="parameter-shift", interface="autograd")
        def circuit(weight):
            for wire in (0, 2):
                qml.RX(ANGLES, wire)
            gate(weight)
            return qml.expval(qml.Z(1))

        return autograd.jacobian(circuit)(0.3)

    np.testing.assert_allclose(gradient(BatchedLightning(wires=3)), gradient(qml.device("default.qubit")), atol=1e-10)


def test_gates_of_traced_matrices():
    """exp(iwX) is RX(-2w), and PennyLane decomposes it if its matrix is not known."""

    @qml.qnode(BatchedLightning(wires=1), interface="autograd", diff_method="adjoint", device_vjp=True)
    def circuit(weight):
        qml.RX(ANGLES[0], 0)
        qml.exp(qml.s_prod(weight, qml.X(0)), 1j)
        return qml.expval(qml.Z(0))

    assert autograd.grad(circuit)(0.3) == pytest.approx(2 * np.sin(ANGLES[0] - 0.6))


@pytest.mark.filterwarnings("ignore:jax.core:DeprecationWarning")  # in PennyLane's use of it
def test_jax_with_and_without_jit():
    jax = pytest.importorskip("jax")

    @qml.qnode(BatchedLightning(wires=2), interface="jax", diff_method="adjoint", device_vjp=True)
    def circuit(weight):
        qml.AngleEmbedding(np.stack([ANGLES, ANGLES]), wires=[0, 1])
        qml.RX(weight, 0)
        qml.CNOT([0, 1])
        return qml.expval(qml.Z(1))

    def total(weight):
        return circuit(weight).sum()

    # ⟨Z_1⟩ = cos(x_0 + w) cos(x_1), with x = ANGLES for both samples
    expected = 2 * -np.sin(ANGLES[0] + 0.4) * np.cos(ANGLES[1])
    for gradient in (jax.grad(total), jax.jit(jax.grad(total))):
        np.testing.assert_allclose(gradient(0.4), expected, atol=1e-6)


def test_threads_never_miss_what_others_forget():
    """More structures than are remembered, each asked for by several threads at once."""
    device = BatchedLightning(wires=2)

    def outputs(n_gates):
        gates = [qml.RX(ANGLES, 0), *[qml.RX(0.1, 0)] * n_gates]
        return device.execute(qml.tape.QuantumScript(gates, [qml.expval(qml.Z(0))]))

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(outputs, [*range(100)] * 3))
    expected = [np.cos(ANGLES + 0.1 * n_gates) for n_gates in [*range(100)] * 3]
    np.testing.assert_allclose(found, expected, atol=1e-12)
