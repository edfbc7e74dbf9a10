"""Gates in Lightning's serialised form, from single operations and from templates that take a tensor of angles."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pennylane as qml
from pennylane.operation import Operator
from pennylane.ops.op_math import Adjoint, SymbolicOp

_EXCITATIONS = {f"{kind}Excitation{sign}" for kind in ("Single", "Double") for sign in ("", "Plus", "Minus")}
ROTATIONS = frozenset(
    {"RX", "RY", "RZ", "PhaseShift", "CRX", "CRY", "CRZ", "ControlledPhaseShift", "MultiRZ"}
    | {"IsingXX", "IsingXY", "IsingYY", "IsingZZ"}
    | _EXCITATIONS
)
FIXED = frozenset(
    {"PauliX", "PauliY", "PauliZ", "Hadamard", "S", "T", "SX", "CNOT", "CY", "CZ", "SWAP", "CSWAP", "Toffoli"}
)
MAX_MATRIX_WIRES = 3
NO_ENTRIES, ONE_ENTRY = np.empty(0, dtype=int), np.zeros(1, dtype=int)


@dataclass
class Gates:
    """A list of gates; the i-th angle belongs to the i-th gate that takes one.

    Attributes:
        names: Lightning's kernel names, or ``"QubitUnitary"`` with an entry in ``matrices``.
        wires: wire labels of each gate.
        inverses: whether the adjoint of the kernel acts.
        matrices: ``(2**w, 2**w)`` complex128 for gates without a kernel, else None.
        angles: blocks of angles: an operation's parameters and the flat positions in them; None for a single scalar.
        n_angles: number of angles in all blocks.
    """

    names: list[str] = field(default_factory=list)
    wires: list[tuple[Any, ...]] = field(default_factory=list)
    inverses: list[bool] = field(default_factory=list)
    matrices: list[np.ndarray | None] = field(default_factory=list)
    angles: list[tuple[Sequence[Any], np.ndarray | None]] = field(default_factory=list)
    n_angles: int = 0

    def values(self) -> np.ndarray:
        """All angles in radians, shape ``(n_angles,)`` float64."""
        blocks = [data if flat is None else _concatenated(data)[flat] for data, flat in self.angles]
        return np.concatenate(blocks, dtype=np.float64) if blocks else np.empty(0)

    def add(self, op: Operator, wires: tuple[Any, ...], trainable: bool) -> np.ndarray | None:
        """Append ``op`` as kernels, as a small matrix, or decomposed.

        Returns:
            for each angle added the flat position, in the concatenated parameters of ``op``, of the entry that sets it;
            None if ``op`` cannot be expressed, or not in a way that can be differentiated.
        """
        base, inverse = (op.base, True) if isinstance(op, Adjoint) else (op, False)
        name = base.name
        if name in FIXED:
            self._append(name, wires, inverse)
            return NO_ENTRIES
        if name in ROTATIONS and is_scalar(op.data[0]):
            self._append(name, wires, inverse)
            self._append_angles(op.data, None)
            return ONE_ENTRY
        if op.data and (template := _template(op)) is not None:
            return self._extend(op, template)
        return None if trainable or not self._add_constant(op, wires) else NO_ENTRIES

    def _append(self, name: str, wires: tuple[Any, ...], inverse: bool, matrix: np.ndarray | None = None) -> None:
        self.names.append(name)
        self.wires.append(wires)
        self.inverses.append(inverse)
        self.matrices.append(matrix)

    def _append_angles(self, data: Sequence[Any], flat: np.ndarray | None) -> None:
        self.angles.append((data, flat))
        self.n_angles += 1 if flat is None else len(flat)

    def _extend(self, op: Operator, template: "_Template") -> np.ndarray:
        self.names += template.names
        self.wires += template.wires
        self.inverses += template.inverses
        self.matrices += [None] * len(template.names)
        self._append_angles(op.data, template.flat)
        return template.flat

    def _add_constant(self, op: Operator, wires: tuple[Any, ...]) -> bool:
        if len(wires) <= MAX_MATRIX_WIRES and op.has_matrix:
            self._append("QubitUnitary", wires, False, np.asarray(op.matrix(), dtype=np.complex128))
            return True
        parts = decomposed(op) if op.has_decomposition else [None]
        return all(part is not None and self.add(part, part.wires.labels, False) is not None for part in parts)


@dataclass(frozen=True)
class _Template:
    """The kernels that an operation decomposes into; angle i is entry ``flat[i]`` of its concatenated parameters."""

    names: list[str]
    wires: list[tuple[Any, ...]]
    inverses: list[bool]
    flat: np.ndarray


_templates: dict[Any, _Template | None] = {}
_TEMPLATES_KEPT = 64


def _template(op: Operator) -> _Template | None:
    """The structure of an operation whose decomposition only copies its parameters into kernels; None for others.

    A step of training then handles one tensor of weights rather than hundreds of Python objects. Decomposing is slow,
    so what was learnt is kept per type, wires and shapes.
    """
    if isinstance(op, SymbolicOp) or not op.has_decomposition:
        return None
    shapes = tuple(getattr(data, "shape", ()) for data in op.data)
    key = (type(op), op._flatten()[1], shapes)
    if key not in _templates:
        if len(_templates) >= _TEMPLATES_KEPT:
            _templates.clear()
        _templates[key] = _learn_template(op, shapes)
    return _templates[key]


def _learn_template(op: Operator, shapes: Sequence[tuple[int, ...]]) -> _Template | None:
    """Decompose twice with random parameters: the first shows where each entry goes, the second confirms it."""
    rng = np.random.default_rng(0)
    trials = []
    for _ in range(2):
        data = [rng.uniform(1, 2, shape) for shape in shapes]
        kernels = list(_kernels(qml.ops.functions.bind_new_parameters(op, data)))
        trials.append((_concatenated(data), kernels))
    (entries, kernels), (other_entries, other_kernels) = trials
    position = {value: i for i, value in enumerate(entries)}
    angles = [angle for *_, angle in kernels if angle is not None]
    if any(name == "" for name, *_ in kernels) or any(angle not in position for angle in angles):
        return None
    flat = np.array([position[angle] for angle in angles], dtype=int)
    if [angle for *_, angle in other_kernels if angle is not None] != other_entries[flat].tolist():
        return None
    names, wires, inverses, _ = zip(*kernels, strict=True) if kernels else ((), (), (), ())
    return _Template(list(names), list(wires), list(inverses), flat)


def _kernels(op: Operator) -> Iterator[tuple[str, tuple[Any, ...], bool, float | None]]:
    """Decompose down to (kernel, wires, inverse, angle); the name is empty where that is impossible."""
    base, inverse = (op.base, True) if isinstance(op, Adjoint) else (op, False)
    if base.name in FIXED:
        yield base.name, op.wires.labels, inverse, None
    elif base.name in ROTATIONS and is_scalar(op.data[0]):
        yield base.name, op.wires.labels, inverse, float(op.data[0])
    elif op.has_decomposition:
        for part in decomposed(op):
            yield from _kernels(part)
    else:
        yield "", op.wires.labels, inverse, None


def decomposed(op: Operator) -> list[Operator]:
    with qml.QueuingManager.stop_recording():
        return list(op.decomposition())


def is_scalar(data: Any) -> bool:
    return getattr(data, "shape", ()) == ()


def _concatenated(data: Sequence[Any]) -> np.ndarray:
    return np.concatenate([np.ravel(entries) for entries in data])
