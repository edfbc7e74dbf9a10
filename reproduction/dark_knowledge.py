"""When distillation adds something beyond a good logit scale, and when it does not.

A low temperature T sharpens the student's logits as a logit scale s = 1/T does in cross-entropy; so KD at each T, with
teachers of different quality, stands beside cross-entropy at each s, and KD is compared with the *best* scale: an
advantage that is left there is due to the teacher.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from qkd_pl.networks.models import TrainedQNN
from qkd_pl.networks.networks import QNN
from qkd_pl.statistics import Estimate, estimate, paired_difference
from reproduction.arms import FIRST_STUDENT_SEED, fit_and_save, load_data, training_unit
from reproduction.candidates import TeacherRecipe, prepare_teacher, stored_logits
from reproduction.depth import DepthSettings
from reproduction.figure4 import Figure4Settings
from reproduction.figure5 import Figure5Settings
from reproduction.figure6 import Figure6Settings
from reproduction.results import Results
from reproduction.results_schema import Accuracies
from reproduction.sweep import Unit, run_units


@dataclass(frozen=True, kw_only=True)
class DarkKnowledgeSettings:
    """Everything that the result depends on, except the number of seeds.

    Attributes:
        problem: data, teacher and training.
        student_layers: depth of the student.
        temperatures: T of the KD loss.
        scales: logit scales s of cross-entropy without a teacher.
        teacher_candidates: teachers trained with and without a good logit scale.
        logit_scale: of the good teachers.
        ensemble: how many of the best are averaged in the third kind of teacher.
    """

    problem: DepthSettings | Figure6Settings
    student_layers: int
    temperatures: tuple[float, ...] = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
    scales: tuple[float, ...] = (1.0, 5.0, 10.0, 20.0, 50.0, 100.0)
    teacher_candidates: int = 3
    logit_scale: float = 10.0
    ensemble: int = 3

    @property
    def student(self) -> dict[str, Any]:
        """Arguments of :class:`QNN`."""
        return {**self.problem.teacher_recipe.network, "n_layers": self.student_layers}

    def teacher_recipes(self) -> dict[str, TeacherRecipe]:
        """Teachers of increasing quality: logit scale 1, a good scale, and several of these averaged."""
        recipe = replace(self.problem.teacher_recipe, candidates=self.teacher_candidates, chosen=1)
        raw, scaled = (
            replace(recipe, trainer={**recipe.trainer, "logit_scale": scale}) for scale in (1.0, self.logit_scale)
        )
        ensemble = replace(scaled, chosen=self.ensemble, candidates_in="../scaled")
        return {"raw": raw, "scaled": scaled, "ensemble": ensemble}


#: The experiments of the paper in which dark knowledge can be looked for, each with its smallest student.
PROBLEMS = {
    "table1": DarkKnowledgeSettings(
        problem=Figure4Settings(n_qubits=7, teacher_layers=2),
        student_layers=1,
        temperatures=(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0),
        scales=(1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 50.0, 100.0, 200.0, 500.0),
        teacher_candidates=20,
        logit_scale=30.0,
        ensemble=5,
    ),
    "figure4": DarkKnowledgeSettings(problem=Figure4Settings(), student_layers=1),
    "figure5": DarkKnowledgeSettings(problem=Figure5Settings(), student_layers=4),
    "figure6": DarkKnowledgeSettings(
        problem=Figure6Settings(n_train=20_000, epochs=4),
        student_layers=4,
        temperatures=(0.02, 1 / 30, 0.1),
        scales=(1.0, 10.0, 30.0, 50.0),
        logit_scale=30.0,
    ),
}


@dataclass(frozen=True, kw_only=True)
class DarkKnowledgeOptions:
    """What KD adds to the best logit scale, against the temperature and the teacher's quality.

    For Table 1's student (2), after the teachers (about ten seconds), a seed takes about two seconds on two cores;
    for figure4 to figure6, one to two minutes after five to ten. Repeating the command resumes it, and adds seeds.

    Attributes:
        experiment: the problem, with its smallest student.
        teacher_candidates: teachers trained with and without a good logit scale; 20 for table1, else 3.
        device: device on which everything is trained, a name in devices.yaml.
    """

    experiment: Literal["table1", "figure4", "figure5", "figure6"] = "table1"
    teacher_candidates: int | None = None
    device: str = "lightning"

    def __post_init__(self) -> None:
        self.to_settings().teacher_recipes()  # refuses what no teacher can have

    def to_settings(self) -> DarkKnowledgeSettings:
        """All settings of the problem."""
        settings = PROBLEMS[self.experiment]
        candidates = self.teacher_candidates or settings.teacher_candidates
        problem = replace(settings.problem, device=self.device)
        return replace(settings, problem=problem, teacher_candidates=candidates)


def run_dark_knowledge(
    settings: DarkKnowledgeSettings, seeds: int, results: Results, *, workers: int = 1
) -> dict[str, Any]:
    """Run or resume the experiment.

    Returns:
        the summary: accuracy at each logit scale, and for each teacher and temperature the accuracy with KD and its
        paired difference to cross-entropy at the scale of the largest mean test accuracy. Choosing the scale by the
        test data favours the control, not KD.
    """
    teachers = {
        name: prepare_teacher(recipe, results, workers, name) for name, recipe in settings.teacher_recipes().items()
    }
    data = teachers["raw"].data
    groups = {
        ("control", scale): _units(settings, seeds, "control", {"logit_scale": scale}, None, (data,))
        for scale in settings.scales
    }
    for name, teacher in teachers.items():
        for temperature in settings.temperatures:
            loss, needs = {"temperature": temperature}, (teacher.data, teacher.logits)
            groups[name, temperature] = _units(settings, seeds, name, loss, teacher.source, needs)
    everything = [unit for units in groups.values() for unit in units]
    rows = iter(run_units(everything, results, workers=workers, title="students"))
    accuracies = {key: [next(rows)["test_accuracy"] for _ in units] for key, units in groups.items()}
    summary = {"settings": asdict(settings), "seeds": seeds, **_summarise(settings, accuracies)}
    for name, teacher in teachers.items():
        summary["teachers"][name] |= teacher.summary
    return summary


def train_student(
    *, network: dict, trainer: dict, data: dict, source: dict | None, model: str, teacher: str, directory: Path
) -> Accuracies:
    """Train one student, with the teacher of that name unless there is no source, and store its model."""
    train, test, _ = load_data(data)
    logits = None if source is None else stored_logits(directory / teacher)
    student = fit_and_save(QNN(**network), trainer, train, directory / model, teacher=logits)
    assert isinstance(student, TrainedQNN)
    return {
        "train_accuracy": student.score(*train, trainer["device"]),
        "test_accuracy": student.score(*test, trainer["device"]),
    }


def format_dark_knowledge(summary: Mapping[str, Any]) -> str:
    """The summary as text: mean ± 95 % confidence interval."""
    lines = [
        f"{'scaled CE, test accuracy':<34}"
        + "".join(f"{f's = {s}':>16}" for s in sorted(summary["control"], key=float))
    ]
    lines.append(_row("no teacher", summary["control"]))
    for name, teacher in summary["teachers"].items():
        title = f"teacher {name}, {teacher['test_accuracy']:.3f}"
        lines += [
            "",
            f"{title:<34}" + "".join(f"{f'T = {float(t):.3g}':>16}" for t in sorted(teacher["kd"], key=float)),
        ]
        lines.append(_row("KD", teacher["kd"]))
        lines.append(_row(f"KD − scaled CE (s = {summary['best_scale']:g})", teacher["kd - control"]))
    return "\n".join(lines)


def _row(title: str, cells: Mapping[str, Any]) -> str:
    return f"{title:<34}" + "".join(f"{Estimate.from_json(cells[key])!s:>16}" for key in sorted(cells, key=float))


def _summarise(settings: DarkKnowledgeSettings, accuracies: Mapping[tuple[str, float], list[float]]) -> dict[str, Any]:
    control = {scale: accuracies["control", scale] for scale in settings.scales}
    best = max(control, key=lambda scale: estimate(control[scale]).mean)
    teachers: dict[str, dict[str, Any]] = {}
    for name in settings.teacher_recipes():
        distilled = {str(temperature): accuracies[name, temperature] for temperature in settings.temperatures}
        teachers[name] = {
            "kd": {key: estimate(values).to_json() for key, values in distilled.items()},
            "kd - control": {
                key: paired_difference(values, control[best]).to_json() for key, values in distilled.items()
            },
        }
    return {
        "best_scale": best,
        "control": {str(scale): estimate(values).to_json() for scale, values in control.items()},
        "teachers": teachers,
    }


def _units(
    settings: DarkKnowledgeSettings,
    seeds: int,
    teacher: str,
    loss: Mapping[str, float],
    source: Mapping[str, Any] | None,
    needs: tuple[Unit, ...],
) -> list[Unit]:
    ((setting, value),) = loss.items()
    units = []
    for seed in range(seeds):
        name = f"{teacher}-{setting}-{value:g}-{seed:02d}"
        arguments = {
            "network": settings.student,
            "trainer": {**settings.problem.student_trainer, "seed": FIRST_STUDENT_SEED + seed, **loss},
            "data": settings.problem.teacher_recipe.data,
            "source": source,
            "teacher": teacher,
            "model": f"models/{name}.safetensors",
        }
        units.append(training_unit(f"students/{name}", train_student, arguments, needs=needs))
    return units
