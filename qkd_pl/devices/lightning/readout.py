"""Expectation values of many observables on a block of states, and the sum of the observables applied to it.

Every observable is a sum of products of a diagonal part and a dense matrix on a few wires. Diagonal observables need
only the probabilities of what the first wires give, and are evaluated together as one matrix product. The others are
grouped by diagonal part and wires; each group shares one reduced density matrix per sample.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pennylane as qml
from pennylane.measurements import ExpectationMP, MeasurementProcess
from pennylane.operation import Operator
from pennylane.ops import Prod, SProd, Sum

from qkd_pl.devices.lightning.remembered import remembered

MAX_DENSE_WIRES = 6
_MAX_BYTES = 2**28
# Shorter stretches of equal weight are not worth a call of BLAS each.
_MIN_STRETCH = 32
_SINGLE_OBSERVABLES = (qml.Identity, qml.X, qml.Y, qml.Z, qml.Hadamard, qml.Hermitian, qml.Projector)
_readouts: dict[Any, "Readout | None"] = {}
_READOUTS_KEPT = 16


@dataclass(frozen=True)
class _Factor:
    """A matrix ``(2**w, 2**w)``, or its diagonal ``(2**w,)``, on w positions of the register."""

    positions: tuple[int, ...]
    values: np.ndarray


@dataclass(frozen=True)
class _Term:
    """``coefficient`` times the product of factors on disjoint wires."""

    coefficient: float
    factors: tuple[_Factor, ...]


@dataclass
class _DenseGroup:
    """Products ``D ⊗ M_k`` of one diagonal part D and matrices on the same wires.

    Attributes:
        index: ``(2**w, rest)`` positions of amplitudes; those on which D vanishes are left out.
        weights: D on the rest, shape ``(rest,)``.
        matrices: ``(n_observables, 2**w, 2**w)``, zero for observables without such a term.
    """

    index: np.ndarray
    weights: np.ndarray
    matrices: np.ndarray


class _Diagonals:
    """Diagonal observables, as weights of stretches of the real and imaginary parts of a state's amplitudes.

    Args:
        terms: observable → its diagonal terms.
        n_wires: of the register, without sample wires.

    Attributes:
        rows: the observables.
        weights: shape ``(len(rows), n_stretches)`` float64.
    """

    def __init__(self, terms: dict[int, list[_Term]], n_wires: int):
        self.rows = list(terms)
        diagonals = np.zeros((len(terms), 2**n_wires))
        last = -1
        for row, of_row in zip(diagonals, terms.values(), strict=True):
            for term in of_row:
                row += term.coefficient * _diagonal(term.factors, n_wires).ravel()
                last = max([last, *(position for factor in term.factors for position in factor.positions)])
        stretch = 2 ** (n_wires - last)
        self.weights = np.repeat(diagonals, 2, axis=1)[:, :: stretch if stretch >= _MIN_STRETCH else 1].copy()

    def expectations(self, states: np.ndarray) -> np.ndarray:
        """Shape ``(len(rows), n_samples)`` float64."""
        stretches = self._stretches(states)
        are_single = stretches.shape[-1] == 1
        probabilities = np.square(stretches[:, :, 0]) if are_single else np.vecdot(stretches, stretches)
        return self.weights @ probabilities.T

    def applied(self, states: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
        """The sum of the observables with ``coefficients (len(rows), n_samples)``, a new array like the states."""
        stretches = self._stretches(states)
        weights = (coefficients.T @ self.weights).astype(stretches.dtype)
        parts = (stretches * weights[:, :, None]).reshape(len(states), 2 * states.shape[1])
        return parts.view(states.dtype)

    def _stretches(self, states: np.ndarray) -> np.ndarray:
        """Real and imaginary parts one after the other, ``(n_samples, n_stretches, length)``, without a copy."""
        n_stretches = self.weights.shape[1]
        parts = np.ascontiguousarray(states).view(states.real.dtype)
        return parts.reshape(len(states), n_stretches, parts.shape[1] // n_stretches)


class Readout:
    """Observables of one circuit, on the positions of its register.

    Args:
        observables: sums of terms, one per measurement.
        n_wires: of the register, without sample wires.
    """

    def __init__(self, observables: Sequence[Sequence[_Term]], n_wires: int):
        self.n_observables = len(observables)
        diagonal: dict[int, list[_Term]] = {}
        self._groups: dict[Any, _DenseGroup] = {}
        for k, terms in enumerate(observables):
            for term in terms:
                if all(factor.values.ndim == 1 for factor in term.factors):
                    diagonal.setdefault(k, []).append(term)
                else:
                    self._add_dense(k, term, n_wires)
        self._diagonals = _Diagonals(diagonal, n_wires)

    def _add_dense(self, k: int, term: _Term, n_wires: int) -> None:
        diagonal = [factor for factor in term.factors if factor.values.ndim == 1]
        dense = [factor for factor in term.factors if factor.values.ndim == 2]
        positions = tuple(sorted(p for factor in dense for p in factor.positions))
        key = (positions, tuple(sorted((factor.positions, factor.values.tobytes()) for factor in diagonal)))
        if key not in self._groups:
            self._groups[key] = _dense_group(diagonal, positions, n_wires, self.n_observables)
        self._groups[key].matrices[k] += term.coefficient * _joined(dense, positions)

    def expectations(self, states: np.ndarray) -> np.ndarray:
        """Expectation values, shape ``(n_observables, n_samples)`` float64, of states ``(n_samples, 2**n_wires)``."""
        values = np.zeros((self.n_observables, len(states)))
        values[self._diagonals.rows] = self._diagonals.expectations(states)
        for group in self._groups.values():
            chosen = states[:, group.index]
            reduced = (chosen * group.weights) @ chosen.conj().transpose(0, 2, 1)
            flat = reduced.transpose(0, 2, 1).reshape(len(states), -1)
            values += (flat @ group.matrices.reshape(self.n_observables, -1).T).real.T
        return values

    def bras(self, states: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
        """``Σ_k coefficients_kb ⟨state_b| O_k``, shape ``(n_samples, 2**n_wires)``; coefficients have shape (k, b)."""
        kets = self._diagonals.applied(states, coefficients[self._diagonals.rows])
        for group in self._groups.values():
            matrices = np.tensordot(coefficients.T, group.matrices, axes=1).astype(states.dtype, copy=False)
            kets[:, group.index] += matrices @ (states[:, group.index] * group.weights)
        return np.conjugate(kets, out=kets)


def readout_of(measurements: Sequence[MeasurementProcess], wires: dict[Any, int]) -> Readout | None:
    """Readout of a tape's measurements; None unless all are expectation values of supported observables.

    Args:
        measurements: of one tape.
        wires: label → position.
    """
    specs = [_spec(m.obs, wires) if isinstance(m, ExpectationMP) and m.obs is not None else None for m in measurements]
    if None in specs or not specs:
        return None
    return remembered(_readouts, (len(wires), tuple(specs)), _READOUTS_KEPT, lambda: _build(measurements, wires))


def _build(measurements: Sequence[MeasurementProcess], wires: dict[Any, int]) -> Readout | None:
    observables = [_terms(measurement.obs, wires) for measurement in measurements]
    if any(terms is None or not all(map(_is_supported, terms)) for terms in observables):
        return None
    if len(observables) * 2 ** len(wires) * 8 > _MAX_BYTES:
        return None
    return Readout([terms for terms in observables if terms is not None], len(wires))


def _is_supported(term: _Term) -> bool:
    positions = [p for factor in term.factors for p in factor.positions]
    n_dense = sum(len(factor.positions) for factor in term.factors if factor.values.ndim == 2)
    return len(set(positions)) == len(positions) and n_dense <= MAX_DENSE_WIRES


def _spec(observable: Operator, wires: dict[Any, int]) -> Any:
    """A hashable description of an observable on positions; None if it is not supported."""
    if isinstance(observable, Prod | Sum):
        parts = [_spec(operand, wires) for operand in observable.operands]
        return None if None in parts else (type(observable).__name__, *parts)
    if isinstance(observable, SProd):
        base = _spec(observable.base, wires)
        return None if base is None else ("SProd", float(observable.scalar), base)
    if not isinstance(observable, _SINGLE_OBSERVABLES):
        return None
    data = tuple((np.shape(values), np.asarray(values).tobytes()) for values in observable.data)
    return (observable.name, tuple(wires[wire] for wire in observable.wires), data)


def _terms(observable: Operator, wires: dict[Any, int]) -> list[_Term]:
    if isinstance(observable, Sum):
        return [term for operand in observable.operands for term in _terms(operand, wires)]
    if isinstance(observable, SProd):
        scale = float(observable.scalar)
        return [_Term(scale * term.coefficient, term.factors) for term in _terms(observable.base, wires)]
    if isinstance(observable, Prod):
        choices = product(*(_terms(operand, wires) for operand in observable.operands))
        return [_multiplied(terms) for terms in choices]
    if observable.name == "Identity":
        return [_Term(1.0, ())]
    return [_Term(1.0, (_factor(observable, tuple(wires[wire] for wire in observable.wires)),))]


def _multiplied(terms: Sequence[_Term]) -> _Term:
    coefficient = float(np.prod([term.coefficient for term in terms]))
    return _Term(coefficient, tuple(factor for term in terms for factor in term.factors))


def _factor(observable: Operator, positions: tuple[int, ...]) -> _Factor:
    if observable.name == "BasisStateProjector":
        values = np.zeros(2 ** len(positions))
        values[int("".join(str(int(bit)) for bit in observable.data[0]), 2)] = 1
        return _Factor(positions, values)
    matrix = np.asarray(observable.matrix(), dtype=np.complex128)
    diagonal = np.diagonal(matrix)
    return _Factor(positions, diagonal.real.copy() if np.array_equal(np.diag(diagonal), matrix) else matrix)


def _diagonal(factors: Sequence[_Factor], n_wires: int) -> np.ndarray:
    """Product of diagonal factors on the whole register, shape ``(2,) * n_wires``."""
    values = np.ones((2,) * n_wires)
    for factor in factors:
        order = np.argsort(factor.positions)
        tensor = factor.values.reshape((2,) * len(order)).transpose(order)
        shape = [2 if position in factor.positions else 1 for position in range(n_wires)]
        values = values * tensor.reshape(shape)
    return values


def _joined(factors: Sequence[_Factor], positions: Sequence[int]) -> np.ndarray:
    """Product of dense factors as one matrix on ``positions``."""
    matrix = np.eye(1)
    for factor in factors:
        matrix = np.kron(matrix, factor.values)
    order = np.argsort([p for factor in factors for p in factor.positions])
    n = len(positions)
    axes = [*order, *(order + n)]
    return matrix.reshape((2,) * (2 * n)).transpose(axes).reshape(2**n, 2**n)


def _dense_group(
    diagonal: Sequence[_Factor], positions: Sequence[int], n_wires: int, n_observables: int
) -> _DenseGroup:
    size = 2 ** len(positions)
    flat = np.moveaxis(np.arange(2**n_wires).reshape((2,) * n_wires), positions, range(len(positions)))
    weights = np.moveaxis(_diagonal(diagonal, n_wires), positions, range(len(positions))).reshape(size, -1)[0]
    kept = np.flatnonzero(weights)
    matrices = np.zeros((n_observables, size, size), dtype=np.complex128)
    return _DenseGroup(flat.reshape(size, -1)[:, kept], weights[kept], matrices)
