"""Measures of a student against scikit-learn, SciPy and hand-made cases."""

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import r2_score

from reproduction.measures import calibration_error, followed, located


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
