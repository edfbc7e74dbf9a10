"""Transfer matrices and Pauli vectors against matrices, Kraus operators and closed forms."""

import numpy as np
import pennylane as qml
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit.quantum_info import PTM, Kraus, random_unitary
from scipy.linalg import expm

from qkd_pl.devices.noisy import transfer


def hermitian(count: int, n_qubits: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    matrices = rng.normal(size=(count, 2**n_qubits, 2**n_qubits, 2)) @ [1, 1j]
    return matrices + matrices.conj().swapaxes(1, 2)


@given(st.integers(1, 3), st.integers(0, 99))
def test_vectors_and_matrices_are_one_another(n_qubits, seed):
    matrices = hermitian(2, n_qubits, seed)
    vectors = transfer.from_matrices(matrices)
    np.testing.assert_allclose(vectors, np.einsum("pij,bji->bp", transfer.words(n_qubits), matrices).real, atol=1e-12)
    np.testing.assert_allclose(transfer.to_matrices(vectors) / 2**n_qubits, matrices, atol=1e-12)


@given(st.sampled_from(["X", "Y", "Z", "ZZ", "XY", "ZX"]), st.floats(-7, 7))
def test_a_rotation_is_affine_in_cosine_and_sine(word, angle):
    generator = qml.matrix(qml.pauli.string_to_pauli_word(word), wire_order=range(len(word)))
    still, cosine, sine = transfer.rotation(word)
    expected = transfer.of_kraus([expm(-0.5j * angle * generator)])
    np.testing.assert_allclose(still + np.cos(angle) * cosine + np.sin(angle) * sine, expected, atol=1e-12)


@given(st.integers(1, 2), st.integers(0, 99))
def test_unitaries_agree_with_qiskit(n_qubits, seed):
    unitary = random_unitary(2**n_qubits, seed=seed)
    np.testing.assert_allclose(transfer.of_kraus([unitary.data]), PTM(unitary).data.real, atol=1e-12)


@pytest.mark.parametrize(
    "channel", [qml.AmplitudeDamping(0.3, 0), qml.PhaseDamping(0.2, 0), qml.DepolarizingChannel(0.1, 0)]
)
def test_channels_agree_with_qiskit_and_keep_the_trace(channel):
    found = transfer.of_kraus(channel.kraus_matrices())
    np.testing.assert_allclose(found, PTM(Kraus(list(channel.kraus_matrices()))).data.real, atol=1e-12)
    np.testing.assert_allclose(found[0], [1, 0, 0, 0], atol=1e-12)


def test_states():
    rng = np.random.default_rng(0)
    states = rng.normal(size=(3, 4)) + 1j * rng.normal(size=(3, 4))
    states /= np.linalg.norm(states, axis=1, keepdims=True)
    observable = hermitian(1, 2, 1)
    expected = np.einsum("bi,ij,bj->b", states.conj(), observable[0], states).real
    found = transfer.of_states(states) @ (transfer.from_matrices(observable)[0] / 4)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(transfer.zero_state(2), transfer.of_states(np.eye(4)[:1])[0], atol=1e-15)


def test_a_detector_that_errs_one_way():
    shift, _, _, scale = transfer.of_measurement(p01=0.1, p10=0.3)
    assert shift + scale == pytest.approx(0.9 - 0.1)  # prepared 0
    assert shift - scale == pytest.approx(0.3 - 0.7)  # prepared 1
