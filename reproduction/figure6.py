"""Figure 6 of the paper: all ten digits in the amplitudes of 10 qubits, a teacher and students of the same size."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qkd_pl.checks import check_count
from qkd_pl.errors import FileFormatError
from qkd_pl.networks.models import TrainedQNN
from qkd_pl.networks.networks import QNN
from qkd_pl.statistics import ARMS, estimate, format_arms, paired_difference, summarise_arms
from qkd_pl.training.callbacks import Accuracy
from reproduction.arms import by_student_and_arm, check_data, fit_and_save, load_data, student_units, values_of
from reproduction.candidates import TeacherKind, TeacherRecipe, prepare_teacher, stored_logits
from reproduction.depth import SPLITS, describe_teacher
from reproduction.results import Results
from reproduction.results_schema import Curve
from reproduction.sweep import run_units

_STUDENT = "student"
_ALL_IMAGES = 60_000


@dataclass(frozen=True, kw_only=True)
class Figure6Settings:
    """Figure 6: all ten digits in the amplitudes of 10 qubits, a teacher and students of the same size.

    The circuits have a CNOT ring and no closing rotations. After the teacher (about five minutes), a seed takes about
    seven minutes on two cores. Repeating the command resumes it, and adds seeds.

    Attributes:
        n_qubits: qubits of teacher and students.
        n_layers: layers of teacher and students.
        digits: the classes.
        n_train: only the first so many training images.
        n_test: only the first so many test images.
        epochs: epochs of teacher and students; one has as many iterations as there are whole batches of images.
        batch_size: images per iteration.
        learning_rate: Adam's step size, in radians.
        lr_decay: the step size is multiplied by this after each epoch.
        temperature: T of the KD loss, whose KL term is not multiplied by T².
        alpha: weight α of the teacher in the KD loss.
        logit_scale: logit scale s of the teacher and of the control arm.
        teacher: a QNN, or, as mlp, a classical network that sees the images of MNIST.
        teacher_candidates: QNNs trained as teachers, to choose the best from by training accuracy.
        teachers: so many of the best teachers are averaged.
        evaluations_per_epoch: how often the test accuracy is recorded.
        levels: accuracies; how soon each is reached is compared.
        device: device on which everything is trained, a name in devices.yaml.
    """

    n_qubits: int = 10
    n_layers: int = 4
    digits: tuple[int, ...] = tuple(range(10))
    n_train: int | None = None
    n_test: int | None = None
    epochs: int = 31
    batch_size: int = 64
    learning_rate: float = 0.03
    lr_decay: float = 0.9
    temperature: float = 1 / 30
    alpha: float = 0.5
    logit_scale: float = 30.0
    teacher: TeacherKind = "qnn"
    teacher_candidates: int = 1
    teachers: int = 1
    evaluations_per_epoch: int = 4
    levels: tuple[float, ...] = (0.4, 0.5, 0.6, 0.65, 0.7)
    device: str = "lightning"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "evaluations_per_epoch"):
            check_count(name, getattr(self, name))
        check_data(self.teacher_recipe.data)

    @property
    def iterations_per_epoch(self) -> int:
        """Whole batches in the training images."""
        return max(1, (self.n_train or _ALL_IMAGES) // self.batch_size)

    @property
    def student_trainer(self) -> dict[str, Any]:
        """Settings of the training that teacher and students share."""
        return {
            "iterations": self.epochs * self.iterations_per_epoch,
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
            "lr_step": self.iterations_per_epoch,
            "lr_decay": self.lr_decay,
            "temperature": self.temperature,
            "alpha": self.alpha,
            "scale_kl": "none",
            "device": self.device,
        }

    @property
    def network(self) -> dict[str, Any]:
        """Arguments of :class:`QNN`."""
        return {
            "n_qubits": self.n_qubits,
            "n_layers": self.n_layers,
            "n_classes": len(self.digits),
            "embedding": "amplitude",
            "entangler": "cnot",
            "closing_rotations": False,
        }

    @property
    def teacher_recipe(self) -> TeacherRecipe:
        """How the teacher is made."""
        data = {"digits": list(self.digits), "embedding": "amplitude", "n_components": self.n_qubits}
        return TeacherRecipe(
            kind=self.teacher,
            network=self.network,
            trainer={**self.student_trainer, "logit_scale": self.logit_scale},
            data={**data, "n_train": self.n_train, "n_test": self.n_test},
            candidates=self.teacher_candidates,
            chosen=self.teachers,
            temperature=self.temperature,
        )


def run_figure6(settings: Figure6Settings, seeds: int, results: Results, *, workers: int = 1) -> dict[str, Any]:
    """Run or resume the experiment.

    Returns:
        the summary: settings, teacher, final accuracies, test accuracy after so many epochs, and the number of
        iterations after which fixed accuracies were reached.
    """
    teacher = prepare_teacher(settings.teacher_recipe, results, workers)
    every = max(1, settings.iterations_per_epoch // settings.evaluations_per_epoch)
    units = student_units(
        train_student,
        {_STUDENT: {}},
        settings.student_trainer,
        settings.logit_scale,
        seeds,
        {"network": settings.network, "source": teacher.source, "every": every},
        needs=teacher.needs,
    )
    rows = run_units(units, results, workers=workers, title="students")
    if any(row["iterations"] != rows[0]["iterations"] for row in rows):
        raise FileFormatError(f"{results.file}: the students were not evaluated at the same iterations")
    runs = by_student_and_arm(rows, [_STUDENT], seeds)[_STUDENT]
    return {
        "settings": {**asdict(settings), "n_layers": settings.n_layers, "teacher_layers": settings.n_layers},
        "seeds": seeds,
        "teacher": teacher.summary,
        "final": {split: summarise_arms(values_of(runs, f"{split}_accuracy")) for split in SPLITS},
        "curves": curves(runs, settings.iterations_per_epoch),
        "iterations_to": {str(level): iterations_to(level, runs) for level in settings.levels},
    }


def train_student(
    *,
    network: dict,
    trainer: dict,
    distil: bool,
    source: dict,
    every: int,
    model: str,
    directory: Path,
) -> Curve:
    """Train one student in one arm, store its model, and return the test accuracy at points of its training."""
    train, test, pipeline = load_data(source["data"])
    student = fit_and_save(
        QNN(**network),
        trainer,
        train,
        directory / model,
        teacher=stored_logits(directory) if distil else None,
        pipeline=pipeline,
        callbacks=[Accuracy(*test, name="test_accuracy", every=every)],
    )
    assert isinstance(student, TrainedQNN)
    curve = [record for record in student.history if "test_accuracy" in record]
    return {
        "iterations": [record["iteration"] for record in curve],
        "curve": [record["test_accuracy"] for record in curve],
        "train_accuracy": student.score(*train, trainer["device"]),
        "test_accuracy": curve[-1]["test_accuracy"],
    }


def curves(runs: Mapping[str, Sequence[Mapping[str, Any]]], iterations_per_epoch: int) -> dict[str, Any]:
    """Test accuracy of each arm, and differences between them, at each point that was recorded."""
    iterations = runs["kd"][0]["iterations"]
    at = [{arm: [run["curve"][i] for run in runs[arm]] for arm in ARMS} for i in range(len(iterations))]
    points = [summarise_arms(accuracies) for accuracies in at]
    return {"epochs": [n / iterations_per_epoch for n in iterations], "points": points}


def iterations_to(level: float, runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Iterations until the test accuracy first was at least ``level``, for each arm.

    ``reached`` counts the runs that came that far. The mean, and the paired difference to the arm KD, are given only
    where all runs did: over the others alone they would be biased.
    """
    first = {arm: [_first_at(level, run) for run in results] for arm, results in runs.items()}
    summary: dict[str, Any] = {}
    for arm, values in first.items():
        reached = [value for value in values if value is not None]
        complete = len(reached) == len(values)
        summary[arm] = {"reached": len(reached), "iterations": estimate(reached).to_json() if complete else None}
    for other in ("no_kd", "control"):
        both = [value for arm in ("kd", other) for value in first[arm]]
        difference = None if None in both else paired_difference(first["kd"], first[other]).to_json()  # type: ignore[arg-type]
        summary[f"kd - {other}"] = difference
    return summary


def _first_at(level: float, run: Mapping[str, Any]) -> int | None:
    pairs = zip(run["iterations"], run["curve"], strict=True)
    return next((iteration for iteration, accuracy in pairs if accuracy >= level), None)


def format_figure6(summary: Mapping[str, Any]) -> str:
    """The summary as text: final accuracies, and iterations to reach the levels."""
    settings, seeds = summary["settings"], summary["seeds"]
    title = f"after {settings['epochs']} epochs, {seeds} seeds"
    lines = [describe_teacher(summary), ""]
    lines += format_arms(title, {f"{split} accuracy": summary["final"][split] for split in SPLITS}, width=28)
    lines += ["", f"{'iterations to test accuracy':<28}" + "".join(f"{arm:>17}" for arm in ARMS)]
    for level, arms in summary["iterations_to"].items():
        lines.append(f"{level:<28}" + "".join(f"{_iterations(arms[arm], seeds):>17}" for arm in ARMS))
    return "\n".join(lines)


def _iterations(arm: Mapping[str, Any], seeds: int) -> str:
    if arm["iterations"] is None:
        return f"{arm['reached']} of {seeds} runs"
    return f"{arm['iterations']['mean']:.0f}"
