"""A sweep in this process, portion by portion."""

from collections.abc import Iterator, Sequence

import numpy as np

from qkd_pl.devices.lightning.memory import Memory
from qkd_pl.devices.lightning.preparation import chosen
from qkd_pl.devices.lightning.sweep import Sweep, Trace


class LocalTrace:
    """The trace of a sweep, for all samples, or for one portion after the other.

    Args:
        sweep: what happens to every sample.
        factors: amplitudes of the groups of wires, see :class:`Sweep`.
        n_samples: in the batch.
        full: whether the trace is.
        is_kept: whether for all samples at once; if not, the backward sweep repeats the forward sweep.
        memory: where the trace is kept.
    """

    def __init__(
        self, sweep: Sweep, factors: Sequence[np.ndarray], n_samples: int, full: bool, is_kept: bool, memory: Memory
    ):
        self._sweep, self._factors, self._n_samples = sweep, factors, n_samples
        self._full, self._is_kept, self._is_filled = full, is_kept, False
        self._loan = memory.lend((n_samples if is_kept else sweep.n_samples) * sweep.width(full))

    def forward(self) -> np.ndarray:
        """:meth:`Sweep.forward` on all samples."""
        values = np.empty((self._sweep.readout.n_observables, self._n_samples))
        for samples, trace, factors in self._portions():
            values[:, samples] = self._sweep.forward(trace, factors)
        self._is_filled = self._is_kept
        return values

    def backward(self, coefficients: np.ndarray) -> np.ndarray:
        """:meth:`Sweep.backward` on all samples."""
        gradient = np.zeros(len(self._sweep.angles))
        for samples, trace, factors in self._portions():
            if not self._is_filled:
                self._sweep.forward(trace, factors)
            gradient += self._sweep.backward(trace, factors, coefficients[:, samples])
        return gradient

    def _portions(self) -> Iterator[tuple[slice, Trace, list[np.ndarray]]]:
        """Samples that are swept at once, where their states go, and their factors."""
        width = self._sweep.width(self._full)
        for start in range(0, self._n_samples, self._sweep.n_samples or 1):
            samples = slice(start, min(start + self._sweep.n_samples, self._n_samples))
            first = start * width if self._is_kept else 0
            memory = self._loan.array[first : first + (samples.stop - start) * width]
            factors = [chosen(factor, samples, self._n_samples) for factor in self._factors]
            yield samples, self._sweep.trace(memory, self._full), factors
