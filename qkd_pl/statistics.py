"""Means with confidence intervals, and paired comparisons."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import ttest_1samp

from qkd_pl.errors import InvalidInputError

__all__ = ["ARMS", "COLUMNS", "Estimate", "estimate", "format_arms", "paired_difference", "summarise_arms"]

ARMS = ("no_kd", "kd", "control")
COLUMNS = {
    "no_kd": "no KD",
    "kd": "KD",
    "control": "scaled CE",
    "kd - no_kd": "KD − no KD",
    "kd - control": "KD − scaled CE",
}
_EQUAL = 1e-12  # values that differ by less are equal up to rounding, and the t-test has no spread to work with


class Estimate(NamedTuple):
    """A mean over runs with its 95 % confidence interval (Student's t) and the two-sided p-value of mean = 0."""

    mean: float
    low: float
    high: float
    p_value: float
    n: int

    @property
    def has_interval(self) -> bool:
        """Whether there was a spread to make an interval of."""
        return not np.isnan(self.low)

    @property
    def half_width(self) -> float:
        """Half the width of the interval."""
        return (self.high - self.low) / 2

    def to_json(self) -> dict[str, float | int | None]:
        """As a dictionary, with None for what a single run leaves unknown."""
        return {name: None if np.isnan(value) else value for name, value in self._asdict().items()}

    @classmethod
    def from_json(cls, stored: Mapping[str, float | int | None]) -> "Estimate":
        """The inverse of :meth:`to_json`."""
        return cls(*(float("nan") if stored[name] is None else stored[name] for name in cls._fields))  # type: ignore[arg-type]

    def __str__(self) -> str:
        return f"{self.mean:.3f} ± {self.half_width:.3f}" if self.has_interval else f"{self.mean:.3f}"


def estimate(values: Sequence[float]) -> Estimate:
    """Mean of independent runs and its 95 % confidence interval; with a single run the interval is unknown (NaN).

    Example:
        >>> str(estimate([0.9, 0.8, 0.7]))
        '0.800 ± 0.248'
    """
    sample = np.asarray(values, dtype=float)
    mean = float(sample.mean())
    if len(sample) < 2:
        return Estimate(mean, float("nan"), float("nan"), float("nan"), len(sample))
    if np.ptp(sample) < _EQUAL:
        return Estimate(mean, mean, mean, 1.0 if abs(mean) < _EQUAL else 0.0, len(sample))
    test = ttest_1samp(sample, 0.0)
    interval = test.confidence_interval(0.95)
    return Estimate(mean, float(interval.low), float(interval.high), float(test.pvalue), len(sample))


def paired_difference(first: Sequence[float], second: Sequence[float]) -> Estimate:
    """Mean of ``first - second``, run by run: both lists hold the same seeds in the same order.

    Differences that are all equal, but not zero, have no spread to test against: interval and p-value are unknown then.
    Accuracies on a few hundred samples do this by chance.

    Raises:
        InvalidInputError: the lists are not of the same length.

    Example:
        >>> str(paired_difference([0.9, 0.8, 0.9], [0.5, 0.5, 0.4]))
        '0.400 ± 0.248'
    """
    if len(first) != len(second):
        raise InvalidInputError(f"{len(first)} and {len(second)} values cannot be compared run by run")
    result = estimate(np.subtract(first, second).tolist())
    if result.p_value == 0.0 and result.low == result.high:
        nan = float("nan")
        return result._replace(low=nan, high=nan, p_value=nan)
    return result


def summarise_arms(accuracies: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Estimates of the arms ``no_kd``, ``kd`` and ``control``, and what distillation gains over the other two."""
    comparisons = {arm: estimate(accuracies[arm]) for arm in ARMS}
    for other in ("no_kd", "control"):
        comparisons[f"kd - {other}"] = paired_difference(accuracies["kd"], accuracies[other])
    return {name: value.to_json() for name, value in comparisons.items()}


def format_arms(title: str, rows: Mapping[str, Mapping[str, Any]], width: int = 40) -> list[str]:
    """A table of what :func:`summarise_arms` returned, one line per row: mean ± 95 % confidence interval."""
    lines = [f"{title:<{width}}" + "".join(f"{column:>17}" for column in COLUMNS.values())]
    for name, arms in rows.items():
        cells = "".join(f"{Estimate.from_json(arms[column])!s:>17}" for column in COLUMNS)
        lines.append(f"{name:<{width}}{cells}")
    return lines
