import numpy as np
import pennylane as qml

from qkd_pl.circuits.readout import class_observables, latent_expectations, latent_pauli_words


def test_logits_are_pauli_z_on_the_first_wires():
    assert class_observables(3, n_qubits=3) == [qml.Z(0), qml.Z(1), qml.Z(2)]


def test_pauli_words_are_a_basis_of_operators():
    words = [qml.matrix(word, wire_order=range(2)) for word in latent_pauli_words(2)]
    assert len(words) == 16
    overlaps = np.einsum("aij,bji->ab", words, words)
    np.testing.assert_allclose(overlaps, 4 * np.eye(16), atol=1e-14)
    np.testing.assert_allclose(words[1], np.kron(np.eye(2), [[0, 1], [1, 0]]))


def test_latent_expectations_are_the_words_and_then_the_words_behind_the_projector():
    observables = [qml.matrix(m.obs, wire_order=range(3)) for m in latent_expectations(3, 1)]
    zero = np.diag([1.0, 0, 0, 0])
    words = [qml.matrix(word, wire_order=range(1)) for word in latent_pauli_words(1)]
    expected = [np.kron(word, np.eye(4)) for word in words] + [np.kron(word, zero) for word in words]
    np.testing.assert_allclose(observables, expected)
