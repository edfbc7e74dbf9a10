"""Losses of classification without a teacher."""

from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax, softmax

from qkd_pl.checks import check_number
from qkd_pl.errors import InvalidInputError
from qkd_pl.training.losses.base import Loss, ValueAndCotangent
from qkd_pl.training.losses.targets import Targets, labelled_share, weighted_mean


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """Mean of −log softmax(s·z)_y over the batch, in nats (Eq. 4, with the logit scale s; the paper has s = 1).

    Logits are expectation values in [−1, 1], on which s = 1 leaves the softmax flat. Samples without a label (−1) do
    not count; the sum over the others is divided by the batch size times the labelled share of all samples.

    Attributes:
        logit_scale: s > 0, also that of the model's ``predict_proba``. 30 was best in our runs of Table 1.

    Raises:
        InvalidInputError: ``logit_scale`` is not a finite number above 0.

    Example:
        >>> value, cotangent = CrossEntropy(logit_scale=1.0)(np.zeros((1, 2)), Targets(labels=np.array([1])))
        >>> round(value, 6), cotangent.tolist()
        (0.693147, [[0.5, -0.5]])
    """

    logit_scale: float = 30.0

    def __post_init__(self) -> None:
        check_number("logit_scale", self.logit_scale, 0, above=True)

    def prepare(self, targets: Targets) -> "CrossEntropy":
        """The loss itself, once there are labels to compare with."""
        check_labelled(self, targets)
        return self

    def __call__(self, outputs: np.ndarray, targets: Targets) -> ValueAndCotangent:
        return cross_entropy(outputs, targets, self.logit_scale)

    def probability_scale(self, iteration: int) -> float:
        """The logit scale."""
        return float(self.logit_scale)


def check_labelled(loss: Loss, targets: Targets) -> None:
    """Refuse targets none of which has a label.

    Raises:
        InvalidInputError: names the loss.
    """
    if targets.labels is None:
        raise InvalidInputError(
            f"labels are None, and {loss!r} compares with them; an autoencoder needs none, nor does a loss that "
            "compares with a teacher alone, such as Distillation(alpha=1)"
        )
    if not (targets.labels >= 0).any():
        raise InvalidInputError(f"labels: no sample has a label, and {loss!r} needs some")


def cross_entropy(outputs: np.ndarray, targets: Targets, logit_scale: float) -> ValueAndCotangent:
    """:class:`CrossEntropy` as a function."""
    assert targets.labels is not None
    has_label = targets.labels >= 0
    weights = targets.weights(len(outputs)) * has_label
    share = labelled_share(has_label, targets.weights(len(outputs))) if targets.labelled is None else targets.labelled
    rows, labels = np.arange(len(outputs)), np.where(has_label, targets.labels, 0)
    scaled = logit_scale * outputs
    gradients = softmax(scaled, axis=1)
    gradients[rows, labels] -= 1.0
    values = -log_softmax(scaled, axis=1)[rows, labels]
    return weighted_mean(values, logit_scale * gradients, weights / share if share else weights)
