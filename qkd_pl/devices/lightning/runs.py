"""Successive single-qubit gates on one wire, merged into one matrix, and the derivatives of their angles."""

from collections.abc import Mapping, Sequence

import numpy as np

from qkd_pl.devices.lightning.single_qubit import IDENTITY, PAULIS, fixed, rotations


class Runs:
    """Merged runs of single-qubit gates: one pass through the state vector for each.

    Args:
        names, inverses, matrices: of all gates.
        angle_of: gate → position of its angle, for gates that take one.
        runs: the gates of each run, in the order in which they act.
    """

    def __init__(
        self,
        names: Sequence[str],
        inverses: Sequence[bool],
        matrices: Sequence[np.ndarray | None],
        angle_of: Mapping[int, int],
        runs: Sequence[Sequence[int]],
    ):
        self.n_runs = len(runs)
        gates = [gate for run in runs for gate in run]
        row = {gate: i for i, gate in enumerate(gates)}
        self._constants = np.empty((len(gates), 2, 2), dtype=np.complex128)
        rotating = [gate for gate in gates if names[gate] in PAULIS]
        for gate in gates:
            if names[gate] not in PAULIS:
                matrix = matrices[gate]
                constant = fixed(names[gate]) if matrix is None else matrix
                self._constants[row[gate]] = constant.conj().T if inverses[gate] else constant
        self._rotating = np.array([row[gate] for gate in rotating], dtype=int)
        self._angles = np.array([angle_of[gate] for gate in rotating], dtype=int)
        signed = [-PAULIS[names[gate]] if inverses[gate] else PAULIS[names[gate]] for gate in rotating]
        self._paulis = np.array(signed, dtype=np.complex128).reshape(-1, 2, 2)
        self._run_of = np.repeat(np.arange(len(runs)), [len(run) for run in runs])
        self._steps = []
        for step in range(max(map(len, runs), default=0)):
            longer = [i for i, run in enumerate(runs) if len(run) > step]
            self._steps.append((np.array(longer), np.array([row[runs[i][step]] for i in longer])))

    def gates(self, angles: np.ndarray) -> np.ndarray:
        """Matrix of every gate of the runs, shape ``(n_gates, 2, 2)`` complex128, for angles in radians."""
        gates = self._constants.copy()
        gates[self._rotating] = rotations(self._paulis, angles[self._angles])
        return gates

    def merged(self, gates: np.ndarray) -> np.ndarray:
        """Matrix of each run, shape ``(n_runs, 2, 2)`` complex128, from those of its gates."""
        product = np.tile(IDENTITY, (self.n_runs, 1, 1))
        for runs, rows in self._steps:
            product[runs] = gates[rows] @ product[runs]
        return product

    def gradient(self, gates: np.ndarray, crosses: np.ndarray, n_angles: int) -> np.ndarray:
        """Derivatives of ``2 Re ⟨cotangent|state⟩`` with respect to all angles, zero for those of other gates.

        With C = Tr_others |state⟩⟨cotangent| after a run, and V what acts in it after a rotation exp(-iθP/2), the
        derivative is 2 Re Tr(V (-iP/2) V† C) = Im Tr(P V† C V).

        Args:
            gates: see :meth:`gates`.
            crosses: C for each run, shape ``(n_runs, 2, 2)``.
            n_angles: of all gates.
        """
        following = np.empty_like(gates)
        product = np.tile(IDENTITY, (self.n_runs, 1, 1))
        for runs, rows in reversed(self._steps):
            following[rows] = product[runs]
            product[runs] = product[runs] @ gates[rows]
        turned = following.conj().transpose(0, 2, 1) @ crosses[self._run_of] @ following
        gradient = np.zeros(n_angles)
        gradient[self._angles] = np.einsum("nij,nji->n", self._paulis, turned[self._rotating]).imag
        return gradient
