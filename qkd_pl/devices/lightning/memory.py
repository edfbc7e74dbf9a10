"""Memory that an execution leaves to the next one: the operating system takes long to hand out large arrays."""

import os
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np


class Loan:
    """An array, given back when this object is deleted; nothing may refer to the array after that.

    Attributes:
        array: amplitudes, of any content.
    """

    def __init__(self, array: np.ndarray):
        self.array = array


class Memory:
    """Arrays of amplitudes; the last one given back, if it is large enough, is lent again.

    Args:
        c_dtype: complex64 or complex128.
    """

    def __init__(self, c_dtype: Any):
        self._c_dtype = np.dtype(c_dtype)
        self._spare: list[np.ndarray] = []

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._c_dtype,)

    def lend(self, n_amplitudes: int) -> Loan:
        """An array ``(n_amplitudes,)``."""
        array = None
        with suppress(IndexError):
            array = self._spare.pop()
        if array is None or len(array) < n_amplitudes:
            array = self._new(n_amplitudes)
        loan = Loan(array[:n_amplitudes])
        weakref.finalize(loan, self._take_back, array).atexit = False
        return loan

    def _take_back(self, array: np.ndarray) -> None:
        self._spare[:] = [array]

    def _new(self, n_amplitudes: int) -> np.ndarray:
        return np.empty(n_amplitudes, dtype=self._c_dtype)


class SharedMemory(Memory):
    """The same in temporary files, which other processes can map: the arrays are :class:`numpy.memmap`."""

    def _new(self, n_amplitudes: int) -> np.ndarray:
        handle, path = tempfile.mkstemp(prefix="qkd_pl-")
        os.close(handle)
        try:
            array = np.memmap(path, self._c_dtype, "w+", shape=(n_amplitudes,))
        except BaseException:
            _remove(path, os.getpid())
            raise
        weakref.finalize(array, _remove, path, os.getpid())
        return array


class Workspace:
    """Where the executions of a device compute.

    Args:
        c_dtype: complex64 or complex128.
        workers: number of processes over which large batches are spread.

    Attributes:
        c_dtype: as a NumPy dtype.
        workers: as given.
        memory: for states.
        shared_memory: for states that are spread over processes.
    """

    def __init__(self, c_dtype: Any, workers: int):
        self.c_dtype, self.workers = np.dtype(c_dtype), workers
        self.memory, self.shared_memory = Memory(c_dtype), SharedMemory(c_dtype)


def _remove(path: str, owner: int) -> None:
    """Remove a file, but not from a forked process."""
    if os.getpid() == owner:
        with suppress(OSError):
            Path(path).unlink()
