"""How a batch is computed: in this process, portion by portion, or spread over worker processes."""

from collections.abc import Callable, Sequence
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from itertools import pairwise
from threading import Lock
from typing import Any

import numpy as np
from joblib import Parallel, delayed

from qkd_pl.devices.lightning.program import Numbers, Program
from qkd_pl.devices.lightning.sweep import Sweeper, sample_wires
from qkd_pl.errors import WorkerLostError
from qkd_pl.threads import one_blas_thread

# So many amplitudes are prepared at once.
_PORTION = 2**21
# Arguments from this size on reach the workers through files.
_LARGE_BYTES = 2**20
_SWEEPERS_KEPT = 8


class Simulator:
    """Runs programs, with sweepers that stay: making one anew takes as long as a step of a small circuit.

    Args:
        c_dtype: complex64 or complex128.
        kept_bytes: what the states between two sweeps may take, and those of all sweepers that are not in use.
        workers: number of processes over which large batches are spread.
        spread_from: amplitudes times gates from which on a batch is large.

    Attributes:
        waiting: circuits that wait for a backward sweep, and what the device made of them; a copy has none.
    """

    def __init__(self, c_dtype: Any, kept_bytes: int, workers: int = 1, spread_from: int = 0):
        self._arguments = np.dtype(c_dtype), kept_bytes, workers, spread_from
        self._c_dtype, self._kept_bytes, self._workers, self._spread_from = self._arguments
        self._idle: list[Sweeper] = []
        self._lock = Lock()
        self.waiting: tuple[Sequence[Any], Any] = ((), ())

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._arguments

    def forget(self) -> None:
        """Give up states that wait for a backward sweep; their numbers may have changed in place since."""
        with self._lock:
            for sweeper in self._idle:
                sweeper.numbers = None

    def run(self, program: Program, numbers: Numbers, keep: bool) -> np.ndarray:
        """Expectation values ``(n_observables, n_samples)``; ``keep`` says whether :meth:`vjp` may follow."""
        if self._is_large(program):
            return np.concatenate(self._spread(program, numbers, None), axis=1)
        return self.sweep(program, numbers, slice(0, program.n_samples), None, keep and bool(program.trainable))

    def vjp(self, program: Program, numbers: Numbers, coefficients: np.ndarray) -> list[tuple[np.ndarray, ...]]:
        """Gradients of the trainable parameters, for each tape, from cotangents ``(n_observables, n_samples)``."""
        if not program.trainable:
            return program.gradients(np.empty(0))
        if self._is_large(program):
            return program.gradients(_joined(program, self._spread(program, numbers, coefficients)))
        sweeper = self._take(program, lambda idle: idle.numbers is not None and idle.numbers.equal(numbers))
        if sweeper is None:
            return program.gradients(self.sweep(program, numbers, slice(0, program.n_samples), coefficients))
        with one_blas_thread():
            found = sweeper.backward(coefficients)
        self._give(sweeper)
        return program.gradients(found)

    def sweep(
        self, program: Program, numbers: Numbers, samples: slice, coefficients: np.ndarray | None, keep: bool = False
    ) -> np.ndarray:
        """Expectation values of some samples, or with coefficients the gradient of the entries, portion by portion.

        With ``keep`` the states wait for a backward sweep, if those of all samples fit.
        """
        size, fitting = samples.stop - samples.start, self._kept_bytes // (program.n_kept * self._c_dtype.itemsize)
        block = 2 ** sample_wires(program.stages[0].n_wires, size, self._c_dtype)
        keep = keep and -(-size // block) * block <= fitting  # the first stage, of the fewest wires, pads most
        if not keep:
            size = min(size, max(1, _PORTION // 2**program.n_wires))
        if coefficients is not None and fitting:
            size = min(size, 2 ** (fitting.bit_length() - 1))  # of a power of two no block is padded
        full = keep or (coefficients is not None and size <= fitting)
        known = self._take(program, lambda idle: (idle.n_samples, idle.full, idle.numbers) == (size, full, None))
        sweeper = known or Sweeper(program, size, self._c_dtype, full)
        found = []
        with one_blas_thread():
            for start in range(samples.start, samples.stop, size or 1) or [samples.start]:
                portion = slice(start, min(start + size, samples.stop))
                values = sweeper.forward(numbers, portion)
                found.append(values if coefficients is None else sweeper.backward(coefficients[:, portion]))
        sweeper.numbers = numbers if keep else None
        self._give(sweeper)
        return np.concatenate(found, axis=1) if coefficients is None else _joined(program, found)

    def _take(self, program: Program, fits: Callable[[Sweeper], bool]) -> Sweeper | None:
        """A sweeper of a program that no other thread has."""
        with self._lock:
            for sweeper in self._idle:
                if sweeper.program.token == program.token and fits(sweeper):
                    self._idle.remove(sweeper)
                    return sweeper
        return None

    def _give(self, sweeper: Sweeper) -> None:
        """Take a sweeper back; those that have waited longest make room."""
        with self._lock:
            room, kept = self._kept_bytes, [sweeper]
            for other in reversed(self._idle[1 - _SWEEPERS_KEPT :]):
                room -= other.kept_bytes
                if room >= sweeper.kept_bytes:
                    kept.insert(0, other)
            self._idle[:] = kept

    def _is_large(self, program: Program) -> bool:
        size = program.n_samples * 2**program.n_wires
        return self._workers > 1 and size > 0 and size * program.n_gates >= self._spread_from

    def _spread(self, program: Program, numbers: Numbers, coefficients: np.ndarray | None) -> list[np.ndarray]:
        bounds = pairwise(program.n_samples * worker // self._workers for worker in range(self._workers + 1))
        setting = self._c_dtype, self._kept_bytes
        calls = [
            delayed(_in_worker)(setting, program, numbers, slice(*bound), coefficients)
            for bound in bounds
            if bound[0] < bound[1]
        ]
        try:
            return Parallel(n_jobs=self._workers, backend="loky", max_nbytes=_LARGE_BYTES)(calls)
        except BrokenProcessPool as error:
            raise WorkerLostError(
                f"a worker process of qkd.lightning (workers={self._workers}) died, for example for lack of memory; "
                "its results are lost, and the next call starts new workers"
            ) from error


def _joined(program: Program, found: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(found, axis=1) if program.per_sample else sum(found[1:], found[0])


_simulator_of_worker = cache(Simulator)


def _in_worker(setting: tuple[Any, int], *batch: Any) -> np.ndarray:
    """:meth:`Simulator.sweep`; registers and memory stay with the worker."""
    return _simulator_of_worker(*setting).sweep(*batch)
