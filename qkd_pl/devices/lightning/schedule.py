"""In what order gates act: which wires enter the register when, and which gates make one pass over it.

*Stages.* A wire of a product state is needed from the first gate on it that something else depends on. Gates that do
not depend on it act before it enters, on a register half as large. *Segments.* Successive gates on one wire merge into
one matrix, a run; runs on different wires between the same entanglers form a layer, whose derivatives one pass finds.
Both are exact: only commuting gates change places.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from qkd_pl.devices.lightning.gates import Gate

Wires = tuple[Any, ...]
# What it costs to let wires enter: so many gates on the larger register and so large a share of its gates, since they
# make more segments then, and so many amplitudes times gates, which take as long as the additional calls.
_GATES, _SHARE, _UPDATES = 6.0, 0.3, 2e6


@dataclass
class Run:
    """Successive gates on one wire."""

    wire: int  # position in the register
    gates: list[Gate]  # in the order in which they act
    number: int = -1  # among the runs that are alike in being batched, set by ``Runs``

    @cached_property
    def is_batched(self) -> bool:
        """Whether its matrix differs between samples."""
        return any(gate.batched for gate in self.gates)

    @cached_property
    def is_trainable(self) -> bool:
        """Whether the gradient with respect to any of its angles is asked for."""
        return any(gate.trainable for gate in self.gates)


@dataclass(eq=False)
class Segment:
    """Entanglers, one after the other, and then runs, each on its own wire."""

    entanglers: list[Gate] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)


@dataclass(frozen=True)
class Group:
    """Neighbouring wires that are prepared together."""

    n_wires: int
    state: int | None  # which of the given states they start from; None for |0⟩
    run: Run | None  # the gates that follow, on a group of one wire


@dataclass(frozen=True)
class Stage:
    """What happens between two arrivals of wires."""

    n_wires: int  # in the register
    groups: list[Group]  # what enters, in front of the wires that are in the register
    segments: list[Segment]  # at least one

    @cached_property
    def trainable(self) -> list[int]:
        """Segments with a trainable run."""
        return [i for i, segment in enumerate(self.segments) if any(run.is_trainable for run in segment.runs)]

    def kept(self, full: bool) -> list[int]:
        """After which segments a forward sweep keeps the states: after the last, with ``full`` all trainable ones."""
        return sorted({len(self.segments) - 1, *(self.trainable if full else ())})


def arrivals(
    gates: Sequence[tuple[Wires, bool]], groups: Sequence[Wires], batch_size: int, stages: str
) -> list[tuple[list[Wires], list[int]]]:
    """Order groups of wires that are prepared together such that as many gates as possible act on few wires.

    Of each gate there are the wires, and whether it is diagonal in Z. Found are the groups that enter together, and the
    indices, ascending, of the gates that act before the next ones do.
    """
    needs = _needs(gates, groups)
    waiting, left = list(groups), list(range(len(gates)))
    found = []
    while len(waiting) > 1:
        # The last to enter is the one that most gates, weighed by the size of what they are spared, can do without.
        spared = {group: [gate for gate in left if group not in needs[gate]] for group in waiting}
        last = max(waiting, key=lambda group: len(spared[group]) * (1 - 0.5 ** len(group)))
        found.append(([last], [gate for gate in left if last in needs[gate]]))
        left = spared[last]
        waiting.remove(last)
    kept, n_wires = [(waiting, left)], sum(map(len, waiting))
    for entering, acting in reversed(found):
        small, n_wires = batch_size * 2**n_wires, n_wires + sum(map(len, entering))
        if not _pays(len(kept[-1][1]), len(acting), small, batch_size * 2**n_wires, stages):
            before, acted = kept.pop()
            entering, acting = before + entering, sorted(acted + acting)
        kept.append((entering, acting))
    return kept


def segments(gates: Sequence[Gate], per_sample: bool) -> list[Segment]:
    """As few segments as possible, at least one; ``per_sample`` says whether gradients are, rather than summed."""
    levels: dict[int, Segment] = defaultdict(Segment)
    reached: dict[int, int] = defaultdict(int)
    open_gates: dict[int, list[Gate]] = {}
    for gate in gates:
        on = gate.wires
        if len(on) == 1:
            (wire,) = on
            run = [*open_gates.get(wire, ()), gate]
            # A gradient summed over samples can only be found of a run that all samples share.
            if len(run) > 1 and not per_sample and any(g.batched for g in run) and any(g.trainable for g in run):
                reached[wire] += 1
                del open_gates[wire]
            if wire not in open_gates:
                open_gates[wire] = []
                levels[reached[wire]].runs.append(Run(wire, open_gates[wire]))
            open_gates[wire].append(gate)
        else:
            level = max([1, *(reached[wire] + (wire in open_gates) for wire in on)])
            levels[level].entanglers.append(gate)
            for wire in on:
                reached[wire] = level
                open_gates.pop(wire, None)
    return [levels[level] for level in sorted(levels)] or [Segment()]


def _needs(gates: Sequence[tuple[Wires, bool]], groups: Sequence[Wires]) -> list[frozenset[Wires]]:
    """For each gate the groups on which it or a gate that must act before depends."""
    any_gate = {wire: frozenset([group]) for group in groups for wire in group}
    but_diagonal = dict(any_gate)
    needs = []
    for wires, diagonal in gates:
        needed = frozenset().union(*((but_diagonal if diagonal else any_gate)[wire] for wire in wires))
        needs.append(needed)
        for wire in wires:
            any_gate[wire] |= needed
            if not diagonal:
                but_diagonal[wire] = any_gate[wire]
    return needs


def _pays(n_earlier: int, n_later: int, small: int, large: int, stages: str) -> bool:
    """Whether the earlier gates should act on ``small`` amplitudes, before the wires of the later ones enter."""
    saved, cost = n_earlier * (large - small), (_GATES + _SHARE * n_later) * large + _UPDATES
    return {"always": saved > 0, "never": False, "auto": saved > cost}[stages]
