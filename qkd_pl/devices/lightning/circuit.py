"""A broadcast tape as the simulator runs it: its layout, filled with its numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from pennylane.operation import Operator

from qkd_pl.devices.lightning.layout import Layout


@dataclass(frozen=True)
class BatchedCircuit:
    """A batch of product states, and gates that all samples share.

    Attributes:
        layout: the structure.
        operations: those of the tape, which hold the numbers.
    """

    layout: Layout
    operations: Sequence[Operator]

    @cached_property
    def factors(self) -> list[np.ndarray]:
        """Amplitudes of each group of wires in the order of entry, shape ``(batch_size or 1, 2**n_wires_of_group)``."""
        return self.layout.preparations.factors(self.operations)

    @cached_property
    def angles(self) -> np.ndarray:
        """Angles of the gates in radians, float64."""
        return self.layout.gates.values(self.operations)

    def prepares_same_state_as(self, other: "BatchedCircuit") -> bool:
        """Whether both are known to end in the same states, whatever is measured then."""
        return self.layout is other.layout and (
            self.operations is other.operations or all(map(_same_data, self.operations, other.operations))
        )


def _same_data(first: Operator, second: Operator) -> bool:
    return first is second or all(map(np.array_equal, first.data, second.data))
