"""Matrices of single wires, in gates and in derivatives, and the product states that circuits start from."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from qkd_pl.devices.lightning.gates import Gate
from qkd_pl.devices.lightning.schedule import Stage

_IDENTITY = np.eye(2, dtype=np.complex128)


class Runs:
    """Runs of single-qubit gates as products of factors exp(-iθP/2)·A, A constant, aligned step by step.

    Constant gates disappear into A of the rotation that follows them and, behind the last one, into P and A. Shorter
    runs are padded with identities. Entry 0 of what sets the angles is zero, so that constants are no special case.
    The two axes of a matrix come first: NumPy's innermost loops then run over samples and runs rather than over pairs.

    Args:
        runs: the gates of each run, in the order in which they act.
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
                self._scales[step, i], self._offsets[step, i] = gate.scale, gate.offset
                self._paulis[:, :, step, i, 0], self._constants[:, :, step, i, 0] = pauli, constant
        self._sines = -1j * _times(self._paulis, self._constants)
        self._entries, self._trainable = entries, are_trainable.nonzero()
        self.trainable_entries = entries[self._trainable]

    def __len__(self) -> int:
        return self._entries.shape[1]

    def factors(self, entries: np.ndarray) -> np.ndarray:
        """Matrices of all factors, shape ``(2, 2, depth, n_runs, b)`` complex128.

        Args:
            entries: what sets the angles, shape ``(n_entries, b)`` float64, b being 1 or the number of samples.
        """
        half = 0.5 * (self._scales * entries[self._entries] + self._offsets)
        return np.cos(half) * self._constants + np.sin(half) * self._sines

    def gradient(self, after: np.ndarray, crosses: np.ndarray) -> np.ndarray:
        """Derivatives of ``2 Re ⟨cotangent|state⟩`` with respect to ``trainable_entries``, which may repeat.

        With C = Tr_others |state⟩⟨cotangent| after a run, and V what acts in it after a rotation exp(-iθP/2), the
        derivative with respect to θ is 2 Re Tr(V (-iP/2) V† C) = Im Tr(V P V† C).

        Args:
            after: V of all factors, see :func:`merged`.
            crosses: C, shape ``(2, 2, n_runs, b)``.

        Returns:
            float64, shape ``(len(trainable_entries), b)``.
        """
        generators = _times(_times(after, self._paulis), after.conj().swapaxes(0, 1))
        found = (generators * crosses.swapaxes(0, 1)[:, :, None]).sum(axis=(0, 1)).imag
        return (found * self._scales)[self._trainable]


