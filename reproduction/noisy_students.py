"""The arms of the experiment on noisy teachers: what each learns from, and how the teacher itself scores."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qkd_pl import Distillation
from qkd_pl.datasets import Dataset
from qkd_pl.devices.calibration import spread_out
from qkd_pl.networks.models import TrainedQNN
from reproduction.extrapolation import extrapolated
from reproduction.noisy_outputs import accuracy, corrected, drawn

_FEW = 50  # states of a calibration with shot noise
#: The noisy teacher itself, on the test states.
TEACHERS = ("teacher", "teacher_calibrated", "teacher_extrapolated")


@dataclass(frozen=True)
class Task:
    """What the students of one data set, pool and seed share.

    Attributes:
        train: the states that the teacher was asked about; true labels are for the control alone.
        test: test states and labels.
        noisy, tested: the teacher's exact ⟨Z_0⟩, ⟨Z_1⟩ and ⟨Z_0 Z_1⟩ under noise for ``train`` and ``test``.
        folded: the same for ``test`` with the noise multiplied by each of ``scales``.
        scales: see ``folded``.
        exact: the teacher's outputs without noise for ``train``, for calibrations.
        line: outputs without and with noise, without shot noise, whose lines are the ideal affine calibration.
        queries: for targets that are kept apart.
        temperature, logit_scale: of the losses.
        fit: trains a student.
    """

    train: Dataset
    test: Dataset
    noisy: np.ndarray
    tested: np.ndarray
    folded: np.ndarray
    scales: Sequence[float]
    exact: np.ndarray
    line: tuple[np.ndarray, np.ndarray]
    queries: int
    temperature: float
    logit_scale: float
    fit: Callable[..., TrainedQNN]

    def score(self, train: Dataset | None = None, **more: Any) -> float:
        """Test accuracy of a student of these training data, loss and teacher; exact simulation."""
        return self.fit(train or self.train, **more).score(*self.test)

    def distilled(self, targets: np.ndarray, standardise: Any, divergence: str = "kl") -> dict[str, Any]:
        """Arguments of :meth:`score` for a student of a teacher's outputs."""
        loss = Distillation(self.temperature, standardise=standardise, divergence=divergence)  # type: ignore[arg-type]
        return {"teacher": targets, "loss": loss}

    def labelled(self, logits: np.ndarray) -> dict[str, Any]:
        """For a student by scaled cross-entropy on a teacher's decisions."""
        return {"train": self.train._replace(labels=logits.argmax(axis=1))}

    def calibrated(self, outputs: np.ndarray) -> np.ndarray:
        """Outputs corrected for the device's noise, as well as two numbers per output can."""
        return corrected(outputs, *self.line)

    def calibrated_by(self, outputs: np.ndarray, count: int) -> np.ndarray:
        """Outputs corrected by lines through the measured outputs of so many states whose exact ones are known."""
        sample = spread_out(self.exact, count)
        return corrected(outputs, self.exact[sample], outputs[sample])

    def apart(self, shots: int, generator: np.random.Generator) -> dict[str, Any]:
        """For a student to whom every query is a target of its own."""
        each = max(1, shots // self.queries)
        targets = np.concatenate([drawn(self.noisy, each, generator) for _ in range(self.queries)])
        repeated = Dataset(*(np.concatenate([part] * self.queries) for part in self.train))
        return {"train": repeated, **self.distilled(targets, "affine")}


#: Arm → from the task and the teacher's outputs for the training states to the arguments of :meth:`Task.score`.
_FROM_OUTPUTS: Mapping[str, Callable[[Task, np.ndarray], dict[str, Any]]] = {
    "raw": lambda task, outputs: task.distilled(outputs, False),
    "affine": lambda task, outputs: task.distilled(outputs, "affine"),
    "huber": lambda task, outputs: task.distilled(outputs, "affine", "huber"),
    "calibrated": lambda task, outputs: task.distilled(task.calibrated(outputs), False),
    "calibrated_few": lambda task, outputs: task.distilled(task.calibrated_by(outputs, _FEW), False),
    "hard": lambda task, outputs: task.labelled(outputs),
    "hard_calibrated": lambda task, outputs: task.labelled(task.calibrated(outputs)),
}
SAMPLED_ARMS = (*_FROM_OUTPUTS, "apart")
#: Arms of each pool of states; for the unbalanced one those that depend on the balance.
ARMS_OF = {"balanced": SAMPLED_ARMS, "unbalanced": ("affine", "calibrated", "hard_calibrated")}
#: Arms without shots: all true labels, and the noisy teacher asked infinitely often.
EXACT_ARMS: Mapping[str, Callable[[Task], dict[str, Any]]] = {
    "labels": lambda task: {},
    "affine_exact": lambda task: task.distilled(task.noisy[:, :2], "affine"),
}


def accuracies(task: Task, shots: int, arms: Sequence[str], generator: np.random.Generator) -> dict[str, float]:
    """Test accuracies of the teacher and of the students that learn from it, at one number of shots.

    All students but ``apart`` see the same draw. An average over repeated queries is one query of all their shots, and
    so no arm of its own. The extrapolation divides the shots among its circuits.
    """
    outputs, tested = drawn(task.noisy, shots, generator), drawn(task.tested, shots, generator)
    part = max(1, shots // len(task.scales))
    folded = np.array([drawn(each, part, generator) for each in task.folded])
    by_teacher = {
        "teacher": tested,
        "teacher_calibrated": task.calibrated(tested),
        "teacher_extrapolated": extrapolated(folded, task.scales),
    }
    found = {name: accuracy(logits, task.test.labels) for name, logits in by_teacher.items()}
    arguments = {arm: _FROM_OUTPUTS[arm](task, outputs) for arm in arms if arm in _FROM_OUTPUTS}
    if "apart" in arms:
        arguments["apart"] = task.apart(shots, generator)
    return found | {arm: task.score(**each) for arm, each in arguments.items()}
