"""Operations that Lightning's kernels implement, and templates that copy a tensor of angles into such operations."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from operator import is_
from typing import Any

import numpy as np
import pennylane as qml
from pennylane.exceptions import DecompositionUndefinedError
from pennylane.operation import Operator
from pennylane.ops.op_math import Adjoint, SymbolicOp

from qkd_pl.devices.lightning.remembered import remembered

_EXCITATIONS = {f"{kind}Excitation{sign}" for kind in ("Single", "Double") for sign in ("", "Plus", "Minus")}
ROTATIONS = frozenset(
    {"RX", "RY", "RZ", "PhaseShift", "CRX", "CRY", "CRZ", "ControlledPhaseShift", "MultiRZ"}
    | {"IsingXX", "IsingXY", "IsingYY", "IsingZZ"}
    | _EXCITATIONS
)
FIXED = frozenset(
    {"PauliX", "PauliY", "PauliZ", "Hadamard", "S", "T", "SX", "CNOT", "CY", "CZ", "SWAP", "CSWAP", "Toffoli"}
)
# Gates on several wires whose matrices have no imaginary parts.
REAL = frozenset({"CNOT", "CZ", "SWAP", "CSWAP", "Toffoli", "CRY", "SingleExcitation", "DoubleExcitation"})


@dataclass(frozen=True)
class Template:
    """The kernels that an operation decomposes into; angle i is entry ``flat[i]`` of its concatenated parameters."""

    names: list[str]
    wires: list[tuple[Any, ...]]
    inverses: list[bool]
    flat: np.ndarray


_templates: dict[Any, Template | None] = {}
_TEMPLATES_KEPT = 64


def template_of(op: Operator) -> Template | None:
    """The structure of an operation whose decomposition only copies its parameters into kernels; None for others.

    A step of training then handles one tensor of weights rather than hundreds of Python objects. Decomposing is slow,
    so what was learnt is kept per type, wires and shapes.
    """
    return _template(op, shapes_of(op))


def embedding_template_of(op: Operator) -> Template | None:
    """The same for a broadcast embedding in single-qubit gates, the last one on each wire a rotation by a feature.

    The angle of its i-th rotation is feature ``flat[i]`` of every sample.
    """
    if op.ndim_params != (1,):
        return None
    template = _template(op, (shapes_of(op)[0][-1:],))
    if template is None or any(template.inverses) or any(len(on) != 1 for on in template.wires):
        return None
    last = dict(zip(template.wires, template.names, strict=True))
    return template if ROTATIONS.issuperset(last.values()) else None


def _template(op: Operator, shapes: tuple[tuple[int, ...], ...]) -> Template | None:
    if isinstance(op, SymbolicOp) or not op.has_decomposition or (structure := structure_of(op)) is None:
        return None
    return remembered(_templates, (structure, shapes), _TEMPLATES_KEPT, lambda: _learn_template(op, shapes))


def _learn_template(op: Operator, shapes: Sequence[tuple[int, ...]]) -> Template | None:
    """Decompose twice with random parameters: the first shows where each entry goes, the second confirms it."""
    rng = np.random.default_rng(0)
    trials = []
    for _ in range(2):
        data = [rng.uniform(1, 2, shape) for shape in shapes]
        kernels = list(_kernels(qml.ops.functions.bind_new_parameters(op, data)))
        trials.append((concatenated(data), kernels))
    (entries, kernels), (other_entries, other_kernels) = trials
    position = {value: i for i, value in enumerate(entries)}
    angles = [angle for *_, angle in kernels if angle is not None]
    if any(name == "" for name, *_ in kernels) or any(angle not in position for angle in angles):
        return None
    flat = np.array([position[angle] for angle in angles], dtype=int)
    if [angle for *_, angle in other_kernels if angle is not None] != other_entries[flat].tolist():
        return None
    names, wires, inverses, _ = zip(*kernels, strict=True) if kernels else ((), (), (), ())
    return Template(list(names), list(wires), list(inverses), flat)


def _kernels(op: Operator) -> Iterator[tuple[str, tuple[Any, ...], bool, float | None]]:
    """Decompose down to (kernel, wires, inverse, angle); the name is empty where that is impossible."""
    base, inverse = (op.base, True) if isinstance(op, Adjoint) else (op, False)
    if base.name in FIXED:
        yield base.name, op.wires.labels, inverse, None
    elif base.name in ROTATIONS and is_scalar(op.data[0]):
        yield base.name, op.wires.labels, inverse, float(op.data[0])
    elif (parts := decomposed(op)) is not None:
        for part in parts:
            yield from _kernels(part)
    else:
        yield "", op.wires.labels, inverse, None


def decomposed(op: Operator) -> list[Operator] | None:
    """What an operation consists of; None if PennyLane does not know, as of some that are broadcast."""
    if not op.has_decomposition:
        return None
    with qml.QueuingManager.stop_recording(), suppress(DecompositionUndefinedError):
        return list(op.decomposition())
    return None


def is_number(data: Any) -> bool:
    """Whether a parameter is known: not the tracer of an autodifferentiation framework."""
    try:
        return np.asarray(data).dtype.kind in "biufc"
    except TypeError:
        return False


def is_scalar(data: Any) -> bool:
    return getattr(data, "shape", ()) == ()


def structure_of(op: Operator) -> tuple[Any, ...] | None:
    """Type, wires, hyperparameters and shapes of an operation.

    None if they cannot be the key of a dictionary, or are not all of it beside its parameters: composite operations
    hold others.
    """
    leaves, metadata = op._flatten()
    if len(leaves) != len(op.data) or not all(map(is_, leaves, op.data)):
        return None
    structure = type(op), metadata, shapes_of(op)
    try:
        hash(structure)
    except TypeError:
        return None
    return structure


def shapes_of(op: Operator) -> tuple[tuple[int, ...], ...]:
    return tuple(getattr(data, "shape", ()) for data in op.data)


def concatenated(data: Sequence[Any]) -> np.ndarray:
    return np.concatenate([np.ravel(entries) for entries in data])
