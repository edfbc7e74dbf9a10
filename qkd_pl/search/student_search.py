"""The search for the student that runs best on one device: the public entry."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from qkd_pl.checks import check_choice, check_count
from qkd_pl.devices.registry import AnyDevice
from qkd_pl.errors import BackendError, InvalidInputError
from qkd_pl.networks.models import TrainedQNN, TrainedRegressor
from qkd_pl.search.entrance import Entrance
from qkd_pl.search.evaluation import Evaluator, price
from qkd_pl.search.found import Found, Row, found_of
from qkd_pl.search.measuring import measure
from qkd_pl.search.question import Question, checked_device, is_regression, pose
from qkd_pl.search.space import SearchSpace


@dataclass(frozen=True, eq=False)
class StudentSearch:
    """Distils a teacher into many students, and keeps those that do best on a device for what they cost.

    What a student does there is simulated: by ``qkd.noisy``, with the backend's noise exactly and the mean over several
    draws of the shots, or by Aer where a circuit is too wide for that. Nothing is sent.

    Attributes:
        teacher: what :func:`qkd_pl.teachers.teacher_logits` takes; for regression
            :func:`qkd_pl.teachers.teacher_predictions`.
        inputs: n samples, at least 8. Students are chosen by a quarter of them, and the agreement of what was chosen is
            measured by another 15 % that no choice depends on.
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
            raise InvalidInputError("a search needs Optuna: pip install qkd-pl[search]") from error
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
            raise InvalidInputError(f"no trial came to its end; the last one: {results[-1]['reason']}")
        left_out = {str(each["number"]): _why(each) for each in results if each["state"] != "complete"}
        return found_of([*rows, *_teacher_row(self.teacher, question, self.seed)], question.spec, left_out)

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
        file, encoded = result["autoencoder"], "autoencoder" in result["entrance"]
        entrance = Entrance(
            features=result["features"],
            encoder_layers=drawn["encoder_layers"] if encoded else None,
            autoencoder=None if file is None else folder / "autoencoders" / file,
        )
        return Row(
            name=str(result["number"]),
            agreement=result["agreement"],
            confirmed=result["confirmed"],
            accuracy=result["accuracy"],
            calibrated=result["calibrated"],
            qpu_seconds=result["qpu_seconds"],
            two_qubit_gates=result["two_qubit_gates"],
            depth=result["depth"],
            entrance=entrance,
            setting=_told(drawn),
            path=folder / "trials" / f"{result['number']:04d}" / "student.safetensors",
            absorb=bool(drawn["absorb"]),
            network=network,
        )


def _why(result: dict[str, Any]) -> str:
    return f"{result['state']}: {result['reason']}"


def _told(drawn: dict[str, Any]) -> str:
    shown = {name: f"{each:.3g}" if isinstance(each, float) else each for name, each in sorted(drawn.items())}
    return ", ".join(f"{name} {each}" for name, each in shown.items())


def _teacher_row(teacher: Any, question: Question, seed: int) -> list[Row]:
    """The teacher itself on the device, calibrated as students are, if it is a circuit that can be simulated there."""
    if not isinstance(teacher, TrainedQNN | TrainedRegressor):
        return []
    ideal = question.ideal_preparation
    try:
        costs = price(teacher, question.inputs, question.n_inputs, question.spec, absorb=False, ideal_preparation=ideal)
        evaluator = Evaluator(teacher.network, question.noise, question.spec, costs.shots, seed, False)
        measured = measure(teacher, np.asarray, question, costs, evaluator)
    except (InvalidInputError, BackendError):
        return []
    return [
        Row(
            name="teacher",
            agreement=measured.agreement,
            confirmed=measured.confirmed,
            accuracy=measured.accuracy,
            calibrated=measured.calibration is not None,
            qpu_seconds=costs.qpu_seconds,
            two_qubit_gates=costs.two_qubit_gates,
            depth=costs.depth,
            entrance=Entrance(),
            setting="",
            path=None,
        )
    ]
