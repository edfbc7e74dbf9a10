"""Expectation values of many observables on a block of states, and the sum of the observables applied to it.

Any operator is a sum of products D X^m of a diagonal matrix and bit flips on the wires of a mask m: D(i) = O(i, i ⊕ m).
Pauli words have one such term, a diagonal observable has the mask 0. All observables share the pass over the states for
a mask, and only the wires up to the last measured one matter: the sum over the others is taken first.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from pennylane.measurements import ExpectationMP, MeasurementProcess
from pennylane.operation import Operator
from pennylane.ops import Prod, SProd, Sum
from pennylane.ops.qubit import BasisStateProjector

# Mask → diagonal, an array that broadcasts to shape (2,) * n_wires; the first wire is the highest bit of a mask.
Terms: TypeAlias = dict[int, np.ndarray]
_MAX_DENSE_WIRES = 6
_MAX_BYTES = 2**28


class Readout:
    """Observables of one circuit, on the positions of its register.

    Args:
        observables: one per measurement.
        n_wires: those that the observables act on are the first of the register.
    """

    def __init__(self, observables: Sequence[Terms], n_wires: int):
        self.n_observables, self._n_wires = len(observables), n_wires
        self._diagonals: dict[int, np.ndarray] = {}
        for k, terms in enumerate(observables):
            for mask, diagonal in terms.items():
                weights = self._diagonals.setdefault(
                    mask, np.zeros((self.n_observables, 2**n_wires), dtype=np.complex128)
                )
                weights[k] = np.broadcast_to(diagonal, (2,) * n_wires).ravel()
        for mask, weights in self._diagonals.items():
            if not weights.imag.any():
                self._diagonals[mask] = weights.real.copy()
        self._flipped = {mask: np.arange(2**n_wires) ^ mask for mask in self._diagonals}

    def expectations(self, states: np.ndarray) -> np.ndarray:
        """Expectation values, shape ``(n_observables, b)`` float64, of states ``(2**n, b)``."""
        split = states.reshape(2**self._n_wires, -1, states.shape[1]).swapaxes(1, 2)
        values = np.zeros((self.n_observables, states.shape[1]))
        for mask, weights in self._diagonals.items():
            flipped = split if mask == 0 else split[self._flipped[mask]]
            overlaps = np.vecdot(split, flipped)  # conjugates the first
            overlaps = overlaps.real if mask == 0 else overlaps
            values += (weights @ overlaps).real
        return values

    def applied(self, states: np.ndarray, coefficients: np.ndarray, out: np.ndarray) -> np.ndarray:
        """``Σ_k coefficients_kb O_k|state_b⟩`` for states ``(2**n, b)`` and coefficients ``(n_observables, b)``."""
        split = states.reshape(2**self._n_wires, -1, states.shape[1])
        out = out.reshape(split.shape)
        filled = False
        for mask, weights in self._diagonals.items():
            factors = (weights.T @ coefficients)[:, None, :].astype(np.result_type(weights.dtype, np.float32))
            factors = factors.astype(states.dtype if factors.dtype.kind == "c" else states.real.dtype, copy=False)
            flipped = split if mask == 0 else split[self._flipped[mask]]
            if filled:
                out += factors * flipped
            else:
                np.multiply(factors, flipped, out=out)
                filled = True
        if not filled:
            out[:] = 0
        return out.reshape(states.shape)


def readout_of(measurements: Sequence[MeasurementProcess], positions: dict[Any, int]) -> Readout | None:
    """Readout of a tape's measurements; None unless all are expectation values of supported observables.

    Args:
        measurements: of one tape.
        positions: of the wires in the register.
    """
    used = [positions[wire] for measurement in measurements for wire in measurement.wires]
    n_wires = max(used, default=-1) + 1
    observables = []
    for measurement in measurements:
        is_expectation = type(measurement) is ExpectationMP and measurement.obs is not None
        terms = _terms(measurement.obs, positions, n_wires) if is_expectation else None
        if terms is None:
            return None
        observables.append(terms)
    masks = {mask for terms in observables for mask in terms}
    if len(masks) * (len(observables) + 1) * 2**n_wires * 16 > _MAX_BYTES:
        return None
    return Readout(observables, n_wires)


def _terms(observable: Operator, positions: dict[Any, int], n_wires: int) -> Terms | None:
    """None if an observable is not supported."""
    if observable.pauli_rep is not None:
        words = observable.pauli_rep.items()
        return _sum([_word(word, factor, positions, n_wires) for word, factor in words])
    if isinstance(observable, Sum):
        return _sum([_terms(operand, positions, n_wires) for operand in observable.operands])
    if isinstance(observable, SProd) and not np.ndim(observable.scalar) and not np.imag(observable.scalar):
        base = _terms(observable.base, positions, n_wires)
        return base and {mask: np.real(observable.scalar) * diagonal for mask, diagonal in base.items()}
    if isinstance(observable, Prod) and len(observable.wires) == sum(len(each.wires) for each in observable.operands):
        return _product([_terms(operand, positions, n_wires) for operand in observable.operands], n_wires)
    on = [positions[wire] for wire in observable.wires]
    if isinstance(observable, BasisStateProjector):
        diagonal = np.zeros(2 ** len(on))
        diagonal[int("".join(str(int(bit)) for bit in observable.data[0]), 2)] = 1
        return {0: _placed(diagonal, on, n_wires)}
    if len(on) > _MAX_DENSE_WIRES or not observable.has_matrix:
        return None
    matrix = np.asarray(observable.matrix(), dtype=np.complex128)
    if matrix.ndim > 2 or not np.allclose(matrix, matrix.conj().T):  # an observable for each sample, or none at all
        return None
    indices = np.arange(len(matrix))
    found = {}
    for mask in range(len(matrix)):
        diagonal = matrix[indices, indices ^ mask]
        if diagonal.any():
            bits = [p for i, p in enumerate(on) if mask >> (len(on) - 1 - i) & 1]
            found[sum(1 << (n_wires - 1 - p) for p in bits)] = _placed(diagonal, on, n_wires)
    return found


def _word(word: Any, factor: Any, positions: dict[Any, int], n_wires: int) -> Terms | None:
    """A Pauli word: X flips a bit, Z gives it a sign, Y = -iZX does both."""
    if np.ndim(factor) or np.imag(factor):
        return None
    mask, diagonal = 0, np.full((1,) * n_wires, np.real(factor), dtype=np.complex128)
    for wire, letter in word.items():
        if letter in "XY":
            mask |= 1 << (n_wires - 1 - positions[wire])
        if letter in "YZ":
            signs = np.array([1, -1]) * (-1j if letter == "Y" else 1)
            diagonal = diagonal * _placed(signs, [positions[wire]], n_wires)
    return {mask: diagonal}


def _placed(diagonal: np.ndarray, on: Sequence[int], n_wires: int) -> np.ndarray:
    """A diagonal on some positions, with axes of length 1 for the others."""
    tensor = diagonal.reshape((2,) * len(on)).transpose(np.argsort(on))
    return tensor.reshape([2 if position in on else 1 for position in range(n_wires)])


def _sum(summands: Sequence[Terms | None]) -> Terms | None:
    total: Terms = {}
    for terms in summands:
        if terms is None:
            return None
        for mask, diagonal in terms.items():
            total[mask] = total[mask] + diagonal if mask in total else diagonal
    return total


def _product(factors: Sequence[Terms | None], n_wires: int) -> Terms | None:
    """Of factors on different wires: bits flip together, and no diagonal depends on bits that another factor flips."""
    product: Terms = {0: np.ones((1,) * n_wires)}
    for terms in factors:
        if terms is None:
            return None
        product = {
            mask | other: diagonal * of_other for mask, diagonal in product.items() for other, of_other in terms.items()
        }
    return product
