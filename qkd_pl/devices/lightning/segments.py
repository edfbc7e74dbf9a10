"""The order in which shared gates act: layers of merged single-qubit gates between all other gates."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Segment:
    """Gates that cannot be merged, one after the other, and then merged single-qubit gates, each on its own wire.

    If those that cannot be merged take angles, there are no others.

    Attributes:
        gates: indices of the gates that cannot be merged, as a rule on several wires.
        runs: indices of the merged runs.
        takes_angles: whether any of them depends on one.
    """

    gates: list[int]
    runs: list[int]
    takes_angles: bool


def segments_of(
    positions: Sequence[Sequence[int]], merge: Sequence[bool], takes_angle: Collection[int]
) -> tuple[list[Segment], list[list[int]]]:
    """As few segments as possible, at least one, and the gates of each merged run.

    Args:
        positions: that each gate acts on.
        merge: whether a gate can be merged with others on its only wire.
        takes_angle: the gates that take an angle.
    """
    runs: list[list[int]] = []
    gates_of: dict[int, list[int]] = defaultdict(list)
    runs_of: dict[int, list[int]] = defaultdict(list)
    reached = dict.fromkeys((position for on in positions for position in on), 0)
    open_run: dict[int, int] = {}
    for gate, on in enumerate(positions):
        if merge[gate]:
            if on[0] not in open_run:
                open_run[on[0]] = len(runs)
                runs_of[reached[on[0]]].append(len(runs))
                runs.append([])
            runs[open_run[on[0]]].append(gate)
        else:
            level = max([1, *(reached[position] + (position in open_run) for position in on)])
            gates_of[level].append(gate)
            for position in on:
                reached[position] = level
                open_run.pop(position, None)
    found = []
    for level in range(max(reached.values(), default=0) + 1):
        gates, layer = gates_of[level], runs_of[level]
        run_takes_angles = any(gate in takes_angle for run in layer for gate in runs[run])
        if any(gate in takes_angle for gate in gates):
            found += [Segment(gates, [], True), Segment([], layer, run_takes_angles)]
        else:
            found.append(Segment(gates, layer, run_takes_angles))
    needed = [segment for segment in found if segment.gates or segment.runs]
    return needed or found[:1], runs
