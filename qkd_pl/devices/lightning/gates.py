"""What an operation does, in the two kinds of gates that the simulator knows.

One is a gate on one wire: a rotation exp(-iθP/2) about a Pauli matrix P, or a constant matrix. The other is a constant
gate on several wires, as a rule an entangler. Whatever PennyLane decomposes into these, with every angle an affine
function of one number among the parameters, is one of our operations: a template with a tensor of weights, an embedding
of features, ``Rot``, or ``CRX``, which two entanglers and rotations by ±θ/2 replace. Decomposing is slow, so it is done
once for each kind of operation; in a training only the numbers change from step to step.
"""

from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from operator import is_
from typing import Any, TypeVar

import numpy as np
import pennylane as qml
from pennylane.exceptions import DecompositionUndefinedError
from pennylane.operation import Operator, StatePrepBase
from pennylane.ops.op_math import Adjoint
from pennylane.tape import QuantumScript

from qkd_pl.upstream.pennylane import flattened

# Up to a global phase, which no expectation value shows, PhaseShift is RZ.
_Z = np.diag([1.0, -1.0]).astype(complex)
ROTATIONS = {"RX": qml.X.compute_matrix() + 0j, "RY": qml.Y.compute_matrix(), "RZ": _Z, "PhaseShift": _Z}
# Lightning's own kernels; each is its own inverse.
KERNELS = frozenset({"CNOT", "CZ", "CY", "SWAP", "CSWAP", "Toffoli"})
MAX_MATRIX_WIRES = 3
# Nothing but name, wires and shapes tells these operations apart.
_PLAIN = {*ROTATIONS, *KERNELS, "PauliX", "PauliY", "PauliZ", "Hadamard", "S", "T", "SX"} | {
    *("Rot", "CRX", "CRY", "CRZ", "ControlledPhaseShift", "MultiRZ", "IsingXX", "IsingYY", "IsingZZ", "U1", "U2", "U3")
}
# Their parameters are matrices or amplitudes rather than angles.
_NOT_ANGLES = (StatePrepBase, qml.QubitUnitary, qml.DiagonalQubitUnitary, qml.ControlledQubitUnitary)
_SCALES = (1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 0.25, -0.25)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Gate:
    """A rotation if it has a ``pauli``, a kernel of Lightning if it has a ``kernel``, otherwise a constant matrix.

    Attributes:
        wires: labels, or positions in a register.
        kernel: name.
        matrix: ``(2**w, 2**w)`` complex128.
        pauli: P of a rotation, ``(2, 2)`` complex128.
        entry: which parameter sets the angle; 0 for none.
        scale, offset: the angle is ``scale * parameter + offset``, in radians.
        batched: whether the angle differs between samples.
        trainable: whether the gradient with respect to the angle is asked for.
    """

    wires: tuple[Any, ...]
    kernel: str = ""
    matrix: np.ndarray | None = None
    pauli: np.ndarray | None = None
    entry: int = 0
    scale: float = 0.0
    offset: float = 0.0
    batched: bool = False
    trainable: bool = False

    @property
    def is_diagonal(self) -> bool:
        """In the computational basis."""
        matrix = self.pauli if self.matrix is None else self.matrix
        return self.kernel == "CZ" if matrix is None else not (matrix - np.diag(np.diagonal(matrix))).any()


@dataclass(frozen=True, eq=False)
class Form:
    """What is known about all operations of one structure; those of equal structure have one form.

    Attributes:
        key: type, settings, wires and shapes; None if the operation cannot be told from others by these.
        gates: the i-th parameter, counted from 1 through all of them, is entry i; None if there are no such gates.
        batch_size: of a broadcast operation, otherwise None.
        shapes: of the parameters, without the batch.
    """

    key: Hashable
    gates: tuple[Gate, ...] | None
    batch_size: int | None
    shapes: tuple[tuple[int, ...], ...]

    @property
    def sizes(self) -> list[int]:
        """How many numbers each parameter has."""
        return [int(np.prod(shape)) for shape in self.shapes]


