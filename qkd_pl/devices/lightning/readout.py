"""Expectation values of many observables on a block of states, and the sum of the observables applied to it.

Any operator is a sum of products D X^m of a diagonal matrix and flips of the bits in a mask m: D(i) = O(i, i ⊕ m).
All observables share the pass over the states for a mask, and only the wires up to the last measured one matter: the
sum over the others is taken first.
"""

from collections.abc import Iterable, Sequence
from functools import reduce
from itertools import product
from math import prod
from typing import Any, TypeAlias

import numpy as np
from pennylane.measurements import ExpectationMP, MeasurementProcess
from pennylane.operation import Operator
from pennylane.ops import Prod, SProd, Sum
from pennylane.ops.qubit import BasisStateProjector
from pennylane.pauli import PauliWord

# Mask → diagonal, an array that broadcasts to shape (2,) * n_wires; the first wire is the highest bit of a mask.
Terms: TypeAlias = dict[int, np.ndarray]
_MAX_MATRIX_WIRES = 6
_MAX_BYTES = 2**28


class Readout:
    """Observables of one circuit, on the first ``n_wires`` of its register."""

    def __init__(self, observables: Sequence[Terms], n_wires: int):
        self.n_observables, self._n_wires = len(observables), n_wires
        self._terms: list[tuple[Any, np.ndarray]] = []  # where flipped bits lead, and the diagonals that follow
        for mask in sorted({mask for terms in observables for mask in terms} or {0}):
            weights = np.array([np.broadcast_to(each.get(mask, 0j), (2,) * n_wires).ravel() for each in observables])
            flipped = np.arange(2**n_wires) ^ mask if mask else slice(None)
            self._terms.append((flipped, weights if weights.imag.any() else weights.real.copy()))

    def expectations(self, states: np.ndarray) -> np.ndarray:
        """Expectation values, shape ``(n_observables, b)`` float64, of states ``(2**n, b)``."""
        split = states.reshape(2**self._n_wires, -1, states.shape[1]).swapaxes(1, 2)
        values = np.zeros((self.n_observables, states.shape[1]))
        for flipped, weights in self._terms:
            overlaps = np.vecdot(split, split[flipped])
            values += (weights @ (overlaps if weights.dtype.kind == "c" else overlaps.real)).real
        return values

    def applied(self, states: np.ndarray, coefficients: np.ndarray, out: np.ndarray) -> np.ndarray:
        """``Σ_k coefficients_kb O_k|state_b⟩`` for states ``(2**n, b)`` and coefficients ``(n_observables, b)``."""
        split = states.reshape(2**self._n_wires, -1, states.shape[1])
        out = out.reshape(split.shape)
        for number, (flipped, weights) in enumerate(self._terms):
            factors = (weights.T @ coefficients)[:, None, :]
            factors = factors.astype(states.dtype if factors.dtype.kind == "c" else states.real.dtype, copy=False)
            if number == 0:
                np.multiply(factors, split[flipped], out=out)
            else:
                out += factors * split[flipped]
        return out.reshape(states.shape)


def readout_of(measurements: Sequence[MeasurementProcess], positions: dict[Any, int]) -> Readout | None:
    """Readout of a tape's measurements; None unless all are expectation values of supported observables."""
    n_wires = max((positions[wire] for measurement in measurements for wire in measurement.wires), default=-1) + 1
    if any(type(measurement) is not ExpectationMP or measurement.obs is None for measurement in measurements):
        return None
    reader = _Reader(positions, n_wires)
    try:
        observables = [reader.terms(measurement.obs) for measurement in measurements]
    except _NotSupportedError:
        return None
    masks = {mask for terms in observables for mask in terms}
    fits = len(masks) * (len(observables) + 1) * 2**n_wires * 16 <= _MAX_BYTES
    return Readout(observables, n_wires) if fits else None


class _NotSupportedError(Exception):
    """An observable is none of those that are read here."""


