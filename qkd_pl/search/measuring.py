"""How well a model does on a device: a student at the end of its trial, and the teacher, alike."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qkd_pl.devices.calibration import Calibration, fit_calibration, spread_out
from qkd_pl.devices.spec import EXACT
from qkd_pl.errors import CalibrationError, MisfitWarning
from qkd_pl.networks.models import TrainedRegressor
from qkd_pl.search.evaluation import Evaluator, Price, agreement, logits_of
from qkd_pl.search.question import Question

_CALIBRATED_BY = 50
#: Times that shots are drawn, so that students are not chosen by the luck of one draw.
_DRAWS = 8


@dataclass(frozen=True)
class Measured:
    """What a model does on the device at its shots, the mean over several draws.

    Attributes:
        agreement: with the teacher, on the inputs by which students are chosen.
        confirmed: the same on inputs that no choice depends on.
        accuracy: on the latter, where labels were given.
        calibration: by which outputs were corrected; None where too little signal is left for one.
    """

    agreement: float
    confirmed: float
    accuracy: float | None
    calibration: Calibration | None


def measure(
    model: Any, entered: Callable[[Any], np.ndarray], question: Question, costs: Price, evaluator: Evaluator
) -> Measured:
    """Calibrate a model by inputs of the training, and measure it on the others.

    Args:
        model: trained.
        entered: from inputs to those that the model takes.
        question: the search.
        costs: the model's.
        evaluator: of the model's network on the device.
    """
    calibration = _calibration(model, entered(question.train), costs, evaluator)
    settings = (model.target_scale, model.target_offset) if isinstance(model, TrainedRegressor) else ()

    def scores(inputs: np.ndarray, taught: np.ndarray, labels: np.ndarray | None) -> Sequence[float]:
        batch, found = model.encode(entered(inputs)), []
        for _ in range(_DRAWS if evaluator.is_exact else 1):
            outputs = evaluator.outputs(model.weights, batch)
            outputs = outputs if calibration is None else calibration.apply(outputs)
            right = np.nan if labels is None else np.mean(logits_of(outputs).argmax(axis=1) == labels)
            found.append((agreement(question.task, taught, outputs, settings), float(right)))
        return np.mean(found, axis=0).tolist()

    chosen_by, _ = scores(question.held_out, question.held_out_taught, None)
    confirmed, accuracy = scores(question.confirming, question.confirming_taught, question.confirming_labels)
    return Measured(chosen_by, confirmed, None if question.confirming_labels is None else accuracy, calibration)


def _calibration(model: Any, inputs: np.ndarray, costs: Price, evaluator: Evaluator) -> Calibration | None:
    exact = model.outputs(inputs, EXACT)
    chosen = spread_out(exact, _CALIBRATED_BY)
    measured = evaluator.outputs(model.weights, model.encode(inputs[chosen]))
    try:
        with warnings.catch_warnings():  # what a rough correction is worth shows in the agreement
            warnings.simplefilter("ignore", MisfitWarning)
            return fit_calibration(exact[chosen], measured, costs.place, shots=costs.shots, created="")
    except CalibrationError:
        return None
