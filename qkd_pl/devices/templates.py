"""What an operation decomposes into, learnt once for all operations of its structure.

Decomposing is slow, and in a training only numbers change from step to step. The angles of the gates that a template is
made of are mostly affine functions of one number each among its parameters: most templates copy it, ``CRX`` halves it,
an adjoint turns its sign. Which number sets which angle is found out by decomposing with random numbers.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import prod
from operator import is_
from typing import Any, TypeVar

import numpy as np
import pennylane as qml
from pennylane.exceptions import DecompositionUndefinedError
from pennylane.operation import Operator, StatePrepBase

from qkd_pl.upstream.pennylane import flattened

# Their parameters are matrices or amplitudes rather than angles.
_NOT_ANGLES = (StatePrepBase, qml.QubitUnitary, qml.DiagonalQubitUnitary, qml.ControlledQubitUnitary)
_SCALES = (1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 0.25, -0.25)
_KEPT = 4096

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Template:
    """What all operations of one structure decompose into.

    The parameters of an operation are laid end to end; the angles of the gates are counted through.

    Attributes:
        gates: with numbers in place of their angles that mean nothing.
        entries: for each angle the index of the number that sets it; -1 for none.
        scales, offsets: the angle is ``scale * number + offset``, in radians.
        shapes: of the parameters, without a batch.
        batched: which parameters have a batch.
    """

    gates: tuple[Operator, ...]
    entries: np.ndarray
    scales: np.ndarray
    offsets: np.ndarray
    shapes: tuple[tuple[int, ...], ...]
    batched: tuple[bool, ...]


class Templates:
    """The templates that a device has learnt.

    Args:
        is_gate: whether decomposition stops at an operation.
    """

    def __init__(self, is_gate: Callable[[Operator], bool]):
        self._is_gate = is_gate
        self._of_batches: dict[Hashable, Template | None] = {}
        self._known: dict[Hashable, Template | None] = {}

    def of(self, op: Operator) -> Template | None:
        """The template of an operation; None if its gates' angles are other functions of its parameters.

        Operations have the same template if they differ in their numbers only, and in the size of their batch.

        Args:
            op: its parameters may be tracers of an autodifferentiation framework, and broadcast.
        """
        if (kind := _kind(op)) is None:
            return None
        key = (kind, *map(_form, op.data))
        try:
            return self._of_batches[key]
        except KeyError:
            return remembered(self._of_batches, key, _KEPT, lambda: self._without_batch(op, kind))
        except TypeError:  # a setting without a hash
            return None

    def _without_batch(self, op: Operator, kind: Hashable) -> Template | None:
        """The template of all sizes of a batch. PennyLane takes long to tell a batch."""
        if isinstance(op, _NOT_ANGLES) or any(is_complex for _, is_complex in map(_form, op.data)):
            return None
        given = tuple(map(np.shape, op.data))
        shapes, batched = given, (False,) * len(given)
        if given and op.batch_size is not None:
            shapes = tuple(shape[len(shape) - n :] for shape, n in zip(given, op.ndim_params, strict=True))
            batched = tuple(len(shape) < len(whole) for shape, whole in zip(shapes, given, strict=True))
        return remembered(
            self._known, (kind, shapes, batched), _KEPT, lambda: _learn(op, shapes, batched, self._is_gate)
        )


def sizes_of(shapes: Sequence[tuple[int, ...]]) -> list[int]:
    """How many numbers parameters of these shapes have."""
    return [prod(shape) for shape in shapes]


def gates_in(op: Operator, is_gate: Callable[[Operator], bool]) -> Iterator[Operator]:
    """What an operation consists of, taken apart until ``is_gate`` says that it is a gate.

    Raises:
        DecompositionUndefinedError: PennyLane does not know.
    """
    if is_gate(op):
        yield op
    elif op.wires or isinstance(op, qml.Snapshot):  # without wires it is a global phase, which nothing measured shows
        for part in decomposed(op):
            yield from gates_in(part, is_gate)


def decomposed(op: Operator) -> list[Operator]:
    """What an operation consists of.

    Raises:
        DecompositionUndefinedError: PennyLane does not know, as of some that are broadcast.
    """
    if isinstance(op, qml.Snapshot) or not op.has_decomposition:  # a snapshot decomposes into nothing
        raise DecompositionUndefinedError
    try:
        with qml.QueuingManager.stop_recording():
            return list(op.decomposition())
    except (IndexError, TypeError, ValueError) as error:  # of what is broadcast, or takes other numbers than these
        raise DecompositionUndefinedError from error


def remembered(known: dict[Hashable, T], key: Hashable, limit: int, find_out: Callable[[], T]) -> T:
    """``known[key]``, or what ``find_out()`` says, which is kept; beyond ``limit`` entries all are forgotten."""
    with suppress(KeyError):  # another thread may forget in between
        return known[key]
    found = find_out()
    if len(known) >= limit:
        known.clear()
    known[key] = found
    return found


def _kind(op: Operator) -> Any:
    """Type, wires and settings of an operation; None if it holds other numbers than its parameters beside them."""
    kind, data = _flat(op)
    return kind if len(data) == len(op.data) and all(map(is_, data, op.data)) else None


def _flat(op: Operator) -> tuple[Any, list[Any]]:
    """Type, wires and settings of an operation and of those that it is made of, and their parameters."""
    leaves, metadata = flattened(op)
    inner, data = [], []
    for leaf in leaves:
        if type(leaf) is not np.ndarray and isinstance(leaf, Operator):
            kind, of_leaf = _flat(leaf)
            inner.append(kind)
            data += of_leaf
        else:
            inner.append(None)
            data.append(leaf)
    return (type(op), metadata, *inner), data


def _form(number: Any) -> tuple[Any, bool]:
    """Shape of a parameter, and whether it is complex."""
    shape = getattr(number, "shape", None)
    kind = getattr(getattr(number, "dtype", None), "kind", "")
    return np.shape(number) if shape is None else shape, kind == "c" or isinstance(number, complex)


def _learn(
    op: Operator,
    shapes: tuple[tuple[int, ...], ...],
    batched: tuple[bool, ...],
    is_gate: Callable[[Operator], bool],
) -> Template | None:
    """Decompose with three draws of random parameters: two show where each number goes, the third confirms it."""
    rng = np.random.default_rng(0)
    numbers: list[np.ndarray] = []
    gates: list[list[Operator]] = []
    for _ in range(3 if shapes else 1):
        data = [rng.uniform(1, 2, shape) for shape in shapes]
        try:
            bound = qml.ops.functions.bind_new_parameters(op, data) if data else op
            gates.append(list(gates_in(bound, is_gate)))
        except (DecompositionUndefinedError, TypeError, ValueError):  # it may refuse numbers that were drawn at random
            return None
        numbers.append(np.concatenate([np.empty(0), *map(np.ravel, data)]))
    kinds = [tuple(map(_kind, drawn)) for drawn in gates]
    try:
        if None in kinds[0] or len(set(kinds)) > 1:
            return None
    except TypeError:  # a setting without a hash
        return None
    if any(isinstance(gate, StatePrepBase) or any(map(np.ndim, gate.data)) for gate in gates[0]):
        return None
    angles = np.array([[float(angle) for gate in drawn for angle in gate.data] for drawn in gates])
    fits = [_fit(np.array(numbers), of_draws) for of_draws in angles.T]
    if None in fits:
        return None
    entries, scales, offsets = zip(*fits, strict=True) if fits else ((), (), ())
    return Template(
        tuple(gates[0]), np.array(entries, dtype=np.intp), np.array(scales), np.array(offsets), shapes, batched
    )


def _fit(numbers: np.ndarray, angles: np.ndarray) -> tuple[int, float, float] | None:
    """Entry, scale and offset of one angle, from its values in all draws."""
    if np.ptp(angles) == 0:
        return -1, 0.0, float(angles[0])
    changes, differences = numbers[1:] - numbers[0], angles[1:] - angles[0]
    for scale in _SCALES:
        found = np.flatnonzero((np.abs(scale * changes - differences[:, None]) < 1e-9).all(axis=0))
        if len(found) == 1:
            offset = float(angles[0] - scale * numbers[0, found[0]])
            # A copied angle is exactly the number; only rounding stands in this offset.
            return int(found[0]), scale, offset if abs(offset) > 1e-9 else 0.0
    return None
