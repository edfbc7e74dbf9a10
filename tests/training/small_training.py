"""A network of two qubits, data of ten samples and a teacher, and what watches a training."""

import numpy as np

from qkd_pl import QNN
from qkd_pl.training.callbacks import Callback

ARCHITECTURE = QNN(n_qubits=2, n_layers=1, embedding="angle")
INPUTS = np.linspace(-2.0, 2.0, 20).reshape(10, 2)
LABELS = np.arange(10) % 2
DATA = (INPUTS, LABELS)
TEACHER = np.stack([np.sin(np.arange(10.0)), np.cos(np.arange(10.0))], axis=1)


class Spy(Callback):
    """Keeps the weights before the first and after each iteration."""

    def __init__(self) -> None:
        self.weights: list[np.ndarray] = []

    def on_train_begin(self, run) -> None:
        self.weights.append(run.weights.copy())

    def on_iteration_end(self, run) -> None:
        self.weights.append(run.weights.copy())
