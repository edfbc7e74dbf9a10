"""Few labels and few states: cross-entropy on m labels against distillation without them, over several data sets.

Each data set has its own samples, teacher and initial weights, which all arms share, and counts once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qkd_pl.checks import check_count
from qkd_pl.errors import InvalidInputError
from qkd_pl.networks.models import TrainedQNN
from qkd_pl.statistics import Estimate, estimate
from qkd_pl.training.losses import CrossEntropy, Distillation
from reproduction.arms import FIRST_STUDENT_SEED, trainer_and_losses
from reproduction.measures import measured
from reproduction.problems import PROBLEMS, Problem, ProblemName, Split
from reproduction.results import Results
from reproduction.rows import against_control
from reproduction.sweep import Unit, run_units

#: arm → what it is.
ARM_TITLES = {
    "ce": "scaled CE, m labels",
    "same": "KD, the same m inputs, no labels",
    "pool": "KD, whole pool, no labels",
    "both": "KD on the pool + CE on m labels",
    "weak": "KD, pool, teacher of m labels",
}
_ALPHA = 0.9


@dataclass(frozen=True, kw_only=True)
class FewLabelsSettings:
    """Few labels, few states: cross-entropy on m labels against distillation with few labels or none.

    A seed is a data set, with samples, teacher and initial weights of its own. All measures, of accuracy and of how
    well the teacher's function is followed, are stored for every arm.

    Attributes:
        problem: the data: chains (phases, ising, annni, cluster-ising), images (mnist-1-5, mnist), tables (digits,
            breast-cancer, wine), or a file.
        data: an .npz file with inputs and labels, for the problem file.
        labels: numbers m of labelled samples; numbers beyond the pool mean all of it.
        scales: logit scales s of cross-entropy; the best by mean test accuracy counts, which flatters the control.
        candidates: teachers to choose the best from by training accuracy.
        device: device on which everything is trained, a name in devices.yaml.
    """

    problem: ProblemName = "phases"
    data: str | None = None
    labels: tuple[int, ...] = (2, 4, 8, 16, 64, 500)
    scales: tuple[float, ...] = (3.0, 10.0, 30.0, 100.0)
    candidates: int = 3
    device: str = "lightning"

    def __post_init__(self) -> None:
        if (self.problem == "file") != (self.data is not None):
            raise InvalidInputError(f"data={self.data}: goes with --problem file, and only with it")
        check_count("candidates", self.candidates)
        for name in ("labels", "scales"):
            if not (values := getattr(self, name)) or len(set(values)) < len(values) or min(values) <= 0:
                raise InvalidInputError(f"{name}={values}: must be different numbers above 0, at least one")


def run_few_labels(settings: FewLabelsSettings, seeds: int, results: Results, *, workers: int = 1) -> dict[str, Any]:
    """Run or resume the experiment.

    Returns:
        the summary: ``teacher``, measures of the teachers; ``labels`` → m → ``best_scale``, ``arms`` → arm → measure →
        estimate over data sets, and ``differences`` → arm → measure → paired difference from the control.
    """
    arguments = asdict(settings)
    units = [Unit(f"data-{seed:02d}", run_data_set, {**arguments, "seed": seed}) for seed in range(seeds)]
    rows = run_units(units, results, workers=workers, title="data sets")
    return {
        "settings": arguments,
        "data_sets": seeds,
        "teacher": _estimates([row["teacher"] for row in rows]),
        "labels": {str(m): _summarise([row["labels"][str(m)] for row in rows], settings) for m in settings.labels},
    }


def _estimates(rows: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    return {name: estimate([row[name] for row in rows]).to_json() for name in rows[0]}


def _summarise(rows: Sequence[Mapping[str, Any]], settings: FewLabelsSettings) -> dict[str, Any]:
    controls = {scale: f"ce-{scale:g}" for scale in settings.scales}
    best = max(controls, key=lambda scale: float(np.mean([row[controls[scale]]["accuracy"] for row in rows])))
    arms = {arm: [row[controls[best] if arm == "ce" else arm] for row in rows] for arm in ARM_TITLES}
    values = {arm: {name: [row[name] for row in found] for name in found[0]} for arm, found in arms.items()}
    return {"best_scale": best, **against_control(values, "ce")}


def run_data_set(
    *,
    problem: str,
    data: str | None,
    labels: list[int],
    scales: list[float],
    candidates: int,
    device: str,
    seed: int,
    directory: Path,
) -> dict[str, Any]:
    """Train the teacher and all students of one data set."""
    recipe = PROBLEMS[problem]
    split = recipe.load(seed, recipe.n_pool, recipe.n_test, data)
    runs, teachers = students_and_teachers(recipe, split, device, seed)
    teacher = teachers.best_teacher(len(split.pool.labels), candidates, recipe.logit_scale)
    logits = teacher.logits(split.test.inputs)
    pool, found = runs.distilled(teacher, None), {}
    for m in labels:
        weak = teachers.best_teacher(m, 1, recipe.logit_scale)
        students = {f"ce-{scale:g}": runs.labelled(m, scale) for scale in scales}
        students |= {"same": runs.distilled(teacher, m), "pool": pool}
        students |= {"both": runs.both(teacher, m, recipe.logit_scale), "weak": runs.distilled(weak, None)}
        found[str(m)] = {name: measured(student, logits, split) for name, student in students.items()}
    return {"teacher": measured(teacher, logits, split), "labels": found}


def students_and_teachers(recipe: Problem, split: Split, device: str, seed: int) -> tuple["Runs", "Runs"]:
    """Trainings of the shallow network and of the deep one on the same data."""
    training = {**recipe.trainer, "device": device}
    deep = {**training, "iterations": recipe.teacher_iterations}
    return (
        Runs(split, training, seed, recipe.network(split, recipe.student_layers)),
        Runs(split, deep, seed, recipe.network(split, recipe.teacher_layers)),
    )


@dataclass(frozen=True)
class Runs:
    """Trainings of one network on one data set; students share initial weights."""

    split: Split
    training: Mapping[str, Any]
    seed: int
    network: Any

    def best_teacher(self, m: int, candidates: int, scale: float) -> TrainedQNN:
        inputs, labels = (each[:m] for each in self.split.pool)
        models = [
            self._fit((inputs, labels), 1000 * candidate + self.seed, loss=CrossEntropy(scale))
            for candidate in range(candidates)
        ]
        return max(models, key=lambda model: model.score(inputs, labels))

    def labelled(self, m: int, scale: float) -> TrainedQNN:
        inputs, labels = (each[:m] for each in self.split.pool)
        return self._fit((inputs, labels), self._student, loss=CrossEntropy(scale))

    def distilled(self, teacher: TrainedQNN, m: int | None, loss: Any = None) -> TrainedQNN:
        loss = loss or self._distillation()
        return self._fit((self.split.pool.inputs[:m], None), self._student, teacher=teacher, loss=loss)

    def both(self, teacher: TrainedQNN, m: int, scale: float) -> TrainedQNN:
        labels = np.where(np.arange(len(self.split.pool.labels)) < m, self.split.pool.labels, -1)
        # Without T², which would make the teacher's term vanish beside the cross-entropy.
        loss = self._distillation(alpha=_ALPHA, logit_scale=scale, scale_kl="none")
        return self._fit((self.split.pool.inputs, labels), self._student, teacher=teacher, loss=loss)

    @property
    def _student(self) -> int:
        return 1_000_000 + FIRST_STUDENT_SEED + self.seed

    def _distillation(self, **settings: Any) -> Distillation:
        return Distillation(temperature=self.training["temperature"], standardise=False, **settings)

    def _fit(self, train: Any, seed: int, **rest: Any) -> TrainedQNN:
        trainer, _, _ = trainer_and_losses({**self.training, "seed": seed})
        return trainer.fit(self.network, train, **rest)


def format_few_labels(summary: Mapping[str, Any]) -> str:
    """The summary as text: accuracy of each arm at each number of labels, and the difference from the control."""
    teacher = Estimate.from_json(summary["teacher"]["accuracy"])
    lines = [f"{summary['settings']['problem']}, {summary['data_sets']} data sets; teacher: test accuracy {teacher}"]
    for m, found in summary["labels"].items():
        lines += ["", f"{m} labels (best scale {found['best_scale']:g})"]
        for arm, title in ARM_TITLES.items():
            values = [Estimate.from_json(found["arms"][arm][name]) for name in ("accuracy", "r2", "rank", "ece")]
            gain = "" if arm == "ce" else f"   {Estimate.from_json(found['differences'][arm]['accuracy'])}"
            lines.append(f"  {title:<36}" + "".join(f"{value!s:>17}" for value in values) + gain)
    lines += ["", "columns: accuracy, R², rank correlation, calibration error; gain in accuracy over scaled CE"]
    return "\n".join(lines)
