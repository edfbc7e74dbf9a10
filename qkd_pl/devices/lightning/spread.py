"""A sweep spread over worker processes."""

from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from functools import cache, lru_cache, partial
from itertools import pairwise

import numpy as np
from joblib import Parallel, delayed

from qkd_pl.devices.lightning.local import LocalTrace
from qkd_pl.devices.lightning.memory import Memory, SharedMemory
from qkd_pl.devices.lightning.preparation import chosen
from qkd_pl.devices.lightning.sweep import Sweep, samples_of
from qkd_pl.errors import WorkerLostError

# Arguments from this size on reach the workers through files.
_LARGE_BYTES = 2**20


class SpreadTrace:
    """The trace of a sweep, of which each process has its own samples.

    Args:
        sweep: what happens to every sample.
        factors: amplitudes of the groups of wires, see :class:`Sweep`.
        n_samples: in the batch.
        full: whether the trace is.
        is_kept: whether for all samples at once, in a temporary file which processes on one machine map into their
            memory; if not, each process computes in its own, and the backward sweep repeats the forward sweep.
        workers: number of processes.
        memory: where a kept trace is.
    """

    def __init__(
        self,
        sweep: Sweep,
        factors: Sequence[np.ndarray],
        n_samples: int,
        full: bool,
        is_kept: bool,
        workers: int,
        memory: SharedMemory,
    ):
        self._sweep, self._factors = sweep, factors
        self._n_samples, self._full, self._workers = n_samples, full, workers
        self._loan = memory.lend(n_samples * sweep.width(full)) if is_kept else None
        self._is_filled = False

    def forward(self) -> np.ndarray:
        """:meth:`Sweep.forward` on all samples."""
        values = np.concatenate(self._spread("forward"), axis=1)
        self._is_filled = True
        return values

    def backward(self, coefficients: np.ndarray) -> np.ndarray:
        """:meth:`Sweep.backward` on all samples."""
        if self._loan is not None and not self._is_filled:
            self.forward()
        return np.sum(self._spread("backward", coefficients), axis=0)

    def _spread(self, method: str, coefficients: np.ndarray | None = None) -> Sequence[np.ndarray]:
        n_samples, run = self._n_samples, self._run()
        bounds = [n_samples * worker // self._workers for worker in range(self._workers + 1)]
        calls = []
        for first, last in pairwise(bounds):
            if first == last:
                continue
            samples = slice(first, last)
            extra = () if coefficients is None else (coefficients[:, samples],)
            factors = [chosen(factor, samples, n_samples) for factor in self._factors]
            calls.append(delayed(run)(method, samples, factors, *extra))
        try:
            return Parallel(n_jobs=self._workers, backend="loky", max_nbytes=_LARGE_BYTES)(calls)
        except BrokenProcessPool as error:
            raise WorkerLostError(
                f"a worker process of qkd.lightning (workers={self._workers}) died, for example for lack of memory; "
                "its results are lost, and the next call starts new workers"
            ) from error

    def _run(self) -> Callable[..., np.ndarray]:
        if self._loan is None:
            return partial(_run_alone, self._sweep, self._full)
        memory = self._loan.array
        assert isinstance(memory, np.memmap)
        return partial(_run_shared, self._sweep, self._full, str(memory.filename), len(memory))


def _run_alone(
    sweep: Sweep, full: bool, method: str, samples: slice, factors: Sequence[np.ndarray], *extra: np.ndarray
) -> np.ndarray:
    """A method of a trace in this process."""
    n_samples = samples.stop - samples.start
    trace = LocalTrace(sweep, factors, n_samples, full, is_kept=False, memory=_memory(sweep.c_dtype))
    return getattr(trace, method)(*extra)


def _run_shared(
    sweep: Sweep,
    full: bool,
    path: str,
    n_amplitudes: int,
    method: str,
    samples: slice,
    factors: Sequence[np.ndarray],
    *extra: np.ndarray,
) -> np.ndarray:
    """A method of the sweep on some samples of the trace in a file."""
    trace = sweep.trace(_mapped(path, sweep.c_dtype)[:n_amplitudes], full)
    return getattr(sweep, method)(samples_of(trace, samples), factors, *extra)


_memory = cache(Memory)


@lru_cache(maxsize=1)
def _mapped(path: str, c_dtype: np.dtype) -> np.ndarray:
    """The array in a file; mapping it anew in every step would take as long as a gate."""
    return np.memmap(path, c_dtype, "r+")
