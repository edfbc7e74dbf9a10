"""One trial: a student is priced, trained, and measured on the device's noise."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from qkd_pl.devices.spec import EXACT, DeviceSpec
from qkd_pl.errors import BackendError, InvalidInputError, TooLargeError, TrainingDivergedError
from qkd_pl.search.drafts import Draft, draft_of
from qkd_pl.search.evaluation import Evaluator, agreement
from qkd_pl.search.feasibility import priced
from qkd_pl.search.measuring import measure
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
    draft = draft_of(drawn, question, space)
    costs = priced(draft, question, drawn["absorb"], seed)
    told: dict[str, Any] = costs.told()
    if reason := costs.exceeds(question.limits):
        return {"state": "infeasible", "reason": reason, **told}
    entrance, initial = draft.entered(question, assignment.folder.parent.parent / "autoencoders", seed)
    told |= {"entrance": str(entrance), "autoencoder": None, "features": entrance.features}
    if entrance.autoencoder is not None:
        told["autoencoder"] = entrance.autoencoder.name
    # The inputs are compressed once, not at every use.
    known = {id(each): entrance(each) for each in (question.train, question.held_out, question.confirming)}
    entered: Callable[[Any], np.ndarray] = lambda inputs: known[id(inputs)]  # noqa: E731
    evaluator = Evaluator(draft.network, question.noise, question.spec, costs.shots, seed, drawn["absorb"])
    judge = _Judge(question, entered, evaluator, pruner, finished, iterations)
    model = _trained(drawn, draft, question, entered, initial, iterations, seed, judge)
    told["intermediate"] = judge.values
    if judge.pruned:
        return {"state": "pruned", "reason": "others were ahead at the same iteration", **told}
    measured = measure(model, entered, question, costs, evaluator)
    told |= {"agreement": measured.agreement, "confirmed": measured.confirmed, "accuracy": measured.accuracy}
    told |= {"calibrated": measured.calibration is not None, "simulated_by": evaluator.simulator}
    model.with_calibration(measured.calibration).save(assignment.folder / MODEL)
    return {"state": "complete", **told}


def _trained(
    drawn: Mapping[str, Any],
    draft: Draft,
    question: Question,
    entered: Callable[[Any], np.ndarray],
    initial: Any,
    iterations: int,
    seed: int,
    judge: "_Judge",
) -> Any:
    """The student, distilled exactly or under the device's noise."""
    regression = question.task == "regression"
    loss = SquaredError() if regression else Distillation(temperature=1.0 / drawn["scale"])
    taught = question.taught if regression else question.taught * drawn["margin"]
    taught = taught[:, 0] if regression and taught.shape[1] == 1 else taught

    def fit(device: DeviceSpec) -> Any:
        trainer = KDTrainer(iterations=iterations, device=device, seed=seed)
        data = (entered(question.train), None)
        return trainer.fit(draft.network, data, teacher=taught, loss=loss, initial=initial, callbacks=[judge])

    try:
        return fit(question.noise if drawn["train_on"] == "noisy" else EXACT)
    except TooLargeError:  # the noise of a wide student is met by Aer at its end only
        return fit(EXACT)


class _Judge(Callback):
    """Asks Optuna's pruner at a third and two thirds of the training."""

    def __init__(
        self,
        question: Question,
        entered: Callable[[Any], np.ndarray],
        evaluator: Evaluator,
        pruner: Any,
        finished: Sequence[Any],
        iterations: int,
    ) -> None:
        self._question, self._entered, self._evaluator, self._pruner = question, entered, evaluator, pruner
        self._at = {max(1, round(share * iterations)) for share in _LOOKS}
        self._study = optuna.create_study(direction="maximize")
        self._study.add_trials(finished)
        self.values: dict[int, float] = {}
        self.pruned = False

    def on_iteration_end(self, run: Run) -> None:
        """Stop the training of a loser."""
        if run.iteration not in self._at:
            return
        question = self._question
        batch = run.network.encode(self._entered(question.held_out))
        outputs = self._evaluator.exact(run.weights, batch)
        if outputs is None:  # Aer draws shots only; a look would cost as much as the end
            return
        settings = (run.settings.get("target_scale", 1.0), run.settings.get("target_offset", 0.0))
        self.values[run.iteration] = agreement(question.task, question.held_out_taught, outputs, settings)
        trial = optuna.trial.create_trial(state=optuna.trial.TrialState.RUNNING, intermediate_values=self.values)
        if self._pruner.prune(self._study, trial):
            self.pruned = True
            run.stop()
