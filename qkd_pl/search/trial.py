"""One trial: a student is priced, trained, and measured on the device's noise."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from qkd_pl.devices.calibration import Place, fit_calibration, spread_out
from qkd_pl.devices.spec import EXACT
from qkd_pl.errors import BackendError, CalibrationError, InvalidInputError, TrainingDivergedError
from qkd_pl.networks.models import trained
from qkd_pl.networks.weights import checked_shape, inner_shape
from qkd_pl.search.evaluation import Evaluator, Price, agreement, price
from qkd_pl.search.question import Question
from qkd_pl.search.space import SearchSpace
from qkd_pl.storage import write_json
from qkd_pl.training.callbacks.base import Callback
from qkd_pl.training.losses import Distillation, SquaredError
from qkd_pl.training.run import Run
from qkd_pl.training.trainer import KDTrainer

RESULT, MODEL = "result.json", "student.safetensors"
#: Shares of a training after which a loser may be stopped.
_LOOKS = (0.34, 0.67)
_CALIBRATED_BY = 50


@dataclass(frozen=True)
class Assignment:
    """What one worker is to do.

    Attributes:
        number: of the trial.
        drawn: its choices.
        folder: where its model and result go.
        seed: of everything random in it.
    """

    number: int
    drawn: Mapping[str, Any]
    folder: Path
    seed: int


def run_trial(
    assignment: Assignment,
    question: Question,
    space: SearchSpace,
    iterations: int,
    pruner: optuna.pruners.BasePruner,
    finished: Sequence[optuna.trial.FrozenTrial],
) -> int:
    """Do it, and write what was found, the result last; a result that exists is complete.

    Returns:
        the trial's number.
    """
    try:
        found = _found(assignment, question, space, iterations, pruner, finished)
    except TrainingDivergedError as error:
        found = {"state": "failed", "reason": str(error)}
    except (InvalidInputError, BackendError) as error:
        found = {"state": "infeasible", "reason": str(error)}
    write_json(assignment.folder / RESULT, {"number": assignment.number, "drawn": dict(assignment.drawn), **found})
    return assignment.number


def read_result(folder: Path) -> dict[str, Any] | None:
    """What a finished trial wrote; None if it has not finished."""
    path = folder / RESULT
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _found(
    assignment: Assignment,
    question: Question,
    space: SearchSpace,
    iterations: int,
    pruner: Any,
    finished: Sequence[Any],
) -> dict[str, Any]:
    drawn, seed = assignment.drawn, assignment.seed
    network = space.network(
        drawn, question.embedding, question.n_outputs, question.couplings, question.task == "regression"
    )
    costs = _price_of(network, question, drawn["absorb"], seed)
    told = {name: getattr(costs, name) for name in ("qpu_seconds", "two_qubit_gates", "depth", "shots")}
    for name, limit in question.limits.items():
        if told[name] > limit:
            return {"state": "infeasible", "reason": f"{name} {told[name]:g} is above {limit:g}", **told}
    look = _Look(question, network, costs, drawn["absorb"], seed)
    judge = _Judge(look, pruner, finished, iterations)
    device = question.noise if drawn["train_on"] == "noisy" else EXACT
    trainer = KDTrainer(iterations=iterations, device=device, seed=seed)
    regression = question.task == "regression"
    loss = SquaredError() if regression else Distillation(temperature=1.0 / drawn["scale"])
    taught = question.taught if regression else question.taught * drawn["margin"]
    taught = taught[:, 0] if regression and taught.shape[1] == 1 else taught
    model = trainer.fit(network, (question.train, None), teacher=taught, loss=loss, callbacks=[judge])
    told["intermediate"] = judge.values
    if judge.pruned:
        return {"state": "pruned", "reason": "others were ahead at the same iteration", **told}
    settings = (model.target_scale, model.target_offset) if regression else ()
    score, calibrated, predicted = look.final(model, settings)
    told |= {"agreement": score, "calibrated": calibrated}
    if question.held_out_labels is not None:
        told["accuracy"] = float(np.mean(predicted == question.held_out_labels))
    model.save(assignment.folder / MODEL)
    return {"state": "complete", **told}


def _price_of(network: Any, question: Question, absorb: bool, seed: int) -> Price:
    weights = np.random.default_rng(seed).uniform(0, 2 * np.pi, inner_shape(checked_shape(network.weights_shape)))
    task: Any = question.task
    model = trained(network, weights, task)
    inputs = np.concatenate([question.train, question.held_out])
    return price(
        model, inputs, question.n_inputs, question.spec, absorb=absorb, ideal_preparation=question.ideal_preparation
    )


class _Look:
    """Agreement on the device for weights in training, and at the end with a calibration."""

    def __init__(self, question: Question, network: Any, costs: Price, absorb: bool, seed: int) -> None:
        self._question = question
        self._held_out, self._train = network.encode(question.held_out), network.encode(question.train)
        features = self._held_out.rows.shape[-1]
        # Shots are drawn anew for each look; the last one has its own stream whatever came before.
        self._exact = Evaluator(network, question.noise, features, None, seed, absorb)
        self._sampled = Evaluator(network, question.noise, features, costs.shots, seed + 1, absorb)
        self._shots = costs.shots

    def __call__(self, run: Run) -> float:
        outputs = self._exact.outputs(run.weights, self._held_out)
        settings = (run.settings.get("target_scale", 1.0), run.settings.get("target_offset", 0.0))
        return agreement(self._question.task, self._question.held_out_taught, outputs, settings)

    def final(self, model: Any, settings: Sequence[Any]) -> tuple[float, bool, np.ndarray]:
        """Agreement at the device's shots, whether it is calibrated, and the classes."""
        question = self._question
        outputs = self._sampled.outputs(model.weights, self._held_out)
        exact = model.outputs(question.train, EXACT)
        chosen = spread_out(exact, _CALIBRATED_BY)
        measured = self._sampled.outputs(model.weights, self._train.take(chosen))
        place = Place.of(question.spec.name, (), tuple(map(str, range(exact.shape[1]))))
        try:
            found = fit_calibration(exact[chosen], measured, place, shots=self._shots, created="")
        except CalibrationError:
            calibrated = False
        else:
            outputs, calibrated = found.apply(outputs), True
        logits = np.concatenate([outputs, -outputs], axis=1) if outputs.shape[1] == 1 else outputs
        score = agreement(question.task, question.held_out_taught, outputs, settings)
        return score, calibrated, logits.argmax(axis=1)


class _Judge(Callback):
    """Asks Optuna's pruner at a third and two thirds of the training."""

    def __init__(self, look: _Look, pruner: Any, finished: Sequence[Any], iterations: int) -> None:
        self._look, self._pruner = look, pruner
        self._at = {max(1, round(share * iterations)) for share in _LOOKS}
        self._study = optuna.create_study(direction="maximize")
        self._study.add_trials(finished)
        self.values: dict[int, float] = {}
        self.pruned = False

    def on_iteration_end(self, run: Run) -> None:
        """Stop the training of a loser."""
        if run.iteration not in self._at:
            return
        self.values[run.iteration] = self._look(run)
        trial = optuna.trial.create_trial(state=optuna.trial.TrialState.RUNNING, intermediate_values=self.values)
        if self._pruner.prune(self._study, trial):
            self.pruned = True
            run.stop()
