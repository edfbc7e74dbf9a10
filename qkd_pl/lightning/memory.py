"""Memory that an execution leaves to the next one: the operating system takes long to hand out large arrays."""

import os
import tempfile
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np


class Memory:
    """Arrays of amplitudes, lent for as long as the borrower lives.

    Args:
        c_dtype: complex64 or complex128.
    """

    def __init__(self, c_dtype: Any):
        self._c_dtype = np.dtype(c_dtype)
        self._spare: list[np.ndarray] = []

    def lend(self, borrower: object, n_amplitudes: int) -> np.ndarray:
        """An array ``(n_amplitudes,)`` of any content; it is given back when the borrower is deleted."""
        array = self._spare.pop() if self._spare else None
        if array is None or len(array) < n_amplitudes:
            self._spare.clear()
            array = self._new(n_amplitudes)
        weakref.finalize(borrower, self._spare.append, array).atexit = False
        return array[:n_amplitudes]

    def _new(self, n_amplitudes: int) -> np.ndarray:
        return np.empty(n_amplitudes, dtype=self._c_dtype)


class SharedMemory(Memory):
    """The same in temporary files, which other processes can map."""

    def lend_file(self, borrower: object, n_amplitudes: int) -> str:
        """Path of the file that an array is in."""
        array = self.lend(borrower, n_amplitudes)
        assert isinstance(array, np.memmap)
        return str(array.filename)

    def _new(self, n_amplitudes: int) -> np.ndarray:
        handle, path = tempfile.mkstemp(prefix="qkd_pl-")
        os.close(handle)
        array = np.memmap(path, self._c_dtype, "w+", shape=(n_amplitudes,))
        weakref.finalize(array, _remove, path)
        return array


def _remove(path: str) -> None:
    with suppress(OSError):
        Path(path).unlink()


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