@dataclass(frozen=True, slots=True)
class Leaf:
    """An operation of a tape, or what one without a form decomposes into.

    Attributes:
        op: the operation.
        form: with gates, unless the operation is a state preparation.
        first: number of its first parameter among those of the tape; None for a part of an operation.
    """

    op: Operator
    form: Form
    first: int | None

    @property
    def is_state(self) -> bool:
        return self.form.gates is None


_forms: dict[Hashable, Form] = {}
_FORMS_KEPT = 4096


def leaves_of(tape: QuantumScript, trainable: frozenset[int]) -> list[Leaf] | None:
    """The operations of a tape; None if not all can be expressed, or not in a way that can be differentiated."""
    leaves: list[Leaf] = []
    first = 0
    for op in tape.operations:
        parameters = range(first, first + len(op.data))
        first = parameters.stop
        if not _append(op, leaves, parameters.start, not trainable.isdisjoint(parameters)):
            return None
    return leaves if all(i < first for i in trainable) else None


def form_of(op: Operator) -> Form:
    """The form of an operation, learnt once for all of its structure."""
    if op.name in _PLAIN:
        key: Hashable = (op.name, op.wires.labels, tuple(getattr(data, "shape", ()) for data in op.data))
    else:
        key = _structure(op)
    try:
        known = None if key is None else _forms.get(key)
    except TypeError:  # a setting without a hash
        key, known = None, None
    if known is not None:
        return known
    return _learn(op, None) if key is None else remembered(_forms, key, _FORMS_KEPT, lambda: _learn(op, key))


def constant_gates(op: Operator) -> list[Gate] | None:
    """An operation with known numbers, as small matrices and kernels; None if it has too many wires for that."""
    gates: list[Gate] = []
    return gates if all(map(is_number, op.data)) and _elementary(op, gates, constant=True) else None


def remembered(known: dict[Hashable, T], key: Hashable, limit: int, find_out: Callable[[], T]) -> T:
    """``known[key]``, or what ``find_out()`` says, which is kept; beyond ``limit`` entries all are forgotten."""
    with suppress(KeyError):  # another thread may forget in between
        return known[key]
    found = find_out()
    if len(known) >= limit:
        known.clear()
    known[key] = found
    return found


def decomposed(op: Operator) -> list[Operator] | None:
    """What an operation consists of; None if PennyLane does not know, as of some that are broadcast."""
    if isinstance(op, qml.Snapshot) or not op.has_decomposition:  # a snapshot decomposes into nothing
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


def _structure(op: Operator) -> Hashable | None:
    """Type, settings and shapes of an operation and those that it is made of."""
    key, data = _flattened(op)
    return key if len(data) == len(op.data) and all(map(is_, data, op.data)) else None


def _flattened(op: Operator) -> tuple[Any, list[Any]]:
    leaves, metadata = flattened(op)
    keys: list[Any] = []
    data: list[Any] = []
    for leaf in leaves:
        if type(leaf) is not np.ndarray and isinstance(leaf, Operator):
            key, inner = _flattened(leaf)
            keys.append(key)
            data += inner
        else:
            keys.append((getattr(leaf, "shape", ()), _is_complex(leaf)))
            data.append(leaf)
    return (type(op), metadata, tuple(keys)), data


def _is_complex(data: Any) -> bool:
    return getattr(getattr(data, "dtype", None), "kind", "") == "c" or isinstance(data, complex)


def _learn(op: Operator, key: Hashable) -> Form:
    batch_size = op.batch_size if op.data else None
    shapes = tuple(tuple(getattr(data, "shape", ())) for data in op.data)
    if batch_size is not None:
        shapes = tuple(shape[len(shape) - n :] for shape, n in zip(shapes, op.ndim_params, strict=True))
    gates = None
    if key is not None and not isinstance(op, _NOT_ANGLES) and not any(map(_is_complex, op.data)):
        gates = _learn_gates(op, shapes)
    return Form(key, gates, batch_size, shapes)


