"""How a broadcast tape splits into product states and gates that all samples share: all but its numbers.

Finding out takes longer than running a small circuit, and a training asks about the same tape with other numbers in
every step. What was found is therefore kept, under a key of all that it depends on.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pennylane as qml
from pennylane.operation import Operator, StatePrepBase
from pennylane.ops.op_math import Adjoint, SymbolicOp
from pennylane.tape import QuantumScript

from qkd_pl.devices.causal_cone import DIAGONAL_GATES, Reach, measured_reach, needed_gates
from qkd_pl.devices.lightning.gates import ONE_ENTRY, Gates, Source
from qkd_pl.devices.lightning.preparation import Preparation, ProductStates
from qkd_pl.devices.lightning.remembered import remembered
from qkd_pl.devices.lightning.stages import Entry, Stage, Wires, entries
from qkd_pl.devices.lightning.templates import (
    FIXED,
    ROTATIONS,
    decomposed,
    embedding_template_of,
    is_number,
    is_scalar,
    shapes_of,
    structure_of,
    template_of,
)


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
class Layout:
    """The structure of a broadcast tape.

    Attributes:
        batch_size: number of samples.
        wires: label → position in the register; wires prepared together are neighbours.
        preparations: what each group of wires starts from.
        gates: what acts afterwards, on all samples alike.
        trainable: the tape's trainable parameters, in order.
        stages: the gates, in the order in which they act.
    """

    batch_size: int
    wires: dict[Any, int]
    preparations: ProductStates
    gates: Gates
    trainable: list[TrainableParameter]
    stages: list[Stage]


@dataclass(frozen=True)
class _Item:
    """An operation, or one gate of an embedding.

    Attributes:
        op: the operation, or the whole embedding.
        source: where the parameters come from.
        wires: that the item acts on.
        parameters: indices of its parameters among those of the tape; none for parts of an embedding.
        name: of the operation or gate.
        entry: of the embedding's features.
        broadcast: whether it differs between samples.
        is_part: whether it is one of several gates of ``op``.
    """

    op: Operator
    source: Source
    wires: Wires
    parameters: Sequence[int]
    name: str
    entry: int | None
    broadcast: bool
    is_part: bool = False

    @property
    def is_state(self) -> bool:
        return isinstance(self.op, StatePrepBase)


_layouts: dict[Any, Layout | None] = {}
_are_filled_in: dict[Any, bool] = {}
_LAYOUTS_KEPT = 64


def layout_of(tape: QuantumScript, differentiable: bool, causal_cone: bool) -> Layout | None:
    """Split a broadcast tape; None if it is not of this form.

    Args:
        tape: its trainable parameters may be tracers of an autodifferentiation framework.
        differentiable: whether the tape's trainable parameters must be parameters of shared gates.
        causal_cone: whether to drop gates and preparations that no measurement depends on.
    """
    trainable = frozenset(tape.trainable_params) if differentiable else frozenset()
    reached = measured_reach(tape.measurements, ()) if causal_cone else None
    measured = tuple(measurement.wires.labels for measurement in tape.measurements)
    operations = tuple(_key(op) for op in tape.operations)
    if None in operations:
        return _split(tape.operations, trainable, measured, reached)
    key = (operations, trainable, measured, None if reached is None else tuple(reached.items()))
    return remembered(_layouts, key, _LAYOUTS_KEPT, lambda: _split(tape.operations, trainable, measured, reached))


def _key(op: Operator) -> Any:
    """All that the place of an operation in a layout depends on; None if that cannot be told."""
    if op.name in FIXED:
        return op.name, op.wires.labels
    if op.name in ROTATIONS:
        return op.name, op.wires.labels, getattr(op.data[0], "shape", ())
    if isinstance(op, Adjoint) and op.base.name in FIXED | ROTATIONS:
        return "Adjoint", _key(op.base)
    if isinstance(op, SymbolicOp) or (structure := structure_of(op)) is None:
        return None
    if isinstance(op, qml.StatePrep):
        return *structure, op.is_sparse
    if remembered(_are_filled_in, structure, _LAYOUTS_KEPT, lambda: _is_filled_in(op)):
        return structure
    # Other constants become part of the layout as they are.
    if not all(map(is_number, op.data)):
        return None
    constants = [np.asarray(data) for data in op.data]
    return *structure, tuple((constant.dtype.str, constant.tobytes()) for constant in constants)


def _is_filled_in(op: Operator) -> bool:
    """Whether an operation's numbers stay out of the layout: if it is broadcast, or a template that copies them."""
    if _batch_size(op) is not None:
        return len(op.wires) < 2 or isinstance(op, StatePrepBase) or embedding_template_of(op) is not None
    return bool(op.data) and not isinstance(op, StatePrepBase) and template_of(op) is not None


