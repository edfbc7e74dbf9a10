"""The teacher of an experiment: the best of several QNNs, averaged, or a classical network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from posixpath import join, normpath
from typing import Any, Literal, NamedTuple

import numpy as np
from sklearn.neural_network import MLPClassifier

from qkd_pl.datasets import mnist_images
from qkd_pl.errors import InvalidInputError
from qkd_pl.networks.models import TrainedQNN, load_model
from qkd_pl.networks.networks import QNN
from qkd_pl.storage import checked_tensor, read_tensors, write_tensors
from qkd_pl.teachers import ClassifierTeacher, Ensemble
from reproduction.arms import data_unit, fit_and_save, load_data, trainer_and_losses, training_unit
from reproduction.results import Results
from reproduction.results_schema import Accuracies
from reproduction.sweep import Unit, run_units

TeacherKind = Literal["qnn", "mlp"]
_LOGITS = "teacher_logits.safetensors"
_LOGITS_KIND = "teacher-logits"
_HIDDEN = 64  # units in the one hidden layer of the classical network


@dataclass(frozen=True)
class TeacherRecipe:
    """How an experiment's teacher is made.

    Attributes:
        kind: ``"qnn"``, or ``"mlp"`` for a classical network that sees the raw images of MNIST.
        network: of the QNNs, as arguments of :class:`QNN`.
        trainer: settings for the QNNs, as :func:`reproduction.arms.trainer_and_losses` takes them.
        data: what :func:`load_data` takes.
        candidates: how many QNNs are trained; the best ``chosen`` of them by training accuracy are averaged.
        chosen: see ``candidates``.
        temperature: T of the students' KD loss.
        candidates_in: folder, relative to the teacher's own, that holds the candidates; by default its own.
    """

    kind: TeacherKind
    network: Mapping[str, Any]
    trainer: Mapping[str, Any]
    data: Mapping[str, Any]
    candidates: int
    chosen: int
    temperature: float
    candidates_in: str | None = None

    def __post_init__(self) -> None:
        QNN(**self.network)
        check_training(self.trainer, self.candidates, self.chosen)


def check_training(trainer: Mapping[str, Any], candidates: int, chosen: int) -> None:
    """Refuse, before anything is trained, what would be refused or ignored later.

    Raises:
        InvalidInputError: a setting of the trainer is wrong, or more teachers are asked for than are trained.
    """
    trainer_and_losses(trainer)
    if not 1 <= chosen <= candidates:
        raise InvalidInputError(f"teachers={chosen}: must be 1 to {candidates}, the number of teacher candidates")


class Teacher(NamedTuple):
    """The teacher of an experiment.

    Attributes:
        source: JSON-able; what the results of its students depend on.
        summary: ``source`` with the teacher's accuracies.
        data: the unit that makes the data.
        logits: the unit that stores the teacher's logits of the training data.
    """

    source: dict[str, Any]
    summary: dict[str, Any]
    data: Unit
    logits: Unit

    def needs(self, student: str, arm: str) -> tuple[Unit, ...]:
        """What the training of a student reads: without distillation, the data alone."""
        return (self.data, self.logits) if arm == "kd" else (self.data,)


def prepare_teacher(recipe: TeacherRecipe, results: Results, workers: int, folder: str = "") -> Teacher:
    """Make the data and the teacher, unless their results are there."""
    data = data_unit(recipe.data, folder)
    run_units([data], results, title="data")
    if recipe.kind == "mlp":
        source = {"kind": "mlp", "data": dict(recipe.data), "temperature": recipe.temperature}
        arguments = {"data": recipe.data, "temperature": recipe.temperature}
        unit = Unit("teacher", train_mlp, arguments, folder, artifact=_LOGITS, needs=(data,))
    else:
        trained_in = normpath(join(folder, recipe.candidates_in)) if recipe.candidates_in else folder
        units = teacher_units(recipe.network, recipe.trainer, recipe.data, recipe.candidates, trained_in, (data,))
        best = best_candidates(run_units(units, results, workers=workers, title="teachers"), recipe.chosen)
        source = {"kind": "qnn", "data": dict(recipe.data), "chosen": best}
        arguments = {"data": recipe.data, "chosen": best}
        arguments |= {} if recipe.candidates_in is None else {"candidates_in": recipe.candidates_in}
        needs = (data, *(units[seed] for seed in best))
        unit = Unit("teacher", average_teachers, arguments, folder, artifact=_LOGITS, needs=needs)
    (result,) = run_units([unit], results, title="teacher's logits")
    return Teacher(source, {**source, **result}, data, unit)


def stored_logits(directory: Path) -> np.ndarray:
    """What the unit ``Teacher.logits`` stored in its folder: logits of the training data, shape ``(n, K)``."""
    path = directory / _LOGITS
    return checked_tensor(read_tensors(path, _LOGITS_KIND)[0], "teacher_logits", None, path)


def teacher_model(seed: int) -> str:
    """File of a teacher candidate, in the experiment's directory."""
    return f"models/teacher-{seed:02d}.safetensors"


