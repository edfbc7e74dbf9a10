"""Loss and score on data that are not trained on."""

from typing import Any

import numpy as np
import pennylane as qml
from sklearn.metrics import r2_score

from qkd_pl.errors import InvalidInputError
from qkd_pl.gradients import evaluate
from qkd_pl.teachers import is_array
from qkd_pl.training.callbacks.base import Callback, record
from qkd_pl.training.problem import Problem, count_outputs, pose
from qkd_pl.training.run import Run


class Validation(Callback):
    """Records ``validation_loss`` and ``validation_score`` after each iteration, on the device of the training.

    The score is the accuracy of a classifier or R² of a regression. It needs labels; the loss needs all that the loss
    of the training needs, and is left out where the teacher or the hints are arrays, which belong to other samples.
    """

    def __init__(self, problem: Problem, data: Any, teacher: Any, hints: Any, iterations: int) -> None:
        if not isinstance(data, tuple | list) or len(data) != 2:
            raise InvalidInputError("validation: must be a pair (inputs, labels)")
        self._has_loss = not (teacher is not None and is_array(teacher)) and hints is None
        self._labelled = data[1] is not None and problem.task != "autoencoder"
        if not self._has_loss and not self._labelled:
            raise InvalidInputError(
                "validation: without labels there is no score, and with an array as teacher or hints no loss"
            )
        self.problem = problem
        self.data = pose(
            problem.network,
            (data[0], data[1]),
            teacher=teacher if self._has_loss else None,
            loss=problem.loss if self._has_loss else _Score(problem),
            hints=None,
            sample_weight=None,
            iterations=iterations,
            like=problem,
        )
        self._qnode: qml.QNode | None = None

    def on_train_begin(self, run: Run) -> None:
        self._qnode = run.device.qnode(self.problem.circuit, run.network.wires, run.random["validation"])

    def on_iteration_end(self, run: Run) -> None:
        assert self._qnode is not None
        outputs = evaluate(self._qnode, run.weights, self.data.batch)
        if self._has_loss:
            everything = np.arange(len(outputs))
            targets = self.data.targets.take(everything, run.iteration)
            record(run, "validation", "validation_loss", self.problem.evaluate(outputs, targets)[0])
        if self._labelled:
            record(run, "validation", "validation_score", self._score(outputs))

    def _score(self, outputs: np.ndarray) -> float:
        labels = self.data.targets.labels
        assert labels is not None
        n_outputs = count_outputs(self.problem.network)
        if self.problem.task == "regression":
            known = np.isfinite(labels).all(axis=1)
            return float(r2_score(labels[known], outputs[known, :n_outputs]))
        known = labels >= 0
        decisions = outputs[:, 0] < 0 if n_outputs == 1 else outputs[:, :n_outputs].argmax(axis=1)
        return float(np.mean(decisions[known] == labels[known]))


class _Score:
    """Stands for the loss where only labels are at hand: the task, and nothing to compare with."""

    def __init__(self, problem: Problem) -> None:
        self.task = problem.task

    def __call__(self, outputs: np.ndarray, targets: Any) -> tuple[float, np.ndarray]:
        return 0.0, np.zeros_like(outputs)
