"""From a job's raw outputs to calibrated ones: by inputs of its own, or by the calibration that came with the model."""

from collections.abc import Mapping

import numpy as np

from qkd_pl.devices.calibration import Calibration, Place, fit_calibration
from qkd_pl.devices.ibm.compile.reference import Reference
from qkd_pl.devices.ibm.jobs.ledger import Receipt
from qkd_pl.errors import CalibrationError, MisfitWarning
from qkd_pl.warning import warn


def wanted_outputs(
    receipt: Receipt, arrays: Mapping[str, np.ndarray], outputs: np.ndarray, calibrated: bool
) -> np.ndarray:
    """The outputs that the job was for, corrected if there is a valid calibration and ``calibrated`` says so.

    Args:
        receipt, arrays: of the job.
        outputs: raw, float64 (samples, K), those that serve calibration only included.

    Warns:
        MisfitWarning: the calibration cannot be used, so that the outputs stay as they are.
    """
    reference = Reference.from_arrays(arrays)
    wanted = outputs[: len(outputs) - (reference.extra if reference else 0)]
    if not calibrated:
        return wanted
    try:
        found = calibration_of(receipt, reference, outputs)
    except CalibrationError as error:
        warn(f"job {receipt.id} is not calibrated: {error}", MisfitWarning)
        return wanted
    if found is None:
        return wanted
    if (difference := found.place.difference(_place(receipt))) is not None:
        warn(
            f"job {receipt.id} is not calibrated: the model's calibration is from elsewhere ({difference})",
            MisfitWarning,
        )
        return wanted
    return found.apply(wanted)


def calibration_of(receipt: Receipt, reference: Reference | None, outputs: np.ndarray) -> Calibration | None:
    """Fitted on the job's own reference, else that of its model, else None.

    Raises:
        CalibrationError: there is a reference, and it allows no correction.
    """
    if reference is None:
        stored = receipt.cost.get("calibration")
        return None if stored is None else Calibration.from_json(stored)
    shots = receipt.cost["shots_per_circuit"]
    measured = outputs[reference.sample]
    return fit_calibration(reference.exact, measured, _place(receipt), shots=shots, created=receipt.created)


def _place(receipt: Receipt) -> Place:
    return Place.of(receipt.target["backend"], receipt.cost["layouts"], receipt.cost.get("observables", ()))
