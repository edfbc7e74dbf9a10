"""Expectation values of sums and products of observables, and their gradients, against ``default.qubit``."""

import numpy as np
import pennylane as qml
import pytest
from batched_circuits import outputs_and_gradient, random_states
from hypothesis import given
from hypothesis import strategies as st

from qkd_pl import QAE
from qkd_pl.devices.lightning import BatchedLightning

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
products = st.builds(
    lambda kinds, wires: qml.prod(*[kind(wire) for kind, wire in zip(kinds, wires, strict=True)]),
    st.lists(st.sampled_from([qml.X, qml.Y, qml.Z, qml.Hadamard]), min_size=4, max_size=4),
    st.permutations(range(4)),
)
hermitian = qml.Hermitian(np.array([[1, 0, 0, 2j], [0, 3, 1, 0], [0, 1, -1, 0], [-2j, 0, 0, 0.5]]), wires=[3, 1])


def circuit(inputs, weights, wires):
    qml.StatePrep(inputs, wires=wires)
    for weight, wire in zip(weights, wires, strict=True):
        qml.RX(weight, wire)


def assert_reads(measured, seed, same=None):
    """Against default.qubit, there with the ``same`` observables in another form where it cannot differentiate."""
    rng = np.random.default_rng(seed)
    inputs, weights = random_states(rng, 3, 4), rng.uniform(0, 2 * np.pi, 4)
    arguments = (inputs, weights, range(4))
    device = BatchedLightning(wires=4)
    ours = outputs_and_gradient(device, "adjoint", circuit, lambda _: measured, *arguments, device_vjp=True)
    exact = outputs_and_gradient(
        qml.device("default.qubit"), "backprop", circuit, lambda _: same or measured, *arguments
    )
    for here, there in zip(ours, exact, strict=True):
        np.testing.assert_allclose(here, there, rtol=0, atol=1e-10)


@given(observables | products, st.integers(0, 2**16))
def test_sums_and_products_agree_with_default_qubit(observable, seed):
    assert_reads([observable, qml.Y(2) @ qml.Z(0), hermitian], seed)


def test_factors_on_the_same_wire_multiply():
    """X·Y·X = -Y, and Z·Z = 1."""
    assert_reads([qml.prod(qml.X(1), qml.Y(1), qml.X(1)), qml.prod(qml.Z(0), qml.Z(0))], 0)


@pytest.mark.parametrize("size", [1e-9, 0.0])
def test_small_entries_of_a_matrix_count(size):
    matrix = np.diag([1.0, size, 0.0, 0.0]) + size * np.eye(4)[::-1]
    measured = [qml.Hermitian(matrix, wires=[2, 0]), qml.Hermitian(size * matrix, wires=[0, 3])]
    device, exact = BatchedLightning(wires=4), qml.device("default.qubit", wires=4)
    embedding = qml.AngleEmbedding(np.ones((2, 4)), range(4))
    tape = qml.tape.QuantumScript([embedding], list(map(qml.expval, measured)), trainable_params=[])
    assert device.runs_natively(tape)
    found, expected = (qml.execute([tape], each)[0] for each in (device, exact))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-30)


def test_observables_that_are_no_sums_of_words_are_read_by_their_matrices():
    sparse = qml.SparseHamiltonian((qml.Z(0) @ qml.X(1)).sparse_matrix(), wires=[2, 0])
    assert_reads([sparse], 1, same=[qml.Z(2) @ qml.X(0)])
    assert_reads([qml.exp(qml.Z(0), 0.1), qml.prod(qml.Projector([1, 0], [2, 0]), qml.X(1)), -2 * qml.Hadamard(3)], 0)


@pytest.mark.parametrize(
    "measurement",
    [
        qml.probs(wires=[0]),
        qml.var(qml.Z(0)),
        qml.expval(qml.Hermitian(np.eye(128), wires=range(7))),
        qml.expval(qml.s_prod(np.array([0.1, 0.2]), qml.X(0))),
    ],
)
def test_other_measurements_are_not_native(measurement):
    tape = qml.tape.QuantumScript([qml.RX(np.array([0.1, 0.2]), wires=0)], [measurement])
    assert not BatchedLightning(wires=7).runs_natively(tape)


@pytest.mark.parametrize(
    "observable",
    [
        qml.Projector([0, 1] * 4, wires=range(8)),
        qml.Hamiltonian([1.5, 2.0], [qml.Projector([0] * 8, wires=range(8)), qml.Z(3)]),
        qml.prod(*[letter(wire) for wire, letter in enumerate([qml.X, qml.Y, qml.Z, qml.Z] * 2)]),
        qml.prod(qml.Y(0), qml.X(3), qml.Projector([0, 1, 0, 0, 1, 0], wires=[1, 2, 4, 5, 6, 7])),
        qml.prod(*map(qml.Hadamard, range(8))),
        qml.prod(*[qml.Hermitian(np.add.outer(np.arange(16), np.arange(16)) % 3, range(k, k + 4)) for k in (0, 4)]),
    ],
)
def test_projectors_words_and_products_may_be_wide(observable):
    angles, weights = np.random.default_rng(0).uniform(0, 1, (3, 8)), np.random.default_rng(1).uniform(0, 1, 8)
    tape = qml.tape.QuantumScript([qml.AngleEmbedding(angles, wires=range(8))], [qml.expval(observable)])
    assert BatchedLightning(wires=8).runs_natively(tape, differentiable=False)

    def circuit(inputs, weights, wires):
        qml.AngleEmbedding(inputs, wires=wires, rotation="Y")
        for weight, wire in zip(weights, wires, strict=True):
            qml.RX(weight, wire)
        qml.CNOT([0, 7])

    arguments = (circuit, lambda _: [observable], angles, weights, range(8))
    ours = outputs_and_gradient(BatchedLightning(wires=8), "adjoint", *arguments, device_vjp=True)
    exact = outputs_and_gradient(qml.device("default.qubit"), "backprop", *arguments)
    for here, there in zip(ours, exact, strict=True):
        np.testing.assert_allclose(here, there, rtol=0, atol=1e-10)


def test_products_whose_terms_would_not_fit_are_refused_before_they_are_made():
    """Three matrices of 6 wires flip bits in 2**18 ways, and each has a diagonal of 2**18 entries: a terabyte."""
    wide = qml.prod(*[qml.Hermitian(np.ones((64, 64)), wires=range(k, k + 6)) for k in (0, 6, 12)])
    tape = qml.tape.QuantumScript([qml.RX(np.array([0.1, 0.2]), 0)], [qml.expval(wide)], trainable_params=[])
    assert not BatchedLightning(wires=18).runs_natively(tape)


def test_an_autoencoder_of_seven_qubits_is_native():
    """Its observables are words times a projector on all the other wires."""
    network = QAE(n_qubits=7, n_latent=2, n_layers=1)
    inputs = network.encode(random_states(np.random.default_rng(0), 2, 7)).circuit_inputs
    tape = qml.tape.make_qscript(network.circuit)(inputs, np.zeros(network.weights_shape))
    assert BatchedLightning(wires=7).runs_natively(tape, differentiable=False)
