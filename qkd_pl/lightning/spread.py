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
from qkd_pl.lightning.sweep import Sweep, Trace, samples_of

# Arrays from this size on reach the workers through files in memory.
_MAPPED_BYTES = 2**20


class SharedTrace:
    """The trace of a sweep in a temporary file, which processes on one machine map into their memory.

    Args:
        sweep: what happens to every sample.
        factors: amplitudes of the groups of wires, see :class:`Sweep`.
        n_samples: in the batch.
        workers: number of processes.
        memory: where the trace is kept.
    """

    def __init__(self, sweep: Sweep, factors: Sequence[np.ndarray], n_samples: int, workers: int, memory: SharedMemory):
        self._sweep, self._factors = sweep, factors
        self._n_samples, self._workers = n_samples, workers
        self._n_amplitudes = n_samples * sweep.width(True)
        self._path = memory.lend_file(self, self._n_amplitudes)

    def forward(self) -> np.ndarray:
        """:meth:`Sweep.forward` on all samples."""
        return np.concatenate(self._spread(Sweep.forward), axis=1)

    def backward(self, coefficients: np.ndarray) -> np.ndarray:
        """:meth:`Sweep.backward` on all samples."""
        return np.sum(self._spread(Sweep.backward, coefficients), axis=0)

    def _spread(
        self, method: Callable[..., np.ndarray], coefficients: np.ndarray | None = None
    ) -> Sequence[np.ndarray]:
        n_samples = self._n_samples
        bounds = [n_samples * worker // self._workers for worker in range(self._workers + 1)]
        mapped = partial(_mapped, self._sweep, self._path, self._n_amplitudes)
        calls = []
        for first, last in pairwise(bounds):
            if first == last:
                continue
            samples = slice(first, last)
            extra = () if coefficients is None else (coefficients[:, samples],)
            factors = [chosen(factor, samples, n_samples) for factor in self._factors]
            calls.append(delayed(_on_mapped)(method, self._sweep, mapped, samples, factors, *extra))
        try:
            return Parallel(n_jobs=self._workers, backend="loky", max_nbytes=_MAPPED_BYTES)(calls)
        except BrokenProcessPool as error:
            raise WorkerLostError(
                f"a worker process of qkd.lightning (workers={self._workers}) died, for example for lack of memory; "
                "its results are lost, and the next call starts new workers"
            ) from error


def _mapped(sweep: Sweep, path: str, n_amplitudes: int) -> Trace:
    return sweep.trace(_map(path, sweep.c_dtype)[:n_amplitudes], True)


@lru_cache(maxsize=1)
def _map(path: str, c_dtype: np.dtype) -> np.ndarray:
    """The array in a file; mapping it anew in every step would take as long as a gate."""
    return np.memmap(path, c_dtype, "r+")


def _on_mapped(
    method: Callable[..., np.ndarray],
    sweep: Sweep,
    mapped: Callable[[], Trace],
    samples: slice,
    factors: Sequence[np.ndarray],
    *extra: np.ndarray,
) -> np.ndarray:
    return method(sweep, samples_of(mapped(), samples), factors, *extra)
