"""How a batch is computed: in this process, portion by portion, or spread over worker processes."""

from collections import OrderedDict
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache
from itertools import count, pairwise
from os import getpid
from typing import Any

import numpy as np
from joblib import Parallel, delayed

from qkd_pl.devices.lightning.program import Numbers, Program
from qkd_pl.devices.lightning.sweep import PORTION, Filled, Sweeper, trace_bytes
from qkd_pl.errors import WorkerLostError
from qkd_pl.threads import one_blas_thread

# Arguments from this size on reach the workers through files.
_LARGE_BYTES = 2**20
_MAX_SWEEPERS = 8


@dataclass(frozen=True)
class Workers:
    """Processes over which batches are spread.

    Attributes:
        n: how many.
        spread_from: amplitudes times gates from which on spreading pays.
    """

    n: int
    spread_from: int


class Sweepers:
    """The sweepers that are not in use; making one anew takes as long as a step of a small circuit.

    Args:
        c_dtype: complex64 or complex128.
        kept_bytes: what the states between two sweeps may take, and those of all sweepers that are not in use.

    Attributes:
        c_dtype, kept_bytes: as given.
        waiting: executions whose states wait for a backward sweep; a copy of a device has none.
    """

    def __init__(self, c_dtype: Any, kept_bytes: int):
        self.c_dtype, self.kept_bytes = np.dtype(c_dtype), kept_bytes
        self._idle: list[tuple[int, Sweeper]] = []
        self.waiting: list[Any] = []

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.c_dtype, self.kept_bytes)

    def take(self, program: Program, n_samples: int, full: bool) -> Sweeper:
        """A sweeper that no other thread has."""
        for item in tuple(self._idle):
            sweeper = item[1]
            if sweeper.program is program and sweeper.n_samples == n_samples and sweeper.full == full:
                try:
                    self._idle.remove(item)
                except ValueError:  # another thread was faster
                    continue
                return sweeper
        return Sweeper(program, n_samples, self.c_dtype, full)

    def give(self, sweeper: Sweeper) -> None:
        """Take a sweeper back; those that have waited longest make room."""
        size = sweeper.trace_bytes
        room, kept = self.kept_bytes - size, []
        for item in reversed(self._idle[1 - _MAX_SWEEPERS :]):
            room -= item[0]
            if room >= 0:
                kept.append(item)
        self._idle[:] = [*reversed(kept), (size, sweeper)]

    def fits(self, program: Program, n_samples: int) -> bool:
        """Whether the states after all trainable segments may be kept."""
        return trace_bytes(program, n_samples, self.c_dtype, full=True) <= self.kept_bytes


