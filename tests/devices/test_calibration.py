"""Calibrations against lines that are known, slopes and intervals by scipy.stats.linregress."""

import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import linregress, t

from qkd_pl.devices.calibration import Calibration, Place, fit_calibration, spread_out
from qkd_pl.errors import CalibrationError, FileFormatError, MisfitWarning

PLACE = Place.of("fake_nairobi", [(0, 1, 2)], ["Z(0)", "Z(1)"])


def fit(exact, measured, shots=None):
    return fit_calibration(np.asarray(exact), np.asarray(measured), PLACE, shots=shots, created="2026-01-01")


def test_a_line_is_turned_round_exactly():
    exact = np.random.default_rng(0).uniform(-1, 1, (8, 2))
    found = fit(exact, exact * [0.5, 0.25] + [0.1, -0.2])
    np.testing.assert_allclose(found.slope, [0.5, 0.25])
    np.testing.assert_allclose(found.intercept, [0.1, -0.2])
    np.testing.assert_allclose(found.residual, 0, atol=1e-12)
    fresh = np.random.default_rng(1).uniform(-1, 1, (5, 2))
    np.testing.assert_allclose(found.apply(fresh * [0.5, 0.25] + [0.1, -0.2]), fresh)


def test_slopes_and_intervals_are_those_of_linregress():
    rng = np.random.default_rng(2)
    exact = rng.uniform(-1, 1, (12, 2))
    measured = 0.6 * exact + rng.normal(0, 0.05, exact.shape)
    found = fit(exact, measured)
    for index in range(2):
        wanted = linregress(exact[:, index], measured[:, index])
        assert found.slope[index] == pytest.approx(wanted.slope)
        assert found.intercept[index] == pytest.approx(wanted.intercept)
        assert found.interval[index] == pytest.approx(t.ppf(0.975, 10) * wanted.stderr)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.2, 1), st.floats(-0.3, 0.3))
def test_shot_noise_alone_is_no_misfit(seed, slope, intercept):
    """Binomial estimates of a line: the misfit beyond shot noise stays small, whatever the line."""
    rng = np.random.default_rng(seed)
    exact = rng.uniform(-0.7, 0.7, (60, 2))
    mean = np.clip(slope * exact + intercept, -1, 1)
    measured = 2 * rng.binomial(1000, (1 + mean) / 2) / 1000 - 1
    with warnings.catch_warnings():
        warnings.simplefilter("error", MisfitWarning)
        found = fit(exact, measured, shots=1000)
    assert max(found.misfit) < 0.2


def test_what_is_no_line_is_warned_of():
    exact = np.linspace(-1, 1, 20)[:, np.newaxis].repeat(2, axis=1)
    with pytest.warns(MisfitWarning, match=r"Z\(1\) on fake_nairobi: beyond shot noise"):
        fit(exact, np.stack([exact[:, 0], 0.5 * exact[:, 1] + 0.4 * exact[:, 1] ** 2], axis=1))


@pytest.mark.parametrize(
    ("slope", "noise", "message"),
    [(0.04, 0.0, r"Z\(0\) on fake_nairobi: slope 0.040 ± 0.000 reaches 0.05"), (0.2, 0.6, "reaches 0.05")],
)
def test_too_little_signal_is_refused(slope, noise, message):
    rng = np.random.default_rng(0)
    exact = rng.uniform(-1, 1, (10, 2))
    with pytest.raises(CalibrationError, match=message):
        fit(exact, slope * exact + rng.normal(0, noise, exact.shape))


def test_too_few_or_equal_inputs_are_refused():
    with pytest.raises(CalibrationError, match="a calibration needs at least 5 inputs, not 4"):
        fit(np.random.default_rng(0).uniform(-1, 1, (4, 2)), np.zeros((4, 2)))
    with pytest.raises(CalibrationError, match="output 1: the calibration inputs all have the same"):
        fit(np.stack([np.linspace(0, 1, 9), np.full(9, 0.3)], axis=1), np.zeros((9, 2)))


def test_comes_back_as_written():
    exact = np.random.default_rng(0).uniform(-1, 1, (8, 2))
    found = fit(exact, exact * 0.5, shots=100)
    assert Calibration.from_json(json.loads(json.dumps(found.to_json()))) == found
    with pytest.raises(FileFormatError, match="not a calibration"):
        Calibration.from_json({"slope": [1.0]})


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        (PLACE, None),
        (Place.of("fake_nairobi", [], ["Z(0)", "Z(1)"]), None),
        (Place.of("fake_manila", [(0, 1, 2)], ["Z(0)", "Z(1)"]), "backend: fake_nairobi there, fake_manila here"),
        (Place.of("fake_nairobi", [[2, 1, 0]], ["Z(0)", "Z(1)"]), "layouts: "),
        (Place.of("fake_nairobi", [(0, 1, 2)], ["Z(0)"]), "observables: "),
    ],
)
def test_places(other, difference):
    found = PLACE.difference(other)
    assert found is None if difference is None else found.startswith(difference)


def test_chosen_inputs_cover_the_range_of_every_output():
    exact = np.random.default_rng(0).normal(0, 0.2, (500, 2))
    chosen = spread_out(exact, 20)
    assert len(set(chosen)) == 20
    for output in range(2):
        values = np.sort(exact[chosen, output])
        assert values[0] == exact[:, output].min()
        assert values[-1] == exact[:, output].max()
        assert np.diff(values).max() < np.ptp(exact[:, output]) / 4
    assert spread_out(exact, 1000).tolist() == list(range(500))
