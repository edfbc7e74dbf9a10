"""Matrices of single wires, in gates and in derivatives, and the product states that circuits start from."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise, product
from typing import Any

import numpy as np

from qkd_pl.devices.lightning.gates import Gate
from qkd_pl.devices.lightning.schedule import Group, Run, Segment, Stage

_IDENTITY = np.eye(2, dtype=np.complex128)
# From here on a sample by itself fills a kernel call, and blocks of few samples would make matrix products slow.
SINGLE_SAMPLE_WIRES = 13
# Larger groups of wires need more arithmetic in their transition matrices, smaller ones more passes; the last one, if
# no samples stand behind it, may be larger.
_MAX_GROUP, _LAST_GROUP = 4, 5
# Many products with fewer columns than this take longer than one of transposed copies.
_FEW_COLUMNS = 16


class Runs:
    """Runs of single-qubit gates as products of factors exp(-iθP/2)·A, A constant, aligned step by step.

    Constant gates disappear into A of the rotation that follows them and, behind the last one, into P and A. Shorter
    runs are padded with identities. Entry 0 of what sets the angles is zero, so that constants are no special case.
    The two axes of a matrix come first: NumPy's innermost loops then run over samples and runs rather than over pairs.
    """

    def __init__(self, runs: Sequence[Run]):
        factors = [_absorbed(run.gates) for run in runs]
        depth, n = max(map(len, factors), default=1), len(runs)
        entries, are_trainable = np.zeros((depth, n), dtype=int), np.zeros((depth, n), dtype=bool)
        self._scales, self._offsets = np.zeros((depth, n, 1)), np.zeros((depth, n, 1))
        self._paulis, self._constants = np.zeros((2, 2, depth, n, 1), complex), np.zeros((2, 2, depth, n, 1), complex)
        self._constants[:] = _IDENTITY[:, :, None, None, None]
        for i, run in enumerate(runs):
            run.number = i
            for step, (gate, pauli, constant) in enumerate(factors[i]):
                entries[step, i], are_trainable[step, i] = gate.entry, gate.trainable
                self._scales[step, i], self._offsets[step, i] = 0.5 * gate.scale, 0.5 * gate.offset
                self._paulis[:, :, step, i, 0], self._constants[:, :, step, i, 0] = pauli, constant
        self._sines = -1j * _times(self._paulis, self._constants)
        self._entries, self._trainable = entries, are_trainable.nonzero()
        self.trainable_entries = entries[self._trainable]

    def __len__(self) -> int:
        return self._entries.shape[1]

    def matrices(self, entries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """From entries ``(n_entries, b)`` the matrix of each run and, for each factor, what acts in its run after it.

        Shapes ``(2, 2, n_runs, b)`` and ``(2, 2, depth, n_runs, b)`` complex128.
        """
        if not len(self):
            return (np.empty((2, 2, 0, entries.shape[1])),) * 2
        half = self._scales * entries[self._entries] + self._offsets
        factors = np.cos(half) * self._constants
        factors += np.sin(half) * self._sines
        after = np.empty_like(factors)
        after[:, :, -1], product = _IDENTITY[:, :, None, None], factors[:, :, -1]
        for step in reversed(range(factors.shape[2] - 1)):
            after[:, :, step] = product
            product = _times(product, factors[:, :, step])
        return product, after

    def gradient(self, after: np.ndarray, transitions: np.ndarray) -> np.ndarray:
        """Derivatives of ``2 Re ⟨λ|ψ⟩`` by ``trainable_entries``, which may repeat: ``(len(trainable_entries), b)``.

        With T = Tr_others |ψ⟩⟨λ| after a run, ``(2, 2, n_runs, b)``, and V what acts in it after a rotation
        exp(-iθP/2), the derivative with respect to θ is 2 Re Tr(V (-iP/2) V† T) = Im Tr(V P V† T).
        """
        generators = _times(_times(after, self._paulis), after.conj().swapaxes(0, 1))
        found = (generators * transitions.swapaxes(0, 1)[:, :, None]).sum(axis=(0, 1)).imag
        return 2 * (found * self._scales)[self._trainable]


class Transitions:
    """Reduced transition matrices Tr_others |ψ⟩⟨λ| of the wires of all trainable runs, after them.

    They are found for each sample, or with ``n_samples=None`` summed over all, which is done for shared runs alone.
    ``n_runs`` are those of the shared and of the batched runs.
    """

    def __init__(self, stages: Sequence[Stage], n_runs: Sequence[int], n_samples: int | None):
        self._own = [] if n_samples is None else [np.zeros((2, 2, n, n_samples), complex) for n in n_runs]
        largest = max(len(group) for stage in stages for group in _wire_groups(stage.n_wires))
        # Where the terms of a matrix stand among the sums. The last one stays zero: wires of smaller groups have fewer.
        self._index = np.full((2, 2, n_runs[0], 2 ** (largest - 1)), -1)
        self._products: dict[Segment, list[tuple[tuple[int, int, int], slice]]] = defaultdict(list)
        size = 0
        for stage in stages if n_samples is None else ():
            for segment, group in product(stage.segments, _wire_groups(stage.n_wires)):
                runs = [run for run in segment.runs if run.is_trainable and run.wire in group]
                if runs:
                    first, stop = min(run.wire for run in runs), max(run.wire for run in runs) + 1
                    into = slice(size, size := size + 4 ** (stop - first))
                    shape = 2**first, 2 ** (stop - first), 2 ** (stage.n_wires - stop)
                    self._products[segment].append((shape, into))
                    for run in runs:
                        terms = _partial_trace(stop - first, run.wire - first)
                        self._index[:, :, run.number, : terms.shape[2]] = into.start + terms
        self._sums = np.zeros(size + 1, complex)

    def add(self, segment: Segment, kets: np.ndarray, cotangents: np.ndarray, samples: slice) -> None:
        """Those of a block; the cotangents are overwritten."""
        bras = np.conjugate(cotangents, out=cotangents)
        for run in segment.runs if self._own else ():
            if run.is_trainable:
                left, right = (each.reshape(2**run.wire, 2, -1, kets.shape[1]) for each in (kets, bras))
                for i, j in np.ndindex(2, 2):
                    self._own[run.is_batched][i, j, run.number, samples] = (left[:, i] * right[:, j]).sum(axis=(0, 1))
        for (outer, size, inner), into in self._products[segment]:
            shape = (outer, size, inner * kets.shape[1])
            left, right = kets.reshape(shape), bras.reshape(shape)
            if shape[2] < _FEW_COLUMNS:
                rows, columns = (each.swapaxes(1, 2).reshape(-1, size) for each in (left, right))
                found = rows.T @ columns
            else:
                found = np.add.reduce(left @ right.transpose(0, 2, 1))
            self._sums[into] += found.ravel()

    def matrices(self, is_batched: bool) -> np.ndarray:
        """One for each of these runs, shape ``(2, 2, n_runs, b)``; sums, for which b is 1, begin anew then."""
        if self._own:
            return self._own[is_batched]
        found = self._sums.take(self._index).sum(axis=-1)[..., None]
        self._sums[:] = 0
        return found


def amplitudes(group: Group, states: Sequence[np.ndarray], shared: np.ndarray, batched: np.ndarray) -> np.ndarray:
    """Those of a group, ``(2**n_wires, 1 or b)``, from given states of that shape and the matrices of runs."""
    if group.run is None:
        return np.eye(2**group.n_wires, 1, dtype=complex) if group.state is None else states[group.state]
    matrix = (batched if group.run.is_batched else shared)[:, :, group.run.number]
    return matrix[:, 0] if group.state is None else _times(matrix, states[group.state][:, None])[:, 0]


def product_state(factors: Sequence[np.ndarray], dtype: Any) -> np.ndarray:
    """Tensor products of amplitudes ``(2**k, b)``, shape ``(2**n, b)``."""
    *others, state = factors
    for factor in reversed(others):
        state = factor[:, None, :] * state
        state = state.reshape(len(factor) * state.shape[1], state.shape[2])
    return state.astype(dtype, copy=False)


def padded(numbers: np.ndarray, missing: int) -> np.ndarray:
    """``(k, b + missing)``, from numbers ``(k, b)`` of samples; those of the further ones are zero."""
    return np.pad(numbers, [(0, 0), (0, missing)]) if missing else numbers


def _times(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Products of 2 × 2 matrices, which stand on the first two axes."""
    return left[:, :1] * right[:1] + left[:, 1:] * right[1:]


