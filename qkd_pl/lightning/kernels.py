"""Gates as Lightning takes them, and their shortest way through a state vector."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from qkd_pl.lightning.single_qubit import PAULIS, fixed, rotations
from qkd_pl.lightning.templates import FIXED, ROTATIONS


@dataclass(frozen=True)
class Kernels:
    """Shared gates of a circuit, without their angles, as plain data, which can be sent to another process.

    Attributes:
        n_wires: number n of wires that they act on.
        names, inverses, matrices: as in :class:`~qkd_pl.lightning.gates.Gates`.
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
    def fusion(self) -> "Fusion":
        """How its single-qubit gates are merged."""
        return Fusion(self)


class Fusion:
    """Successive single-qubit gates on one wire, merged into one matrix: fewer passes through the state vector.

    Args:
        kernels: the gates.

    Attributes:
        order: what acts one after the other: ``(gate, None)``, a gate by itself, or ``(None, run)``, a merged run.
        run_positions: the position that each merged run acts on.
    """

    def __init__(self, kernels: Kernels):
        self.order: list[tuple[bool, int]] = []
        self.run_positions: list[int] = []
        self._runs: list[list[int]] = []
        waiting: dict[int, list[int]] = {}
        for gate, on in enumerate(kernels.positions):
            if len(on) == 1 and _is_mergeable(kernels, gate):
                waiting.setdefault(on[0], []).append(gate)
                continue
            for position in on:
                self._place(position, waiting.pop(position, []))
            self.order.append((False, gate))
        for position, run in waiting.items():
            self._place(position, run)
        self._learn_matrices(kernels)

    def _place(self, position: int, run: list[int]) -> None:
        if len(run) < 2:  # Lightning's own kernel is faster than a general matrix
            self.order += [(False, gate) for gate in run]
            return
        self.order.append((True, len(self._runs)))
        self.run_positions.append(position)
        self._runs.append(run)

    def _learn_matrices(self, kernels: Kernels) -> None:
        """Fill in the matrices that stay, and note which angles the others take."""
        merged = [gate for run in self._runs for gate in run]
        row = {gate: i for i, gate in enumerate(merged)}
        takes_angle = [gate for gate, name in enumerate(kernels.names) if name in ROTATIONS]
        angle = {gate: i for i, gate in enumerate(takes_angle)}
        self._matrices = np.empty((len(merged), 2, 2), dtype=np.complex128)
        rotating: dict[str, list[int]] = {}
        for gate in merged:
            name, matrix = kernels.names[gate], kernels.matrices[gate]
            if name in PAULIS:
                rotating.setdefault(name, []).append(gate)
                continue
            constant = fixed(name) if matrix is None else matrix
            self._matrices[row[gate]] = constant.conj().T if kernels.inverses[gate] else constant
        self._rotating = [
            (
                name,
                np.array([row[gate] for gate in gates]),
                np.array([angle[gate] for gate in gates]),
                np.array([-1.0 if kernels.inverses[gate] else 1.0 for gate in gates]),
            )
            for name, gates in rotating.items()
        ]
        longest = max(map(len, self._runs), default=0)
        self._steps = []
        for step in range(longest):
            runs = [i for i, run in enumerate(self._runs) if len(run) > step]
            self._steps.append((np.array(runs), np.array([row[self._runs[i][step]] for i in runs])))

    def matrices(self, angles: np.ndarray) -> np.ndarray:
        """Matrix of each merged run, shape ``(n_runs, 2, 2)`` complex128, for the angles of the gates in radians."""
        each = self._matrices.copy()
        for name, rows, taken, signs in self._rotating:
            each[rows] = rotations(name, signs * angles[taken])
        product = np.broadcast_to(np.eye(2, dtype=np.complex128), (len(self._runs), 2, 2)).copy()
        for runs, rows in self._steps:
            product[runs] = each[rows] @ product[runs]
        return product


def _is_mergeable(kernels: Kernels, gate: int) -> bool:
    name = kernels.names[gate]
    return name in PAULIS or name in FIXED or kernels.matrices[gate] is not None
