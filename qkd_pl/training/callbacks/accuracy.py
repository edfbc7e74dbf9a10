"""Accuracy on a data set, recorded while a classifier is trained."""

import numpy as np

from qkd_pl.checks import check_count
from qkd_pl.errors import InvalidInputError
from qkd_pl.networks.models import TrainedQNN
from qkd_pl.training.callbacks.base import Callback, record
from qkd_pl.training.run import Run


class Accuracy(Callback):
    """Records a classifier's accuracy on a data set in the history, on the device that it is trained on.

    Args:
        inputs, labels: the data.
        name: key in the history's records; no other may have it.
        every: iterations between evaluations; the last iteration is always evaluated.

    Raises:
        InvalidInputError: ``every`` is not a positive integer.

    Example:
        >>> from qkd_pl import QNN, KDTrainer
        >>> data = np.array([[0, 0], [1, 1]]), np.array([0, 1])
        >>> network = QNN(n_qubits=2, n_layers=1, embedding="basis")
        >>> model = KDTrainer(iterations=4).fit(network, data, callbacks=[Accuracy(*data, every=2)])
        >>> [record["iteration"] for record in model.history if "accuracy" in record]
        [2, 4]
    """

    def __init__(self, inputs: np.ndarray, labels: np.ndarray, name: str = "accuracy", every: int = 1) -> None:
        check_count("every", every)
        self.inputs, self.labels = inputs, labels
        self.name, self.every = name, every

    def on_iteration_end(self, run: Run) -> None:
        if run.iteration % self.every == 0 or run.iteration == run.iterations or run.stopped:
            record(run, "Accuracy", self.name, self._model(run).score(self.inputs, self.labels, run.device))

    def _model(self, run: Run) -> TrainedQNN:
        model = run.model()
        if not isinstance(model, TrainedQNN):
            raise InvalidInputError(f"Accuracy watches classifiers, and {run.network} is not trained as one")
        return model
