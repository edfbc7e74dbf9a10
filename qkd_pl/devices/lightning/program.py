"""From a tape to a program: all of a circuit but its numbers.

Finding out takes longer than running a small circuit, and a training asks about the same circuit with other numbers in
every step. A program is therefore kept, under a key of all that it depends on. Tapes without a batch whose programs
are the same are run as the batch of one program: numbers in which they differ become those of the samples.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import chain, count
from math import prod
from os import getpid
from typing import Any, NamedTuple

import numpy as np
import pennylane as qml
from pennylane.operation import Operator
from pennylane.tape import QuantumScript

from qkd_pl.devices.causal_cone import measured_reach, needed_gates
from qkd_pl.devices.lightning.gates import Gate, Part, gates_of
from qkd_pl.devices.lightning.readout import Readout, readout_of
from qkd_pl.devices.lightning.schedule import Group, Run, Stage, Wires, arrivals, segments
from qkd_pl.devices.lightning.states import Runs
from qkd_pl.devices.measurements import measurement_key
from qkd_pl.devices.templates import remembered, sizes_of

_programs: dict[Hashable, "Program | None"] = {}
_PROGRAMS_KEPT = 64
_counter = count()


class Options(NamedTuple):
    """What programs depend on beside the circuit."""

    wires: frozenset[Any] | None  # the only ones that may be used; None for any
    causal_cone: bool  # whether to drop what no measurement depends on
    stages: str  # when wires enter the register: "auto", "always" or "never"


class Parameter(NamedTuple):
    """A parameter of a part whose numbers set angles."""

    part: int
    which: int  # among the parameters of the part
    entries: slice  # its numbers among those of the program
    shape: tuple[int, ...]  # without the batch
    batched: bool  # whether it differs between samples
    number: int | None  # among the parameters of the tape, if it is one of them


@dataclass(frozen=True)
class Numbers:
    """What a program is filled with."""

    angles: list[np.ndarray]  # of each parameter, (1, size), or (n_samples, size) if it is batched
    states: list[np.ndarray]  # given ones, each (1 or n_samples, 2**w)

    def equal(self, other: "Numbers") -> bool:
        """Whether both, of the same program, are the same numbers."""
        return self is other or all(map(np.array_equal, [*self.angles, *self.states], [*other.angles, *other.states]))


@dataclass(frozen=True, eq=False)
class Program:
    """What happens to every sample of a batch alike."""

    n_samples: int
    stacked: bool  # whether the samples are tapes of their own
    per_sample: bool  # whether gradients are found sample by sample rather than summed
    parameters: list[Parameter]  # that set angles
    trainable: list[Parameter]  # whose gradients are asked for, in the order of the tape
    states: list[int]  # which parts prepare the given states
    stages: list[Stage]  # in the order in which they act
    shared: Runs  # of single-qubit gates, in all stages
    batched: Runs  # those whose matrices differ between samples
    readout: Readout
    n_gates: int
    token: tuple[int, int] = field(default_factory=lambda: (getpid(), next(_counter)))  # the same in a worker's copy

    @property
    def n_wires(self) -> int:
        """Of the last stage."""
        return self.stages[-1].n_wires

    @cached_property
    def n_kept(self) -> int:
        """Amplitudes of each sample that a full forward sweep keeps for the backward sweep."""
        return sum(2**stage.n_wires * len(stage.kept(full=True)) for stage in self.stages)

    def numbers(self, tapes: Sequence[Sequence[Part]]) -> Numbers:
        """Read the numbers of a tape, or of all that are stacked."""
        angles = []
        for parameter in self.parameters:
            data = [parts[parameter.part].op.data[parameter.which] for parts in tapes]
            # A copy: arrays of users may change in place between the sweeps.
            found = np.array(data if parameter.batched and self.stacked else data[0], dtype=float)
            angles.append(found.reshape(self.n_samples if parameter.batched else 1, prod(parameter.shape)))
        states = []
        for i in self.states:
            given = [_amplitudes(parts[i].op) for parts in tapes]
            states.append(np.atleast_2d(given[0] if len(given) == 1 else given))
        return Numbers(angles, states)

    def entries(self, numbers: Numbers, samples: slice) -> np.ndarray:
        """What sets the angles, ``(n_entries, b)`` float64, entry 0 being 0; b is 1 if no parameter is batched."""
        n_entries = self.parameters[-1].entries.stop if self.parameters else 1
        n_samples = len(range(self.n_samples)[samples]) if any(p.batched for p in self.parameters) else 1
        found = np.zeros((n_entries, max(n_samples, 1)))
        for parameter, angles in zip(self.parameters, numbers.angles, strict=True):
            found[parameter.entries, :n_samples] = (angles[samples] if parameter.batched else angles).T
        return found

    def gradients(self, of_entries: np.ndarray) -> list[tuple[np.ndarray, ...]]:
        """Those of the trainable parameters, for each tape, from ``(n_entries, n_samples)``, or 1 if summed."""
        found = []
        for parameter in self.trainable:
            rows = of_entries[parameter.entries].T
            if not (parameter.batched or self.stacked):
                rows = rows.sum(axis=0)
            found.append(rows.reshape((*rows.shape[:-1], *parameter.shape)))
        return [tuple(rows[i] for rows in found) for i in range(self.n_samples)] if self.stacked else [tuple(found)]


def program_of(
    stack: Sequence[Sequence[Part]], tape: QuantumScript, trainable: frozenset[int], options: Options
) -> Program | None:
    """The program of one broadcast tape, or of stacked tapes without a batch, each of which has the same program.

    ``stack`` are the parts of each tape, ``tape`` is the first of them; its parameters may be tracers.
    """
    batched = tuple([part.batched for part in stack[0]])
    broadcast = [(part.op.data, which) for part, which in zip(stack[0], batched, strict=True) if True in which]
    sizes = {np.shape(data[which.index(True)])[0] for data, which in broadcast}
    measured = tuple(map(measurement_key, tape.measurements))
    if len(sizes) > 1 or (sizes and len(stack) > 1) or None in measured or not measured:
        return None
    n_samples, stacked = min(sizes, default=len(stack)), not sizes
    if len(stack) > 1:
        batched = tuple(map(_varying, zip(*stack, strict=True)))
    structure = tuple([part.template or (type(part.op), part.op.wires.labels) for part in stack[0]])
    key = (structure, measured, n_samples, stacked, batched, trainable, options)
    builder = partial(_Builder, stack[0], batched, trainable, options)
    return remembered(_programs, key, _PROGRAMS_KEPT, lambda: builder().program(tape, n_samples, stacked))


def _varying(alike: Sequence[Part]) -> tuple[bool, ...]:
    """Which parameters that set angles differ between the same part of several tapes."""
    n = 0 if alike[0].template is None else len(alike[0].template.shapes)
    found = [np.array([part.op.data[i] for part in alike]) for i in range(n)]
    return tuple([bool((numbers != numbers[0]).any()) for numbers in found])


def _amplitudes(op: Operator) -> np.ndarray:
    return np.asarray(op.data[0] if isinstance(op, qml.StatePrep) else op.state_vector().ravel())


class _Builder:
    """Turns parts into a program, step by step; ``batched`` tells of each part which parameters differ by sample."""

    def __init__(self, parts: Sequence[Part], batched: Sequence[Any], trainable: frozenset[int], options: Options):
        self._parts, self._trainable, self._options = parts, trainable, options
        self._parameters: list[Parameter] = []
        first = 1  # entry 0 is reserved
        for i, part in enumerate(parts):
            shapes = () if part.template is None else part.template.shapes
            for which, (shape, size) in enumerate(zip(shapes, sizes_of(shapes), strict=True)):
                number = None if part.first is None else part.first + which
                entries = slice(first, first := first + size)
                self._parameters.append(Parameter(i, which, entries, shape, batched[i][which], number))
        self._gates: list[Gate] = []
        # Wires prepared together: which of the given states they start from, and gates of one wire that follow.
        self._prepared: dict[Wires, tuple[int | None, list[Gate]]] = {}
        self._states: list[int] = []

    def program(self, tape: QuantumScript, n_samples: int, stacked: bool) -> Program | None:
        """None if a wire is unknown, a state is prepared in the middle of the circuit, or the readout does not fit."""
        trainable = [parameter for parameter in self._parameters if parameter.number in self._trainable]
        per_sample = bool(trainable) and (stacked or any(parameter.batched for parameter in trainable))
        allowed = self._options.wires
        if (allowed is not None and not allowed.issuperset(tape.wires)) or not self._separate():
            return None
        measured = [measurement.wires.labels for measurement in tape.measurements]
        self._cut(tape, measured)
        stages, positions = self._stages(n_samples, set(chain(*measured)), per_sample)
        readout = readout_of(tape.measurements, positions) if positions else None
        if readout is None:
            return None
        runs = [group.run for stage in stages for group in stage.groups if group.run is not None]
        runs += [run for stage in stages for segment in stage.segments for run in segment.runs]
        shared, batched = (Runs([run for run in runs if run.is_batched == kind]) for kind in (False, True))
        return Program(
            n_samples, stacked, per_sample, self._parameters, trainable, self._states, stages, shared, batched,
            readout, len(self._gates),
        )  # fmt: skip

    def _separate(self) -> bool:
        """Gates that precede all others but single-qubit gates on their wire prepare states; the others follow."""
        set_by = {entry: p for p in self._parameters for entry in range(p.entries.start, p.entries.stop)}
        touched: set[Any] = set()
        owner: dict[Any, Wires] = {}
        first = 1
        for i, part in enumerate(self._parts):
            if part.template is None:
                wires = part.op.wires.labels
                if not (touched | owner.keys()).isdisjoint(wires):
                    return False
                self._prepared[wires] = (len(self._states), [])
                self._states.append(i)
                owner.update(dict.fromkeys(wires, wires))
                continue
            for gate in gates_of(part.template, first):
                if gate.entry:
                    parameter = set_by[gate.entry]
                    gate = replace(gate, batched=parameter.batched, trainable=parameter.number in self._trainable)
                wires = gate.wires
                is_first = len(wires) == 1 and wires[0] not in touched and owner.get(wires[0], wires) == wires
                if is_first and not gate.trainable:
                    owner[wires[0]] = wires
                    self._prepared.setdefault(wires, (None, []))[1].append(gate)
                else:
                    self._gates.append(gate)
                    touched.update(wires)
            first += sum(sizes_of(part.template.shapes))
        return True

    def _cut(self, tape: QuantumScript, measured: Sequence[Wires]) -> None:
        """Drop what no measurement depends on; wires that nothing prepares start in ``|0⟩``."""
        reached = measured_reach(tape.measurements, ()) if self._options.causal_cone else None
        if reached is not None:
            needed = needed_gates([(gate.wires, gate.is_diagonal) for gate in self._gates], reached)
            self._gates = [gate for gate, is_needed in zip(self._gates, needed, strict=True) if is_needed]
            self._prepared = {on: made for on, made in self._prepared.items() if not reached.keys().isdisjoint(on)}
        known = {wire for group in self._prepared for wire in group}
        used = chain(*(gate.wires for gate in self._gates), *measured)
        self._prepared |= {(wire,): (None, []) for wire in used if wire not in known}

    def _stages(self, n_samples: int, measured: set[Any], per_sample: bool) -> tuple[list[Stage], dict[Any, int]]:
        """The stages, and where each wire stands in the register of the last one.

        Of the groups that enter together, the measured ones come last, hence first in the register: observables on the
        first wires are the cheapest.
        """
        flagged = [(gate.wires, gate.is_diagonal) for gate in self._gates]
        found = arrivals(flagged, list(self._prepared), n_samples, self._options.stages)
        orders = [sorted(entering, key=lambda group: not measured.isdisjoint(group)) for entering, _ in found]
        wires = [wire for group in reversed([*chain(*orders)]) for wire in group]
        positions = {wire: position for position, wire in enumerate(wires)}
        stages, absent = [], len(wires)
        for order, (_, acting) in zip(orders, found, strict=True):
            absent -= sum(map(len, order))
            chosen = [self._gates[i] for i in acting]
            placed = [replace(gate, wires=tuple(positions[wire] - absent for wire in gate.wires)) for gate in chosen]
            made = [(len(group), *self._prepared[group]) for group in order]
            groups = [Group(size, state, Run(0, gates) if gates else None) for size, state, gates in made]
            stages.append(Stage(len(wires) - absent, groups, segments(placed, per_sample)))
        return stages, positions
