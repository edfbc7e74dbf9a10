"""Forward and backward sweep over many samples, block by block, in this process or in workers."""

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Parallel, delayed

from qkd_pl.errors import WorkerLostError
from qkd_pl.lightning.readout import Readout
from qkd_pl.lightning.register import Program, Register


@dataclass(frozen=True)
class Sweep:
    """What happens to every sample of a batch alike.

    Attributes:
        program: the shared gates.
        readout: the measured observables.
        c_dtype: complex64 or complex128.
        n_sample_wires: m; a block has ``2**m`` samples.
    """

    program: Program
    readout: Readout
    c_dtype: np.dtype
    n_sample_wires: int

    @cached_property
    def register(self) -> Register:
        """Lightning's objects; they stay in the process that made them."""
        return Register(self.program, self.c_dtype, self.n_sample_wires)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "register"}

    @property
    def block_size(self) -> int:
        """Samples that one register holds."""
        return 2**self.n_sample_wires

    def blocks(self, n_samples: int) -> Iterator[slice]:
        """The samples of each block."""
        size = self.block_size
        return (slice(start, min(start + size, n_samples)) for start in range(0, n_samples, size))

    def forward(self, states: np.ndarray) -> np.ndarray:
        """Replace initial by final amplitudes ``(n_samples, 2**n)``; return expectation values ``(k, n_samples)``."""
        values = np.empty((self.readout.n_observables, len(states)))
        for block in self.blocks(len(states)):
            states[block] = self.register.run(states[block])
            values[:, block] = self.readout.expectations(states[block])
        return values

    def backward(self, states: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
        """Gradient of ``Σ_kb coefficients_kb ⟨O_k⟩_b`` with respect to every angle, from final amplitudes."""
        gradient = np.zeros(len(self.program.angles))
        for block in self.blocks(len(states)):
            applied = self.readout.apply(states[block], coefficients[:, block])
            gradient += self.register.pull_back(states[block], applied)
        return gradient


class SharedStates:
    """An array of amplitudes in a temporary file, which processes on one machine map into their memory.

    Args:
        shape: ``(n_samples, 2**n)``.
        dtype: complex64 or complex128.
    """

    def __init__(self, shape: tuple[int, int], dtype: np.dtype):
        folder = tempfile.mkdtemp(prefix="qkd_pl-")
        self._path, self._shape, self._dtype = Path(folder) / "states", shape, dtype
        self.array = np.memmap(self._path, dtype, "w+", shape=shape)
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)

    def forward(self, workers: int, sweep: Sweep) -> np.ndarray:
        """:meth:`Sweep.forward` on all samples."""
        return np.concatenate(self._spread(workers, sweep, Sweep.forward), axis=1)

    def backward(self, workers: int, sweep: Sweep, coefficients: np.ndarray) -> np.ndarray:
        """:meth:`Sweep.backward` on all samples."""
        return np.sum(self._spread(workers, sweep, Sweep.backward, coefficients), axis=0)

    def _spread(
        self, workers: int, sweep: Sweep, method: Callable[..., np.ndarray], coefficients: np.ndarray | None = None
    ) -> Sequence[np.ndarray]:
        blocks = list(sweep.blocks(self._shape[0]))
        bounds = [len(blocks) * worker // workers for worker in range(workers + 1)]
        calls = []
        for first, last in pairwise(bounds):
            if first == last:
                continue
            samples = slice(blocks[first].start, blocks[last - 1].stop)
            extra = () if coefficients is None else (coefficients[:, samples],)
            mapped = partial(np.memmap, self._path, self._dtype, "r+", shape=self._shape)
            calls.append(delayed(_on_mapped)(method, sweep, mapped, samples, *extra))
        try:
            return Parallel(n_jobs=workers, backend="loky", max_nbytes=None)(calls)
        except BrokenProcessPool as error:
            raise WorkerLostError(
                f"a worker process of qkd.lightning (workers={workers}) died, for example for lack of memory; "
                "its results are lost, and the next call starts new workers"
            ) from error


def _on_mapped(
    method: Callable[..., np.ndarray],
    sweep: Sweep,
    mapped: Callable[[], np.ndarray],
    samples: slice,
    *extra: np.ndarray,
) -> np.ndarray:
    return method(sweep, mapped()[samples], *extra)
