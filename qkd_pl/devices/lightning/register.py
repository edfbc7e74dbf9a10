"""Lightning's kernels on a register whose first wires hold the sample index and whose last wires hold the circuit.

The gates act on the circuit's wires only, so one pass over a register of m + n wires serves ``2**m`` samples. All that
is computed from a register is linear in the samples' density matrices, so it need not be normalised: unused samples
stay zero.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from pennylane_lightning import lightning_qubit_ops

from qkd_pl.devices.lightning.kernels import Kernels

# Registers of up to this size fit a core's cache, with what is read from them. Smaller ones are swept no faster, and
# need more calls of kernels.
BEST_REGISTER_BYTES = 2**19


def sample_wires(n_wires: int, batch_size: int, c_dtype: Any) -> int:
    """Number m of sample wires: the register stays within the cache and is padded as little as possible."""
    best = (BEST_REGISTER_BYTES // np.dtype(c_dtype).itemsize).bit_length() - 1
    needed = max(batch_size - 1, 0).bit_length()
    largest = min(needed, max(best - n_wires, 0))
    return min(range(max(largest - 2, 0), largest + 1), key=lambda m: (-(-batch_size // 2**m) * 2**m, -m))


# One of Lightning's functions, the wires, whether inverted, and further arguments.
Call = tuple[Callable[..., None], list[int], bool, tuple]


class Register:
    """Gates ready to act on blocks of up to ``2**m`` samples.

    Args:
        kernels: the gates.
        angles: in radians, float64, in the order of the gates that take one.
        c_dtype: complex64 or complex128.
        n_sample_wires: m.

    Attributes:
        kernels, angles, c_dtype: as given.
        precision: how the names of Lightning's classes end.
        n_samples: ``2**m``, the number of samples of a block.
        single_qubit_gates: matrices of the gates of the merged runs, shape ``(n_gates, 2, 2)`` complex128.
    """

    def __init__(self, kernels: Kernels, angles: np.ndarray, c_dtype: Any, n_sample_wires: int):
        self.kernels, self.angles, self.c_dtype = kernels, angles, np.dtype(c_dtype)
        self.precision = "C64" if self.c_dtype == np.complex64 else "C128"
        self.n_samples = 2**n_sample_wires
        self._n_sample_wires = n_sample_wires
        self._shape = (self.n_samples, 2**kernels.n_wires)
        self._buffer = np.empty(self._shape, dtype=self.c_dtype)
        self._state = self.new_state()
        self.single_qubit_gates = kernels.runs.gates(angles)
        merged = kernels.runs.merged(self.single_qubit_gates).astype(self.c_dtype)
        self._runs, self._transposed_runs = list(merged), list(merged.transpose(0, 2, 1).copy())
        self._run_wires = [[n_sample_wires + position] for position in kernels.run_positions]
        self._calls = [[self._call(gate) for gate in segment.gates] for segment in kernels.segments]

    def twin(self) -> "Register":
        """Another register with the same gates."""
        return Register(self.kernels, self.angles, self.c_dtype, self._n_sample_wires)

    def new_state(self) -> Any:
        """A Lightning state vector of the register's size."""
        return getattr(lightning_qubit_ops, f"StateVector{self.precision}")(self._n_sample_wires + self.kernels.n_wires)

    def wires(self, gate: int) -> list[int]:
        """Wires of the register that a gate acts on."""
        return [self._n_sample_wires + position for position in self.kernels.positions[gate]]

    def parameters(self, gate: int) -> list[float]:
        """The angle of a gate, if it takes one."""
        at = self.kernels.angle_of.get(gate)
        return [] if at is None else [float(self.angles[at])]

    def run(self, states: np.ndarray, after: Mapping[int, np.ndarray]) -> None:
        """All gates on amplitudes ``(n_samples, 2**n)`` of up to ``2**m`` samples.

        Args:
            states: the amplitudes.
            after: segment → where those after it go.
        """
        self.load(states)
        for segment, calls in enumerate(self._calls):
            for call, wires, inverse, extra in calls:
                call(wires, inverse, *extra)
            self._apply_runs(segment, self._runs, False)
            if (kept := after.get(segment)) is not None:
                self._keep(kept)

    def undo(self, segment: int) -> None:
        """The inverse of a segment on the amplitudes of kets in the register."""
        self._apply_runs(segment, self._runs, True)
        for call, wires, inverse, extra in reversed(self._calls[segment]):
            call(wires, not inverse, *extra)

    def undo_on_bras(self, segment: int) -> None:
        """⟨λ| → ⟨λ|U for the gates U of a segment, on the amplitudes of bras in the register."""
        if not self.kernels.are_real[segment]:
            self.load(self.read().conj())
            self.undo(segment)
            self.load(self.read().conj())
            return
        # On amplitudes of bras, a gate acts as its transpose, which is the inverse if it is real.
        self._apply_runs(segment, self._transposed_runs, False)
        for call, wires, inverse, extra in reversed(self._calls[segment]):
            call(wires, not inverse, *extra)

    def load(self, states: np.ndarray) -> np.ndarray:
        """Set the amplitudes; returns them, contiguous, with those of absent samples zero."""
        states = self.padded(states)
        self._state.updateData(states.ravel())
        return states

    def read(self) -> np.ndarray:
        """The amplitudes; the next call overwrites the result."""
        self._state.getState(self._buffer.ravel())
        return self._buffer

    def padded(self, states: np.ndarray) -> np.ndarray:
        """Amplitudes of ``2**m`` samples, those of absent samples zero."""
        if states.shape == self._shape:
            return np.ascontiguousarray(states, dtype=self.c_dtype)
        padded = np.zeros(self._shape, dtype=self.c_dtype)
        padded[: len(states)] = states
        return padded

    def _keep(self, states: np.ndarray) -> None:
        if states.shape == self._shape:
            self._state.getState(states.ravel())
        else:
            states[:] = self.read()[: len(states)]

    def _apply_runs(self, segment: int, matrices: Sequence[np.ndarray], inverse: bool) -> None:
        apply, wires = self._state.applyMatrix, self._run_wires
        for run in self.kernels.segments[segment].runs:
            apply(matrices[run], wires[run], inverse)

    def _call(self, gate: int) -> Call:
        kernels, wires = self.kernels, self.wires(gate)
        if (matrix := kernels.matrices[gate]) is None:
            return getattr(self._state, kernels.names[gate]), wires, kernels.inverses[gate], (self.parameters(gate),)
        return partial(self._state.applyMatrix, matrix.astype(self.c_dtype)), wires, kernels.inverses[gate], ()
