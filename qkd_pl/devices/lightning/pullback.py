"""The backward sweep through the gates of a register.

Angles of single-qubit gates get their derivatives from reduced cross matrices of states and cotangents, which serve all
of a segment at once; those of other gates from Lightning's own vector-Jacobian product. Where the forward sweep kept
the states after each segment that takes angles, only the cotangents are swept, else both.

Cotangents are swept as bras ⟨λ|, whose amplitudes are the complex conjugates of those of |λ⟩: they are factors of the
cross matrices as they are.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from pennylane_lightning.lightning_qubit_ops import algorithms

from qkd_pl.devices.lightning.crosses import Crosses
from qkd_pl.devices.lightning.register import Register


class Pullback:
    """Sum over samples of the derivatives of ``2 Re ⟨bra|final state⟩`` with respect to the angles.

    Args:
        register: the gates.
    """

    def __init__(self, register: Register):
        self._register = register
        kernels = register.kernels
        self._segments = kernels.segments
        self._crosses = Crosses(
            kernels.n_wires, [[kernels.run_positions[run] for run in segment.runs] for segment in self._segments]
        )
        self._of_gates = np.zeros(len(register.angles))
        self._kets: Register | None = None
        self._products: dict[int, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {}

    def through(self, after: Mapping[int, np.ndarray], bras: np.ndarray, undo_all: bool) -> np.ndarray:
        """Sweep the bras of up to as many samples as the register holds.

        Args:
            after: segment → amplitudes ``(n_samples, 2**n)`` after it, at least for the last segment.
            bras: shape ``(n_samples, 2**n)``, ``Σ_k g_kb ⟨final_b| O_k`` for cotangents g of ⟨O_k⟩.
            undo_all: whether the result is needed.

        Returns:
            with ``undo_all``, the bras times all gates, of the same shape; the next call overwrites it.
        """
        n_samples = len(bras)
        takes_angles = [segment.takes_angles for segment in self._segments]
        all_kept = all(i in after for i, takes in enumerate(takes_angles) if takes)
        bras = self._register.load(bras)
        for i in reversed(range(len(takes_angles))):
            if takes_angles[i]:
                kets = after[i] if i in after else self._ket_register().read()[:n_samples]
                self._differentiate(i, kets, bras)
            if not (undo_all or any(takes_angles[:i])):
                break
            self._register.undo_on_bras(i)
            if i == 0 or takes_angles[i - 1]:
                bras = self._register.read()
            if not all_kept:
                if i in after:
                    self._ket_register().load(after[i])
                self._ket_register().undo(i)
        return bras[:n_samples]

    def gradient(self) -> np.ndarray:
        """The derivatives with respect to all angles, float64, of all samples swept so far."""
        register, kernels = self._register, self._register.kernels
        crosses = self._crosses.of_wires()[kernels.run_segments, kernels.run_positions]
        return self._of_gates + kernels.runs.gradient(register.single_qubit_gates, crosses, len(register.angles))

    def _ket_register(self) -> Register:
        if self._kets is None:
            self._kets = self._register.twin()
        return self._kets

    def _differentiate(self, segment: int, kets: np.ndarray, bras: np.ndarray) -> None:
        if self._segments[segment].runs:
            self._crosses.add(segment, kets, bras[: len(kets)])
            return
        kernels, gates = self._register.kernels, self._segments[segment].gates
        if segment not in self._products:
            self._products[segment] = self._lightning_product(gates)
        taken = [kernels.angle_of[gate] for gate in gates if gate in kernels.angle_of]
        self._of_gates[taken] += self._products[segment](kets, bras.conj())

    def _lightning_product(self, gates: Sequence[int]) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        """Lightning's vector-Jacobian product for gates one after the other, of kets after them and cotangent kets."""
        register, kernels = self._register, self._register.kernels
        absent = np.empty(0, dtype=register.c_dtype)
        matrices = [kernels.matrices[gate] for gate in gates]
        none: list[list[int]] = [[] for _ in gates]
        operations = getattr(algorithms, f"create_ops_list{register.precision}")(
            [kernels.names[gate] for gate in gates],
            [register.parameters(gate) for gate in gates],
            [register.wires(gate) for gate in gates],
            [kernels.inverses[gate] for gate in gates],
            [absent if matrix is None else matrix.astype(register.c_dtype) for matrix in matrices],
            none,
            none,
        )
        product = getattr(algorithms, f"VectorJacobianProduct{register.precision}")()
        every_angle = list(range(sum(gate in kernels.angle_of for gate in gates)))
        return partial(self._product, product, register.new_state(), operations, every_angle)

    def _product(
        self, product: Any, state: Any, operations: Any, angles: list[int], kets: np.ndarray, cotangents: np.ndarray
    ) -> np.ndarray:
        state.updateData(self._register.padded(kets).ravel())
        return 2 * product(state, operations, cotangents.ravel(), angles).real.astype(np.float64)
