"""In what order gates act: which wires enter the register when, and which gates make one pass over it.

*Stages.* A wire of a product state is needed from the first gate on it that something else depends on. Gates that do
not depend on it act before it enters, on a register half as large. *Segments.* Successive gates on one wire merge into
one matrix, a run; runs on different wires between the same entanglers form a layer, whose derivatives one pass finds.
Both are exact: only commuting gates change places.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, reduce
from operator import or_
from typing import Any

from qkd_pl.devices.lightning.gates import Gate

Wires = tuple[Any, ...]


@dataclass
class Run:
    """Successive gates on one wire.

    Attributes:
        wire: position in the register.
        gates: in the order in which they act.
        number: among the runs of the circuit that are alike in being batched.
        is_batched: whether its matrix differs between samples.
        is_trainable: whether the gradient with respect to any of its angles is asked for.
    """

    wire: int
    gates: list[Gate] = field(default_factory=list)
    number: int = -1

    def __post_init__(self) -> None:
        self.is_batched = any(gate.batched for gate in self.gates)
        self.is_trainable = any(gate.trainable for gate in self.gates)

    def takes(self, gate: Gate, per_sample: bool) -> bool:
        """Whether another gate may join. A gradient summed over samples needs runs that all samples share."""
        batched, trainable = self.is_batched or gate.batched, self.is_trainable or gate.trainable
        return per_sample or not (batched and trainable)

    def add(self, gate: Gate) -> None:
        """Let another gate join."""
        self.gates.append(gate)
        self.is_batched, self.is_trainable = self.is_batched or gate.batched, self.is_trainable or gate.trainable


@dataclass
class Segment:
    """Entanglers, one after the other, and then runs, each on its own wire."""

    entanglers: list[Gate] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)

    @cached_property
    def is_trainable(self) -> bool:
        """Whether any of its runs is."""
        return any(run.is_trainable for run in self.runs)


@dataclass(frozen=True)
class Stage:
    """What happens between two entries.

    Attributes:
        n_wires: in the register.
        n_groups: how many groups of wires enter; theirs come before those that are in the register.
        segments: at least one.
    """

    n_wires: int
    n_groups: int
    segments: list[Segment]

    def kept(self, full: bool) -> list[int]:
        """The segments after which states are kept: the last, with ``full`` also those that are trainable."""
        last = len(self.segments) - 1
        return [i for i, segment in enumerate(self.segments) if i == last or (full and segment.is_trainable)]


@dataclass(frozen=True)
class Price:
    """What it costs to let wires enter.

    Attributes:
        gates: so many gates on the larger register.
        share: so large a share of its gates.
        updates: so many amplitudes times gates, which would take as long as the additional calls.
    """

    gates: float = 6.0
    share: float = 0.5
    updates: float = 2e6


@dataclass
class Entry:
    """Groups of wires that enter together, and the gates that act before the next ones do.

    Attributes:
        groups: indices of the groups.
        gates: indices of the gates, ascending.
        n_wires: of all groups so far.
    """

    groups: list[int]
    gates: list[int]
    n_wires: int = 0


def entries(
    gates: Sequence[tuple[Iterable[Any], bool]], groups: Sequence[Wires], batch_size: int, price: Price
) -> list[Entry]:
    """Order the groups such that as many gates as possible act on few wires.

    Args:
        gates: wires of each gate, and whether it is diagonal in Z.
        groups: wires prepared together.
        batch_size: number of samples.
        price: of an entry.
    """
    needs = _needs(gates, groups)
    waiting, left = list(range(len(groups))), list(range(len(gates)))
    found: list[Entry] = []
    while len(waiting) > 1:
        last = max(waiting, key=lambda group: _saved(group, left, needs) * (1 - 0.5 ** len(groups[group])))
        found.append(Entry([last], [gate for gate in left if needs[gate] >> last & 1]))
        left = [gate for gate in left if not needs[gate] >> last & 1]
        waiting.remove(last)
    found.append(Entry(waiting, left))
    found.reverse()
    n_wires = 0
    for entry in found:
        n_wires += sum(len(groups[group]) for group in entry.groups)
        entry.n_wires = n_wires
    return _merged(found, batch_size, price)


def segments(gates: Sequence[Gate], per_sample: bool) -> list[Segment]:
    """As few segments as possible, at least one.

    Args:
        gates: on positions of a register.
        per_sample: whether gradients are asked for sample by sample.
    """
    levels: dict[int, Segment] = defaultdict(Segment)
    reached: dict[int, int] = defaultdict(int)
    open_run: dict[int, Run] = {}
    for gate in gates:
        on = gate.wires
        if len(on) == 1:
            (wire,) = on
            if wire in open_run and not open_run[wire].takes(gate, per_sample):
                reached[wire] += 1
                del open_run[wire]
            if wire not in open_run:
                open_run[wire] = Run(wire)
                levels[reached[wire]].runs.append(open_run[wire])
            open_run[wire].add(gate)
        else:
            level = max([1, *(reached[wire] + (wire in open_run) for wire in on)])
            levels[level].entanglers.append(gate)
            for wire in on:
                reached[wire] = level
                open_run.pop(wire, None)
    return [levels[level] for level in sorted(levels)] or [Segment()]


def _needs(gates: Sequence[tuple[Iterable[Any], bool]], groups: Sequence[Wires]) -> list[int]:
    """For each gate the groups on which it or a gate that must act before depends, as bits."""
    any_gate = {wire: 1 << i for i, group in enumerate(groups) for wire in group}
    but_diagonal = dict(any_gate)
    needs = []
    for wires, diagonal in gates:
        wires = tuple(wires)
        before = but_diagonal if diagonal else any_gate
        needed = reduce(or_, (before[wire] for wire in wires), 0)
        needs.append(needed)
        for wire in wires:
            any_gate[wire] |= needed
            if not diagonal:
                but_diagonal[wire] = any_gate[wire]
    return needs


def _saved(group: int, left: Collection[int], needs: Sequence[int]) -> int:
    """How many gates can act before a group enters."""
    return sum(not needs[gate] >> group & 1 for gate in left)


def _merged(found: Sequence[Entry], batch_size: int, price: Price) -> list[Entry]:
    """Let groups enter together where waiting does not pay."""
    kept = [found[0]]
    for following in found[1:]:
        small, large = (batch_size * 2**entry.n_wires for entry in (kept[-1], following))
        cost = (price.gates + price.share * len(following.gates)) * large + price.updates
        if len(kept[-1].gates) * (large - small) > cost:
            kept.append(following)
        else:
            together = sorted(kept[-1].gates + following.gates)
            kept[-1] = Entry(kept[-1].groups + following.groups, together, following.n_wires)
    return kept
