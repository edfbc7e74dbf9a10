"""How well a student does its task, and how well it follows its teacher's function."""

from typing import Any

import numpy as np
from scipy.stats import rankdata

from qkd_pl.networks.models import TrainedQNN
from reproduction.problems import Split

_BINS = 15
_COVERAGE = 0.8
#: Shares of the samples, the surest first, at which the curve of accuracies is stored.
COVERAGES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)


def measured(student: TrainedQNN, teacher: np.ndarray, split: Split) -> dict[str, float]:
    """All measures on the test data.

    Args:
        student: gives logits, and probabilities at the scale of its training.
        teacher: logits ``(n, K)`` for the test data.
        split: the data.

    Returns:
        ``accuracy``; ``agreement``, the share of equal decisions; ``r2``, ``correlation2`` and ``rank``: R², squared
        correlation and rank correlation of the student's logits with the teacher's, each row less its mean; ``ece``,
        the expected calibration error over 15 bins of confidence; ``covered``, the accuracy on the 80 % of samples of
        the largest margin; and, where the transition is known, ``transition``: the distance from it, in units of its
        field, of the field that best divides the student's decisions.
    """
    inputs = split.test.inputs
    return measures_of(student.logits(inputs), student.predict_proba(inputs), teacher, split)


def measures_of(logits: np.ndarray, probabilities: np.ndarray, teacher: np.ndarray, split: Split) -> dict[str, float]:
    """What :func:`measured` gives, of logits and probabilities ``(n, K)`` wherever they come from."""
    labels, found = split.test.labels, logits.argmax(axis=1)
    values = {
        "accuracy": np.mean(found == labels),
        "agreement": np.mean(found == teacher.argmax(axis=1)),
        **followed(logits, teacher),
        "ece": calibration_error(probabilities, labels),
        "covered": _accuracies(logits, labels)[int(np.ceil(_COVERAGE * len(labels))) - 1],
    }
    if split.position is not None:
        values["transition"] = abs(located(split.position, found) - 1.0)
    return {name: round(float(value), 6) for name, value in values.items()}


def coverage_curve(logits: np.ndarray, labels: np.ndarray) -> list[float]:
    """Accuracy on the samples of the largest margin between the two largest logits, at each of :data:`COVERAGES`.

    Example:
        >>> logits, labels = np.array([[0.9, 0.0], [0.0, 0.1], [0.5, 0.0], [0.0, 0.4]]), np.array([0, 0, 0, 1])
        >>> coverage_curve(logits, labels)[4:]  # one is wrong, the least sure of the four
        [1.0, 1.0, 1.0, 0.75, 0.75, 0.75, 0.75]
    """
    accuracies = _accuracies(logits, labels)
    return [float(accuracies[int(np.ceil(share * len(labels))) - 1]) for share in COVERAGES]


def risk_over_coverages(logits: np.ndarray, labels: np.ndarray) -> float:
    """Area under the risk-coverage curve: the error on the surest k samples, the mean over k = 1 … n.

    Geifman and El-Yaniv, arXiv 1705.08500. It is small where errors are few, and where the unsure samples are the
    wrong ones.

    Example:
        >>> logits, labels = np.array([[0.9, 0.0], [0.0, 0.1]]), np.array([0, 0])
        >>> risk_over_coverages(logits, labels)  # no error on the surest one, 1/2 on both
        0.25
    """
    return float(np.mean(1.0 - _accuracies(logits, labels)))


def _accuracies(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Accuracy on the k samples of the largest margin, for k = 1 … n."""
    ordered = np.sort(logits, axis=1)
    surest = np.argsort(ordered[:, -2] - ordered[:, -1], kind="stable")
    right = (logits.argmax(axis=1) == labels)[surest]
    return np.cumsum(right) / np.arange(1, len(labels) + 1)


def followed(student: np.ndarray, teacher: np.ndarray) -> dict[str, Any]:
    """R², squared correlation and rank correlation of logits ``(n, K)``, each row less its mean.

    Example:
        >>> teacher = np.array([[0.5, -0.5], [0.1, -0.1], [-0.4, 0.4]])
        >>> {name: round(float(value), 3) for name, value in followed(0.5 * teacher, teacher).items()}
        {'r2': 0.75, 'correlation2': 1.0, 'rank': 1.0}
    """
    ours, theirs = ((each - each.mean(axis=1, keepdims=True)).ravel() for each in (student, teacher))
    residual = np.sum((ours - theirs) ** 2) / np.sum((theirs - theirs.mean()) ** 2)
    return {
        "r2": 1.0 - residual,
        "correlation2": np.corrcoef(ours, theirs)[0, 1] ** 2,
        "rank": np.corrcoef(rankdata(ours), rankdata(theirs))[0, 1],
    }


def calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean over samples of |accuracy − confidence| of the bin that each falls in (Guo et al., arXiv 1706.04599).

    Example:
        >>> calibration_error(np.array([[0.8, 0.2], [0.8, 0.2]]), np.array([0, 1])).__round__(6)  # 0.8 sure, half right
        0.3
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    gaps = [abs(np.sum(right[bins == each]) - np.sum(confidence[bins == each])) for each in np.unique(bins)]
    return float(np.sum(gaps) / len(labels))


def located(fields: np.ndarray, decisions: np.ndarray) -> float:
    """The field below which decisions are best taken for class 1: of fewest errors, midway between two samples.

    Example:
        >>> located(np.array([0.2, 0.6, 1.0, 1.6]), np.array([1, 1, 0, 0]))
        0.8
    """
    order = np.argsort(fields)
    fields, ones = fields[order], decisions[order] == 1
    errors = np.concatenate([[0], np.cumsum(~ones)]) + np.sum(ones) - np.concatenate([[0], np.cumsum(ones)])
    edges = np.concatenate([[fields[0]], (fields[1:] + fields[:-1]) / 2, [fields[-1]]])
    return float(np.mean(edges[errors == errors.min()]))
