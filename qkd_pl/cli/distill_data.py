"""``qkd-pl distill --data FILE --teacher FILE``: one student of the user's own data and teacher."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, log2
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from qkd_pl.checks import check_choice, check_number, checked_labels
from qkd_pl.circuits.embeddings import EMBEDDINGS
from qkd_pl.cli.data_files import read_array, read_samples
from qkd_pl.cli.distill_settings import OwnDistillation
from qkd_pl.cli.distill_training import train_and_save
from qkd_pl.devices.registry import resolve_device
from qkd_pl.devices.spec import EXACT
from qkd_pl.errors import InvalidInputError
from qkd_pl.networks.models import TrainedQNN, load_model
from qkd_pl.networks.networks import QNN
from qkd_pl.teachers import teacher_logits
from qkd_pl.training.losses import Distillation
from qkd_pl.training.schedules import Step


@dataclass(frozen=True, eq=False)
class _Samples:
    """What the student learns from, n samples.

    Attributes:
        inputs: in the form of the student's embedding.
        labels: ``(n,)`` int64, or None.
        teacher: its outputs, ``(n, K)`` float64.
    """

    inputs: np.ndarray
    labels: np.ndarray | None
    teacher: np.ndarray

    def take(self, indices: np.ndarray) -> "_Samples":
        labels = None if self.labels is None else self.labels[indices]
        return _Samples(self.inputs[indices], labels, self.teacher[indices])


def distil_own(settings: OwnDistillation, out: Path) -> dict[str, Any]:
    """Train or resume a student, and save it as ``<out>/models/student.safetensors``.

    A teacher with preprocessing, of images for example, passes it on: the saved student takes the same inputs.

    Returns:
        JSON-able: the student's network, where it is, and for the training and the held-out samples their number, how
        often student and teacher predict the same class, and, where there are labels, the accuracies of both.

    Raises:
        FileNotFoundError, FileFormatError: a file is missing, or not what it should be.
        InvalidInputError: data, teacher and settings do not fit together; the message names what does not.
    """
    check_number("test_fraction", settings.test_fraction, 0, 1)
    check_number("learning_rate", settings.learning_rate, 0, above=True)
    resolve_device(settings.device)  # an unknown name is refused before anything is computed
    network, preprocessing, samples = _prepare(settings)
    train, test = _split(samples, settings)
    path = out / "models" / "student.safetensors"
    loss = Distillation(settings.temperature, settings.alpha, settings.logit_scale)
    student = train_and_save(
        network,
        (train.inputs, train.labels),
        path,
        teacher=train.teacher,
        preprocessing=preprocessing,
        loss=loss,
        iterations=settings.iterations,
        learning_rate=Step(settings.learning_rate),
        batch_size=settings.batch_size,
        device=settings.device,
        seed=settings.seed,
    )
    return {
        "data": str(settings.data),
        "teacher": str(settings.teacher),
        "student": {
            "n_qubits": network.n_qubits,
            "n_layers": network.n_layers,
            "embedding": network.embedding,
            "topology": settings.topology,
        },
        "model": str(path),
        "scores": {
            name: _scores(student, split, settings.device) for name, split in (("train", train), ("test", test))
        },
    }


def _prepare(settings: OwnDistillation) -> tuple[QNN, Pipeline | None, _Samples]:
    inputs, labels = read_samples(settings.data)
    preprocessing, embedding, qubits = None, settings.embedding, settings.qubits
    if settings.teacher.suffix == ".npy":
        outputs = read_array(settings.teacher)
        if outputs.ndim != 2:
            raise InvalidInputError(f"{settings.teacher}: has shape {outputs.shape}; expected outputs (n, K)")
        n_classes = outputs.shape[1]
    else:
        teacher = load_model(settings.teacher)
        if not isinstance(teacher, TrainedQNN):
            raise InvalidInputError(f"{settings.teacher}: is an autoencoder; a teacher must be a classifier")
        n_classes, preprocessing = teacher.n_classes, teacher.preprocessing
        embedding = embedding or getattr(teacher.network, "embedding", None)
        qubits = qubits or len(teacher.network.wires)
        outputs = teacher.logits(inputs, EXACT)
        inputs = inputs if preprocessing is None else preprocessing.transform(inputs)
    outputs = teacher_logits(outputs, inputs, n_classes)
    embedding = _embedding(embedding, inputs)
    network = QNN(
        qubits or _qubits(embedding, inputs), settings.layers, n_classes, embedding, topology=settings.topology
    )
    network.encode(inputs)  # refuses what the student cannot take
    if labels is not None:
        labels = checked_labels(labels, len(inputs), n_classes)
    elif settings.alpha < 1:
        raise InvalidInputError(f"alpha={settings.alpha}: below 1 the loss needs labels; {settings.data} has none")
    return network, preprocessing, _Samples(inputs, labels, outputs)


def _embedding(name: str | None, inputs: np.ndarray) -> str:
    if name is None and (np.iscomplexobj(inputs) or inputs.ndim == 3):
        return "state"
    if name is None:
        raise InvalidInputError(f"embedding: cannot be told from real inputs; give one of {', '.join(EMBEDDINGS)}")
    check_choice("embedding", name, EMBEDDINGS)
    return name


def _qubits(embedding: str, inputs: np.ndarray) -> int:
    """The fewest qubits that take the inputs."""
    features = inputs.shape[1]
    return max(1, ceil(log2(features))) if embedding in ("state", "amplitude") else features


def _split(samples: _Samples, settings: OwnDistillation) -> tuple[_Samples, _Samples]:
    n_samples = len(samples.inputs)
    n_test = round(settings.test_fraction * n_samples)
    if not 0 < n_test < n_samples:
        raise InvalidInputError(
            f"test_fraction={settings.test_fraction}: of {n_samples} samples {n_test} would be held out; at least one "
            "must be, and one be left for training"
        )
    order = np.random.default_rng(settings.seed).permutation(n_samples)
    return samples.take(order[n_test:]), samples.take(order[:n_test])


def _scores(student: TrainedQNN, samples: _Samples, device: str) -> dict[str, Any]:
    predicted, taught = student.predict(samples.inputs, device), samples.teacher.argmax(axis=1)
    scores = {"samples": len(predicted), "agreement": float(np.mean(predicted == taught))}
    if samples.labels is not None:
        scores["student_accuracy"] = float(np.mean(predicted == samples.labels))
        scores["teacher_accuracy"] = float(np.mean(taught == samples.labels))
    return scores


def format_own(report: Mapping[str, Any]) -> str:
    """The report as text."""
    student, scores = report["student"], report["scores"]
    rows = {
        "agreement with the teacher": "agreement",
        "accuracy of the student": "student_accuracy",
        "accuracy of the teacher": "teacher_accuracy",
    }
    return "\n".join(
        [
            f"student: qubits {student['n_qubits']}, layers {student['n_layers']}, embedding {student['embedding']}",
            "",
            f"{'':<28}{'training':>10}{'held out':>10}",
            f"{'samples':<28}{scores['train']['samples']:>10}{scores['test']['samples']:>10}",
            *(
                f"{title:<28}{scores['train'][key]:>10.4f}{scores['test'][key]:>10.4f}"
                for title, key in rows.items()
                if key in scores["test"]
            ),
            "",
            f"model: {report['model']}",
        ]
    )