def merged(factors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The matrix of each run, shape ``(2, 2, n_runs, b)``, and the product of what acts in it after each factor."""
    after = np.empty_like(factors)
    after[:, :, -1], product = _IDENTITY[:, :, None, None], factors[:, :, -1]
    for step in reversed(range(factors.shape[2] - 1)):
        after[:, :, step] = product
        product = _times(product, factors[:, :, step])
    return product, after


def _times(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Products of 2 × 2 matrices, which stand on the first two axes."""
    return left[:, :1] * right[:1] + left[:, 1:] * right[1:]


# Larger groups of wires need more arithmetic in their cross matrices, smaller ones more passes.
_MAX_GROUP = 4


class Crosses:
    """Reduced cross matrices Tr_others |ψ⟩⟨λ| of the wires of all trainable runs of a stage, after them.

    Args:
        stage: the segments.
        n_samples: 0 for sums over all samples.

    Attributes:
        runs: numbers of the shared and of the batched trainable runs, and where their matrices stand.
    """

    def __init__(self, stage: Stage, n_samples: int):
        n, found = stage.n_wires, [(i, run) for i, each in enumerate(stage.segments) for run in each.runs]
        found = sorted((pair for pair in found if pair[1].is_trainable), key=lambda pair: pair[1].is_batched)
        cut = sum(not run.is_batched for _, run in found)
        numbers = np.array([run.number for _, run in found], int)
        self.runs = (numbers[:cut], slice(0, cut)), (numbers[cut:], slice(cut, len(found)))
        self._own = np.zeros((2, 2, len(found), n_samples), complex) if n_samples else None
        self._of_segment: list[list[Any]] = [[] for _ in stage.segments]
        groups = _wire_groups(n)
        stops = np.cumsum([4 ** len(group) for group in groups])
        # The last column stays zero: the wires of smaller groups have fewer terms, and share an array with the others.
        self._sums = np.zeros((len(stage.segments), stops[-1] + 1), complex)
        index = np.full((2, 2, len(found), 2 ** (max(map(len, groups)) - 1)), stops[-1])
        for number, (segment, run) in enumerate(found):
            if n_samples:
                self._of_segment[segment].append((number, run.wire))
                continue
            which = next(k for k, group in enumerate(groups) if run.wire in group)
            group, start = groups[which], stops[which] - 4 ** len(groups[which])
            shape = (2**group.start, 2 ** len(group), 2 ** (n - group.stop))
            if (into := (shape, slice(start, stops[which]))) not in self._of_segment[segment]:
                self._of_segment[segment].append(into)
            terms = start + _partial_trace(len(group), run.wire - group.start)
            index[:, :, number, : terms.shape[2]] = terms
            index[:, :, number] += segment * self._sums.shape[1]
        self._index = index

    def clear(self) -> None:
        """Forget what was added."""
        self._sums[:] = 0

    def add(self, segment: int, kets: np.ndarray, cotangents: np.ndarray, samples: slice) -> None:
        """Those of a block; the cotangents are overwritten."""
        bras = np.conjugate(cotangents, out=cotangents)
        if self._own is not None:
            for number, wire in self._of_segment[segment]:
                _add_per_sample(self._own[:, :, number, samples], wire, kets, bras)
            return
        for (outer, size, inner), into in self._of_segment[segment]:
            shape = (outer, size, inner * kets.shape[1])
            left, right = kets.reshape(shape), bras.reshape(shape)
            if shape[2] == 1:
                found = left[:, :, 0].T @ right[:, :, 0]
            elif outer == 1:
                found = left[0] @ right[0].T
            else:
                found = (left @ right.transpose(0, 2, 1)).sum(axis=0)
            self._sums[segment, into] += found.ravel()

    def matrices(self) -> np.ndarray:
        """One for each run, shape ``(2, 2, n_runs, b)``, b being 1 for sums."""
        if self._own is not None:
            return self._own
        return self._sums.take(self._index).sum(axis=-1)[..., None]


def _add_per_sample(out: np.ndarray, wire: int, kets: np.ndarray, bras: np.ndarray) -> None:
    shape = (2**wire, 2, -1, kets.shape[1])
    left, right = kets.reshape(shape)[..., : out.shape[2]], bras.reshape(shape)[..., : out.shape[2]]
    for i in range(2):
        for j in range(2):
            out[i, j] = (left[:, i] * right[:, j]).sum(axis=(0, 1))


def _wire_groups(n_wires: int) -> list[range]:
    """Neighbouring wires; the last group, whose amplitudes lie closest together, is the largest."""
    n_groups = -(-n_wires // _MAX_GROUP)
    bounds = [n_wires * i // n_groups for i in range(n_groups + 1)]
    return [range(first, stop) for first, stop in pairwise(bounds)]


def _partial_trace(n_wires: int, wire: int) -> np.ndarray:
    """Where the terms of a wire's matrix stand in that of its group, shape ``(2, 2, 2**(n_wires - 1))``."""
    rows = np.arange(2**n_wires).reshape(2**wire, 2, -1).transpose(1, 0, 2).reshape(2, -1)
    return 2**n_wires * rows[:, None] + rows


@dataclass(frozen=True)
class Group:
    """Neighbouring wires that are prepared together.

    Attributes:
        wires: labels.
        state: which of the given states they start from; None for ``|0⟩``.
        run: number of the run of gates that follows, on a group of one wire; None for none.
        batched: whether that run is.
    """

    wires: tuple[Any, ...]
    state: int | None = None
    run: int | None = None
    batched: bool = False

    def amplitudes(self, states: Sequence[np.ndarray], shared: np.ndarray, batched: np.ndarray | None) -> np.ndarray:
        """Shape ``(2**n_wires, b)``, b being 1 or the number of samples; a view where that is possible.

        Args:
            states: each ``(b, 2**n_wires)``.
            shared, batched: matrices of the runs, see :func:`merged`.
        """
        if self.run is None:
            return np.eye(2 ** len(self.wires), 1, dtype=complex) if self.state is None else states[self.state].T
        matrix = (batched if self.batched else shared)[:, :, self.run]  # type: ignore[index]
        if self.state is None:
            return matrix[:, 0]
        return _times(matrix, states[self.state].T[:, None])[:, 0]


def product_state(factors: Sequence[np.ndarray], dtype: Any) -> np.ndarray:
    """Tensor products of amplitudes ``(2**k, b)``, shape ``(2**n, b)``; none are a register without wires."""
    *others, state = factors or [np.ones((1, 1))]
    for factor in reversed(others):
        state = factor[:, None, :] * state
        state = state.reshape(-1, state.shape[2]) if state.size else np.empty((len(factor) * state.shape[1], 0))
    return state.astype(dtype, copy=False)


def padded(amplitudes: np.ndarray, n_samples: int) -> np.ndarray:
    """With further samples, of amplitudes zero, unless all samples share them; shape ``(..., b)``."""
    missing = n_samples - amplitudes.shape[-1]
    if missing == 0 or amplitudes.shape[-1] == 1:
        return amplitudes
    return np.pad(amplitudes, [(0, 0)] * (amplitudes.ndim - 1) + [(0, missing)])


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
