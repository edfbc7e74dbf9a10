"""A tape's gates apart from their numbers: templates that copy their parameters into gates are taken whole."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pennylane as qml
from pennylane.exceptions import DecompositionUndefinedError
from pennylane.operation import Operator, StatePrepBase

from qkd_pl.devices.ibm.compile.tapes import GATES, is_gate_or_state
from qkd_pl.upstream.pennylane import flattened


@dataclass(frozen=True, eq=False)
class Gates:
    """What one operation consists of.

    Attributes:
        gates: with a placeholder for each angle.
        entries: of the operation's parameters, concatenated, those that are the gates' angles in order.
    """

    gates: list[Operator]
    entries: np.ndarray


_known: dict[Any, Gates | None] = {}
_KEPT = 256


def gates_of(op: Operator) -> Gates | None:
    """The gates of an operation; None if they do more with its parameters than copy them.

    Decomposing is slow, so what was learnt is kept for each type, wires and shapes.
    """
    if (key := structure_of(op)) is None:
        return None
    if key not in _known:
        if len(_known) >= _KEPT:
            _known.clear()
        _known[key] = _learn(op)
    return _known[key]


def structure_of(op: Operator) -> tuple[Any, ...] | None:
    """Type, wires, settings and shapes (without the batch) of an operation; None if they cannot be hashed."""
    leaves, metadata = flattened(op)
    inner = tuple(structure_of(leaf) for leaf in leaves if isinstance(leaf, Operator))
    if None in inner or not (inner or len(leaves) == len(op.data)):
        return None
    structure = type(op), metadata, shapes_of(op), inner
    try:
        hash(structure)
    except TypeError:
        return None
    return structure


def shapes_of(op: Operator) -> tuple[tuple[int, ...], ...]:
    """Shapes of an operation's parameters for one sample."""
    return tuple(
        tuple(np.shape(value)) if op.batch_size is None else tuple(np.shape(value))[np.ndim(value) - expected :]
        for value, expected in zip(op.data, _dimensions(op), strict=True)
    )


def is_literal(op: Operator) -> bool:
    """Whether an operation's parameters are matrices rather than angles."""
    return op.name in GATES and any(op.ndim_params)


def _dimensions(op: Operator) -> Sequence[int]:
    return op.ndim_params if op.batch_size is not None else [np.ndim(value) for value in op.data]


def _learn(op: Operator) -> Gates | None:
    """Decompose twice with random parameters: the first shows where each entry goes, the second confirms it."""
    rng = np.random.default_rng(0)
    trials = []
    for _ in range(2):
        data = [rng.uniform(1, 2, shape) for shape in shapes_of(op)]
        try:
            gates = list(_decomposed(qml.ops.functions.bind_new_parameters(op, data)))
        except DecompositionUndefinedError:
            return None
        if any(isinstance(gate, StatePrepBase) or is_literal(gate) for gate in gates):
            return None
        trials.append((np.concatenate([np.ravel(each) for each in data]) if data else np.zeros(0), gates))
    (entries, gates), (others, other_gates) = trials
    position = {value: index for index, value in enumerate(entries)}
    angles = [float(value) for gate in gates for value in gate.data]
    if any(angle not in position for angle in angles):
        return None
    chosen = np.array([position[angle] for angle in angles], dtype=np.intp)
    if [float(value) for gate in other_gates for value in gate.data] != others[chosen].tolist():
        return None
    return Gates(gates, chosen)


def _decomposed(op: Operator) -> Iterator[Operator]:
    if is_gate_or_state(op):
        yield op
        return
    if not op.has_decomposition:
        raise DecompositionUndefinedError
    with qml.QueuingManager.stop_recording():
        parts = op.decomposition()
    for part in parts:
        yield from _decomposed(part)