def _absorbed(run: Sequence[Gate]) -> list[tuple[Gate, np.ndarray, np.ndarray]]:
    """Rotations of a run with their P and A; a run without rotations is one that turns by nothing."""
    found: list[tuple[Gate, np.ndarray, np.ndarray]] = []
    constant = _IDENTITY
    for gate in run:
        if gate.pauli is None:
            assert gate.matrix is not None, "a gate on one wire is a rotation or a matrix"
            constant = gate.matrix @ constant
        else:
            found.append((gate, gate.pauli, constant))
            constant = _IDENTITY
    if not found:
        return [(Gate(()), np.zeros((2, 2)), constant)]
    gate, pauli, before = found[-1]
    found[-1] = gate, constant @ pauli @ constant.conj().T, constant @ before
    return found


def _wire_groups(n_wires: int) -> list[range]:
    """Neighbouring wires; the last group, whose amplitudes lie closest together, is the largest."""
    others = n_wires - _LAST_GROUP if n_wires >= SINGLE_SAMPLE_WIRES else n_wires
    n_groups = -(-others // _MAX_GROUP)
    bounds = [*(others * i // n_groups for i in range(n_groups)), others, n_wires]
    return [range(first, stop) for first, stop in pairwise(bounds) if first < stop]


def _partial_trace(n_wires: int, wire: int) -> np.ndarray:
    """Where the terms of a wire's matrix stand in that of its group, shape ``(2, 2, 2**(n_wires - 1))``."""
    rows = np.arange(2**n_wires).reshape(2**wire, 2, -1).transpose(1, 0, 2).reshape(2, -1)
    return 2**n_wires * rows[:, None] + rows