def teacher_units(
    network: Mapping[str, Any],
    trainer: Mapping[str, Any],
    data: Mapping[str, Any],
    candidates: int,
    folder: str = "",
    needs: tuple[Unit, ...] = (),
) -> list[Unit]:
    """One unit per candidate, which differ in the seed alone."""
    return [
        training_unit(
            f"teachers/{seed:02d}",
            train_teacher,
            {"network": network, "trainer": {**trainer, "seed": seed}, "data": data, "model": teacher_model(seed)},
            folder,
            needs,
        )
        for seed in range(candidates)
    ]


def best_candidates(results: Sequence[Mapping[str, Any]], count: int) -> list[int]:
    """Seeds of the candidates of largest training accuracy, the best first."""
    return sorted(range(len(results)), key=lambda seed: -results[seed]["train_accuracy"])[:count]


def train_teacher(*, network: dict, trainer: dict, data: dict, model: str, directory: Path) -> Accuracies:
    """Train one teacher candidate by scaled cross-entropy and store its model."""
    train, test, pipeline = load_data(data)
    teacher = fit_and_save(QNN(**network), trainer, train, directory / model, pipeline=pipeline)
    assert isinstance(teacher, TrainedQNN)
    device = trainer["device"]
    return {"train_accuracy": teacher.score(*train, device), "test_accuracy": teacher.score(*test, device)}


def load_teachers(chosen: Sequence[int], directory: Path) -> Ensemble:
    """The chosen candidates as one teacher, for inputs in the form of their embedding."""
    models = [load_model(directory / teacher_model(seed)) for seed in chosen]
    return Ensemble([model.with_preprocessing(None) for model in models if isinstance(model, TrainedQNN)])


def average_teachers(*, data: dict, chosen: list[int], directory: Path, candidates_in: str | None = None) -> Accuracies:
    """Store the averaged logits of the chosen candidates for the training data."""
    train, test, _ = load_data(data)
    teacher = load_teachers(chosen, directory / (candidates_in or ""))
    return _store(teacher.logits(train.inputs), teacher.logits(test.inputs), train.labels, test.labels, directory)


def train_mlp(*, data: dict, temperature: float, directory: Path) -> Accuracies:
    """Train a classical network with one hidden layer on the raw images, and store its logits for the training data.

    Its log-probabilities are multiplied by the temperature T: then softmax(logits / T), which the KD loss asks of the
    student, are the probabilities that the network gives.
    """
    train, test = mnist_images(data["digits"], n_train=data["n_train"], n_test=data["n_test"])
    pixels = [split.inputs.reshape(len(split.inputs), -1) / 255.0 for split in (train, test)]
    # A part of the images is held out to stop on: a network that knows all labels by heart has nothing else to tell.
    network = MLPClassifier((_HIDDEN,), early_stopping=True, random_state=0).fit(pixels[0], train.labels)
    teacher = ClassifierTeacher(network)
    logits = [temperature * teacher.logits(split) for split in pixels]
    return _store(logits[0], logits[1], train.labels, test.labels, directory)


def _store(
    train: np.ndarray, test: np.ndarray, train_labels: np.ndarray, test_labels: np.ndarray, directory: Path
) -> Accuracies:
    write_tensors(directory / _LOGITS, _LOGITS_KIND, {"teacher_logits": train}, {})
    return {
        "train_accuracy": float(np.mean(train.argmax(axis=1) == train_labels)),
        "test_accuracy": float(np.mean(test.argmax(axis=1) == test_labels)),
    }
