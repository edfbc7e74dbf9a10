"""Calibration on simulated devices, against exact outputs; and where it must not be used."""

from dataclasses import replace

import numpy as np
import pytest

from qkd_pl.deployment.calibration import calibrate
from qkd_pl.deployment.planning import plan
from qkd_pl.devices.ibm.jobs.jobs import attach, submit
from qkd_pl.devices.registry import DeviceSpec
from qkd_pl.errors import CalibrationError, InvalidInputError, MisfitWarning
from qkd_pl.networks.models import trained
from qkd_pl.networks.networks import QNN

NETWORK = QNN(4, 5, embedding="angle", topology="line")
MODEL = trained(NETWORK, np.random.default_rng(7).uniform(0, 6, NETWORK.weights_shape))
INPUTS = np.random.default_rng(1).uniform(0, 3, (40, 4))
OTHERS = np.random.default_rng(2).uniform(0, 3, (25, 4))
MANILA = DeviceSpec(name="m", plugin="qkd.ibm", shots=4096, seed=3, options={"backend": "fake_manila"})


def error(outputs):
    return np.sqrt(np.mean((outputs - MODEL.outputs(INPUTS, "default")) ** 2))


@pytest.mark.parametrize(("chosen", "n_inputs", "circuits"), [(True, 40, 40), (20, 20, 40), (OTHERS, 25, 65)])
def test_a_job_corrects_itself(chosen, n_inputs, circuits):
    planned = plan(MODEL, INPUTS, MANILA, calibrate=chosen)
    assert planned.cost.circuits == circuits
    job = attach(submit(planned).id)
    raw, corrected = job.result(calibrated=False), job.result()
    assert raw.shape == corrected.shape == (40, 2)
    found = job.calibration
    assert found is not None
    assert found.n_inputs == n_inputs
    assert found.place.backend == "fake_manila"
    assert found.place.layouts == planned.layouts
    assert all(0.4 < slope < 0.95 for slope in found.slope)
    np.testing.assert_allclose(corrected, found.apply(raw))
    assert error(corrected) < 0.6 * error(raw)


def test_without_calibration_results_are_raw():
    job = submit(plan(MODEL, INPUTS, MANILA))
    assert job.calibration is None
    np.testing.assert_array_equal(job.result(), job.result(calibrated=False))


@pytest.mark.parametrize(
    ("chosen", "n_inputs", "kind", "told"),
    [
        (500, 20, InvalidInputError, "calibrate=500: must be at most 20, the number of inputs"),
        (21, 20, InvalidInputError, "calibrate=21: must be at most 20"),
        (4, 20, CalibrationError, "calibrate=4: a calibration needs at least 5 inputs, not 4; calibrate=False "),
        (0, 20, CalibrationError, "calibrate=0: .* not 0"),
        (True, 3, CalibrationError, "calibrate=True: .* not 3"),
        (OTHERS[:2], 20, CalibrationError, "calibrate=…: .* not 2"),
    ],
)
def test_a_job_that_could_not_calibrate_itself_is_refused_before_it_is_paid_for(chosen, n_inputs, kind, told):
    with pytest.raises(kind, match=told):
        plan(MODEL, INPUTS[:n_inputs], MANILA, calibrate=chosen)


def test_an_ideal_device_needs_no_correction():
    aer = DeviceSpec(name="a", plugin="qkd.ibm", options={"backend": "aer"})
    found = calibrate(MODEL, INPUTS, aer)
    np.testing.assert_allclose(found.slope, 1, atol=1e-9)
    np.testing.assert_allclose(found.intercept, 0, atol=1e-9)


def test_any_device_can_be_calibrated():
    """An ideal device with shots: nothing but shot noise."""
    found = calibrate(MODEL, INPUTS, "sampled")
    assert found.shots == 4096
    assert all(abs(slope - 1) < 5 * interval for slope, interval in zip(found.slope, found.interval, strict=True))


def test_a_calibration_that_allows_no_correction_leaves_the_outputs_raw():
    job = submit(plan(MODEL, INPUTS, MANILA, calibrate=np.repeat(OTHERS[:1], 8, axis=0)))
    with pytest.warns(MisfitWarning, match="is not calibrated: output 0: the calibration inputs all have the same"):
        corrected = job.result()
    np.testing.assert_array_equal(corrected, job.result(calibrated=False))
    with pytest.raises(CalibrationError):
        _ = job.calibration


def test_a_stored_calibration_serves_the_place_it_is_from():
    found = calibrate(MODEL, OTHERS, MANILA)
    planned = replace(plan(MODEL, INPUTS, MANILA), calibration=found)
    job = submit(planned)
    assert job.calibration == found
    assert error(job.result()) < 0.6 * error(job.result(calibrated=False))
    elsewhere = replace(found, place=replace(found.place, backend="fake_lima"))
    job = submit(replace(planned, calibration=elsewhere))
    with pytest.warns(MisfitWarning, match="from elsewhere \\(backend: fake_lima there, fake_manila here\\)"):
        np.testing.assert_array_equal(job.result(), job.result(calibrated=False))


def test_only_models_are_calibrated():
    with pytest.raises(InvalidInputError, match="model is a QNN"):
        calibrate(NETWORK, INPUTS, MANILA)
