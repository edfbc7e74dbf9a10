"""Losses of regression: outputs against numbers, in the units of the outputs.

Targets are the labels or, given a teacher, its predictions; the trainer scales them into the range of expectation
values, and the model scales its predictions back.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from qkd_pl.checks import check_number
from qkd_pl.errors import InvalidInputError
from qkd_pl.training.losses.base import Loss, Task, ValueAndCotangent
from qkd_pl.training.losses.divergences import RowsAndGradients, huber
from qkd_pl.training.losses.targets import Targets


class _Regression(Loss):
    task: ClassVar[Task] = "regression"

    def prepare(self, targets: Targets) -> "_Regression":
        """The loss itself, once there is something to compare with."""
        if _wanted(targets) is None:
            raise InvalidInputError(f"labels are None and there is no teacher; {self!r} needs one of them")
        return self

    def __call__(self, outputs: np.ndarray, targets: Targets) -> ValueAndCotangent:
        wanted = _wanted(targets)
        assert wanted is not None
        wanted = wanted.reshape(len(wanted), -1)
        if wanted.shape != outputs.shape:
            raise InvalidInputError(f"targets have shape {wanted.shape}; the network's outputs {outputs.shape}")
        values, slopes = self._values(outputs - wanted)
        share = targets.labelled if targets.teacher is None else 1.0
        return masked_mean(values, slopes, targets.weights(len(outputs)), share)

    def _values(self, difference: np.ndarray) -> RowsAndGradients:
        raise NotImplementedError


@dataclass(frozen=True)
class SquaredError(_Regression):
    """Mean squared difference between outputs and targets, over the batch and the outputs.

    Samples without a target (NaN) do not count.

    Example:
        The transverse field, in units of J, from ground states:

        >>> from qkd_pl import QNN, KDTrainer, datasets
        >>> train, test = datasets.topological_phases(5, n_train=64, n_test=64, seed=0, targets="field")
        >>> model = KDTrainer(iterations=100, seed=0).fit(QNN(5, 3, n_classes=1), train, loss=SquaredError())
        >>> model.score(*test) > 0.8  # R²
        True

        >>> SquaredError()(np.array([[0.5]]), Targets(labels=np.array([0.2])))[0].__round__(6)
        0.09
    """

    def _values(self, difference: np.ndarray) -> RowsAndGradients:
        return difference**2, 2.0 * difference


@dataclass(frozen=True)
class Huber(_Regression):
    """d²/2 for differences up to ``delta``, linear beyond: outliers among the targets pull less.

    Attributes:
        delta: in the units of the outputs, whose range is [−1, 1].

    Raises:
        InvalidInputError: ``delta`` is not a finite number above 0.
    """

    delta: float = 0.1

    def __post_init__(self) -> None:
        check_number("delta", self.delta, 0, above=True)

    def _values(self, difference: np.ndarray) -> RowsAndGradients:
        return huber(difference, self.delta)


def masked_mean(values: np.ndarray, slopes: np.ndarray, weights: np.ndarray, share: float | None) -> ValueAndCotangent:
    """Mean over samples and columns of ``(n, m)`` values, NaN not counted, and its cotangent.

    Args:
        values, slopes: of each sample and column, with derivatives; NaN where there is no target.
        weights: of the samples.
        share: the share of all samples' weight that has targets; None for that of these samples.
    """
    has_target = np.isfinite(values)
    if share is None:
        total = weights.sum() * values.shape[1]
        share = float((weights[:, None] * has_target).sum() / total) if total > 0 else 0.0
    factor = weights[:, None] * has_target / (max(len(values), 1) * values.shape[1] * (share or 1.0))
    return float((factor * np.where(has_target, values, 0.0)).sum()), factor * np.where(has_target, slopes, 0.0)


def _wanted(targets: Targets) -> np.ndarray | None:
    return targets.labels if targets.teacher is None else targets.teacher
