"""A model that carries a device's calibration, to its file and back, and into jobs on that device."""

from pathlib import Path

import numpy as np
import pytest

import qkd_pl as kd
from qkd_pl.devices.calibration import Calibration, Place
from qkd_pl.errors import FileFormatError, InvalidInputError, MisfitWarning
from qkd_pl.storage import read_tensors, write_tensors

NETWORK = kd.QNN(n_qubits=2, n_layers=1, embedding="angle")
MODEL = kd.trained(NETWORK, np.full(NETWORK.weights_shape, 0.4))
INPUTS = np.random.default_rng(0).uniform(0, 3, (6, 2))


def made(backend: str, outputs: int = 2) -> Calibration:
    ones = (1.0,) * outputs
    place = Place.of(backend, (), ("Z(0)", "Z(1)"))
    return Calibration((0.5,) * outputs, (0.1,) * outputs, ones, ones, ones, 20, 1000, place, "2026-01-01T00:00:00Z")


def test_files_keep_it(tmp_path: Path) -> None:
    calibrated = MODEL.with_calibration(made("fake_manila"))
    calibrated.save(tmp_path / "model.safetensors")
    assert kd.load_model(tmp_path / "model.safetensors").calibration == made("fake_manila")
    assert MODEL.calibration is None
    assert calibrated.with_calibration(None).calibration is None


def test_jobs_on_its_device_are_corrected_by_it_and_outputs_stay_raw() -> None:
    calibrated = MODEL.with_calibration(made("fake_manila"))
    job = kd.submit(kd.plan(calibrated, INPUTS, device="manila"))
    raw = job.result(calibrated=False)
    np.testing.assert_allclose(job.result(), (raw - 0.1) / 0.5)
    np.testing.assert_array_equal(calibrated.outputs(INPUTS), MODEL.outputs(INPUTS))


def test_jobs_elsewhere_are_not() -> None:
    job = kd.submit(kd.plan(MODEL.with_calibration(made("fake_torino")), INPUTS, device="manila"))
    with pytest.warns(MisfitWarning, match="from elsewhere"):
        found = job.result()
    np.testing.assert_array_equal(found, job.result(calibrated=False))


@pytest.mark.parametrize(("wrong", "message"), [("none", "must be a Calibration"), (made("x", 3), "has 3 outputs")])
def test_what_does_not_fit_is_refused(wrong: object, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        MODEL.with_calibration(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("damage", [{}, [], 5, {"slope": [1.0]}, made("fake_manila", 3).to_json()])
def test_damaged_ones_in_files_are_refused(damage: object, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    MODEL.save(path)
    tensors, manifest = read_tensors(path, "model")
    write_tensors(path, "model", tensors, {**manifest, "calibration": damage})
    with pytest.raises(FileFormatError, match="calibration"):
        kd.load_model(path)
