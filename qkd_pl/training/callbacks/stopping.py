"""Callbacks that follow a recorded value: stop when it no longer improves, keep the weights where it was best."""

from collections.abc import Mapping
from math import inf
from typing import Any

import numpy as np

from qkd_pl.checks import check_count, check_number, nearest
from qkd_pl.errors import InvalidInputError
from qkd_pl.schema import Closed, Count, Number, parsed
from qkd_pl.storage import checked_tensor
from qkd_pl.training.callbacks.base import Callback
from qkd_pl.training.run import Run


class _MonitorState(Closed):
    best: Number | None
    seen: bool


class _StoppingState(_MonitorState):
    waited: Count


class _Monitor(Callback):
    """Follows one value of the history's records and remembers its best."""

    def __init__(self, monitor: str, larger_is_better: bool | None, min_delta: float) -> None:
        if not isinstance(monitor, str):
            raise InvalidInputError(f"monitor={monitor!r}: must be the name of a recorded value, such as 'loss'")
        check_number("min_delta", min_delta, 0)
        self.monitor, self.min_delta = monitor, min_delta
        lower = "loss" in monitor or monitor == "gradient_norm"
        self.larger_is_better = not lower if larger_is_better is None else larger_is_better
        self._best, self._seen = inf, False
        self._reset()

    def on_train_begin(self, run: Run) -> None:
        self._reset()

    def on_iteration_end(self, run: Run) -> None:
        if (value := run.history[-1].get(self.monitor)) is None:
            self._missing(run)
            return
        self._seen = True
        gain = value - self._best if self.larger_is_better else self._best - value
        better = gain > self.min_delta
        if better:
            self._best = float(value)
        self._follow(run, better)

    def state(self) -> Mapping[str, Any]:
        """Best value so far, and whether there was any."""
        return {"best": self._best if np.isfinite(self._best) else None, "seen": self._seen}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state`.

        Raises:
            FileFormatError: it is another one's.
        """
        self._set(parsed(_MonitorState, state, "state"))

    def _set(self, state: _MonitorState) -> None:
        self._seen = state.seen
        if state.best is not None:
            self._best = state.best

    def _reset(self) -> None:
        self._best = -inf if self.larger_is_better else inf
        self._seen = False

    def _missing(self, run: Run) -> None:
        always = self.monitor in ("loss", "gradient_norm") or self.monitor.startswith("validation_")
        if not self._seen and (always or run.iteration == run.iterations):
            hint = "; give fit(validation=(inputs, labels))" if self.monitor.startswith("validation_") else ""
            known = ", ".join(run.history[-1])
            close = nearest(self.monitor, run.history[-1])
            raise InvalidInputError(
                f"{type(self).__name__}: no record has {self.monitor!r}{hint}{close}. Recorded: {known}"
            )

    def _follow(self, run: Run, better: bool) -> None:
        raise NotImplementedError


class EarlyStopping(_Monitor):
    """Stops the training when a recorded value has not improved for some evaluations.

    A run that was stopped stays stopped when it is resumed from its checkpoint.

    Args:
        monitor: name of the value; ``validation_loss`` and ``validation_score`` are there with ``fit(validation=…)``.
        patience: evaluations without improvement before it stops.
        min_delta: an improvement is more than this.
        larger_is_better: None to tell by the name: smaller is better for losses and the gradient's norm.

    Raises:
        InvalidInputError: an argument is outside its range, or, in training, nothing of this name is recorded.

    Example:
        >>> from qkd_pl import QNN, KDTrainer, datasets
        >>> train, test = datasets.topological_phases(n_qubits=3, n_train=32, n_test=32, seed=0)
        >>> model = KDTrainer(iterations=300, seed=1).fit(
        ...     QNN(3, 1), train, validation=test, callbacks=[EarlyStopping(patience=20)]
        ... )
        >>> len(model.history) < 300
        True
    """

    def __init__(
        self,
        monitor: str = "validation_loss",
        patience: int = 10,
        min_delta: float = 0.0,
        larger_is_better: bool | None = None,
    ) -> None:
        check_count("patience", patience)
        self.patience = patience
        super().__init__(monitor, larger_is_better, min_delta)

    def state(self) -> Mapping[str, Any]:
        """Best value so far, and how long ago it was."""
        return {**super().state(), "waited": self._waited}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state`."""
        valid = parsed(_StoppingState, state, "state")
        self._set(valid)
        self._waited = valid.waited

    def _reset(self) -> None:
        super()._reset()
        self._waited = 0

    def _follow(self, run: Run, better: bool) -> None:
        self._waited = 0 if better else self._waited + 1
        if self._waited >= self.patience:
            run.stop()


class BestWeights(_Monitor):
    """Gives the model the weights of the iteration where a recorded value was best, instead of the last ones.

    The values that are recorded with an iteration are those of the weights *after* it, except ``loss`` and
    ``gradient_norm``, which belong to the batch and the weights before. A checkpoint holds the last weights and the
    best, so that a resumed or longer run goes on from the last ones.

    Args:
        monitor, min_delta, larger_is_better: as in :class:`EarlyStopping`.
    """

    def __init__(
        self, monitor: str = "validation_loss", min_delta: float = 0.0, larger_is_better: bool | None = None
    ) -> None:
        self._weights: np.ndarray | None = None
        self._shape: tuple[int, ...] | None = None  # of a run's weights
        super().__init__(monitor, larger_is_better, min_delta)

    def on_train_begin(self, run: Run) -> None:
        super().on_train_begin(run)
        self._shape = run.weights.shape

    def on_train_end(self, run: Run) -> None:
        if self._weights is not None:
            run.weights = self._weights.copy()

    def state(self) -> Mapping[str, Any]:
        """Best value so far, and its weights."""
        return {**super().state(), **({} if self._weights is None else {"weights": self._weights})}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a :meth:`state`."""
        rest = {name: value for name, value in state.items() if name != "weights"}
        super().restore(rest)
        self._weights = (
            checked_tensor(state, "weights", self._shape, "state").copy() if len(rest) < len(state) else None
        )

    def _reset(self) -> None:
        super()._reset()
        self._weights = None

    def _follow(self, run: Run, better: bool) -> None:
        if better:
            self._weights = run.weights.copy()
