"""Tapes → the fewest jobs, and the jobs' numbers → PennyLane's results. Both are pure: nothing is sent from here.

Tapes that differ in numbers only are rows of one table: one circuit, transpiled once, in one PUB. Tapes must have
gone through the transforms of :mod:`qkd_pl.devices.ibm.compile.tapes`: wires 0, 1, …, gates that Qiskit has, one
primitive.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from pennylane.measurements import MeasurementProcess
from pennylane.tape import QuantumScript
from pennylane.typing import Result
from pennylane.wires import Wires
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import Target

from qkd_pl.devices.ibm.compile.cost import Cost, price, repetitions
from qkd_pl.devices.ibm.compile.structure import (
    Expectation,
    angles,
    circuit_key,
    estimates,
    expectations,
    measured_wires,
    measurement_bases,
    parameterised_circuit,
)
from qkd_pl.devices.ibm.compile.tapes import is_estimated
from qkd_pl.devices.ibm.compile.transpile import Compiled, Transpiler
from qkd_pl.devices.ibm.payload import Payload, Primitive, estimator_pub, sampler_pub
from qkd_pl.devices.ibm.service.primitives import check_options
from qkd_pl.errors import InvalidInputError

# IBM Quantum documentation, "Job limits": executions (circuits × shots) of one job; and the size of a job's inputs.
MAX_EXECUTIONS = 10_000_000
MAX_INPUT_BYTES = 64_000_000
# Arrays travel in base64.
_BYTES_PER_ANGLE = 8 * 4 / 3


class _Chunk(NamedTuple):
    """Some rows of one group, which go into one job."""

    group: "_Group"
    start: int
    stop: int


@dataclass(eq=False)
class _Group:
    """Tapes of one structure: what is measured, and a table of angles with some rows for each tape."""

    primitive: Primitive
    shots: int | None
    compiled: Compiled
    measured: tuple[tuple[Expectation, ...], ...]
    tapes: list[int] = field(default_factory=list)
    tables: list[np.ndarray] = field(default_factory=list)

    @cached_property
    def operators(self) -> list[SparsePauliOp]:
        return [each.operator for parts in self.measured for each in parts if each.operator is not None]

    @cached_property
    def rows(self) -> np.ndarray:
        return np.concatenate(self.tables)[:, list(self.compiled.columns)]

    @property
    def bases(self) -> int:
        """Circuits that one row needs; 0 if everything measured is constant."""
        return 1 if self.primitive == "sampler" else measurement_bases(self.operators)

    def pubs(self, start: int, stop: int) -> list[EstimatorPub | SamplerPub]:
        """PUBs for some rows: one, or one for each row where there is no parameter to tell them apart."""
        rows = self.rows[start:stop]
        return [self._pub(part) for part in ([rows] if self.compiled.columns else np.split(rows, len(rows)))]

    def _pub(self, rows: np.ndarray) -> EstimatorPub | SamplerPub:
        if self.primitive == "sampler":
            return sampler_pub(self.compiled.circuit, rows, self.shots or 0)
        observables = [self.compiled.observable(operator) for operator in self.operators]
        return estimator_pub(self.compiled.circuit, observables, rows, self.shots)


@dataclass(frozen=True, eq=False)
class GroupedTapes:
    """Jobs that evaluate some tapes, and how to read their results; see :func:`group_tapes`.

    Attributes:
        payloads: the jobs, in order. Where every tape measures expectation values of one structure, the arrays of all
            jobs, concatenated along their last axis, are (observables, rows) in the order of tapes and inputs;
            multiples of the identity are not sent.
        compiled: the circuit of each structure.
    """

    payloads: tuple[Payload, ...]
    compiled: tuple[Compiled, ...]
    _tapes: tuple[QuantumScript, ...]
    _groups: tuple[_Group, ...]
    _owners: tuple[tuple[_Group, ...], ...]
    _n_wires: int
    _target: Target

    def cost(self) -> Cost:
        """Size and price of the jobs, before they are sent."""
        return price(self.payloads, self._target)

    def results(self, values: Sequence[Sequence[np.ndarray]]) -> tuple[Result, ...]:
        """PennyLane's results, one for each tape.

        Args:
            values: for each job, the arrays of :func:`qkd_pl.devices.ibm.service.results.values`.
        """
        arrays: dict[_Group, list[np.ndarray]] = {group: [] for group in self._groups}
        for owners, parts in zip(self._owners, values, strict=True):
            for owner, part in zip(owners, parts, strict=True):
                arrays[owner].append(part)
        results: dict[int, Result] = {}
        for group, parts in arrays.items():
            read = self._estimated if group.primitive == "estimator" else self._sampled
            results |= zip(group.tapes, read(group, parts), strict=True)
        return tuple(results[index] for index in range(len(self._tapes)))

    def _estimated(self, group: _Group, parts: list[np.ndarray]) -> Iterator[Result]:
        rows = len(group.rows)
        columns = estimates(group.measured, np.concatenate(parts, axis=1) if parts else np.empty((0, rows)))
        for index, span in _spans(group):
            batched = self._tapes[index].batch_size is not None
            yield _unwrapped([column[span] if batched else column[span.start] for column in columns])

    def _sampled(self, group: _Group, parts: list[np.ndarray]) -> Iterator[Result]:
        bits = np.concatenate(parts)
        for index, span in _spans(group):
            tape = self._tapes[index]
            # PennyLane would take the axis of a batch of one for no axis at all.
            is_many = tape.batch_size is not None and tape.batch_size > 1
            own = bits[span if is_many else span.start].astype(np.int64)
            read = [each.process_samples(own, Wires(range(self._n_wires))) for each in tape.measurements]
            yield _unwrapped(read if tape.batch_size != 1 else [_as_batch(each) for each in read])


def group_tapes(
    tapes: Sequence[QuantumScript],
    n_wires: int,
    transpiler: Transpiler,
    options: Mapping[str, Any],
    seeds: Iterator[int] | None = None,
) -> GroupedTapes:
    """Group ``tapes`` by structure and pack them into as few jobs as the service's limits allow.

    There is one job for each primitive and number of shots, and more only where one would exceed
    :data:`MAX_EXECUTIONS` or :data:`MAX_INPUT_BYTES`.

    Args:
        tapes: preprocessed tapes, batched or not.
        n_wires: wires of the device; all are measured by sampled tapes.
        transpiler: compiles each structure that it has not met yet.
        options: see :class:`qkd_pl.devices.ibm.payload.Payload`.
        seeds: gives each job on a simulator its own seed.

    Raises:
        InvalidInputError: one row alone exceeds the limits, or the Sampler does not know one of ``options``.
    """
    groups = _group(tapes, n_wires, transpiler)
    jobs = list(_pack(groups, repetitions(options)))
    payloads, owners = [], []
    for chunks in jobs:
        primitive = chunks[0].group.primitive
        check_options(primitive, options)
        pubs = [(chunk.group, pub) for chunk in chunks for pub in chunk.group.pubs(chunk.start, chunk.stop)]
        seed = {} if seeds is None else {"seed": next(seeds)}
        payloads.append(Payload(primitive, tuple(pub for _, pub in pubs), {**options, **seed}))
        owners.append(tuple(group for group, _ in pubs))
    compiled = tuple(dict.fromkeys(group.compiled for group in groups))
    return GroupedTapes(
        tuple(payloads), compiled, tuple(tapes), tuple(groups), tuple(owners), n_wires, transpiler.target
    )


def _group(tapes: Sequence[QuantumScript], n_wires: int, transpiler: Transpiler) -> list[_Group]:
    groups: dict[Hashable, _Group] = {}
    # Shifted tapes share their measurements' objects, so that each is decomposed into Pauli words once.
    known: dict[int, tuple[Expectation, ...]] = {}
    for index, tape in enumerate(tapes):
        structure = (circuit_key(tape), _primitive(tape))
        measured = tuple(_expectations(each, n_wires, known) for each in tape.measurements if is_estimated(each))
        key = (structure, tape.shots.total_shots, tuple(part.key for parts in measured for part in parts))
        if key not in groups:
            circuit = parameterised_circuit(tape, n_wires)
            compiled = transpiler.compile(structure, circuit, measured_wires(measured))
            groups[key] = _Group(_primitive(tape), tape.shots.total_shots, compiled, measured)
        groups[key].tapes.append(index)
        groups[key].tables.append(angles(tape))
    return list(groups.values())


def _pack(groups: Sequence[_Group], repeats: int) -> Iterator[list[_Chunk]]:
    """Fill one job after the other; a group may be split between two rows."""
    for kind in dict.fromkeys((group.primitive, group.shots) for group in groups):
        job: list[_Chunk] = []
        executions, size = 0, 0.0
        for group in groups:
            if (group.primitive, group.shots) != kind or not group.bases:
                continue
            per_row, row_size = _row_weight(group, repeats)
            start = 0
            while start < len(group.rows):
                room = min((MAX_EXECUTIONS - executions) // per_row, int((MAX_INPUT_BYTES - size) // row_size))
                stop = min(start + room, len(group.rows))
                if room > 0:
                    job.append(_Chunk(group, start, stop))
                executions += (stop - start) * per_row
                size += (stop - start) * row_size
                if stop < len(group.rows):
                    yield job
                    job, executions, size = [], 0, 0.0
                start = stop
        if job:
            yield job


def _row_weight(group: _Group, repeats: int) -> tuple[int, float]:
    """Executions and bytes that one row adds to a job; exact simulation counts as one shot."""
    executions = group.bases * repeats * (group.shots or 1)
    if executions > MAX_EXECUTIONS:
        raise InvalidInputError(f"one input alone needs {executions:,} executions; a job may have {MAX_EXECUTIONS:,}")
    size = max(1, group.rows.shape[1]) * _BYTES_PER_ANGLE
    if size > MAX_INPUT_BYTES:
        raise InvalidInputError(f"one input alone takes {size:,.0f} bytes; a job may have {MAX_INPUT_BYTES:,}")
    return executions, size


def _spans(group: _Group) -> Iterator[tuple[int, slice]]:
    start = 0
    for index, table in zip(group.tapes, group.tables, strict=True):
        yield index, slice(start, start + len(table))
        start += len(table)


def _primitive(tape: QuantumScript) -> Primitive:
    return "estimator" if is_estimated(tape.measurements[0]) else "sampler"


def _expectations(
    measurement: MeasurementProcess, n_wires: int, known: dict[int, tuple[Expectation, ...]]
) -> tuple[Expectation, ...]:
    if id(measurement) not in known:
        known[id(measurement)] = expectations(measurement, n_wires)
    return known[id(measurement)]


def _as_batch(result: Any) -> Any:
    return [result] if isinstance(result, dict) else np.asarray(result)[np.newaxis]


def _unwrapped(values: list[Any]) -> Result:
    return values[0] if len(values) == 1 else tuple(values)
