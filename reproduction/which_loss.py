"""Which loss carries a teacher's knowledge best where there are ten classes: KL against what was proposed beyond it.

All students are distilled without labels, from equal initial weights, on the same inputs. Each data set counts once.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import pennylane as qml

from qkd_pl.checks import check_count
from qkd_pl.errors import InvalidInputError
from qkd_pl.statistics import Estimate, estimate
from qkd_pl.training.losses import DecoupledDistillation, Distillation, Hints, Relational
from reproduction.few_labels import students_and_teachers
from reproduction.measures import measured
from reproduction.problems import PROBLEMS
from reproduction.results import Results
from reproduction.rows import against_control
from reproduction.sweep import Unit, run_units

#: arm → what it is; the first is the control.
LOSS_ARMS = {
    "kl": "KL",
    "squared": "squared distance of the logits",
    "decoupled": "decoupled KL",
    "relational": "KL + relations between samples",
    "hints": "KL + hints, X on each wire",
}
_OTHER_CLASSES = 4.0  # weight of the other classes in the decoupled loss; the paper has 1 to 8


@dataclass(frozen=True, kw_only=True)
class WhichLossSettings:
    """Ten classes: students distilled without labels by KL, by other losses, and by KL with relations or hints.

    A seed is a data set, with samples, teacher and initial weights of its own. KL stands without the factor T², so that
    what is added to it, with weight 1, is of its size.

    Attributes:
        problem: the data: digits (scikit-learn's) or mnist.
        inputs: numbers m of unlabelled inputs; numbers beyond the pool mean all of it.
        candidates: teachers to choose the best from by training accuracy.
        device: device on which everything is trained, a name in devices.yaml.
    """

    problem: Literal["digits", "mnist"] = "digits"
    inputs: tuple[int, ...] = (50, 1500)
    candidates: int = 1
    device: str = "lightning"

    def __post_init__(self) -> None:
        check_count("candidates", self.candidates)
        if not self.inputs or len(set(self.inputs)) < len(self.inputs) or min(self.inputs) <= 0:
            raise InvalidInputError(f"inputs={self.inputs}: must be different numbers above 0, at least one")


def losses(temperature: float, n_qubits: int) -> dict[str, Any]:
    """The loss of each arm, for a teacher and students on the same wires."""
    kl = Distillation(temperature=temperature, scale_kl="none", standardise=False)
    return {
        "kl": kl,
        "squared": Distillation(divergence="squared", standardise=False),
        "decoupled": DecoupledDistillation(temperature, other_weight=_OTHER_CLASSES, standardise=False),
        "relational": kl + Relational(),
        "hints": kl + Hints(tuple(qml.X(wire) for wire in range(n_qubits))),
    }


def run_which_loss(settings: WhichLossSettings, seeds: int, results: Results, *, workers: int = 1) -> dict[str, Any]:
    """Run or resume the experiment.

    Returns:
        the summary: ``teacher``, measures of the teachers; ``inputs`` → m → ``arms`` → arm → measure → estimate over
        data sets, and ``differences`` → arm → measure → paired difference from KL.
    """
    arguments = asdict(settings)
    units = [Unit(f"data-{seed:02d}", run_losses, {**arguments, "seed": seed}) for seed in range(seeds)]
    rows = run_units(units, results, workers=workers, title="data sets")
    measures = list(rows[0]["teacher"])
    summary: dict[str, Any] = {"settings": arguments, "data_sets": seeds, "inputs": {}}
    summary["teacher"] = {name: estimate([row["teacher"][name] for row in rows]).to_json() for name in measures}
    for m in settings.inputs:
        values = {
            arm: {name: [row["inputs"][str(m)][arm][name] for row in rows] for name in measures} for arm in LOSS_ARMS
        }
        summary["inputs"][str(m)] = against_control(values, "kl")
    return summary


def run_losses(
    *, problem: str, inputs: list[int], candidates: int, device: str, seed: int, directory: Path
) -> dict[str, Any]:
    """Train the teacher and all students of one data set."""
    recipe = PROBLEMS[problem]
    split = recipe.load(seed, recipe.n_pool, recipe.n_test, None)
    runs, teachers = students_and_teachers(recipe, split, device, seed)
    teacher = teachers.best_teacher(len(split.pool.labels), candidates, recipe.logit_scale)
    logits = teacher.logits(split.test.inputs)
    found = {
        str(m): {
            arm: measured(runs.distilled(teacher, m, loss), logits, split)
            for arm, loss in losses(recipe.trainer["temperature"], runs.network.n_qubits).items()
        }
        for m in inputs
    }
    return {"teacher": measured(teacher, logits, split), "inputs": found}


def format_which_loss(summary: Mapping[str, Any]) -> str:
    """The summary as text: accuracy and agreement of each arm, and the difference in accuracy from KL."""
    teacher = Estimate.from_json(summary["teacher"]["accuracy"])
    lines = [f"{summary['settings']['problem']}, {summary['data_sets']} data sets; teacher: test accuracy {teacher}"]
    for m, found in summary["inputs"].items():
        lines += ["", f"{m} inputs, no labels"]
        for arm, title in LOSS_ARMS.items():
            values = [Estimate.from_json(found["arms"][arm][name]) for name in ("accuracy", "agreement", "r2")]
            gain = "" if arm == "kl" else f"   {Estimate.from_json(found['differences'][arm]['accuracy'])}"
            lines.append(f"  {title:<34}" + "".join(f"{value!s:>17}" for value in values) + gain)
    lines += ["", "columns: accuracy, agreement with the teacher, R² of its logits; gain in accuracy over KL"]
    return "\n".join(lines)
