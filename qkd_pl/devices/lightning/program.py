"""From a tape to a program: all of a circuit but its numbers.

Finding out takes longer than running a small circuit, and a training asks about the same circuit with other numbers in
every step. A program is therefore kept, under a key of all that it depends on. Tapes without a batch whose programs
are the same are run as the batch of one program: numbers in which they differ become those of the samples.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, chain
from typing import Any

import numpy as np
import pennylane as qml
from pennylane.operation import Operator
from pennylane.tape import QuantumScript

from qkd_pl.devices.causal_cone import measured_reach, needed_gates
from qkd_pl.devices.lightning.gates import Gate, Leaf, remembered
from qkd_pl.devices.lightning.readout import Readout, readout_of
from qkd_pl.devices.lightning.schedule import Entry, Price, Run, Stage, Wires, entries, segments
from qkd_pl.devices.lightning.states import Group, Runs
from qkd_pl.devices.measurements import measurement_key

_programs: dict[Hashable, "Program | None"] = {}
_PROGRAMS_KEPT = 64


@dataclass(frozen=True)
class Options:
    """What programs depend on beside the circuit.

    Attributes:
        wires: the only ones that may be used; None for any.
        causal_cone: whether to drop what no measurement depends on.
        price: what it costs to let wires enter late.
    """

    wires: frozenset[Any] | None = None
    causal_cone: bool = True
    price: Price = field(default_factory=Price)


@dataclass(frozen=True)
class Slot:
    """A parameter of a leaf, and where its numbers stand among the entries that set angles.

    Attributes:
        leaf, which: the parameter.
        start, stop: its entries.
        shape: without the batch.
        batched: whether it differs between samples.
    """

    leaf: int
    which: int
    start: int
    stop: int
    shape: tuple[int, ...]
    batched: bool


@dataclass(frozen=True)
class Numbers:
    """What a program is filled with.

    Attributes:
        shared: entries that all samples share, float64; entry 0 is zero.
        batched: the others, shape ``(n_entries, n_samples)``.
        states: given states, each ``(1 or n_samples, 2**w)``.
    """

    shared: np.ndarray
    batched: np.ndarray
    states: list[np.ndarray]

    def equal(self, other: "Numbers") -> bool:
        """Whether both are the same numbers."""
        return (
            np.array_equal(self.shared, other.shared)
            and np.array_equal(self.batched, other.batched)
            and all(a is b or np.array_equal(a, b) for a, b in zip(self.states, other.states, strict=True))
        )


@dataclass(frozen=True, eq=False)
class Program:
    """What happens to every sample of a batch alike.

    Attributes:
        n_samples: size of the batch.
        stacked: whether the samples are tapes of their own.
        per_sample: whether gradients are found sample by sample.
        slots: parameters that set angles; the shared ones come first.
        trainable: the slots of the trainable parameters, in the order of the tape.
        n_shared: number of shared entries.
        state_leaves: leaves that prepare the given states.
        groups: what enters, in order.
        stages: the gates, in the order in which they act.
        shared, batched: the runs of single-qubit gates.
        readout: the measurements.
        n_gates: in all stages.
    """

    n_samples: int
    stacked: bool
    per_sample: bool
    slots: list[Slot]
    trainable: list[Slot]
    n_shared: int
    state_leaves: list[int]
    groups: list[Group]
    stages: list[Stage]
    shared: Runs
    batched: Runs
    readout: Readout
    n_gates: int

    @property
    def n_wires(self) -> int:
        """Of the last stage."""
        return self.stages[-1].n_wires

    def numbers(self, tapes: Sequence[Sequence[Leaf]]) -> Numbers:
        """Read the numbers of a tape, or of all that are stacked."""
        shared = np.zeros(self.n_shared)
        batched = np.empty((sum(slot.stop - slot.start for slot in self.slots if slot.batched), self.n_samples))
        for slot in self.slots:
            if not slot.batched:
                shared[slot.start : slot.stop] = np.ravel(tapes[0][slot.leaf].op.data[slot.which])
                continue
            of_samples = batched[slot.start - self.n_shared : slot.stop - self.n_shared].T
            data = [leaves[slot.leaf].op.data[slot.which] for leaves in tapes]
            of_samples[:] = np.reshape(data if self.stacked else data[0], of_samples.shape)
        states = [_states([leaves[i].op for leaves in tapes]) for i in self.state_leaves]
        return Numbers(shared, batched, states)

    def gradients(self, of_entries: np.ndarray) -> list[tuple[np.ndarray, ...]]:
        """Gradients of the trainable parameters, float64 of their shapes, for each tape.

        Args:
            of_entries: shape ``(n_entries, n_samples)``, or ``(n_entries, 1)`` of the sum over samples.
        """
        if self.stacked:
            return [
                tuple(of_entries[slot.start : slot.stop, i].reshape(slot.shape) for slot in self.trainable)
                for i in range(self.n_samples)
            ]
        found = []
        for slot in self.trainable:
            part = of_entries[slot.start : slot.stop]
            batched = slot.batched
            found.append(part.T.reshape(-1, *slot.shape) if batched else part.sum(axis=1).reshape(slot.shape))
        return [tuple(found)]


def program_of(
    stack: Sequence[Sequence[Leaf]],
    tape: QuantumScript,
    trainable: frozenset[int],
    options: "Options",
) -> Program | None:
    """The program of one broadcast tape, or of stacked tapes without a batch that have equal keys.

    Args:
        stack: leaves of each tape.
        tape: the first of them; its parameters may be tracers of an autodifferentiation framework.
        trainable: numbers of the parameters whose gradients will be asked for.
        options: of the device.
    """
    sizes = {leaf.form.batch_size for leaf in stack[0] if leaf.form.batch_size is not None}
    if len(sizes) > 1 or (sizes and len(stack) > 1):
        return None
    is_batched = _varying(stack) if len(stack) > 1 else [_broadcast(leaf) for leaf in stack[0]]
    n_samples = min(sizes, default=len(stack))
    key = structure_key(stack[0], tape)
    if key is None:
        return None
    key = (key, n_samples, not sizes, tuple(map(tuple, is_batched)), trainable, options)

    def build() -> Program | None:
        if options.wires is not None and not options.wires.issuperset(tape.wires):
            return None
        return _Builder(stack[0], is_batched, trainable, options).program(tape, n_samples, not sizes)

    return remembered(_programs, key, _PROGRAMS_KEPT, build)


def structure_key(leaves: Sequence[Leaf], tape: QuantumScript) -> Hashable | None:
    """What is equal for tapes with the same operations and measurements, whatever their numbers."""
    measured = tuple(map(measurement_key, tape.measurements))
    if None in measured or not measured or any(leaf.form.key is None for leaf in leaves):
        return None
    return tuple(leaf.form for leaf in leaves), measured


def _broadcast(leaf: Leaf) -> list[bool]:
    if leaf.form.batch_size is None:
        return [False] * len(leaf.form.shapes)
    return [np.ndim(data) > len(shape) for data, shape in zip(leaf.op.data, leaf.form.shapes, strict=True)]


def _varying(stack: Sequence[Sequence[Leaf]]) -> list[list[bool]]:
    """For each leaf and parameter whether the tapes differ in it."""
    found = []
    for alike in zip(*stack, strict=True):
        first, which = alike[0].op.data, range(len(alike[0].form.shapes))
        found.append([any(not np.array_equal(leaf.op.data[i], first[i]) for leaf in alike) for i in which])
    return found


def _states(preparations: Sequence[Operator]) -> np.ndarray:
    """Amplitudes ``(1 or n_samples, 2**w)`` of one preparation, or one of each stacked tape."""
    if len(preparations) > 1:
        return np.concatenate([_states([op]) for op in preparations])
    (op,) = preparations
    state = op.data[0] if isinstance(op, qml.StatePrep) else op.state_vector().ravel()
    return np.atleast_2d(np.asarray(state))


@dataclass
class _Builder:
    """Turns leaves into a program, step by step.

    Args:
        leaves: the operations.
        is_batched: for each leaf and parameter whether it differs between samples.
        trainable: numbers of the trainable parameters.
        options: of the device.
    """

    leaves: Sequence[Leaf]
    is_batched: Sequence[Sequence[bool]]
    trainable: frozenset[int]
    options: Options
    gates: list[Gate] = field(default_factory=list)
    prepared: dict[Wires, tuple[int | None, list[Gate]]] = field(default_factory=dict)
    state_leaves: list[int] = field(default_factory=list)
    shared: list[list[Gate]] = field(default_factory=list)
    batched: list[list[Gate]] = field(default_factory=list)

    def program(self, tape: QuantumScript, n_samples: int, stacked: bool) -> Program | None:
        """The program; None if a state is prepared in the middle of the circuit, or the observables do not fit."""
        slots = self._slots()
        by_number = {(self.leaves[slot.leaf].first or 0) + slot.which: slot for slot in slots if self._is_of_tape(slot)}
        trainable = [by_number[i] for i in sorted(self.trainable)]
        per_sample = bool(trainable) and (stacked or any(slot.batched for slot in trainable))
        if not self._separate(self._bound_gates(slots)):
            return None
        measured = [measurement.wires.labels for measurement in tape.measurements]
        reached = measured_reach(tape.measurements, ()) if self.options.causal_cone else None
        if reached is not None:
            needed = needed_gates([(gate.wires, gate.is_diagonal) for gate in self.gates], reached)
            self.gates = [gate for gate, is_needed in zip(self.gates, needed, strict=True) if is_needed]
            self.prepared = {on: made for on, made in self.prepared.items() if not reached.keys().isdisjoint(on)}
        known = {wire for group in self.prepared for wire in group}
        used = chain(*(gate.wires for gate in self.gates), *measured)
        self.prepared |= {(wire,): (None, []) for wire in used if wire not in known}
        if not self.prepared:
            return None
        order, found = self._entries(n_samples, set(chain(*measured)))
        wires = [wire for group in reversed(order) for wire in group]
        positions = {wire: position for position, wire in enumerate(wires)}
        readout = readout_of(tape.measurements, positions)
        if readout is None:
            return None
        stages = [self._stage(entry, positions, per_sample) for entry in found]
        groups = [self._group(group) for group in order]
        n_shared = 1 + sum(slot.stop - slot.start for slot in slots if not slot.batched)
        return Program(
            n_samples,
            stacked,
            per_sample,
            slots,
            trainable,
            n_shared,
            self.state_leaves,
            groups,
            stages,
            Runs(self.shared),
            Runs(self.batched),
            readout,
            len(self.gates),
        )

    def _is_of_tape(self, slot: Slot) -> bool:
        return self.leaves[slot.leaf].first is not None

    def _slots(self) -> list[Slot]:
        """Entries of all parameters; entry 0 is reserved, and the batched ones follow the shared ones."""
        slots, start = [], 1
        for batched in (False, True):
            for i, leaf in enumerate(self.leaves):
                if leaf.is_state:
                    continue
                for which, (shape, size) in enumerate(zip(leaf.form.shapes, leaf.form.sizes, strict=True)):
                    if self.is_batched[i][which] == batched:
                        slots.append(Slot(i, which, start, start + size, shape, batched))
                        start += size
        return slots

    def _bound_gates(self, slots: Sequence[Slot]) -> Iterator[tuple[int, Gate | None]]:
        """The gates of all leaves with their entries in the program, and None for a state, each with its leaf."""
        slot_of = {(slot.leaf, slot.which): slot for slot in slots}
        for i, leaf in enumerate(self.leaves):
            if leaf.form.gates is None:
                yield i, None
                continue
            starts = [0, *accumulate(leaf.form.sizes)]
            for gate in leaf.form.gates:
                if gate.entry:
                    which = next(w for w in range(len(starts) - 1) if gate.entry <= starts[w + 1])
                    slot = slot_of[i, which]
                    gate = replace(
                        gate,
                        entry=slot.start + gate.entry - 1 - starts[which],
                        batched=slot.batched,
                        trainable=leaf.first is not None and leaf.first + which in self.trainable,
                    )
                yield i, gate

    def _separate(self, bound: Iterator[tuple[int, Gate | None]]) -> bool:
        """Gates that precede all others but single-qubit gates on their wire prepare states; the others follow."""
        touched: set[Any] = set()
        owner: dict[Any, Wires] = {}
        for i, gate in bound:
            if gate is None:
                wires = self.leaves[i].op.wires.labels
                if not touched.isdisjoint(wires) or not owner.keys().isdisjoint(wires):
                    return False
                self.prepared[wires] = (len(self.state_leaves), [])
                self.state_leaves.append(i)
                owner.update(dict.fromkeys(wires, wires))
                continue
            wires = gate.wires
            if (
                len(wires) == 1
                and not gate.trainable
                and wires[0] not in touched
                and owner.get(wires[0], wires) == wires
            ):
                owner[wires[0]] = wires
                self.prepared.setdefault(wires, (None, []))[1].append(gate)
            else:
                self.gates.append(gate)
                touched.update(wires)
        return True

    def _entries(self, n_samples: int, measured: set[Any]) -> tuple[list[Wires], list[Entry]]:
        """The groups in the order in which they enter, and the entries.

        Of those that enter together, the measured ones come last, hence first in the register: observables on the first
        wires are the cheapest.
        """
        groups = list(self.prepared)
        flagged = [(gate.wires, gate.is_diagonal) for gate in self.gates]
        found = entries(flagged, groups, n_samples, self.options.price)
        order: list[Wires] = []
        for entry in found:
            order += sorted((groups[i] for i in entry.groups), key=lambda group: not measured.isdisjoint(group))
        return order, found

    def _stage(self, entry: Entry, positions: dict[Any, int], per_sample: bool) -> Stage:
        absent = len(positions) - entry.n_wires
        gates = [self.gates[i] for i in entry.gates]
        placed = [replace(gate, wires=tuple(positions[wire] - absent for wire in gate.wires)) for gate in gates]
        found = segments(placed, per_sample)
        for segment in found:
            for run in segment.runs:
                run.number = self._numbered(run)
        return Stage(entry.n_wires, len(entry.groups), found)

    def _numbered(self, run: Run) -> int:
        among = self.batched if run.is_batched else self.shared
        among.append(run.gates)
        return len(among) - 1

    def _group(self, wires: Wires) -> Group:
        state, gates = self.prepared[wires]
        if not gates:
            return Group(wires, state)
        run = Run(0, gates)
        return Group(wires, state, self._numbered(run), run.is_batched)
