"""A batch of input states, and their expectation values with observables in the Pauli basis.

Qubits that a state does not name are in |0⟩; those that an observable does not name are traced out.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from qkd_pl.devices.noisy import transfer


class States(Protocol):
    """b states.

    Attributes:
        batch: b.
    """

    batch: int

    def expectations(self, observables: np.ndarray, qubits: Sequence[int]) -> np.ndarray:
        """Tr[O_k ρ_b] for observables ``(K, 4^m)`` on ``qubits``: shape ``(b, K)``."""

    def mixture(self, weights: np.ndarray, qubits: Sequence[int]) -> np.ndarray:
        """Σ_b weights[b, k] ρ_b, reduced to ``qubits``, as Pauli vectors ``(K, 4^m)``."""

    def vectors(self, qubits: Sequence[int]) -> np.ndarray:
        """Pauli vectors ``(b, 4^m)`` of the states reduced to ``qubits``."""


class ProductStates:
    """Products of states on groups of qubits, mixed or pure.

    Args:
        groups: qubits, and Pauli vectors ``(b or 1, 4^g)`` on them.
        batch: b.
    """

    def __init__(self, groups: Iterable[tuple[Sequence[int], np.ndarray]], batch: int) -> None:
        self.groups = [(tuple(qubits), vectors) for qubits, vectors in groups]
        self.batch = batch

    def expectations(self, observables: np.ndarray, qubits: Sequence[int]) -> np.ndarray:
        """See :class:`States`."""
        (first, left), (second, right) = self._halves(qubits)
        arranged = _split(observables, qubits, first, second)
        part = left @ arranged.transpose(1, 0, 2).reshape(arranged.shape[1], -1)
        return np.einsum("bkj,bj->bk", part.reshape(self.batch, len(observables), -1), right)

    def mixture(self, weights: np.ndarray, qubits: Sequence[int]) -> np.ndarray:
        """See :class:`States`."""
        (first, left), (second, right) = self._halves(qubits)
        weighted = (weights[:, :, None] * right[:, None, :]).reshape(self.batch, -1)
        found = (left.T @ weighted).reshape(left.shape[1], weights.shape[1], -1).transpose(1, 0, 2)
        return _arrange(found.reshape(weights.shape[1], -1), (*first, *second), qubits)

    def vectors(self, qubits: Sequence[int]) -> np.ndarray:
        """See :class:`States`."""
        (first, left), (second, right) = self._halves(qubits)
        whole = (left[:, :, None] * right[:, None, :]).reshape(self.batch, -1)
        return _arrange(whole, (*first, *second), qubits)

    def _halves(self, wanted: Sequence[int]) -> list[tuple[tuple[int, ...], np.ndarray]]:
        """Two groups, of about half of the ``wanted`` qubits each, so that sums over the batch are matrix products."""
        parts = [part for group in self.groups if (part := _reduced(*group, wanted))[0]]
        known = {qubit for qubits, _ in parts for qubit in qubits}
        parts += [((qubit,), transfer.ZERO_STATE[None]) for qubit in wanted if qubit not in known]
        halves: list[list[tuple[tuple[int, ...], np.ndarray]]] = [[], []]
        for part in sorted(parts, key=lambda each: -len(each[0])):
            min(halves, key=lambda half: sum(len(qubits) for qubits, _ in half)).append(part)
        return [self._joined(half) for half in halves]

    def _joined(self, parts: Sequence[tuple[tuple[int, ...], np.ndarray]]) -> tuple[tuple[int, ...], np.ndarray]:
        qubits = tuple(qubit for names, _ in parts for qubit in names)
        vectors = np.ones((1, 1))
        for _, part in parts:
            vectors = _products(vectors, part)
        return qubits, np.broadcast_to(vectors, (self.batch, vectors.shape[1]))


class PureStates:
    """Entangled pure states, of which 2^n amplitudes are kept rather than 4^n Pauli coefficients.

    Args:
        qubits: n of them, the first most significant.
        amplitudes: ``(b, 2^n)``.
    """

    def __init__(self, qubits: Sequence[int], amplitudes: np.ndarray) -> None:
        self.qubits = tuple(qubits)
        self.batch = len(amplitudes)
        self._amplitudes = amplitudes

    def expectations(self, observables: np.ndarray, qubits: Sequence[int]) -> np.ndarray:
        """See :class:`States`."""
        known = [qubit for qubit in self.qubits if qubit in qubits]
        rest = [qubit for qubit in qubits if qubit not in self.qubits]
        inner = _split(observables, qubits, known, rest) @ transfer.zero_state(len(rest))
        matrices = transfer.to_matrices(inner)
        real, imaginary = self._parts(known)
        found = np.empty((self.batch, len(observables)))
        for k, matrix in enumerate(matrices):
            # ψ†(S + iA)ψ with S symmetric, A antisymmetric and ψ = a + ib is aᵀSa + bᵀSb − 2 aᵀAb.
            values = _forms(real, matrix.real, real)
            if imaginary is not None:
                values += _forms(imaginary, matrix.real, imaginary) - 2 * _forms(real, matrix.imag, imaginary)
            found[:, k] = values.reshape(self.batch, -1).sum(axis=1)
        return found

    def mixture(self, weights: np.ndarray, qubits: Sequence[int]) -> np.ndarray:
        """See :class:`States`."""
        known = [qubit for qubit in self.qubits if qubit in qubits]
        rest = [qubit for qubit in qubits if qubit not in self.qubits]
        real, imaginary = self._parts(known)
        matrices = np.zeros((weights.shape[1], real.shape[1], real.shape[1]), complex)
        for k, weight in enumerate(weights.T):
            spread = np.repeat(weight, len(real) // self.batch)[:, None]
            matrices[k].real = real.T @ (spread * real)
            if imaginary is not None:
                matrices[k].real += imaginary.T @ (spread * imaginary)
                crossed = imaginary.T @ (spread * real)
                matrices[k].imag = crossed - crossed.T
        inner = transfer.from_matrices(matrices)
        zeros = transfer.zero_state(len(rest))
        return _arrange((inner[:, :, None] * zeros).reshape(len(inner), -1), (*known, *rest), qubits)

    def vectors(self, qubits: Sequence[int]) -> np.ndarray:
        """See :class:`States`."""
        whole = transfer.of_states(self._amplitudes)
        return ProductStates([(self.qubits, whole)], self.batch).vectors(qubits)

    def _parts(self, known: Sequence[int]) -> tuple[np.ndarray, np.ndarray | None]:
        """Real and imaginary amplitudes ``(b · 2^traced, 2^known)``; None for the latter if all are real."""
        count = len(self.qubits)
        traced = [qubit for qubit in self.qubits if qubit not in known]
        axes = [0, *(1 + self.qubits.index(qubit) for qubit in (*traced, *known))]
        arranged = self._amplitudes.reshape(-1, *[2] * count).transpose(axes).reshape(-1, 2 ** len(known))
        if np.iscomplexobj(arranged) and arranged.imag.any():
            return np.ascontiguousarray(arranged.real), np.ascontiguousarray(arranged.imag)
        return np.ascontiguousarray(arranged.real), None


def _reduced(qubits: Sequence[int], vectors: np.ndarray, wanted: Sequence[int]) -> tuple[tuple[int, ...], np.ndarray]:
    """The reduced state of those qubits that are ``wanted``."""
    kept = tuple(qubit for qubit in qubits if qubit in wanted)
    if len(kept) == len(qubits):
        return kept, vectors
    index = tuple(slice(None) if qubit in wanted else 0 for qubit in qubits)
    return kept, vectors.reshape(len(vectors), *[4] * len(qubits))[(slice(None), *index)].reshape(len(vectors), -1)


def _arrange(vectors: np.ndarray, given: Sequence[int], wanted: Sequence[int]) -> np.ndarray:
    """Pauli vectors with their qubits in another order."""
    if tuple(given) == tuple(wanted):
        return vectors
    axes = [0, *(1 + list(given).index(qubit) for qubit in wanted)]
    return vectors.reshape(len(vectors), *[4] * len(given)).transpose(axes).reshape(len(vectors), -1)


def _split(vectors: np.ndarray, given: Sequence[int], first: Sequence[int], second: Sequence[int]) -> np.ndarray:
    """Pauli vectors as ``(K, 4^first, 4^second)``."""
    return _arrange(vectors, given, (*first, *second)).reshape(len(vectors), 4 ** len(first), 4 ** len(second))


def _products(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return (left[:, :, None] * right[:, None, :]).reshape(max(len(left), len(right)), -1)


def _forms(left: np.ndarray, matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.einsum("bi,bi->b", left @ matrix, right)
