"""In what order the wires of a product state enter the register.

A wire is needed from the first gate on it that something else depends on. Gates that do not depend on it act before it
enters, on a register half as large. What results is exact: only commuting gates change places.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

from qkd_pl.devices.lightning.kernels import Kernels

# What it costs to let wires enter: so many gates on the larger register, a share of its gates, and a fixed number of
# amplitudes times gates that would take as long as the calls.
_GATES, _SHARE_OF_GATES, _UPDATES = 6.0, 0.3, 2e6

Wires = tuple[Any, ...]


@dataclass(frozen=True)
class Stage:
    """What happens between two entries.

    Attributes:
        n_groups: how many groups enter, one before the other; their wires come before those that are in the register.
        kernels: the gates that act then.
    """

    n_groups: int
    kernels: Kernels

    def kept(self, full: bool) -> list[int]:
        """The segments after which the states are kept: all that take angles, and the last; or only the last."""
        segments = self.kernels.segments
        last = len(segments) - 1
        return [i for i, segment in enumerate(segments) if i == last or (full and segment.takes_angles)]


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


def entries(gates: Sequence[tuple[Iterable[Any], bool]], groups: Sequence[Wires], batch_size: int) -> list[Entry]:
    """Order the groups such that as many gates as possible act on few wires.

    Args:
        gates: wires of each gate, and whether it is diagonal in Z.
        groups: wires prepared together.
        batch_size: number of samples.
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
    return _merged(found, batch_size)


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


def _saved(group: int, left: Sequence[int], needs: Sequence[int]) -> int:
    """How many gates can act before a group enters."""
    return sum(not needs[gate] >> group & 1 for gate in left)


def _merged(found: Sequence[Entry], batch_size: int) -> list[Entry]:
    """Let groups enter together where waiting does not pay."""
    kept = [found[0]]
    for following in found[1:]:
        small, large = (batch_size * 2**entry.n_wires for entry in (kept[-1], following))
        price = (_GATES + _SHARE_OF_GATES * len(following.gates)) * large + _UPDATES
        if len(kept[-1].gates) * (large - small) > price:
            kept.append(following)
        else:
            together = sorted(kept[-1].gates + following.gates)
            kept[-1] = Entry(kept[-1].groups + following.groups, together, following.n_wires)
    return kept
