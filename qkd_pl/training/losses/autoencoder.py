"""The loss of a quantum autoencoder (Eq. 10)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from qkd_pl.circuits.readout import fidelity
from qkd_pl.training.losses.base import Loss, Task, ValueAndCotangent
from qkd_pl.training.losses.targets import Targets, weighted_mean


@dataclass(frozen=True)
class Infidelity(Loss):
    """One minus the mean fidelity of the reconstructed states, from the autoencoder's expectation values (Eq. 10).

    Example:
        >>> Infidelity()(np.array([[1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0]]), Targets())[0]
        0.0
    """

    task: ClassVar[Task] = "autoencoder"

    def __call__(self, outputs: np.ndarray, targets: Targets) -> ValueAndCotangent:
        compressed, kept = np.split(outputs, 2, axis=1)
        gradients = -np.concatenate([kept, compressed], axis=1) / np.sqrt(compressed.shape[1])
        return weighted_mean(1.0 - fidelity(outputs), gradients, targets.weights(len(outputs)))
