"""From the operations of a tape to the two kinds of gates that the simulator knows.

One is a gate on one wire: a rotation exp(-iθP/2) about a Pauli matrix P, or a constant matrix. The other is a constant
gate on several wires, as a rule an entangler. What PennyLane decomposes into these, with angles as in
:mod:`qkd_pl.devices.templates`, can be differentiated: a template with a tensor of weights, an embedding of features,
``Rot``, or ``CRX``, which two entanglers and rotations by ±θ/2 replace.
"""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pennylane as qml
from pennylane.exceptions import DecompositionUndefinedError
from pennylane.operation import Operator, StatePrepBase
from pennylane.ops.op_math import Adjoint
from pennylane.tape import QuantumScript

from qkd_pl.devices.templates import Template, Templates, decomposed, gates_in, remembered

# Up to a global phase, which no expectation value shows, PhaseShift is RZ.
_Z = np.diag([1.0, -1.0]).astype(complex)
_ROTATIONS = {"RX": qml.X.compute_matrix() + 0j, "RY": qml.Y.compute_matrix(), "RZ": _Z, "PhaseShift": _Z}
# Lightning's own kernels; each is its own inverse.
_KERNELS = frozenset({"CNOT", "CZ", "CY", "SWAP", "CSWAP", "Toffoli"})
_MAX_MATRIX_WIRES = 3
_CONSTANTS_KEPT = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Gate:
    """A rotation if it has a ``pauli``, a kernel of Lightning if it has a ``kernel``, otherwise a constant matrix."""

    wires: tuple[Any, ...]  # labels, or positions in a register
    kernel: str = ""  # its name
    matrix: np.ndarray | None = None  # (2**w, 2**w) complex128
    pauli: np.ndarray | None = None  # P, (2, 2) complex128
    entry: int = 0  # which number sets the angle; 0 for none
    scale: float = 0.0
    offset: float = 0.0  # radians; the angle is scale · number + offset
    batched: bool = False  # whether the angle differs between samples
    trainable: bool = False  # whether the gradient with respect to the angle is asked for

    @property
    def is_diagonal(self) -> bool:
        """In the computational basis."""
        matrix = self.pauli if self.matrix is None else self.matrix
        return self.kernel == "CZ" if matrix is None else not (matrix - np.diag(np.diagonal(matrix))).any()


@dataclass(frozen=True, slots=True)
class Part:
    """An operation of a tape, or what one decomposes into."""

    op: Operator
    template: Template | None  # its gates; None for a preparation of states
    first: int | None  # number of its first parameter in the tape; None for what is decomposed, or constant
    batched: tuple[bool, ...] = ()  # which of its parameters have a batch


def parts_of(tape: QuantumScript, trainable: frozenset[int]) -> list[Part] | None:
    """The parts of a tape; None if not all can be expressed, or not in a way that can be differentiated."""
    parts: list[Part] = []
    first = 0
    for op in tape.operations:
        parameters = range(first, first + len(op.data))
        first = parameters.stop
        try:
            found = list(_parts(op, parameters.start))
        except DecompositionUndefinedError:
            return None
        is_trainable = not trainable.isdisjoint(parameters)
        if is_trainable and any(part.first is None or part.template is None for part in found):
            return None
        parts += found
    return parts if all(i < first for i in trainable) else None


def gates_of(template: Template, first: int) -> Iterator[Gate]:
    """The gates of a template, the first number of which is entry ``first``."""
    angles = zip(template.entries, template.scales, template.offsets, strict=True)
    for op in template.gates:
        base, sign = (op.base, -1.0) if isinstance(op, Adjoint) else (op, 1.0)
        wires = op.wires.labels
        if base.name in _KERNELS:
            yield Gate(wires, kernel=base.name)
        elif base.name in _ROTATIONS:
            entry, scale, offset = next(angles)
            entry = 0 if entry < 0 else first + int(entry)
            yield Gate(wires, pauli=_ROTATIONS[base.name], entry=entry, scale=sign * scale, offset=sign * offset)
        else:
            yield Gate(wires, matrix=np.asarray(op.matrix(), dtype=np.complex128))


def _is_gate(op: Operator) -> bool:
    base = op.base if isinstance(op, Adjoint) else op
    return base.name in _KERNELS or base.name in _ROTATIONS or (not op.data and _is_small(op))


def _is_small(op: Operator) -> bool:
    return 0 < len(op.wires) <= _MAX_MATRIX_WIRES and op.has_matrix


_templates = Templates(_is_gate)
_constants: dict[Hashable, Template] = {}


def _parts(op: Operator, first: int | None) -> Iterator[Part]:
    template = _templates.of(op)
    if template is not None:
        yield Part(op, template, first, template.batched)
    elif isinstance(op, StatePrepBase):
        if getattr(op, "is_sparse", False):
            raise DecompositionUndefinedError
        yield Part(op, None, first, _have_batch(op))
    elif not any(_have_batch(op)) and (constant := _constant(op)) is not None:
        yield Part(op, constant, None)
    else:
        for part in decomposed(op):
            yield from _parts(part, None)


def _have_batch(op: Operator) -> tuple[bool, ...]:
    """Which parameters of an operation have a batch."""
    return tuple([np.ndim(data) > n for data, n in zip(op.data, op.ndim_params, strict=True)])


def _constant(op: Operator) -> Template | None:
    """An operation with known numbers as small matrices, which belong to the structure of a circuit."""
    try:
        matrices = [
            (part.wires.labels, np.asarray(part.matrix(), dtype=np.complex128)) for part in gates_in(op, _is_small)
        ]
    except (DecompositionUndefinedError, TypeError, ValueError):  # the last two of tracers, which are no numbers
        return None
    key = tuple((wires, matrix.tobytes()) for wires, matrix in matrices)
    none = np.zeros(0)
    made = (qml.QubitUnitary(matrix, wires) for wires, matrix in matrices)
    return remembered(_constants, key, _CONSTANTS_KEPT, lambda: Template(tuple(made), none, none, none, (), ()))
