"""Chains of single-qubit rotations and noise between two-qubit gates, all multiplied out at once."""

from collections.abc import Sequence

import numpy as np

from qkd_pl.devices.noisy import transfer
from qkd_pl.devices.noisy.elements import Angle, Element, Fixed


class Angles:
    """All angles of a program as one affine map of the parameters."""

    def __init__(self) -> None:
        self._angles: list[Angle] = []

    def add(self, angle: Angle) -> int:
        """Index of ``angle`` in :meth:`values`."""
        self._angles.append(angle)
        return len(self._angles) - 1

    def freeze(self, n_columns: int) -> None:
        """Compile the map for ``n_columns`` parameters."""
        self._matrix = np.zeros((len(self._angles), n_columns))
        for row, angle in enumerate(self._angles):
            np.add.at(self._matrix[row], list(angle.columns), angle.coefficients)
        self._constants = np.array([angle.constant for angle in self._angles])

    def values(self, parameters: np.ndarray) -> np.ndarray:
        """Angles in radians."""
        return self._matrix @ parameters + self._constants

    def pullback(self, cotangent: np.ndarray) -> np.ndarray:
        """Gradient of the parameters."""
        return cotangent @ self._matrix


class Chains:
    """N products of transfer matrices T_r … T_1 of single qubits, padded to the longest.

    Each factor is A + B·cos θ + C·sin θ: a rotation, with what does not depend on parameters multiplied into it.

    Args:
        chains: elements of each, in the order of time.
        angles: where the rotations' angles are entered.
    """

    def __init__(self, chains: Sequence[Sequence[Element]], angles: Angles) -> None:
        factored = [_factors(chain, angles) for chain in chains]
        length = max((len(factors) for factors in factored), default=0)
        self._basis = np.zeros((length, len(chains), 3, 4, 4))
        self._basis[:, :, 0] = np.eye(4)
        # Padding takes some angle, which B = C = 0 makes irrelevant.
        self._rows = np.zeros((length, len(chains)), dtype=np.intp)
        self._turns = np.zeros((length, len(chains)), dtype=bool)
        for chain, factors in enumerate(factored):
            for position, (basis, row) in enumerate(factors):
                self._basis[position, chain] = basis
                self._rows[position, chain] = max(row, 0)
                self._turns[position, chain] = row >= 0
        self._flat = self._basis.reshape(length, len(chains), 3, 16)

    def matrices(self, angles: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        """The products ``(N, 4, 4)``, and what :meth:`pullback` needs of them."""
        length, count = self._rows.shape
        if not length or not len(angles):
            return _products(self._basis[:, :, 0]), ()
        chosen = angles[self._rows]
        cosine, sine = np.cos(chosen), np.sin(chosen)
        coefficients = np.stack([np.ones_like(cosine), cosine, sine], axis=-1)[:, :, None, :]
        factors = (coefficients @ self._flat).reshape(length, count, 4, 4)
        slopes = np.stack([-sine, cosine], axis=-1)[:, :, None, :]
        partial = [factors[0]]
        for factor in factors[1:]:
            partial.append(factor @ partial[-1])
        return partial[-1], (factors, slopes, *partial)

    def pullback(self, cotangent: np.ndarray, kept: tuple[np.ndarray, ...], gradient: np.ndarray) -> None:
        """Add to ``gradient`` of the angles what a ``cotangent`` ``(N, 4, 4)`` on the products gives."""
        if not kept:
            return
        factors, slopes, *partial = kept
        of_factors = np.empty_like(factors)
        for position in range(len(factors) - 1, 0, -1):
            np.matmul(cotangent, partial[position - 1].swapaxes(1, 2), out=of_factors[position])
            cotangent = factors[position].swapaxes(1, 2) @ cotangent
        of_factors[0] = cotangent
        derivative = (slopes @ self._flat[:, :, 1:])[:, :, 0]
        products = (derivative * of_factors.reshape(derivative.shape)).sum(axis=-1)
        np.add.at(gradient, self._rows[self._turns], products[self._turns])


def _factors(chain: Sequence[Element], angles: Angles) -> list[tuple[np.ndarray, int]]:
    """(A, B, C) stacked ``(3, 4, 4)`` and the row of the angle, or −1, of each factor."""
    factors: list[tuple[np.ndarray, int]] = []
    before = np.eye(4)
    for element in chain:
        if isinstance(element, Fixed):
            if factors:
                basis, row = factors[-1]
                factors[-1] = (element.matrix @ basis, row)
            else:
                before = element.matrix @ before
        else:
            factors.append((transfer.rotation(element.word) @ before, angles.add(element.angle)))
            before = np.eye(4)
    still = np.zeros((3, 4, 4))
    still[0] = before
    return factors or [(still, -1)]


def _products(factors: np.ndarray) -> np.ndarray:
    if not len(factors):
        return np.empty((factors.shape[1], 4, 4))
    product = factors[0]
    for factor in factors[1:]:
        product = factor @ product
    return product