class _Reader:
    """Takes observables apart, whose wires have positions among ``n_wires``."""

    def __init__(self, positions: dict[Any, int], n_wires: int):
        self._positions, self._n_wires = positions, n_wires

    def terms(self, observable: Operator) -> Terms:
        """The terms of an observable."""
        if observable.pauli_rep is not None:
            return _sum(self._word(word, factor) for word, factor in observable.pauli_rep.items())
        if isinstance(observable, Sum):
            return _sum(map(self.terms, observable.operands))
        if isinstance(observable, SProd):
            scalar = _real(observable.scalar)
            return {mask: scalar * diagonal for mask, diagonal in self.terms(observable.base).items()}
        wires = [operand.wires for operand in observable.operands] if isinstance(observable, Prod) else []
        if wires and len(observable.wires) == sum(map(len, wires)):
            return reduce(_product, map(self.terms, observable.operands))
        on = [self._positions[wire] for wire in observable.wires]
        if isinstance(observable, BasisStateProjector):
            onto = np.zeros((2,) * len(on))
            onto[tuple(int(bit) for bit in observable.data[0])] = 1
            return {0: self._placed(onto, on)}
        return self._of_matrix(observable, on)

    def _of_matrix(self, observable: Operator, on: list[int]) -> Terms:
        if len(on) > _MAX_MATRIX_WIRES or not observable.has_matrix:
            raise _NotSupportedError
        matrix = np.asarray(observable.matrix(), dtype=np.complex128)
        if matrix.ndim > 2 or not np.allclose(matrix, matrix.conj().T):  # one for each sample, or no observable
            raise _NotSupportedError
        indices = np.arange(len(matrix))
        diagonals = {mask: matrix[indices, indices ^ mask] for mask in range(len(matrix))}
        bits = {mask: [on[i] for i in range(len(on)) if mask >> (len(on) - 1 - i) & 1] for mask in diagonals}
        return {self._mask(bits[mask]): self._placed(each, on) for mask, each in diagonals.items() if each.any()}

    def _word(self, word: PauliWord, factor: Any) -> Terms:
        """X flips a bit, Z gives it a sign, Y = -iZX does both."""
        diagonal = np.full((1,) * self._n_wires, _real(factor), dtype=np.complex128)
        for wire, letter in word.items():
            if letter != "X":
                signs = np.array([1, -1]) * (-1j if letter == "Y" else 1)
                diagonal = diagonal * self._placed(signs, [self._positions[wire]])
        return {self._mask([self._positions[wire] for wire, letter in word.items() if letter != "Z"]): diagonal}

    def _mask(self, positions: Sequence[int]) -> int:
        return sum(1 << (self._n_wires - 1 - position) for position in positions)

    def _placed(self, diagonal: np.ndarray, on: Sequence[int]) -> np.ndarray:
        """A diagonal on some positions, with axes of length 1 for the others."""
        tensor = diagonal.reshape((2,) * len(on)).transpose(np.argsort(on))
        return tensor.reshape([2 if position in on else 1 for position in range(self._n_wires)])


def _real(factor: Any) -> float:
    if np.ndim(factor) or np.imag(factor):
        raise _NotSupportedError
    return float(np.real(factor))


def _sum(summands: Iterable[Terms]) -> Terms:
    total: Terms = {}
    for terms in summands:
        for mask, diagonal in terms.items():
            total[mask] = total[mask] + diagonal if mask in total else diagonal
    return total


def _product(left: Terms, right: Terms) -> Terms:
    """Of factors on different wires: bits flip together, and no diagonal depends on bits that the other one flips."""
    shape = np.broadcast_shapes(*{diagonal.shape for terms in (left, right) for diagonal in terms.values()})
    if 2 * len(left) * len(right) * prod(shape) * 16 > _MAX_BYTES:  # no readout of it would fit
        raise _NotSupportedError
    pairs = product(left.items(), right.items())
    return {mask | other: diagonal * of_other for (mask, diagonal), (other, of_other) in pairs}
