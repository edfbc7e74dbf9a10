"""Single-qubit gates as matrices, many at a time."""

from functools import cache

import numpy as np
import pennylane as qml

PAULIS = {"RX": np.array([[0, 1], [1, 0]]), "RY": np.array([[0, -1j], [1j, 0]]), "RZ": np.diag([1, -1])}
# Up to a global phase, which no expectation value shows.
PAULIS["PhaseShift"] = PAULIS["RZ"]
IDENTITY = np.eye(2, dtype=np.complex128)


def rotations(paulis: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """``exp(-i θ P / 2)``, shape ``(..., 2, 2)``, for angles in radians and one Pauli matrix P, or one for each."""
    half = np.asarray(angles)[..., None, None] / 2
    return np.cos(half) * IDENTITY - np.sin(half) * (1j * paulis)


@cache
def fixed(name: str) -> np.ndarray:
    """Matrix of a gate without parameters, by its PennyLane name."""
    return getattr(qml, name).compute_matrix()
