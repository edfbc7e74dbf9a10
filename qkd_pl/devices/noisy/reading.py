"""A tape as its structure and its numbers: a table of angles, and states that enter from outside."""

import hashlib
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pennylane as qml
from pennylane.operation import Operator, StatePrepBase
from pennylane.tape import QuantumScript

from qkd_pl.devices.ibm.compile.tapes import amplitudes
from qkd_pl.devices.measurements import measurement_key
from qkd_pl.devices.noisy.state_gates import StateGates
from qkd_pl.devices.noisy.templates import gates_of, is_literal, shapes_of, structure_of


@dataclass(eq=False)
class _Part:
    """One operation: its gates, and where their angles are among its parameters."""

    op: Operator
    gates: list[Operator]
    entries: np.ndarray
    first: int

    @property
    def is_batched(self) -> bool:
        return self.op.batch_size is not None

    def angles(self) -> np.ndarray:
        """``(columns,)``, or ``(b, columns)`` if the operation is broadcast."""
        shapes = shapes_of(self.op)
        batch = self.op.batch_size
        flat = [
            np.reshape(value, -1) if batch is None else np.broadcast_to(_rows(value, shape), (batch, _size(shape)))
            for value, shape in zip(self.op.data, shapes, strict=True)
        ]
        return np.concatenate(flat, axis=-1)[..., self.entries] if flat else np.zeros(0)


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
            column
            for part in self._parts
            if part.is_batched
            for column in range(part.first, part.first + len(part.entries))
        )

    def operations(self) -> Iterator[Operator]:
        """The gates, with the number of its column in place of each angle."""
        for part in self._parts:
            columns = iter(range(part.first, part.first + len(part.entries)))
            for gate in part.gates:
                if part.entries.size and gate.data:
                    yield qml.ops.functions.bind_new_parameters(gate, [float(next(columns)) for _ in gate.data])
                else:
                    yield gate

    def shared_angles(self) -> np.ndarray:
        """Radians ``(n_columns,)``; 0 where they differ between inputs."""
        angles = np.zeros(self.n_columns)
        for part in self._parts:
            if not part.is_batched:
                angles[part.first : part.first + len(part.entries)] = part.angles()
        return angles

    def table(self) -> np.ndarray:
        """Radians ``(b, n_columns)``."""
        table = np.zeros((self.batch or 1, self.n_columns))
        for part in self._parts:
            table[:, part.first : part.first + len(part.entries)] = part.angles()
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

    def columns_of_parameter(self, parameter: int) -> list[tuple[int, int]] | None:
        """(column, entry) of the tape's parameter of this number; None if it is not a shared angle."""
        info = self.tape.par_info[parameter]
        part = self._index.get(info["op_idx"])
        if part is None or part.is_batched:
            return None
        sizes = [_size(shape) for shape in shapes_of(part.op)]
        start = sum(sizes[: info["p_idx"]])
        size = sizes[info["p_idx"]]
        return [
            (part.first + position, int(entry) - start)
            for position, entry in enumerate(part.entries)
            if start <= entry < start + size
        ]


def read(tape: QuantumScript, state_gates: StateGates | None) -> Reading | None:
    """Take a tape apart; None if an operation does more with its parameters than copy them into gates' angles.

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
            keys.append((_key(part.op), part.is_batched))
            first += len(part.entries)
            if part.op is op:
                index[position] = part
    if any(key is None for key, *_ in keys):
        return None
    if (measured := tuple(map(measurement_key, tape.measurements))) and None in measured:
        return None
    return Reading((tuple(keys), measured, tape.batch_size is None), tape, states, first, parts, index)


def _parts_of(operations: Sequence[Operator], first: int) -> Iterator[_Part | None]:
    none = np.zeros(0, dtype=np.intp)
    for op in operations:
        if is_literal(op):
            yield _Part(op, [op], none, first) if op.batch_size is None else None
        elif (gates := gates_of(op)) is None:
            yield None
        else:
            yield _Part(op, gates.gates, gates.entries, first)
            first += len(gates.entries)


def _key(op: Operator) -> Hashable | None:
    structure = structure_of(op)
    if structure is None or not is_literal(op):
        return structure
    return structure, *(np.ascontiguousarray(value).tobytes() for value in op.data)


def _rows(value: Any, shape: Sequence[int]) -> np.ndarray:
    """A parameter with its batch, or without where only another one has it, as rows."""
    return np.reshape(value, (-1, _size(shape)))


def _size(shape: Sequence[int]) -> int:
    return int(np.prod(shape, dtype=int))
