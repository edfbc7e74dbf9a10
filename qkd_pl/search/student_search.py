"""The search for the student that runs best on one device: the public entry."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from qkd_pl.checks import check_choice, check_count
from qkd_pl.devices.registry import AnyDevice
from qkd_pl.errors import BackendError, InvalidInputError
from qkd_pl.networks.models import TrainedQNN, TrainedRegressor
from qkd_pl.search.evaluation import Evaluator, agreement, price
from qkd_pl.search.found import Found, Row, found_of
from qkd_pl.search.question import Question, checked_device, is_regression, pose
from qkd_pl.search.space import SearchSpace


@dataclass(frozen=True, eq=False)
class StudentSearch:
    """Distils a teacher into many students, and keeps those that do best on a device for what they cost.

    Attributes:
        teacher: what :func:`qkd_pl.teachers.teacher_logits` takes; for regression
            :func:`qkd_pl.teachers.teacher_predictions`.
        inputs: n samples, at least 8, of which a quarter is held out.
        device: name or spec of a device with the plugin ``qkd.ibm``.
        labels: class indices ``(n,)``; only reported, never used.
        space: which students may be tried.
        embedding: how inputs enter; by default as they enter the teacher.
        task: ``"classification"`` or ``"regression"``; by default what a trained teacher is for.
        max_qpu_seconds, max_two_qubit_gates, max_depth: what a student may cost; None for no limit.
        n_inputs: how many inputs are priced; None for as many as given.
        preparation: ``"device"``, as the circuit prepares states there, or ``"ideal"``, from outside.
        trials: how many students, those stopped early or too dear included.
        iterations: of each training.
        workers: processes (joblib).
        seed: of the held-out inputs, the proposals and all trainings.

    Example:
        ::

            found = kd.StudentSearch(teacher, states, "fake_torino", max_qpu_seconds=120).run("runs/search")
            print(found.front)
            job = kd.submit(found.plan(states))
    """

    teacher: Any
    inputs: Any
    device: AnyDevice
    labels: Any = field(default=None, kw_only=True)
    space: SearchSpace = field(default_factory=SearchSpace, kw_only=True)
    embedding: Any = field(default=None, kw_only=True)
    task: str | None = field(default=None, kw_only=True)
    max_qpu_seconds: float | None = field(default=None, kw_only=True)
    max_two_qubit_gates: int | None = field(default=None, kw_only=True)
    max_depth: int | None = field(default=None, kw_only=True)
    n_inputs: int | None = field(default=None, kw_only=True)
    preparation: str = field(default="device", kw_only=True)
    trials: int = field(default=40, kw_only=True)
    iterations: int = field(default=60, kw_only=True)
    workers: int = field(default=1, kw_only=True)
    seed: int = field(default=0, kw_only=True)

    def run(self, folder: str | Path) -> Found:
        """Search, or go on with a search that was stopped in this folder, also by SIGKILL.

        Raises:
            InvalidInputError: a setting, the inputs or the teacher do not fit; Optuna is not installed; or no student
                of the space is feasible.
            DeviceConfigError, BackendError, CredentialsError: the device cannot be used.
            FileFormatError: the folder holds another search.
        """
        try:
            from qkd_pl.search.study import conduct
        except ImportError as error:
            raise InvalidInputError("a search needs Optuna: pip install 'qkd-pl[search]'") from error
        question = self._question()
        results = conduct(
            Path(folder),
            question,
            self.space,
            trials=self.trials,
            iterations=self.iterations,
            workers=self.workers,
            seed=self.seed,
        )
        rows = [self._row(each, Path(folder)) for each in results if each["state"] == "complete"]
        if not rows:
            raise InvalidInputError(f"no student was feasible; the last one: {results[-1]['reason']}")
        return found_of([*rows, *_teacher_row(self.teacher, question, self.seed)], question.spec)

    def _question(self) -> Question:
        for name in ("trials", "iterations", "workers"):
            check_count(name, getattr(self, name))
        check_count("seed", self.seed, 0)
        check_choice("preparation", self.preparation, ("device", "ideal"))
        check_choice("task", self.task, (None, "classification", "regression"))
        limits = {
            "qpu_seconds": self.max_qpu_seconds,
            "two_qubit_gates": self.max_two_qubit_gates,
            "depth": self.max_depth,
        }
        return pose(
            self.teacher,
            self.inputs,
            self.labels,
            checked_device(self.device),
            self.space,
            embedding=self.embedding,
            limits=limits,
            n_inputs=self.n_inputs,
            ideal_preparation=self.preparation == "ideal",
            regression=is_regression(self.teacher) if self.task is None else self.task == "regression",
            seed=self.seed,
        )

    def _row(self, result: dict[str, Any], folder: Path) -> Row:
        drawn = result["drawn"]
        network = self.space.networks[drawn["network"]] if self.space.networks else None
        return Row(
            name=str(result["number"]),
            agreement=result["agreement"],
            accuracy=result.get("accuracy"),
            qpu_seconds=result["qpu_seconds"],
            two_qubit_gates=result["two_qubit_gates"],
            depth=result["depth"],
            setting=_told(drawn),
            path=folder / "trials" / f"{result['number']:04d}" / "student.safetensors",
            absorb=bool(drawn["absorb"]),
            network=network,
        )


def _told(drawn: dict[str, Any]) -> str:
    shown = {name: f"{each:.3g}" if isinstance(each, float) else each for name, each in sorted(drawn.items())}
    return ", ".join(f"{name} {each}" for name, each in shown.items())


def _teacher_row(teacher: Any, question: Question, seed: int) -> list[Row]:
    """The teacher itself on the device, if it is a circuit that can be simulated there."""
    if not isinstance(teacher, TrainedQNN | TrainedRegressor):
        return []
    inputs = np.concatenate([question.train, question.held_out])
    try:
        costs = price(
            teacher,
            inputs,
            question.n_inputs,
            question.spec,
            absorb=False,
            ideal_preparation=question.ideal_preparation,
        )
        batch = teacher.encode(question.held_out)
        evaluator = Evaluator(teacher.network, question.noise, batch.rows.shape[-1], costs.shots, seed, False)
        outputs = evaluator.outputs(teacher.weights, batch)
    except (InvalidInputError, BackendError):
        return []
    settings = (teacher.target_scale, teacher.target_offset) if isinstance(teacher, TrainedRegressor) else ()
    score, labels = agreement(question.task, question.held_out_taught, outputs, settings), question.held_out_labels
    logits = np.concatenate([outputs, -outputs], axis=1) if outputs.shape[1] == 1 else outputs
    accuracy = None if labels is None else float(np.mean(logits.argmax(axis=1) == labels))
    return [Row("teacher", score, accuracy, costs.qpu_seconds, costs.two_qubit_gates, costs.depth, "", None)]
