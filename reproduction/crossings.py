"""Where a curve of estimates over numbers of shots reaches a level."""

from collections.abc import Mapping

import numpy as np

from qkd_pl.statistics import Estimate


def crossing(level: float, estimates: Mapping[int, Estimate]) -> dict[str, float | None]:
    """Shots at which an arm's mean accuracy first reaches a level, between the numbers run on a logarithmic scale.

    Args:
        level: of the accuracy.
        estimates: for each number of shots.

    Returns:
        ``mean``, and ``low`` and ``high``, where the upper and the lower ends of the 95 % intervals reach it. None
        where the largest number does not; the smallest number where that does already.

    Example:
        >>> found = crossing(0.95, {100: Estimate(0.9, 0.8, 0.95, 0, 9), 400: Estimate(1.0, 0.9, 1.0, 0, 9)})
        >>> {end: None if shots is None else round(shots) for end, shots in found.items()}
        {'mean': 200, 'low': 100, 'high': None}
    """
    counts = sorted(estimates)
    ends = {"mean": "mean", "low": "high", "high": "low"}
    curves = {name: [getattr(estimates[count], end) for count in counts] for name, end in ends.items()}
    return {name: _first(level, counts, values) for name, values in curves.items()}


def _first(level: float, counts: list[int], values: list[float]) -> float | None:
    above = [index for index, value in enumerate(values) if value >= level]
    if not above:
        return None
    last = above[0]
    if last == 0:
        return float(counts[0])
    fraction = (level - values[last - 1]) / (values[last] - values[last - 1])
    logs = np.log2(counts)
    return float(2 ** (logs[last - 1] + fraction * (logs[last] - logs[last - 1])))
