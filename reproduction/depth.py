"""Accuracy of students against their number of layers: what Figures 4 and 5 of the paper have in common."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qkd_pl.errors import InvalidInputError
from qkd_pl.networks.models import TrainedQNN
from qkd_pl.networks.networks import QNN
from qkd_pl.statistics import format_arms, summarise_arms
from reproduction.arms import by_student_and_arm, check_data, fit_and_save, load_data, student_units, values_of
from reproduction.candidates import TeacherKind, TeacherRecipe, prepare_teacher, stored_logits
from reproduction.results import Results
from reproduction.results_schema import Accuracies
from reproduction.sweep import run_units

SPLITS = ("train", "test")


@dataclass(frozen=True, kw_only=True)
class DepthSettings(ABC):
    """Everything that the result depends on, except the data and the number of seeds.

    Attributes:
        n_qubits: qubits of teacher and students.
        teacher: a QNN, or, as mlp, a classical network that sees the images of MNIST.
        teacher_layers: layers of a QNN as the teacher.
        teacher_candidates: QNNs trained as teachers, to choose the best from by training accuracy.
        teachers: so many of the best teachers are averaged.
        teacher_iterations: iterations of each teacher candidate.
        student_layers: depths of the students.
        iterations: iterations of the students.
        learning_rate: Adam's step size, in radians.
        temperature: T of the KD loss.
        logit_scale: logit scale s of the teacher and of the control arm.
        device: device on which everything is trained, a name in devices.yaml.
    """

    n_qubits: int = 15
    teacher: TeacherKind = "qnn"
    teacher_layers: int = 10
    teacher_candidates: int = 3
    teachers: int = 1
    teacher_iterations: int
    student_layers: tuple[int, ...]
    iterations: int
    learning_rate: float
    temperature: float
    logit_scale: float = 10.0
    device: str = "lightning"

    def __post_init__(self) -> None:
        for n_layers in self.student_layers:
            QNN(**self.network(n_layers))
        if not self.student_layers or len(set(self.student_layers)) < len(self.student_layers):
            raise InvalidInputError(f"student_layers={self.student_layers}: must be different depths, at least one")
        check_data(self.data)
        _ = self.teacher_recipe  # refuses what no teacher can have

    @property
    @abstractmethod
    def data(self) -> dict[str, Any]:
        """The data, as :func:`reproduction.arms.load_data` takes them."""

    @property
    @abstractmethod
    def embedding(self) -> str:
        """The embedding of the data."""

    def network(self, n_layers: int) -> dict[str, Any]:
        """Arguments of :class:`QNN` for a network of this depth."""
        return {"n_qubits": self.n_qubits, "n_layers": n_layers, "embedding": self.embedding}

    @property
    def trainer(self) -> dict[str, Any]:
        """Settings of the training that all networks share."""
        return {"learning_rate": self.learning_rate, "temperature": self.temperature, "device": self.device}

    @property
    def student_trainer(self) -> dict[str, Any]:
        """Settings of the training for the students."""
        return {**self.trainer, "iterations": self.iterations}

    @property
    def teacher_recipe(self) -> TeacherRecipe:
        """How the teacher is made."""
        trainer = {**self.trainer, "iterations": self.teacher_iterations, "logit_scale": self.logit_scale}
        return TeacherRecipe(
            kind=self.teacher,
            network=self.network(self.teacher_layers),
            trainer=trainer,
            data=self.data,
            candidates=self.teacher_candidates,
            chosen=self.teachers,
            temperature=self.temperature,
        )


def run_depth(settings: DepthSettings, seeds: int, results: Results, *, workers: int = 1) -> dict[str, Any]:
    """Run or resume the experiment.

    Returns:
        the summary: settings, teacher, and for each depth and split the arms' estimates and paired differences.
    """
    teacher = prepare_teacher(settings.teacher_recipe, results, workers)
    students = {f"{layers:02d}-layers": {"network": settings.network(layers)} for layers in settings.student_layers}
    units = student_units(
        train_student,
        students,
        settings.student_trainer,
        settings.logit_scale,
        seeds,
        {"source": teacher.source},
        needs=teacher.needs,
    )
    runs = by_student_and_arm(run_units(units, results, workers=workers, title="students"), list(students), seeds)
    return {
        "settings": {**asdict(settings), "data": settings.data},
        "seeds": seeds,
        "teacher": teacher.summary,
        "students": {
            str(layers): {split: summarise_arms(values_of(arms, f"{split}_accuracy")) for split in SPLITS}
            for layers, arms in zip(settings.student_layers, runs.values(), strict=True)
        },
    }


def train_student(
    *, network: dict, trainer: dict, distil: bool, source: dict, model: str, directory: Path
) -> Accuracies:
    """Train one student in one arm and store its model."""
    train, test, pipeline = load_data(source["data"])
    teacher = stored_logits(directory) if distil else None
    path = directory / model
    student = fit_and_save(QNN(**network), trainer, train, path, teacher=teacher, pipeline=pipeline)
    assert isinstance(student, TrainedQNN)
    device = trainer["device"]
    return {"train_accuracy": student.score(*train, device), "test_accuracy": student.score(*test, device)}


def format_depth(summary: Mapping[str, Any]) -> str:
    """The summary as text: mean ± 95 % confidence interval of each arm at each depth."""
    rows = {
        split: {
            f"{layers} layers": summary["students"][layers][split] for layers in sorted(summary["students"], key=int)
        }
        for split in SPLITS
    }
    blocks = [format_arms(f"{split} accuracy, {summary['seeds']} seeds", rows[split], width=24) for split in SPLITS]
    return "\n".join([describe_teacher(summary), *(line for block in blocks for line in ("", *block))])


def describe_teacher(summary: Mapping[str, Any]) -> str:
    """The teacher in one line."""
    teacher, settings = summary["teacher"], summary["settings"]
    accuracies = f"train accuracy {teacher['train_accuracy']:.4f}, test accuracy {teacher['test_accuracy']:.4f}"
    if teacher["kind"] == "mlp":
        return f"teacher, a classical network on the images: {accuracies}"
    chosen = f"best {len(teacher['chosen'])} of {settings['teacher_candidates']}"
    size = f"{settings['n_qubits']} qubits × {settings['teacher_layers']} layers"
    return f"teacher, {size}: {accuracies} ({chosen})"
