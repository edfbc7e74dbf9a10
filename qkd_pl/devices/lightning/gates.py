"""Gates in Lightning's serialised form."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Any, TypeAlias

import numpy as np
from pennylane.operation import Operator
from pennylane.ops.op_math import Adjoint

from qkd_pl.devices.lightning.kernels import Kernels
from qkd_pl.devices.lightning.templates import (
    FIXED,
    ROTATIONS,
    Template,
    concatenated,
    decomposed,
    is_number,
    is_scalar,
    template_of,
)

MAX_MATRIX_WIRES = 3
NO_ENTRIES, ONE_ENTRY = np.empty(0, dtype=int), np.zeros(1, dtype=int)
# An operation of a tape by its position there, or an operation that is not in the tape itself.
Source: TypeAlias = int | Operator


def resolve(source: Source, operations: Sequence[Operator]) -> Operator:
    """The operation itself; ``operations`` are those of the tape."""
    return operations[source] if isinstance(source, int) else source


@dataclass
class Gates:
    """A list of gates; the i-th angle belongs to the i-th gate that takes one.

    Attributes:
        names: Lightning's kernel names, or ``"QubitUnitary"`` with an entry in ``matrices``.
        wires: wire labels of each gate.
        inverses: whether the adjoint of the kernel acts.
        matrices: ``(2**w, 2**w)`` complex128 for gates without a kernel, else None.
        angles: blocks of angles: an operation and the flat positions in its parameters; None for a single scalar.
        n_angles: number of angles in all blocks.
        kept_angles: positions of the angles that gates still take, after some have been dropped; None for all.
    """

    names: list[str] = field(default_factory=list)
    wires: list[tuple[Any, ...]] = field(default_factory=list)
    inverses: list[bool] = field(default_factory=list)
    matrices: list[np.ndarray | None] = field(default_factory=list)
    angles: list[tuple[Source, np.ndarray | None]] = field(default_factory=list)
    n_angles: int = 0
    kept_angles: np.ndarray | None = None

    def values(self, operations: Sequence[Operator]) -> np.ndarray:
        """Angles of the gates in radians, shape ``(n_kept_angles,)`` float64, from the operations of a tape."""
        taken = ((resolve(source, operations).data, flat) for source, flat in self.angles)
        blocks = [data if flat is None else concatenated(data)[flat] for data, flat in taken]
        values = np.concatenate(blocks, dtype=np.float64) if blocks else np.empty(0)
        return values if self.kept_angles is None else values[self.kept_angles]

    def keep(self, needed: Sequence[bool]) -> None:
        """Drop the gates that are not needed; the numbering of the angles stays."""
        if all(needed):
            return
        takes_angle = [name in ROTATIONS for name in self.names]
        self.kept_angles = np.flatnonzero(list(compress(needed, takes_angle)))
        self.names = list(compress(self.names, needed))
        self.wires = list(compress(self.wires, needed))
        self.inverses = list(compress(self.inverses, needed))
        self.matrices = list(compress(self.matrices, needed))

    def scatter(self, gradient: np.ndarray) -> np.ndarray:
        """Gradient of all angles, shape ``(n_angles,)``, from that of the kept ones."""
        if self.kept_angles is None:
            return gradient
        scattered = np.zeros(self.n_angles)
        scattered[self.kept_angles] = gradient
        return scattered

    def kernels(self, n_wires: int, positions: dict[Any, int], chosen: Sequence[int]) -> Kernels:
        """Some of the gates, on positions of a register of ``n_wires``."""
        takes_angle = np.cumsum([0, *(name in ROTATIONS for name in self.names)])
        return Kernels(
            n_wires,
            [self.names[i] for i in chosen],
            [[positions[wire] for wire in self.wires[i]] for i in chosen],
            [self.inverses[i] for i in chosen],
            [self.matrices[i] for i in chosen],
            np.array([takes_angle[i] for i in chosen if self.names[i] in ROTATIONS], dtype=int),
        )

    def add(self, op: Operator, source: Source, wires: tuple[Any, ...], trainable: bool) -> np.ndarray | None:
        """Append ``op``, whose parameters come from ``source``, as kernels, as a small matrix, or decomposed.

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
            self._append_angles(source, None)
            return ONE_ENTRY
        if op.data and (template := template_of(op)) is not None:
            return self._extend(source, template)
        return None if trainable or not self._add_constant(op, wires) else NO_ENTRIES

    def _append(self, name: str, wires: tuple[Any, ...], inverse: bool, matrix: np.ndarray | None = None) -> None:
        self.names.append(name)
        self.wires.append(wires)
        self.inverses.append(inverse)
        self.matrices.append(matrix)

    def _append_angles(self, source: Source, flat: np.ndarray | None) -> None:
        self.angles.append((source, flat))
        self.n_angles += 1 if flat is None else len(flat)

    def _extend(self, source: Source, template: Template) -> np.ndarray:
        self.names += template.names
        self.wires += template.wires
        self.inverses += template.inverses
        self.matrices += [None] * len(template.names)
        self._append_angles(source, template.flat)
        return template.flat

    def _add_constant(self, op: Operator, wires: tuple[Any, ...]) -> bool:
        if not wires:  # a global phase
            return True
        if not all(map(is_number, op.data)):
            return False
        if len(wires) <= MAX_MATRIX_WIRES and op.has_matrix:
            self._append("QubitUnitary", wires, False, np.asarray(op.matrix(), dtype=np.complex128))
            return True
        parts = decomposed(op)
        return parts is not None and all(self.add(part, part, part.wires.labels, False) is not None for part in parts)
