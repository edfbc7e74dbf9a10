import json
import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qkd_pl.errors import InvalidInputError
from qkd_pl.statistics import Estimate, estimate, paired_difference


def t_quantile(p: float, degrees: int) -> float:
    """Quantile of Student's t by inverting its distribution function, an incomplete beta integral, in mpmath."""

    def distribution(t):
        return 1 - mp.betainc(degrees / 2, 0.5, 0, degrees / (degrees + t * t), regularized=True) / 2

    return float(mp.findroot(lambda t: distribution(t) - p, 2.0))


@pytest.mark.parametrize("n", [2, 5, 20])
def test_the_interval_is_students(n, rng):
    values = rng.normal(0.9, 0.05, size=n)
    result = estimate(values)
    half = t_quantile(0.975, n - 1) * values.std(ddof=1) / math.sqrt(n)
    assert result.mean == pytest.approx(values.mean())
    assert result.half_width == pytest.approx(half, rel=1e-9)
    assert (result.low, result.high) == pytest.approx((values.mean() - half, values.mean() + half))
    assert result.n == n


def test_a_golden_interval():
    """Half width t(0.975, 2)·0.1/√3 = 4.302652729911275·0.0577350269; p of t = 8·√3 with 2 degrees of freedom."""
    result = estimate([0.9, 0.8, 0.7])
    assert result.half_width == pytest.approx(4.302652729911275 * 0.1 / math.sqrt(3))
    t = 0.8 / (0.1 / math.sqrt(3))
    assert result.p_value == pytest.approx(1 - t / math.sqrt(2 + t * t), rel=1e-9)  # closed form for 2 degrees
    assert str(result) == "0.800 ± 0.248"


def test_the_interval_covers_the_truth_in_95_percent_of_samples():
    """1,000 samples of 5: coverage has a standard deviation of 0.0069; ±4 of them, false alarms below 1e-4."""
    rng = np.random.default_rng(1)
    hits = [e.low <= 0.3 <= e.high for e in (estimate(rng.normal(0.3, 1.0, size=5)) for _ in range(1000))]
    assert abs(np.mean(hits) - 0.95) < 4 * 0.0069


def test_a_single_run_has_no_interval():
    result = estimate([0.75])
    assert result.mean == 0.75
    assert math.isnan(result.low)
    assert math.isnan(result.p_value)
    assert str(result) == "0.750"


@pytest.mark.parametrize(("value", "p_value"), [(0.5, 0.0), (0.0, 1.0)])
def test_equal_runs_have_an_interval_of_no_width(value, p_value):
    assert estimate([value] * 4) == Estimate(value, value, value, p_value, 4)


@given(first=st.lists(st.floats(0, 1), min_size=2, max_size=8), shift=st.floats(0.01, 1))
def test_a_constant_gain_has_no_spread_to_test_against(first, shift):
    """One more of 500 samples with each of two seeds is no certainty."""
    result = paired_difference([value + shift for value in first], first)
    assert result.mean == pytest.approx(shift, abs=1e-12)
    assert not result.has_interval
    assert math.isnan(result.p_value)
    assert "±" not in str(result)


def test_lists_of_different_length_are_not_compared():
    with pytest.raises(InvalidInputError, match="1 and 3 values"):
        paired_difference([0.9], [0.5, 0.6, 0.7])


def test_equal_runs_do_not_differ():
    assert paired_difference([0.9, 0.8], [0.9, 0.8]) == Estimate(0.0, 0.0, 0.0, 1.0, 2)


def test_pairs_are_compared_run_by_run():
    """The spread between the seeds, common to both arms, does not widen the interval of their difference."""
    first, second = [0.5, 0.7, 0.9], [0.4, 0.62, 0.79]
    result = paired_difference(first, second)
    assert result == pytest.approx(estimate([0.1, 0.08, 0.11]))
    assert result.half_width < estimate(first).half_width / 5


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.6], [0.1, 0.1]])
def test_json_and_back(values):
    result = estimate(values)
    stored = json.loads(json.dumps(result.to_json(), allow_nan=False))
    np.testing.assert_equal(Estimate.from_json(stored), result)
