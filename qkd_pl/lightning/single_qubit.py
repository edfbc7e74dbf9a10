"""Single-qubit gates as matrices, many at a time."""

from functools import cache

import numpy as np
import pennylane as qml

PAULIS = {"RX": np.array([[0, 1], [1, 0]]), "RY": np.array([[0, -1j], [1j, 0]]), "RZ": np.diag([1, -1])}
# Up to a global phase, which no expectation value shows.
PAULIS["PhaseShift"] = PAULIS["RZ"]


def rotations(name: str, angles: np.ndarray) -> np.ndarray:
    """``exp(-i θ P / 2)`` for a key of ``PAULIS``; angles of any shape give matrices of that shape, ``(..., 2, 2)``."""
    half = np.asarray(angles)[..., None, None] / 2
    return np.cos(half) * np.eye(2) - 1j * np.sin(half) * PAULIS[name]


@cache
def fixed(name: str) -> np.ndarray:
    """Matrix of a gate without parameters, by its PennyLane name."""
    return getattr(qml, name).compute_matrix()