def _split(
    operations: Sequence[Operator],
    trainable: frozenset[int],
    measured: Sequence[Wires],
    reached: dict[Any, Reach] | None,
) -> Layout | None:
    """:func:`layout_of`, for given wires of the measurements and what they depend on; None for everything."""
    separated = _separate(list(_items(operations, trainable)), trainable)
    if separated is None:
        return None
    prepared, shared = separated
    all_sizes = (_batch_size(item.op) for group in prepared.values() for item in group)
    sizes = {size for size in all_sizes if size is not None}
    if len(sizes) != 1:
        return None
    gates = Gates()
    parameters: dict[int, TrainableParameter] = {}
    for item in shared:
        start, differentiated = gates.n_angles, [i for i in item.parameters if i in trainable]
        entries = gates.add(item.op, item.source, item.wires, bool(differentiated))
        if entries is None:
            return None
        for i in differentiated:
            parameters[i] = _trainable_parameter(item.op, i - item.parameters[0], start, entries)
    if parameters.keys() != trainable:
        return None
    if reached is not None:
        gates.keep(needed_gates(_flagged(gates), reached := dict(reached)))
        prepared = {wires: group for wires, group in prepared.items() if not reached.keys().isdisjoint(wires)}
    groups = {wires: [_preparation(item) for item in group] for wires, group in prepared.items()}
    known = {wire for group in groups for wire in group}
    unprepared = dict.fromkeys(wire for used in (*gates.wires, *measured) for wire in used if wire not in known)
    groups |= {(wire,): [] for wire in unprepared}
    (batch_size,) = sizes
    order, stages = _stages(gates, list(groups), batch_size, measured, reached is not None)
    wires = [wire for group in reversed(order) for wire in group]
    positions = {wire: position for position, wire in enumerate(wires)}
    acting = []
    for entry in stages:
        absent = len(wires) - entry.n_wires
        there = {wire: position - absent for wire, position in positions.items()}
        acting.append(Stage(len(entry.groups), gates.kernels(entry.n_wires, there, entry.gates)))
    states = ProductStates({group: groups[group] for group in order})
    return Layout(batch_size, positions, states, gates, [parameters[i] for i in sorted(parameters)], acting)


def _flagged(gates: Gates) -> list[tuple[Wires, bool]]:
    return [(on, name in DIAGONAL_GATES) for on, name in zip(gates.wires, gates.names, strict=True)]


def _stages(
    gates: Gates, groups: Sequence[Wires], batch_size: int, measured: Sequence[Wires], staged: bool
) -> tuple[list[Wires], list[Entry]]:
    """The groups in the order in which they enter, and the entries.

    Of those that enter together, the measured ones come last, hence first in the register: observables on the first
    wires are the cheapest.
    """
    if staged:
        found = entries(_flagged(gates), groups, batch_size)
    else:
        n_wires = sum(map(len, groups))
        found = [Entry(list(range(len(groups))), list(range(len(gates.names))), n_wires)]
    all_measured = {wire for used in measured for wire in used}
    order: list[Wires] = []
    for entry in found:
        order += sorted((groups[i] for i in entry.groups), key=lambda group: not all_measured.isdisjoint(group))
    return order, found


def _items(operations: Iterable[Operator], trainable: frozenset[int]) -> Iterator[_Item]:
    """Number the parameters; break up broadcast embeddings, whose parts then need no numbers."""
    first = 0
    for index, op in enumerate(operations):
        parameters = range(first, first + len(op.data))
        first += len(op.data)
        broadcast = _batch_size(op) is not None
        is_whole = isinstance(op, StatePrepBase) or (len(op.wires) < 2 and op.has_matrix)
        if not broadcast or is_whole or not trainable.isdisjoint(parameters):
            yield _Item(op, index, op.wires.labels, parameters, op.name, None, broadcast)
        else:
            yield from _parts(op, index)


def _parts(op: Operator, source: Source) -> Iterator[_Item]:
    """Rotations of a broadcast embedding that only copies its features, or what another one decomposes into."""
    template = embedding_template_of(op)
    if template is not None:
        entries = iter(template.flat.tolist())
        for name, wires in zip(template.names, template.wires, strict=True):
            rotates = name in ROTATIONS
            yield _Item(op, source, wires, (), name, next(entries) if rotates else None, rotates, is_part=True)
    elif (parts := decomposed(op)) is not None:
        for part in parts:
            if _batch_size(part) is None or len(part.wires) < 2:
                yield _Item(part, part, part.wires.labels, (), part.name, None, _batch_size(part) is not None)
            else:
                yield from _parts(part, part)
    else:
        yield _Item(op, source, op.wires.labels, (), op.name, None, True)


def _separate(items: Sequence[_Item], trainable: frozenset[int]) -> tuple[dict[Wires, list[_Item]], list[_Item]] | None:
    """State preparations and gates up to the last broadcast one on their wire, and the gates that come after them."""
    if any(item.broadcast and not item.wires for item in items):
        return None
    last_broadcast = {item.wires[0]: i for i, item in enumerate(items) if item.broadcast}
    prepared: dict[Wires, list[_Item]] = {}
    owner: dict[Any, Wires] = {}
    touched: set[Any] = set()
    shared = []
    for i, item in enumerate(items):
        wires = item.wires
        if not item.is_state and (not wires or i > last_broadcast.get(wires[0], -1)):
            shared.append(item)
            touched.update(wires)
            continue
        if item.is_state:
            fits = _is_plain(item.op) and owner.keys().isdisjoint(wires)
        else:
            fits = len(wires) == 1 and (item.is_part or item.op.has_matrix)
        if not fits or not touched.isdisjoint(wires) or not trainable.isdisjoint(item.parameters):
            return None
        if owner.setdefault(wires[0], wires) != wires:
            return None
        owner.update(dict.fromkeys(wires, wires))
        prepared.setdefault(wires, []).append(item)
    return prepared, shared


def _preparation(item: _Item) -> Preparation:
    return Preparation(item.source, item.name, item.entry, item.broadcast)


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


def _trainable_parameter(op: Operator, which: int, start: int, entries: np.ndarray) -> TrainableParameter:
    """Select among the angles of ``op`` those that its parameter number ``which`` sets."""
    if entries is ONE_ENTRY:
        return TrainableParameter((), np.array([start]), entries)
    shapes = shapes_of(op)
    first = sum(int(np.prod(shape)) for shape in shapes[:which])
    own = (entries >= first) & (entries < first + int(np.prod(shapes[which])))
    return TrainableParameter(shapes[which], start + np.flatnonzero(own), entries[own] - first)