def _learn_gates(op: Operator, shapes: Sequence[tuple[int, ...]]) -> tuple[Gate, ...] | None:
    """Decompose with three draws of random parameters: two show where each entry goes, the third confirms it."""
    rng = np.random.default_rng(0)
    draws: list[tuple[np.ndarray, list[Gate]]] = []
    for _ in range(3 if op.data else 1):
        data = [rng.uniform(1, 2, shape) for shape in shapes]
        gates: list[Gate] = []
        try:
            bound = qml.ops.functions.bind_new_parameters(op, data) if data else op
            if not _elementary(bound, gates, constant=False):
                return None
        except ValueError:  # an operation may refuse numbers that were drawn at random
            return None
        draws.append((np.concatenate([np.empty(0), *map(np.ravel, data)]), gates))
    entries, lists = np.array([drawn for drawn, _ in draws]), [gates for _, gates in draws]
    if len({len(gates) for gates in lists}) != 1:
        return None
    learnt = [_fitted(entries, alike) for alike in zip(*lists, strict=True)]
    return None if None in learnt else tuple(gate for gate in learnt if gate is not None)


def _fitted(entries: np.ndarray, alike: Sequence[Gate]) -> Gate | None:
    """One gate from the same gate of all draws, with its angle as an affine function of one entry."""
    first = alike[0]
    if any((gate.wires, gate.kernel) != (first.wires, first.kernel) for gate in alike):
        return None
    for name in ("matrix", "pauli"):
        values = [getattr(gate, name) for gate in alike]
        if any((value is None) != (values[0] is None) for value in values):
            return None
        if values[0] is not None and not all(np.array_equal(value, values[0]) for value in values):
            return None
    angles = np.array([gate.offset for gate in alike])
    if first.pauli is None or np.ptp(angles) == 0:
        return first
    changes, differences = entries[1:] - entries[0], angles[1:] - angles[0]
    for scale in _SCALES:
        found = np.flatnonzero((np.abs(scale * changes - differences[:, None]) < 1e-9).all(axis=0))
        if len(found) == 1:
            offset = float(angles[0] - scale * entries[0, found[0]])
            # A copied angle is exactly the parameter; only rounding stands in this offset.
            return replace(first, entry=int(found[0]) + 1, scale=scale, offset=offset if abs(offset) > 1e-9 else 0.0)
    return None


def _elementary(op: Operator, into: list[Gate], constant: bool) -> bool:
    """Append what an operation consists of, angles as offsets; False if it cannot be expressed.

    Args:
        op: not broadcast.
        into: where the gates go.
        constant: whether the numbers may go into matrices.
    """
    base, sign = (op.base, -1.0) if isinstance(op, Adjoint) else (op, 1.0)
    wires = op.wires.labels
    if isinstance(op, qml.Snapshot):
        return False
    if base.name in KERNELS:
        into.append(Gate(wires, kernel=base.name))
    elif base.name in ROTATIONS and getattr(base.data[0], "shape", ()) == ():
        into.append(Gate(wires, pauli=ROTATIONS[base.name], offset=sign * float(base.data[0])))
    elif not wires:
        return True  # a global phase
    elif op.has_matrix and len(wires) <= MAX_MATRIX_WIRES and (constant or not op.data):
        into.append(Gate(wires, matrix=np.asarray(op.matrix(), dtype=np.complex128)))
    elif (parts := decomposed(op)) is not None:
        return all(_elementary(part, into, constant) for part in parts)
    else:
        return False
    return True


def _append(op: Operator, leaves: list[Leaf], first: int | None, trainable: bool) -> bool:
    form = form_of(op)
    if form.gates is None and trainable:
        return False
    if form.gates is not None or isinstance(op, StatePrepBase):
        leaves.append(Leaf(op, form, first))
        return form.gates is not None or not getattr(op, "is_sparse", False)
    if form.batch_size is None and (gates := constant_gates(op)) is not None:
        # Constants that are no angles are part of the structure.
        key = ("constant", *map(_constant_key, gates))
        constant = remembered(_forms, key, _FORMS_KEPT, lambda: Form(key, tuple(gates), None, ()))
        leaves.append(Leaf(op, constant, None))
        return True
    parts = decomposed(op)
    return parts is not None and all(_append(part, leaves, None, False) for part in parts)


def _constant_key(gate: Gate) -> Hashable:
    matrices = (None if matrix is None else matrix.tobytes() for matrix in (gate.matrix, gate.pauli))
    return gate.wires, gate.kernel, gate.offset, *matrices
