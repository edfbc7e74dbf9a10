"""What can watch a training run: hooks that do nothing by default, and the callbacks that come with the package."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from tqdm import tqdm

from qkd_pl.checks import check_count
from qkd_pl.errors import InvalidInputError
from qkd_pl.networks.models import TrainedQNN
from qkd_pl.training.run import Run


class Callback:
    """Base class: override what is needed. A callback may add JSON-able values to the run's last record.

    Example:
        >>> from qkd_pl.networks.networks import QNN
        >>> from qkd_pl.training.trainer import KDTrainer
        >>> class LargestWeight(Callback):
        ...     def on_iteration_end(self, run):
        ...         run.history[-1]["largest"] = float(np.abs(run.weights).max())
        >>> bits = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
        >>> network = QNN(n_qubits=2, n_layers=1, embedding="basis")
        >>> model = KDTrainer(iterations=3).fit(network, (bits, bits[:, 0]), callbacks=[LargestWeight()])
        >>> ["largest" in record for record in model.history]
        [True, True, True]
    """

    def on_train_begin(self, run: Run) -> None:
        """Before the first iteration; of a resumed run, before the first one that is still to do."""

    def on_iteration_end(self, run: Run) -> None:
        """After each update of the weights; ``run.history[-1]`` is the record of this iteration."""

    def on_train_end(self, run: Run) -> None:
        """After the last iteration, also when training stops with an error."""


class ProgressBar(Callback):
    """A tqdm bar with the current loss.

    Args:
        description: stands before the bar.
        delay: seconds of training before the bar is first shown.

    Example:
        >>> from qkd_pl.networks.networks import QNN
        >>> from qkd_pl.training.trainer import KDTrainer
        >>> data = np.array([[0, 0], [1, 1]]), np.array([0, 1])
        >>> network = QNN(n_qubits=2, n_layers=1, embedding="basis")
        >>> model = KDTrainer(iterations=3).fit(network, data, callbacks=[ProgressBar("student", delay=60)])
    """

    def __init__(self, description: str = "training", delay: float = 0.0) -> None:
        self.description, self.delay = description, delay
        self._bar: tqdm | None = None

    def on_train_begin(self, run: Run) -> None:
        self._bar = tqdm(
            total=run.iterations, initial=run.iteration, desc=self.description, delay=self.delay, leave=not self.delay
        )

    def on_iteration_end(self, run: Run) -> None:
        if self._bar is not None:
            self._bar.set_postfix(loss=f"{run.history[-1]['loss']:.4f}", refresh=False)
            self._bar.update()

    def on_train_end(self, run: Run) -> None:
        if self._bar is not None:
            self._bar.close()


class Accuracy(Callback):
    """Records a classifier's accuracy on a data set in the history, on the device that it is trained on.

    Args:
        inputs, labels: the data.
        name: key in the history's records; no other may have it.
        every: iterations between evaluations; the last iteration is always evaluated.

    Raises:
        InvalidInputError: ``every`` is no number of iterations.

    Example:
        >>> from qkd_pl.networks.networks import QNN
        >>> from qkd_pl.training.trainer import KDTrainer
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
        if run.iteration % self.every == 0 or run.iteration == run.iterations:
            if self.name in run.history[-1]:
                raise InvalidInputError(f"Accuracy: {self.name!r} is recorded already; give each its own name=")
            run.history[-1][self.name] = self._model(run).score(self.inputs, self.labels, run.device)

    def _model(self, run: Run) -> TrainedQNN:
        model = run.model()
        if not isinstance(model, TrainedQNN):
            raise InvalidInputError(f"the Accuracy callback watches classifiers; {run.network} is none")
        return model


def check_callbacks(callbacks: Sequence[Callback]) -> None:
    """Refuse anything but a sequence of callbacks.

    Raises:
        InvalidInputError: names what was found instead.
    """
    if not isinstance(callbacks, Sequence):
        raise InvalidInputError(f"callbacks: must be a list of callbacks, not a {type(callbacks).__name__}")
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise InvalidInputError(f"callbacks: {callback!r} is not an instance of qkd_pl.training.callbacks.Callback")


@contextmanager
def watching(callbacks: Sequence[Callback], run: Run) -> Iterator[None]:
    """Call ``on_train_begin`` and, whatever happens, ``on_train_end``."""
    for callback in callbacks:
        callback.on_train_begin(run)
    try:
        yield
    finally:
        for callback in callbacks:
            callback.on_train_end(run)
