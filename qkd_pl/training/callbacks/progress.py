"""A progress bar for a training."""

from tqdm import tqdm

from qkd_pl.training.callbacks.base import Callback
from qkd_pl.training.run import Run


class ProgressBar(Callback):
    """A tqdm bar with the current loss.

    Args:
        description: stands before the bar.
        delay: seconds of training before the bar is first shown.

    Example:
        >>> import numpy as np
        >>> from qkd_pl import QNN, KDTrainer
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
