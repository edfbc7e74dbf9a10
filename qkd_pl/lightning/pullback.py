"""The backward sweep through the gates of a register.

Only the cotangents are swept: the states after each segment that takes angles are those of the forward sweep. Angles
of single-qubit gates get their derivatives from reduced cross matrices of states and cotangents, which serve all of a
segment at once; those of gates on several wires from Lightning's own vector-Jacobian product.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pennylane_lightning.lightning_qubit_ops import algorithms

from qkd_pl.lightning.crosses import Crosses
from qkd_pl.lightning.register import Register


class Pullback:
    """Sum over samples of the derivatives of ``2 Re ⟨cotangent|final state⟩`` with respect to the angles.

    Args:
        register: the gates.
    """

    def __init__(self, register: Register):
        self._register = register
        kernels = register.kernels
        self._segments = kernels.segments
        self._crosses = [
            Crosses(kernels.n_wires, [kernels.run_positions[run] for run in segment.runs]) for segment in self._segments
        ]
        self._of_gates = np.zeros(len(register.angles))
        self._precision = "C64" if register.c_dtype == np.complex64 else "C128"
        self._conjugated = np.empty((register.n_samples, 2**kernels.n_wires), dtype=register.c_dtype)

    def through(self, after: Mapping[int, np.ndarray], cotangents: np.ndarray, undo_all: bool) -> np.ndarray:
        """Sweep the cotangents of up to as many samples as the register holds.

        Args:
            after: segment → amplitudes ``(n_samples, 2**n)`` after it, for segments that take angles.
            cotangents: ``Σ_k g_kb O_k |final_b⟩`` of the same shape, for cotangents g of the expectation values of O_k.
            undo_all: whether the result is needed.

        Returns:
            U† of the cotangents for all gates U, of the same shape; the next call overwrites it.
        """
        bras = self._register.load(cotangents)
        for i in reversed(range(len(self._segments))):
            if self._segments[i].takes_angles:
                self._differentiate(i, after[i], bras)
            if i > 0 or undo_all:
                self._register.undo(i)
                if i == 0 or self._segments[i - 1].takes_angles:
                    bras = self._register.read()
        return bras[: len(cotangents)]

    def gradient(self) -> np.ndarray:
        """The derivatives with respect to all angles, float64, of all samples swept so far."""
        register, runs = self._register, self._register.kernels.runs
        crosses = np.zeros((runs.n_runs, 2, 2), dtype=np.complex128)
        for segment, found in zip(self._segments, self._crosses, strict=True):
            if segment.takes_angles and segment.runs:
                of_wires = found.of_wires()
                for run in segment.runs:
                    crosses[run] = of_wires[register.kernels.run_positions[run]]
        return self._of_gates + runs.gradient(register.single_qubit_gates, crosses, len(register.angles))

    def _differentiate(self, segment: int, kets: np.ndarray, bras: np.ndarray) -> None:
        if self._segments[segment].runs:
            np.conjugate(bras, out=self._conjugated)
            self._crosses[segment].add(kets, self._conjugated[: len(kets)])
        else:
            self._differentiate_gates(self._segments[segment].gates, kets, bras)

    def _differentiate_gates(self, gates: Sequence[int], kets: np.ndarray, bras: np.ndarray) -> None:
        register, kernels = self._register, self._register.kernels
        state = register.new_state()
        state.updateData(register.padded(kets).ravel())
        taken = [kernels.angle_of[gate] for gate in gates if gate in kernels.angle_of]
        products = self._vjp()(state, self._operations(gates), bras.ravel(), list(range(len(taken))))
        self._of_gates[taken] += 2 * products.real.astype(np.float64)

    def _vjp(self) -> Any:
        return getattr(algorithms, f"VectorJacobianProduct{self._precision}")()

    def _operations(self, gates: Sequence[int]) -> Any:
        """The gates in the form that Lightning's algorithms take."""
        register, kernels = self._register, self._register.kernels
        absent = np.empty(0, dtype=register.c_dtype)
        matrices = [kernels.matrices[gate] for gate in gates]
        none: list[list[int]] = [[] for _ in gates]
        return getattr(algorithms, f"create_ops_list{self._precision}")(
            [kernels.names[gate] for gate in gates],
            [register.parameters(gate) for gate in gates],
            [register.wires(gate) for gate in gates],
            [kernels.inverses[gate] for gate in gates],
            [absent if matrix is None else matrix.astype(register.c_dtype) for matrix in matrices],
            none,
            none,
        )
