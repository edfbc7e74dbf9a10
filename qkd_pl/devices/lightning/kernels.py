"""Gates as Lightning takes them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from qkd_pl.devices.lightning.runs import Runs
from qkd_pl.devices.lightning.segments import Segment, segments_of
from qkd_pl.devices.lightning.single_qubit import PAULIS
from qkd_pl.devices.lightning.templates import FIXED, REAL, ROTATIONS


@dataclass(frozen=True)
class Kernels:
    """Shared gates of a circuit, without their angles, as plain data, which can be sent to another process.

    Attributes:
        n_wires: number n of wires that they act on.
        names, inverses, matrices: as in :class:`~qkd_pl.devices.lightning.gates.Gates`.
        positions: positions 0..n-1 that each gate acts on.
        angles: which of the circuit's angles the gates take, in their order.
    """

    n_wires: int
    names: list[str]
    positions: list[list[int]]
    inverses: list[bool]
    matrices: list[np.ndarray | None]
    angles: np.ndarray

    @cached_property
    def angle_of(self) -> dict[int, int]:
        """Gate → position of its angle in ``angles``, for the gates that take one."""
        takers = (gate for gate, name in enumerate(self.names) if name in ROTATIONS)
        return {gate: i for i, gate in enumerate(takers)}

    @cached_property
    def segments(self) -> list[Segment]:
        """In what order the gates act."""
        return self._scheduled[0]

    @cached_property
    def are_real(self) -> list[bool]:
        """For each segment whether the matrices of its gates that cannot be merged are known to be real."""
        return [all(map(self._is_real, segment.gates)) for segment in self.segments]

    @cached_property
    def runs(self) -> Runs:
        """The single-qubit gates, merged per wire."""
        return Runs(self.names, self.inverses, self.matrices, self.angle_of, self._scheduled[1])

    @cached_property
    def run_positions(self) -> list[int]:
        """Position that each merged run acts on."""
        return [self.positions[run[0]][0] for run in self._scheduled[1]]

    @cached_property
    def run_segments(self) -> list[int]:
        """Segment that each merged run belongs to."""
        segment_of = {run: i for i, segment in enumerate(self.segments) for run in segment.runs}
        return [segment_of[run] for run in range(self.runs.n_runs)]

    @cached_property
    def _scheduled(self) -> tuple[list[Segment], list[list[int]]]:
        merge = [len(on) == 1 and self._is_matrix(gate) for gate, on in enumerate(self.positions)]
        return segments_of(self.positions, merge, self.angle_of.keys())

    def _is_matrix(self, gate: int) -> bool:
        return self.names[gate] in PAULIS or self.names[gate] in FIXED or self.matrices[gate] is not None

    def _is_real(self, gate: int) -> bool:
        matrix = self.matrices[gate]
        return self.names[gate] in REAL if matrix is None else not matrix.imag.any()
