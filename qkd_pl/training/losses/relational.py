"""Distillation of the relations between samples, whatever the numbers of outputs of teacher and student."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from qkd_pl.checks import check_number
from qkd_pl.errors import InvalidInputError
from qkd_pl.training.losses.base import Loss, ValueAndCotangent
from qkd_pl.training.losses.divergences import huber
from qkd_pl.training.losses.targets import Targets


@dataclass(frozen=True)
class Relational(Loss):
    """Distances between the samples of a batch, each divided by their mean: the student's against the teacher's.

    The distance-wise loss of Park et al. (arXiv 1904.05068): the mean over pairs of the Huber function of the
    difference. Units cancel, so that teacher and student may have different outputs. It fixes no decision by itself:
    add it to another loss. A batch of equal outputs has no relations, and no gradient.

    Attributes:
        delta: differences of relative distances beyond it count linearly.

    Example:
        >>> outputs = np.array([[0.0, 0.0], [0.3, 0.4], [0.6, 0.8]])
        >>> teacher = np.array([[0.0], [10.0], [20.0]])  # one output, other units, the same relations
        >>> Relational()(outputs, Targets(teacher=teacher))[0]
        0.0
    """

    delta: float = 1.0

    same_outputs: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_number("delta", self.delta, 0, above=True)

    def prepare(self, targets: Targets) -> "Relational":
        """The loss itself, once there is a teacher."""
        if targets.teacher is None:
            raise InvalidInputError(f"teacher is None; {self!r} needs one")
        return self

    def __call__(self, outputs: np.ndarray, targets: Targets) -> ValueAndCotangent:
        assert targets.teacher is not None
        first, second = np.triu_indices(len(outputs), 1)
        weights = targets.weights(len(outputs))
        pairs = weights[first] * weights[second]
        if not (total := pairs.sum()) > 0:
            return 0.0, np.zeros_like(outputs)
        pairs = pairs / total
        theirs, _, _ = _relative(targets.teacher, first, second, pairs)
        ours, differences, mean = _relative(outputs, first, second, pairs)
        values, slopes = huber(ours - theirs, self.delta)
        if not mean > 0:
            return float(pairs @ values), np.zeros_like(outputs)
        # d = D / mean(D): the derivative with respect to D_ij has a part through the mean, the same for all pairs.
        slopes = pairs * (slopes - pairs @ (slopes * ours)) / mean
        distances = ours * mean
        unit = np.divide(differences, distances[:, None], out=np.zeros_like(differences), where=distances[:, None] > 0)
        cotangent = np.zeros_like(outputs)
        np.add.at(cotangent, first, slopes[:, None] * unit)
        np.subtract.at(cotangent, second, slopes[:, None] * unit)
        return float(pairs @ values), cotangent


def _relative(
    outputs: np.ndarray, first: np.ndarray, second: np.ndarray, pairs: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """Distances of the pairs divided by their mean, the differences that they are the lengths of, and that mean."""
    differences = outputs[first] - outputs[second]
    distances = np.linalg.norm(differences, axis=1)
    mean = float(pairs @ distances)
    return (distances / mean if mean > 0 else distances), differences, mean