class Execution:
    """One batch of a program.

    Args:
        program: the circuit.
        numbers: of all samples.
        sweepers: where to compute.
        workers: over which a large batch is spread.
    """

    def __init__(self, program: Program, numbers: Numbers, sweepers: Sweepers, workers: Workers):
        self.program, self.numbers, self._sweepers = program, numbers, sweepers
        updates = program.n_samples * 2**program.n_wires * program.n_gates
        self._workers = workers.n if updates >= workers.spread_from else 1
        self._kept: tuple[Sweeper, Filled] | None = None

    def run(self, keep: bool) -> np.ndarray:
        """Expectation values, shape ``(n_observables, n_samples)`` float64.

        Args:
            keep: whether to keep the states, if they fit, for a backward sweep that may follow.
        """
        if self._workers > 1:
            return np.concatenate(self._spread(None), axis=1)
        n_samples = self.program.n_samples
        with one_blas_thread():
            if keep and self.program.trainable and self._sweepers.fits(self.program, n_samples):
                self._kept = self._filled(slice(0, n_samples), full=True, n_samples=n_samples)
                return self._kept[0].forward(self._kept[1])
            return _forward(self.program, self.numbers, slice(0, n_samples), self._sweepers)

    def vjp(self, coefficients: np.ndarray) -> list[tuple[np.ndarray, ...]]:
        """Gradients of the trainable parameters, for each tape.

        Args:
            coefficients: cotangents of the expectation values, shape ``(n_observables, n_samples)`` float64.
        """
        if self._workers > 1:
            found = self._spread(coefficients)
        else:
            with one_blas_thread():
                if self._kept is not None:
                    found = [self._kept[0].backward(self._kept[1], coefficients)]
                else:
                    everything = slice(0, self.program.n_samples)
                    found = [_backward(self.program, self.numbers, everything, self._sweepers, coefficients)]
        return self.program.gradients(_joined(self.program, found))

    def release(self) -> None:
        """Give registers and memory back."""
        if self._kept is not None:
            self._sweepers.give(self._kept[0])
            self._kept = None

    def _filled(self, samples: slice, full: bool, n_samples: int) -> tuple[Sweeper, Filled]:
        sweeper = self._sweepers.take(self.program, n_samples, full)
        return sweeper, Filled(self.program, self.numbers, samples, self._sweepers.c_dtype)

    def _spread(self, coefficients: np.ndarray | None) -> list[np.ndarray]:
        n_samples = self.program.n_samples
        bounds = [n_samples * worker // self._workers for worker in range(self._workers + 1)]
        calls = [
            delayed(_in_worker)(
                _token(self.program), self.program, self.numbers, slice(*bound), self._sweepers, coefficients
            )
            for bound in pairwise(bounds)
            if bound[0] < bound[1]
        ]
        try:
            return Parallel(n_jobs=self._workers, backend="loky", max_nbytes=_LARGE_BYTES)(calls)
        except BrokenProcessPool as error:
            raise WorkerLostError(
                f"a worker process of qkd.lightning (workers={self._workers}) died, for example for lack of memory; "
                "its results are lost, and the next call starts new workers"
            ) from error


def _forward(program: Program, numbers: Numbers, samples: slice, sweepers: Sweepers) -> np.ndarray:
    """Expectation values of some samples, portion by portion."""
    size = _portion(program, samples)
    sweeper = sweepers.take(program, size, full=False)
    values = [
        sweeper.forward(Filled(program, numbers, portion, sweepers.c_dtype)) for portion in _portions(samples, size)
    ]
    sweepers.give(sweeper)
    return np.concatenate([np.empty((program.readout.n_observables, 0)), *values], axis=1)


def _backward(
    program: Program, numbers: Numbers, samples: slice, sweepers: Sweepers, coefficients: np.ndarray
) -> np.ndarray:
    """Gradient of the entries from some samples, by both sweeps of portion after portion."""
    size = _portion(program, samples)
    sweeper = sweepers.take(program, size, full=sweepers.fits(program, size))
    found = []
    for portion in _portions(samples, size) or [samples]:
        filled = Filled(program, numbers, portion, sweepers.c_dtype)
        sweeper.forward(filled)
        found.append(sweeper.backward(filled, coefficients[:, portion]))
    sweepers.give(sweeper)
    return _joined(program, found)


def _joined(program: Program, found: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(found, axis=1) if program.per_sample else sum(found[1:], found[0])


def _portion(program: Program, samples: slice) -> int:
    return min(samples.stop - samples.start, max(1, PORTION // 2**program.n_wires))


def _portions(samples: slice, size: int) -> list[slice]:
    starts = range(samples.start, samples.stop, size or 1)
    return [slice(start, min(start + size, samples.stop)) for start in starts]


_counter = count()
_sent: OrderedDict[Any, Program] = OrderedDict()


@cache
def _token(program: Program) -> tuple[int, int]:
    """Tells a worker that it has seen a program before."""
    return getpid(), next(_counter)


@cache
def _worker_sweepers(c_dtype: np.dtype, kept_bytes: int) -> Sweepers:
    return Sweepers(c_dtype, kept_bytes)


def _in_worker(
    token: Any, program: Program, numbers: Numbers, samples: slice, sweepers: Sweepers, coefficients: np.ndarray | None
) -> np.ndarray:
    """Values, or with coefficients the gradient, of some samples; registers and memory stay with the worker."""
    program = _sent.setdefault(token, program)
    _sent.move_to_end(token)
    while len(_sent) > _MAX_SWEEPERS:
        _sent.popitem(last=False)
    own = _worker_sweepers(sweepers.c_dtype, sweepers.kept_bytes)
    with one_blas_thread():
        if coefficients is None:
            return _forward(program, numbers, samples, own)
        return _backward(program, numbers, samples, own, coefficients)
