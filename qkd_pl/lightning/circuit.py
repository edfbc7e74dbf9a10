"""What a broadcast tape asks for: a batch of product amplitudes, then gates that all samples share."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pennylane as qml
from pennylane.operation import Operator, StatePrepBase
from pennylane.tape import QuantumScript

from qkd_pl.causal_cone import DIAGONAL_GATES, measured_reach, needed_gates
from qkd_pl.lightning.gates import ONE_ENTRY, Gates
from qkd_pl.lightning.templates import FIXED, ROTATIONS, decomposed, is_scalar

Preparations = dict[tuple[Any, ...], list[Operator]]
_PAULI = {"RX": np.array([[0, 1], [1, 0]]), "RY": np.array([[0, -1j], [1j, 0]]), "RZ": np.diag([1, -1])}
# An operation, its wires, and the indices of its parameters among those of the tape.
Indexed = tuple[Operator, tuple[Any, ...], Sequence[int]]


@dataclass(frozen=True)
class TrainableParameter:
    """Where the gradient of one parameter of a tape comes from.

    Attributes:
        shape: of the parameter.
        angles: positions among the angles of the gates.
        entries: for each of these angles the flat position in the parameter that sets it.
    """

    shape: tuple[int, ...]
    angles: np.ndarray
    entries: np.ndarray

    def gather(self, gradient: np.ndarray) -> np.ndarray:
        """Gradient of this parameter, float64 of its shape, from the gradient of all angles."""
        if self.entries is ONE_ENTRY:
            return gradient[self.angles[0]]
        size = int(np.prod(self.shape))
        return np.bincount(self.entries, gradient[self.angles], minlength=size).reshape(self.shape)


@dataclass(frozen=True)
class BatchedCircuit:
    """A broadcast tape, split.

    Attributes:
        batch_size: number of samples.
        wires: label → position in the register; wires prepared together are neighbours.
        preparations: wires → one state preparation, or single-qubit gates that act on ``|0⟩``.
        gates: what acts afterwards, on all samples alike.
        trainable: the tape's trainable parameters, in order.
    """

    batch_size: int
    wires: dict[Any, int]
    preparations: Preparations
    gates: Gates
    trainable: list[TrainableParameter]

    @cached_property
    def factors(self) -> list[np.ndarray]:
        """Amplitudes of each group of wires prepared together, shape ``(batch_size or 1, 2**n_wires_of_group)``."""
        return [_prepared(operations) for operations in self.preparations.values()]

    def amplitudes(self, samples: slice) -> np.ndarray:
        """Initial amplitudes of some samples, shape ``(n_samples, 2**n_wires)``."""
        n_samples = len(range(self.batch_size)[samples])
        state = np.ones((1, 1))
        for factor in self.factors:
            chosen = factor[samples] if len(factor) == self.batch_size else factor
            state = (state[:, :, None] * chosen[:, None, :]).reshape(max(len(state), len(chosen)), -1)
        return np.broadcast_to(state, (n_samples, state.shape[1]))

    def prepares_same_state_as(self, other: "BatchedCircuit") -> bool:
        """Whether both end in the same states, whatever is measured then."""
        return (
            self.wires == other.wires
            and self.gates.same_as(other.gates)
            and self.preparations.keys() == other.preparations.keys()
            and all(
                here is there or (here.wires == there.wires and here.name == there.name and _same_data(here, there))
                for mine, theirs in zip(self.preparations.values(), other.preparations.values(), strict=True)
                for here, there in zip(mine, theirs, strict=True)
            )
        )


def split(tape: QuantumScript, differentiable: bool, causal_cone: bool) -> BatchedCircuit | None:
    """Split a broadcast tape; None if it is not of this form.

    Args:
        tape: its trainable parameters may be tracers of an autodifferentiation framework.
        differentiable: whether the tape's trainable parameters must be parameters of shared gates.
        causal_cone: whether to drop gates and preparations that no measurement depends on.
    """
    trainable = frozenset(tape.trainable_params) if differentiable else frozenset()
    operations = list(_indexed(tape.operations, trainable))
    separated = _separate(operations, trainable)
    if separated is None:
        return None
    preparations, shared = separated
    all_sizes = (_batch_size(op) for group in preparations.values() for op in group)
    sizes = {size for size in all_sizes if size is not None}
    if len(sizes) != 1:
        return None
    gates = Gates()
    parameters: dict[int, TrainableParameter] = {}
    for op, on, indices in shared:
        start, differentiated = gates.n_angles, [i for i in indices if i in trainable]
        entries = gates.add(op, on, bool(differentiated))
        if entries is None:
            return None
        for i in differentiated:
            parameters[i] = _trainable_parameter(op, i - indices[0], start, entries)
    if parameters.keys() != trainable:
        return None
    if causal_cone:
        preparations = _prune(gates, preparations, tape)
    wires = dict.fromkeys(wire for group in preparations for wire in group)
    for used in (*gates.wires, *(measurement.wires for measurement in tape.measurements)):
        for wire in used:
            if wire not in wires:
                wires[wire] = None
                preparations[(wire,)] = []
    positions = {wire: position for position, wire in enumerate(wires)}
    return BatchedCircuit(sizes.pop(), positions, preparations, gates, [parameters[i] for i in sorted(parameters)])


def _prune(gates: Gates, preparations: Preparations, tape: QuantumScript) -> Preparations:
    """Drop gates outside the causal cone of the measurements; return the preparations that remain."""
    reached = measured_reach(tape.measurements, ())
    if reached is None:
        return preparations
    flagged = [(on, name in DIAGONAL_GATES) for on, name in zip(gates.wires, gates.names, strict=True)]
    gates.keep(needed_gates(flagged, reached))
    return {wires: group for wires, group in preparations.items() if not reached.keys().isdisjoint(wires)}


def _indexed(operations: Iterable[Operator], trainable: frozenset[int]) -> Iterator[Indexed]:
    """Number the parameters; decompose broadcast embeddings, which then need no numbers."""
    first = 0
    for op in operations:
        indices = range(first, first + len(op.data))
        first += len(op.data)
        wires = op.wires.labels
        if len(wires) < 2 or _batch_size(op) is None or isinstance(op, StatePrepBase):
            yield op, wires, indices
        elif op.has_decomposition and trainable.isdisjoint(indices):
            yield from ((part, on, ()) for part, on, _ in _indexed(decomposed(op), frozenset()))
        else:
            yield op, wires, indices


def _separate(operations: Sequence[Indexed], trainable: frozenset[int]) -> tuple[Preparations, list[Indexed]] | None:
    """State preparations and gates up to the last broadcast one on their wire, and the gates that come after them."""
    last_broadcast = {wires[0]: i for i, (op, wires, _) in enumerate(operations) if _batch_size(op) is not None}
    preparations: Preparations = {}
    owner: dict[Any, tuple[Any, ...]] = {}
    touched: set[Any] = set()
    shared = []
    for i, (op, wires, indices) in enumerate(operations):
        is_state = isinstance(op, StatePrepBase)
        if not is_state and (not wires or i > last_broadcast.get(wires[0], -1)):
            shared.append((op, wires, indices))
            touched.update(wires)
            continue
        fits = _is_plain(op) and owner.keys().isdisjoint(wires) if is_state else len(wires) == 1 and op.has_matrix
        if not fits or not touched.isdisjoint(wires) or not trainable.isdisjoint(indices):
            return None
        if owner.setdefault(wires[0], wires) != wires:
            return None
        owner.update(dict.fromkeys(wires, wires))
        preparations.setdefault(wires, []).append(op)
    return preparations, shared


def _batch_size(op: Operator) -> int | None:
    """``op.batch_size``, which takes long to find out, without asking simple gates for it."""
    if op.name in FIXED or not op.data:
        return None
    if op.name in ROTATIONS:
        return None if is_scalar(op.data[0]) else len(op.data[0])
    return op.batch_size


def _is_plain(op: Operator) -> bool:
    """A state preparation whose amplitudes are one dense array."""
    return (isinstance(op, qml.StatePrep) and not op.is_sparse) or op.batch_size is None


def _prepared(operations: Sequence[Operator]) -> np.ndarray:
    if operations and isinstance(operations[0], qml.StatePrep):
        return np.atleast_2d(operations[0].data[0])
    if operations and isinstance(operations[0], StatePrepBase):
        return np.reshape(operations[0].state_vector(), (1, -1))
    state = np.array([[1.0, 0.0]])
    for op in operations:
        if op.name in _PAULI:
            half = np.reshape(op.data[0], (-1, 1)) / 2
            state = np.cos(half) * state - 1j * np.sin(half) * (state @ _PAULI[op.name].T)
        else:
            state = np.einsum("...ij,...j->...i", op.matrix(), state)
    return np.atleast_2d(state)


def _trainable_parameter(op: Operator, which: int, start: int, entries: np.ndarray) -> TrainableParameter:
    """Select among the angles of ``op`` those that its parameter number ``which`` sets."""
    if entries is ONE_ENTRY:
        return TrainableParameter((), np.array([start]), entries)
    shapes = [getattr(data, "shape", ()) for data in op.data]
    first = sum(int(np.prod(shape)) for shape in shapes[:which])
    own = (entries >= first) & (entries < first + int(np.prod(shapes[which])))
    return TrainableParameter(shapes[which], start + np.flatnonzero(own), entries[own] - first)


def _same_data(first: Operator, second: Operator) -> bool:
    return all(np.array_equal(here, there) for here, there in zip(first.data, second.data, strict=True))
