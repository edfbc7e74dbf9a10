"""Lightning's kernels on a register whose first wires hold the sample index and whose last wires hold the circuit.

The gates act on the circuit's wires only, so one pass over a register of m + n wires serves ``2**m`` samples. All that
is computed from a register is linear in the samples' density matrices, so it need not be normalised: unused samples
stay zero.
"""

from collections.abc import Callable
from functools import cached_property, partial
from typing import Any

import numpy as np
from pennylane_lightning import lightning_qubit_ops
from pennylane_lightning.lightning_qubit_ops import algorithms

from qkd_pl.lightning.kernels import Kernels
from qkd_pl.lightning.templates import ROTATIONS

# Registers of up to this size fit the cache, with two more for the backward sweep, and are large enough to hide the
# cost of calling a kernel.
BEST_REGISTER_BYTES = 2**17


def sample_wires(n_wires: int, batch_size: int, c_dtype: Any) -> int:
    """Number m of sample wires: the register stays within the cache and is padded as little as possible."""
    best = (BEST_REGISTER_BYTES // np.dtype(c_dtype).itemsize).bit_length() - 1
    needed = max(batch_size - 1, 0).bit_length()
    largest = min(needed, max(best - n_wires, 0))
    return min(range(max(largest - 2, 0), largest + 1), key=lambda m: (-(-batch_size // 2**m) * 2**m, -m))


class Register:
    """Gates ready to act on blocks of up to ``2**m`` samples.

    Args:
        kernels: the gates.
        angles: in radians, float64, in the order of the gates that take one.
        c_dtype: complex64 or complex128.
        n_sample_wires: m.
    """

    def __init__(self, kernels: Kernels, angles: np.ndarray, c_dtype: Any, n_sample_wires: int):
        self._kernels, self._angles = kernels, angles
        self._dtype = np.dtype(c_dtype)
        self._n_sample_wires = n_sample_wires
        self._shape = (2**n_sample_wires, 2**kernels.n_wires)
        precision = "C64" if self._dtype == np.complex64 else "C128"
        self._state = getattr(lightning_qubit_ops, f"StateVector{precision}")(n_sample_wires + kernels.n_wires)
        self._vjp = getattr(algorithms, f"VectorJacobianProduct{precision}")()
        self._create_gates = getattr(algorithms, f"create_ops_list{precision}")
        self._wires = [[n_sample_wires + position for position in on] for on in kernels.positions]
        values = iter(angles.tolist())
        self._parameters = [[next(values)] if name in ROTATIONS else [] for name in kernels.names]
        absent = np.empty(0, dtype=self._dtype)
        self._matrices = [absent if matrix is None else matrix.astype(self._dtype) for matrix in kernels.matrices]

    @property
    def n_samples(self) -> int:
        """``2**m``, the number of samples of a block."""
        return self._shape[0]

    @property
    def n_wires(self) -> int:
        """n, without the sample wires."""
        return self._kernels.n_wires

    @cached_property
    def _gates(self) -> Any:
        kernels = self._kernels
        no_controls: list[list[int]] = [[]] * len(kernels.names)
        return self._create_gates(
            kernels.names, self._parameters, self._wires, kernels.inverses, self._matrices, no_controls, no_controls
        )

    @cached_property
    def _calls(self) -> list[tuple[Callable[..., None], list[int], bool, tuple]]:
        """Lightning's functions: what to call, on which wires, whether inverted, and further arguments."""
        kernels, fusion = self._kernels, self._kernels.fusion
        merged = fusion.matrices(self._angles).astype(self._dtype)
        calls: list[tuple[Callable[..., None], list[int], bool, tuple]] = []
        for is_run, i in fusion.order:
            if is_run:
                on = [self._n_sample_wires + fusion.run_positions[i]]
                calls.append((partial(self._state.applyMatrix, merged[i]), on, False, ()))
            elif kernels.matrices[i] is not None:
                matrix = partial(self._state.applyMatrix, self._matrices[i])
                calls.append((matrix, self._wires[i], kernels.inverses[i], ()))
            else:
                kernel = getattr(self._state, kernels.names[i])
                calls.append((kernel, self._wires[i], kernels.inverses[i], (self._parameters[i],)))
        return calls

    def run(self, states: np.ndarray, out: np.ndarray) -> None:
        """All gates on amplitudes ``(n_samples, 2**n)`` of up to ``2**m`` samples; the result goes to ``out``."""
        self._state.updateData(self._padded(states).ravel())
        for call, wires, inverse, extra in self._calls:
            call(wires, inverse, *extra)
        if out.shape == self._shape and out.flags.c_contiguous:
            self._state.getState(out.ravel())
        else:
            out[:] = self._read(len(states))

    def undo(self, states: np.ndarray) -> np.ndarray:
        """The inverse of :meth:`run`; the next call overwrites the result."""
        self._state.updateData(self._padded(states).ravel())
        for call, wires, inverse, extra in reversed(self._calls):
            call(wires, not inverse, *extra)
        return self._read(len(states))

    def pull_back(self, final: np.ndarray, cotangent: np.ndarray) -> np.ndarray:
        """Gradient of ``2 Re Σ_b ⟨cotangent_b|final_b⟩`` with respect to every angle, summed over samples.

        Args:
            final: final amplitudes ``(n_samples, 2**n)``.
            cotangent: ``Σ_k g_kb O_k |final_b⟩`` of the same shape, for a cotangent g on the expectation values of O_k.
        """
        if not len(self._angles):
            return np.empty(0)
        self._state.updateData(self._padded(final).ravel())
        every_angle = list(range(len(self._angles)))
        product = self._vjp(self._state, self._gates, self._padded(cotangent).ravel(), every_angle)
        return 2 * product.real.astype(np.float64)

    @cached_property
    def _buffer(self) -> np.ndarray:
        return np.empty(self._shape, dtype=self._dtype)

    def _read(self, n_samples: int) -> np.ndarray:
        self._state.getState(self._buffer.ravel())
        return self._buffer[:n_samples]

    def _padded(self, block: np.ndarray) -> np.ndarray:
        if block.shape == self._shape:
            return np.ascontiguousarray(block, dtype=self._dtype)
        padded = np.zeros(self._shape, dtype=self._dtype)
        padded[: len(block)] = block
        return padded
