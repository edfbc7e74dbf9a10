"""A sweep spread over worker processes."""

from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache, partial
from itertools import pairwise

import numpy as np
from joblib import Parallel, delayed

from qkd_pl.errors import WorkerLostError
from qkd_pl.lightning.memory import SharedMemory
from qkd_pl.lightning.preparation import chosen
from qkd_pl.lightning.sweep import Sweep, samples_of

# Arguments from this size on reach the workers through files.
_LARGE_BYTES = 2**20


class SharedTrace:
    """The trace of a sweep in a temporary file, which processes on one machine map into their memory.

    Args:
        sweep: what happens to every sample.
        factors: amplitudes of the groups of wires, see :class:`Sweep`.
        n_samples: in the batch.
        full: whether the trace is.
        workers: number of processes.
        memory: where the trace is kept.
    """

    def __init__(
        self,
        sweep: Sweep,
        factors: Sequence[np.ndarray],
        n_samples: int,
        full: bool,
        workers: int,
        memory: SharedMemory,
    ):
        self._sweep, self._factors = sweep, factors
        self._n_samples, self._full, self._workers = n_samples, full, workers
        self._is_filled = False
        self._loan = memory.lend(n_samples * sweep.width(full))

    def forward(self) -> np.ndarray:
        """:meth:`Sweep.forward` on all samples."""
        values = np.concatenate(self._spread(Sweep.forward), axis=1)
        self._is_filled = True
        return values

    def backward(self, coefficients: np.ndarray) -> np.ndarray:
        """:meth:`Sweep.backward` on all samples."""
        if not self._is_filled:
            self.forward()
        return np.sum(self._spread(Sweep.backward, coefficients), axis=0)

    def _spread(
        self, method: Callable[..., np.ndarray], coefficients: np.ndarray | None = None
    ) -> Sequence[np.ndarray]:
        n_samples = self._n_samples
        bounds = [n_samples * worker // self._workers for worker in range(self._workers + 1)]
        memory = self._loan.array
        assert isinstance(memory, np.memmap)
        run = partial(_run, method, self._sweep, self._full, str(memory.filename), len(memory))
        calls = []
        for first, last in pairwise(bounds):
            if first == last:
                continue
            samples = slice(first, last)
            extra = () if coefficients is None else (coefficients[:, samples],)
            factors = [chosen(factor, samples, n_samples) for factor in self._factors]
            calls.append(delayed(run)(samples, factors, *extra))
        try:
            return Parallel(n_jobs=self._workers, backend="loky", max_nbytes=_LARGE_BYTES)(calls)
        except BrokenProcessPool as error:
            raise WorkerLostError(
                f"a worker process of qkd.lightning (workers={self._workers}) died, for example for lack of memory; "
                "its results are lost, and the next call starts new workers"
            ) from error


def _run(
    method: Callable[..., np.ndarray],
    sweep: Sweep,
    full: bool,
    path: str,
    n_amplitudes: int,
    samples: slice,
    factors: Sequence[np.ndarray],
    *extra: np.ndarray,
) -> np.ndarray:
    """A method of the sweep on some samples of the trace in a file."""
    trace = sweep.trace(_mapped(path, sweep.c_dtype)[:n_amplitudes], full)
    return method(sweep, samples_of(trace, samples), factors, *extra)


@lru_cache(maxsize=1)
def _mapped(path: str, c_dtype: np.dtype) -> np.ndarray:
    """The array in a file; mapping it anew in every step would take as long as a gate."""
    return np.memmap(path, c_dtype, "r+")
