"""Measures of a student against scikit-learn, SciPy and hand-made cases."""

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import r2_score

from reproduction.measures import (
    COVERAGES,
    calibration_error,
    coverage_curve,
    followed,
    located,
    risk_over_coverages,
)


def test_followed_agrees_with_scikit_learn_and_scipy(rng):
    teacher, student = rng.normal(size=(2, 40, 3))
    ours, theirs = ((each - each.mean(axis=1, keepdims=True)).ravel() for each in (student, teacher))
    found = followed(student, teacher)
    assert found["r2"] == pytest.approx(r2_score(theirs, ours))
    assert found["rank"] == pytest.approx(spearmanr(ours, theirs).statistic)
    assert followed(teacher + 0.2, teacher) == pytest.approx({"r2": 1.0, "correlation2": 1.0, "rank": 1.0})


def test_a_calibrated_classifier_has_no_error(rng):
    sure = rng.uniform(0.5, 1.0, 200_000)
    labels = (rng.uniform(size=sure.size) > sure).astype(int)
    assert calibration_error(np.stack([sure, 1 - sure], axis=1), labels) < 0.01
    assert calibration_error(np.tile([1.0, 0.0], (10, 1)), np.ones(10, dtype=int)) == pytest.approx(1.0)


@pytest.mark.parametrize("threshold", [0.4, 1.0, 1.3])
def test_a_sharp_transition_is_located(threshold, rng):
    fields = rng.uniform(0.0, 2.0, 2000)
    assert located(fields, (fields < threshold).astype(int)) == pytest.approx(threshold, abs=0.01)


def test_one_wrong_decision_moves_no_transition():
    fields = np.linspace(0.0, 2.0, 21)
    decisions = (fields < 0.95).astype(int)
    decisions[-1] = 1
    assert located(fields, decisions) == pytest.approx(0.95)


def test_selective_prediction_keeps_the_largest_margins(rng):
    logits, labels = rng.normal(size=(50, 3)), rng.integers(0, 3, 50)
    margins = [sorted(row)[-1] - sorted(row)[-2] for row in logits]
    surest = sorted(range(50), key=lambda row: -margins[row])
    errors = [logits[row].argmax() != labels[row] for row in surest]
    assert risk_over_coverages(logits, labels) == pytest.approx(np.mean([np.mean(errors[:k]) for k in range(1, 51)]))
    kept = [int(np.ceil(50 * share)) for share in COVERAGES]
    assert coverage_curve(logits, labels) == pytest.approx([1 - np.mean(errors[:k]) for k in kept])


def test_a_margin_that_knows_its_errors_has_the_least_risk():
    """One error in ten, the least sure: only at full coverage it counts."""
    logits = np.stack([np.arange(1.0, 11.0), np.zeros(10)], axis=1)
    labels = np.array([1, *[0] * 9])
    assert risk_over_coverages(logits, labels) == pytest.approx(0.1 / 10)
    assert coverage_curve(logits, labels)[-3:] == pytest.approx([1.0, 0.9, 0.9])
