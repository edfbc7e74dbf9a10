"""What relies on undocumented parts of PennyLane-Lightning: its compiled state vectors.

Documented is the device ``lightning.qubit``; the bindings underneath are what it is made of. Of them we use the classes
``StateVectorC64`` and ``StateVectorC128`` with ``updateData(amplitudes)``, ``getState(out)``,
``applyMatrix(matrix, wires, inverse)`` and one method per gate, ``CNOT(wires, inverse, angles)``.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from pennylane_lightning import lightning_qubit_ops

#: ``call(wires, inverse, *extra)`` applies a gate in place.
Call = tuple[Callable[..., None], tuple[Any, ...]]


class StateVector(Protocol):
    """Amplitudes in Lightning's memory; the first wire is the most significant bit of their index."""

    def updateData(self, amplitudes: np.ndarray) -> None:  # noqa: N802
        """Copy contiguous amplitudes of the same dtype in."""

    def getState(self, out: np.ndarray) -> None:  # noqa: N802
        """Copy the amplitudes out."""

    def applyMatrix(self, matrix: np.ndarray, wires: Sequence[int], inverse: bool) -> None:  # noqa: N802
        """Apply a contiguous matrix of the same dtype, or its adjoint."""


def state_vector(n_wires: int, c_dtype: Any) -> StateVector:
    """A new state vector in complex64 or complex128."""
    name = "StateVectorC64" if np.dtype(c_dtype) == np.complex64 else "StateVectorC128"
    return getattr(lightning_qubit_ops, name)(n_wires)


def kernel(vector: StateVector, name: str) -> Call:
    """One of Lightning's own gates without parameters, by its PennyLane name."""
    return getattr(vector, name), ([],)


def matrix_kernel(vector: StateVector, matrix: np.ndarray, c_dtype: Any) -> Call:
    """A constant gate, by its matrix; ``c_dtype`` is that of the vector."""
    converted = np.ascontiguousarray(matrix, dtype=c_dtype)
    return (lambda wires, inverse: vector.applyMatrix(converted, wires, inverse)), ()
