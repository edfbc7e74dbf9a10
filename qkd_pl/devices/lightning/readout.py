"""Expectation values of many observables on a block of states, and the sum of the observables applied to it.

Any operator is a sum of products D X^m of a diagonal matrix and flips of the bits in a mask m: D(i) = O(i, i ⊕ m).
All observables share the pass over the states for a mask, and only the wires up to the last measured one matter: the
sum over the others is taken first.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from itertools import product
from operator import or_
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pennylane as qml
from pennylane.measurements import ExpectationMP, MeasurementProcess
from pennylane.operation import Operator
from pennylane.ops import Prod, SProd, Sum
from pennylane.ops.qubit import BasisStateProjector
from pennylane.pauli import PauliSentence

_MAX_MATRIX_WIRES = 6
_MAX_TERMS = 4**_MAX_MATRIX_WIRES
_MAX_BYTES = 2**28


class Term(NamedTuple):
    """A Pauli word, a projector, or their product on different wires; all are bits of a basis state's index."""

    flips: int  # where the word has X or Y
    signs: int  # where it has Y or Z; as Y = -iZX, it multiplies with -1 for each of these bits that is set
    fixed: int = 0  # where the projector acts
    bits: int = 0  # onto what it projects

    def diagonal(self, indices: np.ndarray) -> np.ndarray:
        """D(i), but for a factor."""
        return (1 - 2.0 * (np.bitwise_count(indices & self.signs) & 1)) * (indices & self.fixed == self.bits)


Terms: TypeAlias = dict[Term, complex]


class Readout:
    """Observables of one circuit, each a sum of terms, on the first ``n_wires`` of its register."""

    def __init__(self, observables: Sequence[Terms], n_wires: int):
        self.n_observables, self._n_wires = len(observables), n_wires
        indices = np.arange(2**n_wires)
        self._diagonals: dict[int, np.ndarray] = {}
        for k, terms in enumerate(observables):
            for term, factor in terms.items():
                weights = self._diagonals.setdefault(term.flips, np.zeros((len(observables), len(indices)), complex))
                weights[k] += factor * term.diagonal(indices)
        if not self._diagonals:
            self._diagonals[0] = np.zeros((len(observables), len(indices)))
        for mask, weights in self._diagonals.items():
            if not weights.imag.any():
                self._diagonals[mask] = weights.real.copy()
        self._flipped = {mask: indices ^ mask for mask in self._diagonals}

    def expectations(self, states: np.ndarray) -> np.ndarray:
        """Expectation values, shape ``(n_observables, b)`` float64, of states ``(2**n, b)``."""
        split = states.reshape(2**self._n_wires, -1, states.shape[1]).swapaxes(1, 2)
        values = np.zeros((self.n_observables, states.shape[1]))
        for mask, weights in self._diagonals.items():
            overlaps = np.vecdot(split, split if mask == 0 else split[self._flipped[mask]])
            values += (weights @ (overlaps.real if mask == 0 else overlaps)).real
        return values

    def applied(self, states: np.ndarray, coefficients: np.ndarray, out: np.ndarray) -> np.ndarray:
        """``Σ_k coefficients_kb O_k|state_b⟩`` for states ``(2**n, b)`` and coefficients ``(n_observables, b)``."""
        split = states.reshape(2**self._n_wires, -1, states.shape[1])
        out = out.reshape(split.shape)
        for number, (mask, weights) in enumerate(self._diagonals.items()):
            factors = (weights.T @ coefficients)[:, None, :]
            factors = factors.astype(states.dtype if factors.dtype.kind == "c" else states.real.dtype, copy=False)
            flipped = split if mask == 0 else split[self._flipped[mask]]
            if number == 0:
                np.multiply(factors, flipped, out=out)
            else:
                out += factors * flipped
        return out.reshape(states.shape)


def readout_of(measurements: Sequence[MeasurementProcess], positions: dict[Any, int]) -> Readout | None:
    """Readout of a tape's measurements; None unless all are expectation values of supported observables."""
    n_wires = max((positions[wire] for measurement in measurements for wire in measurement.wires), default=-1) + 1
    bit = {wire: 1 << (n_wires - 1 - position) for wire, position in positions.items() if position < n_wires}
    if any(type(measurement) is not ExpectationMP or measurement.obs is None for measurement in measurements):
        return None
    try:
        observables = [_terms(measurement.obs, bit) for measurement in measurements]
    except _NotSupportedError:
        return None
    masks = {term.flips for terms in observables for term in terms}
    fits = len(masks) * (len(observables) + 1) * 2**n_wires * 16 <= _MAX_BYTES
    return Readout(observables, n_wires) if fits else None


class _NotSupportedError(Exception):
    """An observable is none of those that are read here."""


def _terms(observable: Operator, bit: Mapping[Any, int]) -> Terms:
    if observable.pauli_rep is not None:
        return _of_words(observable.pauli_rep, bit)
    if isinstance(observable, Sum):
        return _sum(_terms(operand, bit) for operand in observable.operands)
    if isinstance(observable, SProd):
        scalar = _real(observable.scalar)
        return {term: scalar * factor for term, factor in _terms(observable.base, bit).items()}
    if isinstance(observable, Prod) and len(observable.wires) == sum(len(each.wires) for each in observable.operands):
        return reduce(_product, [_terms(operand, bit) for operand in observable.operands])
    wires = observable.wires
    if isinstance(observable, BasisStateProjector):
        onto = sum(bit[wire] for wire, value in zip(wires, observable.data[0], strict=True) if value)
        return {Term(0, 0, sum(bit[wire] for wire in wires), onto): 1.0}
    matrix = np.asarray(observable.matrix()) if len(wires) <= _MAX_MATRIX_WIRES and observable.has_matrix else None
    # An observable for each sample, or none at all, is not supported either.
    if matrix is None or matrix.ndim > 2 or not np.allclose(matrix, matrix.conj().T):
        raise _NotSupportedError
    return _of_words(qml.pauli_decompose(matrix, wire_order=wires, pauli=True), bit)


def _of_words(sentence: PauliSentence, bit: Mapping[Any, int]) -> Terms:
    terms = {}
    for word, factor in sentence.items():
        flips, signs = (sum(bit[wire] for wire, letter in word.items() if letter in which) for which in ("XY", "YZ"))
        terms[Term(flips, signs)] = _real(factor) * (-1j) ** (flips & signs).bit_count()
    return terms


def _real(factor: Any) -> float:
    if np.ndim(factor) or np.imag(factor):
        raise _NotSupportedError
    return float(np.real(factor))


def _sum(summands: Iterable[Terms]) -> Terms:
    total: Terms = {}
    for terms in summands:
        for term, factor in terms.items():
            total[term] = total.get(term, 0.0) + factor
    return total


def _product(left: Terms, right: Terms) -> Terms:
    """Of factors on different wires, whose bits are different."""
    if len(left) * len(right) > _MAX_TERMS:
        raise _NotSupportedError
    pairs = product(left.items(), right.items())
    return {Term(*map(or_, mine, theirs)): factor * of_theirs for (mine, factor), (theirs, of_theirs) in pairs}
