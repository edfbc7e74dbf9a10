"""Reduced cross matrices Tr_others Σ_b |ket_b⟩⟨bra_b| of single wires, for many wires in a few matrix products.

They hold the derivatives of all single-qubit gates that act between the same gates on several wires. A matrix product
with BLAS over a group of neighbouring wires passes over the two states once for all of them.
"""

from collections.abc import Collection, Sequence
from functools import cache
from itertools import pairwise

import numpy as np

# Larger groups need more arithmetic, smaller ones more passes.
_MAX_GROUP = 4


class Crosses:
    """Sums of cross matrices over samples, after each segment of a circuit.

    Args:
        n_wires: of the states.
        positions: for each segment the wires that are asked for.

    Attributes:
        n_wires: as given.
    """

    def __init__(self, n_wires: int, positions: Sequence[Collection[int]]):
        self.n_wires = n_wires
        self._sums = {
            group: np.zeros((len(positions), 2 ** len(group), 2 ** len(group)), dtype=np.complex128)
            for group in _groups(n_wires)
        }
        self._asked = [[group for group in self._sums if not set(group).isdisjoint(wires)] for wires in positions]

    def add(self, segment: int, kets: np.ndarray, bras: np.ndarray) -> None:
        """Add those of more samples, amplitudes of shape ``(n_samples, 2**n_wires)``."""
        for group in self._asked[segment]:
            total = self._sums[group][segment]
            shape = (-1, len(total), 2 ** (self.n_wires - group.stop))
            left, right = kets.reshape(shape), bras.reshape(shape)
            if group.stop == self.n_wires:
                total += left[:, :, 0].T @ right[:, :, 0]
            else:
                total += (left @ right.transpose(0, 2, 1)).sum(axis=0)

    def of_wires(self) -> np.ndarray:
        """The matrices, shape ``(n_segments, n_wires, 2, 2)`` complex128; those not asked for may be missing terms."""
        found = [
            total.reshape(len(total), -1)[:, _entries(len(group))].sum(axis=-1) for group, total in self._sums.items()
        ]
        return np.concatenate(found, axis=1)


@cache
def _groups(n_wires: int) -> list[range]:
    """Neighbouring wires; the last group, whose amplitudes lie closest together, is the largest."""
    n_groups = -(-n_wires // _MAX_GROUP)
    bounds = [n_wires * i // n_groups for i in range(n_groups + 1)]
    return [range(first, stop) for first, stop in pairwise(bounds)]


@cache
def _entries(n_wires: int) -> np.ndarray:
    """Where the terms of each wire's matrix stand in that of a group, shape ``(n_wires, 2, 2, 2**(n_wires-1))``."""
    entries = []
    for wire in range(n_wires):
        rows = np.arange(2**n_wires).reshape(2**wire, 2, -1).transpose(1, 0, 2).reshape(2, -1)
        entries.append(2**n_wires * rows[:, None] + rows)
    return np.array(entries)
