"""A tape as its structure and its numbers: a table of angles, and states that enter from outside."""

import hashlib
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from typing import Any

import numpy as np
import pennylane as qml
from pennylane.operation import Operator, StatePrepBase
from pennylane.tape import QuantumScript

from qkd_pl.devices.ibm.compile.tapes import GATES, amplitudes, is_gate_or_state
from qkd_pl.devices.measurements import measurement_key
from qkd_pl.devices.noisy.state_gates import StateGates
from qkd_pl.devices.templates import Template, Templates, sizes_of
from qkd_pl.upstream.pennylane import flattened

_templates = Templates(is_gate_or_state)


@dataclass(eq=False)
class _Part:
    """One operation, and the number of the column of its first angle; a literal one has no template and no angles."""

    op: Operator
    template: Template | None
    first: int

    @property
    def is_batched(self) -> bool:
        return self.template is not None and any(self.template.batched)

    @property
    def columns(self) -> slice:
        return slice(self.first, self.first + (0 if self.template is None else len(self.template.entries)))

    def angles(self) -> np.ndarray:
        """``(columns,)``, or ``(b, columns)`` if the operation is broadcast."""
        if self.template is None:
            return np.zeros(0)
        batch = (self.op.batch_size,) if self.is_batched else ()
        sizes = sizes_of(self.template.shapes)
        flat = [
            np.broadcast_to(np.reshape(value, (*np.shape(value)[: np.ndim(value) - len(shape)], size)), (*batch, size))
            for value, shape, size in zip(self.op.data, self.template.shapes, sizes, strict=True)
        ]
        # The last of these numbers, zero, is the one of angles that no parameter sets.
        numbers = np.concatenate([*flat, np.zeros((*batch, 1))], axis=-1)
        return numbers[..., self.template.entries] * self.template.scales + self.template.offsets


@dataclass(eq=False)
class Reading:
    """A tape that can be simulated as it is; see :func:`read`.

    Attributes:
        key: equal for tapes whose angles and states only differ.
        tape: as it was read.
        states: operations that bring a state from outside.
        n_columns: number of angles.
    """

    key: Hashable
    tape: QuantumScript
    states: list[StatePrepBase]
    n_columns: int
    _parts: list[_Part] = field(repr=False)
    _index: dict[int, _Part] = field(repr=False)

    @property
    def batch(self) -> int | None:
        """Number of inputs, or None."""
        return self.tape.batch_size

    @cached_property
    def batched(self) -> frozenset[int]:
        """Columns of angles that differ between inputs."""
        return frozenset(
            column for part in self._parts if part.is_batched for column in range(part.columns.start, part.columns.stop)
        )

    def operations(self) -> Iterator[Operator]:
        """The gates, with the number of its column in place of each angle."""
        for part in self._parts:
            if part.template is None:
                yield part.op
                continue
            columns = count(part.first)
            for gate in part.template.gates:
                angles = [float(next(columns)) for _ in gate.data]
                yield qml.ops.functions.bind_new_parameters(gate, angles) if angles else gate

    def shared_angles(self) -> np.ndarray:
        """Radians ``(n_columns,)``; 0 where they differ between inputs."""
        angles = np.zeros(self.n_columns)
        for part in self._parts:
            if not part.is_batched:
                angles[part.columns] = part.angles()
        return angles

    def table(self) -> np.ndarray:
        """Radians ``(b, n_columns)``."""
        table = np.zeros((self.batch or 1, self.n_columns))
        for part in self._parts:
            table[:, part.columns] = part.angles()
        return table

    def amplitudes(self, index: int) -> np.ndarray:
        """Amplitudes ``(b, 2^k)`` of ``states[index]``."""
        vectors = np.atleast_2d(amplitudes(self.states[index]))
        return np.broadcast_to(vectors, (self.batch or 1, vectors.shape[1]))

    def fingerprint(self) -> bytes:
        """Equal for tapes of one structure with equal angles and states; a user may change arrays in place."""
        digest = hashlib.blake2b()
        for numbers in (self.table(), *(self.amplitudes(index) for index in range(len(self.states)))):
            digest.update(repr((numbers.shape, numbers.dtype.str)).encode())
            digest.update(np.ascontiguousarray(numbers).data)
        return digest.digest()

    def columns_of_parameter(self, parameter: int) -> list[tuple[int, int, float]] | None:
        """For the tape's parameter of this number each column that one of its entries sets, the entry and its scale.

        None if it is not a shared angle.
        """
        info = self.tape.par_info[parameter]
        part = self._index.get(info["op_idx"])
        if part is None or part.is_batched:
            return None
        if part.template is None:
            return []
        sizes = sizes_of(part.template.shapes)
        start = sum(sizes[: info["p_idx"]])
        size = sizes[info["p_idx"]]
        return [
            (part.first + position, int(entry) - start, float(scale))
            for position, (entry, scale) in enumerate(zip(part.template.entries, part.template.scales, strict=True))
            if start <= entry < start + size
        ]


def read(tape: QuantumScript, state_gates: StateGates | None) -> Reading | None:
    """Take a tape apart; None if an angle of a gate is no affine function of one parameter of an operation.

    Args:
        tape: on wires 0, 1, …; its parameters may be tracers until the reading is asked for numbers.
        state_gates: makes gates of states; None lets them enter from outside.
    """
    parts: list[_Part] = []
    index: dict[int, _Part] = {}
    states: list[StatePrepBase] = []
    keys: list[tuple[Hashable, Any]] = []
    touched: set[Any] = set()
    first = 0
    for position, op in enumerate(tape.operations):
        if isinstance(op, StatePrepBase) and touched & set(op.wires):
            return None
        touched |= set(op.wires)
        if isinstance(op, StatePrepBase) and state_gates is None:
            states.append(op)
            keys.append(("state", op.wires.labels))
            continue
        gates = state_gates.gates(op, tape, position) if state_gates and isinstance(op, StatePrepBase) else [op]
        for part in _parts_of(gates, first):
            if part is None:
                return None
            parts.append(part)
            keys.append((_key(part), part.is_batched))
            first = part.columns.stop
            if part.op is op:
                index[position] = part
    if (measured := tuple(map(measurement_key, tape.measurements))) and None in measured:
        return None
    return Reading((tuple(keys), measured, tape.batch_size is None), tape, states, first, parts, index)


def _parts_of(operations: Sequence[Operator], first: int) -> Iterator[_Part | None]:
    for op in operations:
        if _is_literal(op):
            yield _Part(op, None, first) if op.batch_size is None else None
        elif (template := _templates.of(op)) is None:
            yield None
        else:
            part = _Part(op, template, first)
            first = part.columns.stop
            yield part


def _is_literal(op: Operator) -> bool:
    """Whether an operation's parameters are matrices rather than angles."""
    return op.name in GATES and any(op.ndim_params)


def _key(part: _Part) -> Hashable:
    if part.template is not None:
        return part.template
    matrices = (np.ascontiguousarray(value) for value in part.op.data)
    return type(part.op), flattened(part.op)[1], *((matrix.dtype.str, matrix.tobytes()) for matrix in matrices)
