"""Regression from few states: true targets against a teacher's predictions, over several data sets."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from qkd_pl.checks import check_count
from qkd_pl.datasets import topological_phases
from qkd_pl.errors import InvalidInputError
from qkd_pl.networks.networks import QNN
from qkd_pl.statistics import Estimate, estimate
from qkd_pl.training.losses import SquaredError
from reproduction.arms import FIRST_STUDENT_SEED, trainer_and_losses
from reproduction.chains import string_order
from reproduction.results import Results
from reproduction.rows import against_control
from reproduction.sweep import Unit, run_units

#: arm → what it is; the first is the control.
REGRESSION_ARMS = {
    "targets": "m true targets",
    "same": "teacher's predictions, the same m states",
    "pool": "teacher's predictions, all states",
    "weak": "all states, teacher of m targets",
}
_STATES, _QUBITS, _TEACHER_LAYERS, _STUDENT_LAYERS = 500, 7, 2, 1


@dataclass(frozen=True, kw_only=True)
class RegressionSettings:
    """Regression on ground states: students of m true targets against students of a teacher's predictions.

    Teachers are 7 qubits × 2 layers, trained on 500 states; students have one layer. A seed is a data set, with states,
    teacher and initial weights of its own.

    Attributes:
        target: what is predicted: field, h1 in units of J, or string-order.
        states: numbers m of states with targets, up to 500.
        iterations: of each training.
        learning_rate: Adam's step size, in radians.
        device: device on which everything is trained, a name in devices.yaml.
    """

    target: Literal["field", "string-order"] = "field"
    states: tuple[int, ...] = (4, 16, 64, 500)
    iterations: int = 100
    learning_rate: float = 0.3
    device: str = "lightning"

    def __post_init__(self) -> None:
        check_count("iterations", self.iterations)
        if not self.states or len(set(self.states)) < len(self.states) or not min(self.states) >= 2:
            raise InvalidInputError(f"states={self.states}: must be different numbers from 2 on, at least one")
        if max(self.states) > _STATES:
            raise InvalidInputError(f"states={self.states}: there are {_STATES}")


def run_regression(settings: RegressionSettings, seeds: int, results: Results, *, workers: int = 1) -> dict[str, Any]:
    """Run or resume the experiment.

    Returns:
        the summary: ``teacher``; ``labels`` → m → ``arms`` → arm → ``r2`` and ``rmse`` over data sets, and
        ``differences`` → arm → these less those of the control.
    """
    arguments = asdict(settings)
    units = [Unit(f"data-{seed:02d}", run_states, {**arguments, "seed": seed}) for seed in range(seeds)]
    rows = run_units(units, results, workers=workers, title="data sets")
    summary: dict[str, Any] = {"settings": arguments, "data_sets": seeds, "labels": {}}
    measures = ("r2", "rmse")
    summary["teacher"] = {name: estimate([row["teacher"][name] for row in rows]).to_json() for name in measures}
    for m in settings.states:
        values = {
            arm: {name: [row["states"][str(m)][arm][name] for row in rows] for name in measures}
            for arm in REGRESSION_ARMS
        }
        summary["labels"][str(m)] = against_control(values, "targets")
    return summary


def run_states(
    *, target: str, states: list[int], iterations: int, learning_rate: float, device: str, seed: int, directory: Path
) -> dict[str, Any]:
    """Train the teacher and all students of one data set."""
    train, test = topological_phases(_QUBITS, _STATES, _STATES, seed, targets="field", progress=False)
    if target == "string-order":
        train, test = (split._replace(labels=string_order(split.inputs)) for split in (train, test))
    settings = {"iterations": iterations, "learning_rate": learning_rate, "device": device}

    def fit(layers: int, first: int, data: Any, teacher: Any = None) -> Any:
        trainer, _, _ = trainer_and_losses({**settings, "seed": first + seed})
        return trainer.fit(QNN(_QUBITS, layers, n_classes=1), data, teacher=teacher, loss=SquaredError())

    def errors(model: Any) -> dict[str, float]:
        rmse = np.sqrt(np.mean((model.predict(test.inputs) - test.labels) ** 2))
        return {"r2": round(model.score(*test), 6), "rmse": round(float(rmse), 6)}

    teacher = fit(_TEACHER_LAYERS, 0, train)
    pool = errors(fit(_STUDENT_LAYERS, FIRST_STUDENT_SEED, (train.inputs, None), teacher))
    found = {}
    for m in states:
        few = (train.inputs[:m], train.labels[:m])
        weak = fit(_TEACHER_LAYERS, 0, few)
        found[str(m)] = {
            "targets": errors(fit(_STUDENT_LAYERS, FIRST_STUDENT_SEED, few)),
            "same": errors(fit(_STUDENT_LAYERS, FIRST_STUDENT_SEED, (few[0], None), teacher)),
            "pool": pool,
            "weak": errors(fit(_STUDENT_LAYERS, FIRST_STUDENT_SEED, (train.inputs, None), weak)),
        }
    return {"teacher": errors(teacher), "states": found}


def format_regression(summary: Mapping[str, Any]) -> str:
    """The summary as text: error and R² of each arm at each number of states."""
    teacher = Estimate.from_json(summary["teacher"]["rmse"])
    lines = [f"{summary['settings']['target']}, {summary['data_sets']} data sets; teacher: test RMSE {teacher}"]
    for m, found in summary["labels"].items():
        lines += ["", f"{m} states{'':<38}RMSE               R²   RMSE less that of true targets"]
        for arm, title in REGRESSION_ARMS.items():
            values = [Estimate.from_json(found["arms"][arm][name]) for name in ("rmse", "r2")]
            gain = "" if arm == "targets" else f"   {Estimate.from_json(found['differences'][arm]['rmse'])}"
            lines.append(f"  {title:<42}" + "".join(f"{value!s:>17}" for value in values) + gain)
    return "\n".join(lines)
