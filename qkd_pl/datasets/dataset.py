"""The form in which every dataset reaches the trainer."""

from typing import NamedTuple

import numpy as np


class Dataset(NamedTuple):
    """Inputs and labels of one split; unpacks as ``inputs, labels``.

    Attributes:
        inputs: one row per sample: ``(n, 2**n_qubits)`` complex amplitudes, ``(n, n_qubits)`` bits or angles,
            or ``(n, d, d)`` complex density matrices.
        labels: class indices, shape ``(n,)``, int64; for regression the numbers to be predicted, float64.

    Example:
        >>> inputs, labels = Dataset(np.eye(4), np.array([0, 0, 1, 1]))
        >>> inputs.shape
        (4, 4)
    """

    inputs: np.ndarray
    labels: np.ndarray
