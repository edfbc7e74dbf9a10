"""Matrices of single wires, in gates and in derivatives, and the product states that circuits start from."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import numpy as np

from qkd_pl.devices.lightning.gates import Gate
from qkd_pl.devices.lightning.schedule import Run, Segment

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

    def __init__(self, runs: Sequence[Sequence[Gate]]):
        factors = [_absorbed(run) for run in runs]
        depth, n = max(map(len, factors), default=1), len(runs)
        entries, are_trainable = np.zeros((depth, n), dtype=int), np.zeros((depth, n), dtype=bool)
        self._scales, self._offsets = np.zeros((depth, n, 1)), np.zeros((depth, n, 1))
        self._paulis, self._constants = np.zeros((2, 2, depth, n, 1), complex), np.zeros((2, 2, depth, n, 1), complex)
        self._constants[:] = _IDENTITY[:, :, None, None, None]
        for i, run in enumerate(factors):
            for step, (gate, pauli, constant) in enumerate(run):
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
    """Reduced transition matrices Tr_others |ψ⟩⟨λ| of the wires of all trainable runs of a stage, after them.

    They are found for each sample, or with ``n_samples=0`` summed over all. ``runs`` are the numbers of the shared and
    of the batched runs, and where their matrices stand.
    """

    def __init__(self, n_wires: int, segments: Sequence[Segment], n_samples: int):
        found = [(i, run) for i, segment in enumerate(segments) for run in segment.runs if run.is_trainable]
        found.sort(key=lambda pair: pair[1].is_batched)
        numbers, cut = [run.number for _, run in found], sum(not run.is_batched for _, run in found)
        self.runs = (numbers[:cut], slice(0, cut)), (numbers[cut:], slice(cut, len(found)))
        asked: list[list[tuple[int, int]]] = [[] for _ in segments]
        for number, (segment, run) in enumerate(found):
            asked[segment].append((number, run.wire))
        self._own = np.zeros((2, 2, len(found), n_samples), complex) if n_samples else None
        self._of_segment: list[list[Any]] = [[] if n_samples == 0 else list(each) for each in asked]
        groups, size = _wire_groups(n_wires), 0
        # The last sum stays zero: the wires of smaller groups have fewer terms, and share an array with the others.
        self._index = np.full((2, 2, len(found), 2 ** (max(map(len, groups)) - 1)), -1)
        for segment, group in product(range(0 if n_samples else len(segments)), groups):
            if inside := [(number, wire) for number, wire in asked[segment] if wire in group]:
                wires = [wire for _, wire in inside]
                first, stop = min(wires), max(wires) + 1
                into = slice(size, size := size + 4 ** (stop - first))
                self._of_segment[segment].append(((2**first, 2 ** (stop - first), 2 ** (n_wires - stop)), into))
                for number, wire in inside:
                    terms = _partial_trace(stop - first, wire - first)
                    self._index[:, :, number, : terms.shape[2]] = into.start + terms
        self._sums = np.zeros(size + 1, complex)

    def clear(self) -> None:
        """Forget what was added."""
        if self._own is None:
            self._sums[:] = 0

    def add(self, segment: int, kets: np.ndarray, cotangents: np.ndarray, samples: slice) -> None:
        """Those of a block; the cotangents are overwritten."""
        bras = np.conjugate(cotangents, out=cotangents)
        if self._own is not None:
            for number, wire in self._of_segment[segment]:
                left, right = (each.reshape(2**wire, 2, -1, kets.shape[1]) for each in (kets, bras))
                for i, j in np.ndindex(2, 2):
                    self._own[i, j, number, samples] = (left[:, i] * right[:, j]).sum(axis=(0, 1))
            return
        for (outer, size, inner), into in self._of_segment[segment]:
            shape = (outer, size, inner * kets.shape[1])
            left, right = kets.reshape(shape), bras.reshape(shape)
            if shape[2] < _FEW_COLUMNS:
                rows, columns = (each.swapaxes(1, 2).reshape(-1, size) for each in (left, right))
                found = rows.T @ columns
            else:
                found = np.add.reduce(left @ right.transpose(0, 2, 1))
            self._sums[into] += found.ravel()

    def matrices(self) -> np.ndarray:
        """One for each run, shape ``(2, 2, n_runs, b)``, b being 1 for sums."""
        if self._own is not None:
            return self._own
        return self._sums.take(self._index).sum(axis=-1)[..., None]


@dataclass(frozen=True)
class Group:
    """Neighbouring wires that are prepared together."""

    n_wires: int
    state: int | None  # which of the given states they start from; None for |0⟩
    run: Run | None  # the gates that follow, on a group of one wire

    def amplitudes(self, states: Sequence[np.ndarray], shared: np.ndarray, batched: np.ndarray) -> np.ndarray:
        """``(2**n_wires, b)``, b being 1 or that of samples, from states ``(b, 2**n_wires)`` and runs' matrices."""
        if self.run is None:
            return np.eye(2**self.n_wires, 1, dtype=complex) if self.state is None else states[self.state].T
        matrix = (batched if self.run.is_batched else shared)[:, :, self.run.number]
        return matrix[:, 0] if self.state is None else _times(matrix, states[self.state].T[:, None])[:, 0]


def product_state(factors: Sequence[np.ndarray], dtype: Any) -> np.ndarray:
    """Tensor products of amplitudes ``(2**k, b)``, shape ``(2**n, b)``; none are a register without wires."""
    *others, state = factors or [np.ones((1, 1))]
    for factor in reversed(others):
        state = factor[:, None, :] * state
        state = state.reshape(len(factor) * state.shape[1], state.shape[2])
    return state.astype(dtype, copy=False)


def padded(amplitudes: np.ndarray, n_samples: int) -> np.ndarray:
    """With further samples, of amplitudes zero, unless all samples share them; shape ``(..., b)``."""
    missing = n_samples - amplitudes.shape[-1]
    if missing == 0 or amplitudes.shape[-1] == 1:
        return amplitudes
    return np.pad(amplitudes, [(0, 0)] * (amplitudes.ndim - 1) + [(0, missing)])


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
