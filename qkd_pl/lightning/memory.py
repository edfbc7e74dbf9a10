"""Memory that an execution leaves to the next one: the operating system takes long to hand out large arrays."""

import weakref
from typing import Any

import numpy as np


class Memory:
    """Arrays of amplitudes, lent to executions for as long as they live.

    Args:
        c_dtype: complex64 or complex128.
    """

    def __init__(self, c_dtype: Any):
        self._c_dtype = np.dtype(c_dtype)
        self._spare: list[np.ndarray] = []

    def lend(self, borrower: object, n_amplitudes: int) -> np.ndarray:
        """An array ``(n_amplitudes,)`` of any content; it is given back when the borrower is deleted."""
        array = self._spare.pop() if self._spare else np.empty(0, dtype=self._c_dtype)
        if len(array) < n_amplitudes:
            self._spare.clear()
            array = np.empty(n_amplitudes, dtype=self._c_dtype)
        weakref.finalize(borrower, self._spare.append, array).atexit = False
        return array[:n_amplitudes]
