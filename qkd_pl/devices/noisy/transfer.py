"""Quantum channels as real matrices in the Pauli basis.

A state of k qubits is the vector r_P = Tr[P ρ] over the 4^k Pauli words P, in the order II…I, II…X, …, ZZ…Z, the first
qubit most significant; an observable O = Σ_P o_P P is the vector o, so that Tr[O ρ] = o·r. A channel E is its Pauli
transfer matrix R_PQ = Tr[P E(Q)] / 2^k (Greenbaum, arXiv 1509.02921, Eq. 3.1): states evolve by r → R r, observables
by o → Rᵀ o. Transfer matrices of physical channels have the first row (1, 0, …, 0): the trace stays.
"""

from collections.abc import Iterable
from functools import cache, reduce

import numpy as np

PAULIS = np.array([[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
LETTERS = "IXYZ"
#: Pauli vectors of |0⟩ as a state, and of its projector as an observable.
ZERO_STATE = np.array([1.0, 0.0, 0.0, 1.0])


@cache
def words(n_qubits: int) -> np.ndarray:
    """All Pauli words as matrices, shape ``(4^k, 2^k, 2^k)`` complex128; k from 0 to about 5."""
    return reduce(lambda left, right: _kron_all(left, right), [PAULIS] * n_qubits, np.ones((1, 1, 1), complex))


def of_kraus(operators: Iterable[np.ndarray]) -> np.ndarray:
    """Transfer matrix ``(4^k, 4^k)`` float64 of ρ → Σ_i K_i ρ K_i†.

    Example:
        >>> of_kraus([np.array([[0, 1], [1, 0]])]).diagonal()
        array([ 1.,  1., -1., -1.])
    """
    matrices = [np.asarray(operator, dtype=complex) for operator in operators]
    dimension = len(matrices[0])
    basis = words(dimension.bit_length() - 1)
    images = sum(matrix @ basis @ matrix.conj().T for matrix in matrices)
    return np.einsum("aij,bji->ab", basis, images).real / dimension


def of_unitaries(unitaries: np.ndarray) -> np.ndarray:
    """Transfer matrices ``(b, 4^k, 4^k)`` of b unitaries ``(b, 2^k, 2^k)``."""
    dimension = unitaries.shape[-1]
    basis = words(dimension.bit_length() - 1)
    images = np.einsum("bij,qjk,blk->bqil", unitaries, basis, unitaries.conj(), optimize=True)
    return np.einsum("pli,bqil->bpq", basis, images, optimize=True).real / dimension


@cache
def rotation(word: str) -> np.ndarray:
    """Three matrices A, B, C, stacked ``(3, 4^k, 4^k)``, with A + B·cos θ + C·sin θ that of exp(−iθP/2).

    Args:
        word: P, letters of IXYZ.

    Example:
        >>> still, cosine, sine = rotation("Z")
        >>> (still + cosine * 0 + sine * 1) @ [1, 1, 0, 0]       # a quarter turn about z takes +X to +Y
        array([1., 0., 1., 0.])
    """
    identity = np.eye(2 ** len(word))
    generator = words(len(word))[sum(LETTERS.index(letter) * 4**i for i, letter in enumerate(reversed(word)))]
    turned = [
        of_kraus([np.cos(angle / 2) * identity - 1j * np.sin(angle / 2) * generator]) for angle in (0, np.pi / 2, np.pi)
    ]
    still = (turned[0] + turned[2]) / 2
    return np.round([still, (turned[0] - turned[2]) / 2, turned[1] - still])


def zero_state(n_qubits: int) -> np.ndarray:
    """Pauli vector ``(4^n,)`` of |0…0⟩."""
    vector = np.ones(1)
    for _ in range(n_qubits):
        vector = np.kron(vector, ZERO_STATE)
    return vector


def of_measurement(p01: float, p10: float) -> np.ndarray:
    """Z as a detector sees it: (p10 − p01) I + (1 − p01 − p10) Z, with p01 = P(read 1 | prepared 0)."""
    return np.array([p10 - p01, 0.0, 0.0, 1.0 - p01 - p10])


def of_states(amplitudes: np.ndarray) -> np.ndarray:
    """Pauli vectors ``(b, 4^n)`` of pure states ``(b, 2^n)``."""
    batch, dimension = amplitudes.shape
    return from_matrices(amplitudes[:, :, None] * amplitudes[:, None, :].conj()).reshape(batch, dimension**2)


def from_matrices(matrices: np.ndarray) -> np.ndarray:
    """Tr[P M] for Hermitian matrices ``(b, 2^n, 2^n)``, qubit by qubit: shape ``(b, 4^n)`` float64."""
    batch, dimension = matrices.shape[:2]
    n_qubits = dimension.bit_length() - 1
    work = matrices.reshape(batch, 1, dimension, dimension)
    for _ in range(n_qubits):
        half = work.shape[-1] // 2
        blocks = work.reshape(batch, -1, 2, half, 2, half)
        upper, lower = blocks[:, :, 0, :, 0, :], blocks[:, :, 1, :, 1, :]
        right, left = blocks[:, :, 0, :, 1, :], blocks[:, :, 1, :, 0, :]
        parts = [upper + lower, right + left, 1j * (right - left), upper - lower]
        work = np.stack(parts, axis=2).reshape(batch, -1, half, half)
    return np.ascontiguousarray(work.reshape(batch, -1).real)


def to_matrices(vectors: np.ndarray) -> np.ndarray:
    """Σ_P o_P P of vectors ``(K, 4^n)``: Hermitian matrices ``(K, 2^n, 2^n)`` complex128."""
    count = len(vectors)
    n_qubits = (vectors.shape[1].bit_length() - 1) // 2
    work = vectors.reshape(count, -1, 1, 1).astype(complex)
    for _ in range(n_qubits):
        size = work.shape[-1]
        one, x, y, z = np.moveaxis(work.reshape(count, -1, 4, size, size), 2, 0)
        block = np.empty((count, one.shape[1], 2, size, 2, size), complex)
        block[:, :, 0, :, 0], block[:, :, 1, :, 1] = one + z, one - z
        block[:, :, 0, :, 1], block[:, :, 1, :, 0] = x - 1j * y, x + 1j * y
        work = block.reshape(count, -1, 2 * size, 2 * size)
    return work[:, 0]


def _kron_all(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    size = left.shape[-1] * right.shape[-1]
    return np.einsum("aij,bkl->abikjl", left, right).reshape(-1, size, size)
