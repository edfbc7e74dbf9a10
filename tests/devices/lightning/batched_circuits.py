"""Broadcast circuits and observables, and their comparison with ``default.qubit``."""

from itertools import pairwise

import autograd
import numpy as np
import pennylane as qml
from pennylane.devices import ExecutionConfig

from qkd_pl.devices.lightning import BatchedLightning

#: Asks for pullbacks, as ``device_vjp=True`` does.
BY_PRODUCTS = ExecutionConfig(gradient_method="adjoint", use_device_gradient=True, use_device_jacobian_product=True)
TOLERANCE = 1e-10
N_WIRES = 3
LABELS = {None: [0, 1, 2], 3: [0, 1, 2], ("a", 7, "c"): ["a", 7, "c"], ("x", "a", 7, "c"): ["c", "a", 7]}


def random_states(rng, batch_size, n_wires=N_WIRES):
    states = rng.normal(size=(batch_size, 2**n_wires)) + 1j * rng.normal(size=(batch_size, 2**n_wires))
    return states / np.linalg.norm(states, axis=1, keepdims=True)


def ansatz(weights, wires):
    for block in weights:
        for wire, (first, second, third) in zip(wires, block, strict=True):
            qml.RX(first, wire)
            qml.RY(second, wire)
            qml.RZ(third, wire)
        for control, target in pairwise(wires):
            qml.CNOT([control, target])


def state_circuit(inputs, weights, wires):
    qml.StatePrep(inputs, wires=wires)
    ansatz(weights, wires)


def reversed_state_circuit(inputs, weights, wires):
    qml.AmplitudeEmbedding(inputs[:, :3], wires=wires[1:][::-1], pad_with=0.1, normalize=True)
    ansatz(weights, wires)


def angle_circuit(inputs, weights, wires):
    qml.AngleEmbedding(inputs[:, : len(wires)].real, wires=wires, rotation="Y")
    ansatz(weights, wires)


def phase_circuit(inputs, weights, wires):
    for position, wire in enumerate(wires):
        qml.Hadamard(wire)
        qml.RZ(inputs[:, position].real, wire)
    ansatz(weights, wires)


def partly_broadcast_circuit(inputs, weights, wires):
    qml.RX(weights[0, 0, 0], wires[0])
    qml.RX(inputs[:, 0].real, wires[1])
    ansatz(weights, wires)
    qml.QubitUnitary(np.diag([1, 1j]), wires[2])
    qml.adjoint(qml.RY)(weights[0, 1, 1], wires[2])
    qml.adjoint(qml.S)(wires[0])


def template_circuit(inputs, weights, wires):
    qml.StatePrep(inputs, wires=wires)
    qml.StronglyEntanglingLayers(weights, wires=wires)
    qml.Rot(*weights[0, 0], wires=wires[1])


def reuploading_circuit(inputs, weights, wires):
    for _ in range(2):
        qml.AngleEmbedding(inputs[:, : len(wires)].real, wires=wires)
        ansatz(weights, wires)


def entangling_embedding_circuit(inputs, weights, wires):
    for position, wire in enumerate(wires):
        qml.Hadamard(wire)
        qml.IsingZZ(inputs[:, position].real, [wire, wires[(position + 1) % len(wires)]])
    ansatz(weights, wires)


def scalar_circuit(inputs, weights, wires):
    """Gates as a user writes them: scalars, some for two wires, data between and after the weights."""
    first, second, third = wires
    qml.AngleEmbedding(inputs[:, :3].real, wires=wires, rotation="X")
    for block in weights:
        for wire, (a, b, c) in zip(wires, block, strict=True):
            qml.Rot(a, b, c, wires=wire)
        qml.CRX(block[0, 0], [first, second])
        qml.IsingXX(block[1, 1], [second, third])
        qml.ControlledPhaseShift(block[2, 0], [third, first])
        qml.RZ(inputs[:, 1].real, second)
        qml.ctrl(qml.RY(block[0, 2], third), first)
        qml.adjoint(qml.U2)(block[2, 1], 0.3, wires=second)
        qml.MultiRZ(block[1, 2], [first, second, third])


def broadcast_matrices_circuit(inputs, weights, wires):
    ansatz(weights, wires)
    qml.QubitUnitary(np.stack([np.diag([1, 1, 1j, np.exp(1j * x)]) for x in inputs[:, 0].real]), wires[:2])
    ansatz(weights, wires)


NATIVE = [
    scalar_circuit,
    reuploading_circuit,
    entangling_embedding_circuit,
    state_circuit,
    reversed_state_circuit,
    angle_circuit,
    phase_circuit,
    partly_broadcast_circuit,
    template_circuit,
]
EXPANDED = [broadcast_matrices_circuit]


def logits(wires):
    return [qml.Z(wires[0]), qml.Z(wires[1])]


def single(wires):
    return [qml.X(wires[2])]


def mixture(wires):
    first, second, third = wires
    return [
        qml.prod(qml.X(first), qml.Z(third)),
        qml.prod(qml.Y(second), qml.Projector([0, 1], wires=[third, first])),
        qml.Projector([1, 0], wires=[second, first]),
        qml.Hamiltonian([0.3, -1.2, 0.5], [qml.Z(first) @ qml.X(second), qml.Z(third), qml.Identity(second)]),
        qml.Hermitian(np.array([[1, 0, 0, 2j], [0, 3, 0, 0], [0, 0, -1, 0], [-2j, 0, 0, 0.5]]), wires=[third, first]),
        0.5 * qml.Hadamard(first) + qml.prod(qml.Y(first), qml.Y(third)),
    ]


OBSERVABLES = [logits, single, mixture]


def outputs_and_gradient(device, diff_method, circuit, observables, inputs, weights, wires, **options):
    def quantum_function(inputs, weights):
        circuit(inputs, weights, wires)
        measured = [qml.expval(observable) for observable in observables(wires)]
        return measured if len(measured) > 1 else measured[0]

    qnode = qml.QNode(quantum_function, device, interface="autograd", diff_method=diff_method, **options)
    plain = np.array(qnode(inputs, weights))
    pullback, outputs = autograd.make_vjp(lambda weights: qml.math.stack(qnode(inputs, weights)))(weights)
    cotangent = np.random.default_rng(5).normal(size=np.shape(outputs))
    return plain, np.array(outputs), pullback(cotangent)


def assert_agrees(circuit, observables, batch_size, wires, seed, tolerance=TOLERANCE, **options):
    rng = np.random.default_rng(seed)
    inputs, weights = random_states(rng, batch_size), rng.uniform(0, 2 * np.pi, (2, N_WIRES, 3))
    arguments = (circuit, observables, inputs, weights, LABELS[wires])
    device = BatchedLightning(wires=list(wires) if isinstance(wires, tuple) else wires, **options)
    ours = outputs_and_gradient(device, "adjoint", *arguments, device_vjp=True)
    exact = outputs_and_gradient(qml.device("default.qubit"), "backprop", *arguments)
    for here, there in zip(ours, exact, strict=True):
        assert here.shape == there.shape
        np.testing.assert_allclose(here, there, rtol=0, atol=tolerance)
