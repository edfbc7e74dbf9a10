"""Bringing a teacher's outputs to the range of a student's, which are expectation values in [−1, 1]."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import logsumexp

from qkd_pl.checks import check_choice

#: None chooses: ``"scale"`` for a teacher whose outputs are no expectation values, else False.
Standardise = Literal["scale", "affine"] | Literal[False] | None
_ALLOWED = (None, False, "scale", "affine")
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Statistics:
    """How a teacher's outputs are standardised: ``(z − offset) / scale``, with what was measured on all samples.

    Attributes:
        by_row: subtract each row's own mean instead of ``offset``.
        offset, scale: one number for each output; with ``by_row`` one scale for all.
    """

    by_row: bool
    offset: tuple[float, ...]
    scale: tuple[float, ...]

    def __call__(self, teacher: np.ndarray) -> np.ndarray:
        """Standardised outputs of the same shape."""
        offset = teacher.mean(axis=1, keepdims=True) if self.by_row else np.array(self.offset)
        return (teacher - offset) / np.array(self.scale)


def check_standardise(standardise: Standardise) -> None:
    """Refuse a setting that does not name a way to standardise.

    Raises:
        InvalidInputError: names what is allowed.
    """
    check_choice("standardise", standardise, _ALLOWED)


def are_log_probabilities(teacher: np.ndarray) -> bool:
    """Whether outputs ``(n, K)`` are logarithms of probabilities: those of each row sum to one."""
    return len(teacher) > 0 and bool(np.abs(logsumexp(teacher, axis=1)).max() < _TOLERANCE)


def measure(teacher: np.ndarray, standardise: Standardise) -> Statistics | None:
    """What the standardisation of a teacher's outputs ``(n, K)`` needs to know; None to leave them as they are.

    ``"scale"``: each row less its mean over classes, divided by one number, the root mean square of what is left, so
    that the teacher's decisions, and the ratios between its margins, stay. ``"affine"``: zero mean and unit variance of
    each output. It moves the decision boundary to the middle of the training data, and so assumes balanced classes.

    Example:
        >>> measure(np.log([[0.9, 0.1], [0.2, 0.8]]), None).by_row  # log-probabilities
        True
        >>> measure(np.array([[0.3, -0.2], [0.1, 0.4]]), None) is None  # expectation values
        True
    """
    if standardise is None:
        beyond = np.abs(teacher).max(initial=0.0) > 1.0 + _TOLERANCE
        standardise = "scale" if beyond or are_log_probabilities(teacher) else False
    if not standardise:
        return None
    if standardise == "affine":
        spreads = teacher.std(axis=0)
        offset, scale = teacher.mean(axis=0), np.where(spreads > 0, spreads, 1.0)
        return Statistics(False, tuple(offset.tolist()), tuple(scale.tolist()))
    centred = teacher - teacher.mean(axis=1, keepdims=True)
    spread = float(np.sqrt(np.mean(centred**2))) if len(centred) else 0.0
    return Statistics(True, (), (spread if spread > 0 else 1.0,))
