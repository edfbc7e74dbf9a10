"""Table 1 of the paper: a 7-qubit teacher distilled into fewer qubits, behind a QAE, and into fewer layers.

Student (1) has 2 qubits and sees the teacher's inputs through a quantum autoencoder; student (2) has as many qubits as
the teacher and one layer. Either is trained in three arms from the same initial weights on the same batches: without a
teacher, distilled, and with scaled cross-entropy as the control that shows what a better loss alone would bring.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from qkd_pl.networks.models import TrainedQAE, TrainedQNN, load_model
from qkd_pl.networks.networks import QAE, QNN
from qkd_pl.statistics import format_arms, summarise_arms
from qkd_pl.storage import checked_tensor, read_tensors, write_tensors
from reproduction.arms import by_student_and_arm, fit_and_save, load_data, student_units, training_unit, values_of
from reproduction.candidates import best_candidates, check_training, load_teachers, teacher_units
from reproduction.results import Results
from reproduction.results_schema import Accuracies, Fidelities, TeacherAccuracy
from reproduction.sweep import Unit, run_units

STUDENTS = ("few_qubits", "few_layers")
_PREPARED = "prepared.safetensors"
_PREPARED_KIND = "table1-inputs"
_TENSORS = ("teacher_logits", "train_real", "train_imag", "test_real", "test_imag")


@dataclass(frozen=True, kw_only=True)
class Table1Settings:
    """Everything that the result depends on, except the number of seeds.

    Attributes:
        n_qubits: qubits of the teacher and of student (2).
        teacher_layers: layers of the teacher.
        student_qubits: qubits of student (1), behind the autoencoder.
        student_layers: layers of student (1).
        thin_layers: layers of student (2).
        n_train: training states.
        n_test: test states.
        data_seed: seed of the fields of the states.
        iterations: iterations of the students.
        learning_rate: Adam's step size for teachers and students, in radians.
        temperature: T of the KD loss.
        logit_scale: logit scale s of the teachers and of the control arm.
        teacher_iterations: iterations of each teacher candidate.
        teacher_candidates: teachers trained, to choose the best from by training accuracy.
        teachers: so many of the best teachers are averaged.
        qae_layers: layers of the autoencoder.
        qae_batch_size: samples per update of the autoencoder.
        qae_iterations: iterations of the autoencoder.
        qae_learning_rate: Adam's step size for the autoencoder, in radians.
        qae_lr_step: after so many iterations that step size is multiplied by the next option.
        qae_lr_decay: see the option before.
        qae_candidates: autoencoders trained, to choose the best from by training fidelity.
        device: device on which everything is trained, a name in devices.yaml.
    """

    n_qubits: int = 7
    teacher_layers: int = 2
    student_qubits: int = 2
    student_layers: int = 2
    thin_layers: int = 1
    n_train: int = 500
    n_test: int = 500
    data_seed: int = 0
    iterations: int = 50
    learning_rate: float = 0.3
    temperature: float = 0.5
    logit_scale: float = 30.0
    teacher_iterations: int = 50
    teacher_candidates: int = 20
    teachers: int = 1
    qae_layers: int = 12
    qae_iterations: int = 600
    qae_batch_size: int = 16
    qae_learning_rate: float = 0.1
    qae_lr_step: int = 100
    qae_lr_decay: float = 0.8
    qae_candidates: int = 3
    device: str = "lightning"

    def __post_init__(self) -> None:
        QAE(self.n_qubits, self.student_qubits, self.qae_layers)
        for n_layers in (self.teacher_layers, self.thin_layers):
            QNN(self.n_qubits, n_layers)
        QNN(self.student_qubits, self.student_layers)
        trainer = {key: getattr(self, key) for key in ("iterations", "learning_rate", "temperature", "logit_scale")}
        check_training(trainer, self.teacher_candidates, self.teachers)


def run_table1(
    settings: Table1Settings, seeds: int, results: Results, *, workers: int = 1, folder: str = ""
) -> dict[str, Any]:
    """Run or resume the experiment.

    Args:
        settings: of the experiment.
        seeds: number of runs of each arm of each student.
        results: what has been computed, and what is.
        workers: number of processes.
        folder: of the units, relative to that of the results.

    Returns:
        the summary: teacher and autoencoder, and for each student the arms' estimates and paired differences.
    """
    run = partial(run_units, results=results, workers=workers)
    data = {key: getattr(settings, key) for key in ("n_qubits", "n_train", "n_test", "data_seed")}
    teacher_candidates, qae_candidates = _teacher_units(settings, data, folder), _qae_units(settings, data, folder)
    teachers = run(teacher_candidates, title="teachers")
    qaes = run(qae_candidates, title="autoencoders")
    best = best_candidates(teachers, settings.teachers)
    qae = max(range(len(qaes)), key=lambda seed: qaes[seed]["train_fidelity"])
    needs = (*(teacher_candidates[seed] for seed in best), qae_candidates[qae])
    preparation = _preparation({"data": data, "teachers": best, "qae": qae, "device": settings.device}, folder, needs)
    (prepared,) = run([preparation], title="compressed inputs")
    runs = run(
        _student_units(settings, seeds, {"data": data, "teachers": best, "qae": qae}, preparation), title="students"
    )
    by_student = by_student_and_arm(runs, STUDENTS, seeds)
    return {
        "settings": asdict(settings),
        "seeds": seeds,
        "teacher": {"test_accuracy": prepared["teacher_test_accuracy"], "chosen": best},
        "autoencoder": {**qaes[qae], "chosen": qae},
        "students": {student: summarise_arms(values_of(by_student[student], "test_accuracy")) for student in STUDENTS},
    }


def format_table1(summary: Mapping[str, Any]) -> str:
    """The summary as text, in the form of the paper's Table 1: test accuracy, mean ± 95 % confidence interval."""
    settings, teacher, qae = summary["settings"], summary["teacher"], summary["autoencoder"]
    lines = [
        f"teacher, {settings['n_qubits']} qubits × {settings['teacher_layers']} layers: "
        f"test accuracy {teacher['test_accuracy']:.3f} ({len(teacher['chosen'])} of {settings['teacher_candidates']})",
        f"autoencoder, {settings['n_qubits']} → {settings['student_qubits']} qubits: mean test fidelity "
        f"{qae['test_fidelity']:.3f}; no subspace of that size allows more than {qae['best_subspace_weight']:.5f}",
        "",
    ]
    names = student_names(settings)
    rows = {names[student]: arms for student, arms in summary["students"].items()}
    return "\n".join([*lines, *format_arms(f"test accuracy, {summary['seeds']} seeds", rows)])


def student_names(settings: Mapping[str, Any]) -> dict[str, str]:
    """The students as the paper numbers them, with their sizes."""
    return {
        "few_qubits": f"student (1), {settings['student_qubits']} qubits × {settings['student_layers']} layers, QAE",
        "few_layers": f"student (2), {settings['n_qubits']} qubits × {settings['thin_layers']} layers",
    }


def train_autoencoder(*, network: dict, trainer: dict, data: dict, model: str, directory: Path) -> Fidelities:
    """Train one autoencoder by fidelity, store its model, and report what any subspace of its size would allow."""
    train, test, _ = load_data(data)
    qae = fit_and_save(QAE(**network), trainer, train, directory / model)
    assert isinstance(qae, TrainedQAE)
    return {
        "train_fidelity": float(qae.fidelity(train.inputs, trainer["device"]).mean()),
        "test_fidelity": float(qae.fidelity(test.inputs, trainer["device"]).mean()),
        "best_subspace_weight": best_subspace_weight(test.inputs, 2 ** network["n_latent"]),
    }


def best_subspace_weight(states: np.ndarray, dimension: int) -> float:
    """Largest mean weight of states in any subspace of a dimension: no autoencoder's mean fidelity on them exceeds it.

    Decoding gives states within the image of A ⊗ |0⟩ under U†, a subspace of that dimension, so that the fidelity of a
    state is at most its weight in it; the principal subspace holds the most, the largest squared singular values.
    """
    singular_values = np.linalg.svd(states, compute_uv=False)
    return float((singular_values[:dimension] ** 2).sum() / len(states))


def prepare_students(*, data: dict, teachers: list[int], qae: int, device: str, directory: Path) -> TeacherAccuracy:
    """Store what all students need: the averaged teachers' logits and the compressed inputs."""
    train, test, _ = load_data(data)
    teacher = load_teachers(teachers, directory)
    autoencoder = load_model(directory / _qae_model(qae))
    assert isinstance(autoencoder, TrainedQAE)
    tensors = {"teacher_logits": teacher.logits(train.inputs)}
    for split, inputs in (("train", train.inputs), ("test", test.inputs)):
        compressed = autoencoder.compress(inputs, device)
        tensors |= {f"{split}_real": compressed.real, f"{split}_imag": compressed.imag}
    write_tensors(directory / _PREPARED, _PREPARED_KIND, tensors, {"teachers": teachers, "qae": qae})
    accuracy = np.mean(teacher.logits(test.inputs).argmax(axis=1) == test.labels)
    return {"teacher_test_accuracy": float(accuracy)}


def train_student(
    *, network: dict, trainer: dict, compressed: bool, distil: bool, sources: dict, model: str, directory: Path
) -> Accuracies:
    """Train one student in one arm and store its model."""
    train, test, _ = load_data(sources["data"])
    path = directory / _PREPARED
    stored = read_tensors(path, _PREPARED_KIND)[0] if compressed or distil else {}
    tensors = {name: checked_tensor(stored, name, None, path) for name in _TENSORS} if stored else {}
    if compressed:
        train, test = (
            split._replace(inputs=tensors[f"{name}_real"] + 1j * tensors[f"{name}_imag"])
            for name, split in (("train", train), ("test", test))
        )
    teacher = tensors["teacher_logits"] if distil else None
    student = fit_and_save(QNN(**network), trainer, train, directory / model, teacher=teacher)
    assert isinstance(student, TrainedQNN)
    device = trainer["device"]
    return {"train_accuracy": student.score(*train, device), "test_accuracy": student.score(*test, device)}


def _qae_model(seed: int) -> str:
    return f"models/autoencoder-{seed:02d}.safetensors"


def _teacher_units(settings: Table1Settings, data: dict, folder: str) -> list[Unit]:
    network = {"n_qubits": settings.n_qubits, "n_layers": settings.teacher_layers}
    trainer = {
        "iterations": settings.teacher_iterations,
        "learning_rate": settings.learning_rate,
        "logit_scale": settings.logit_scale,
        "device": settings.device,
    }
    return teacher_units(network, trainer, data, settings.teacher_candidates, folder)


def _qae_units(settings: Table1Settings, data: dict, folder: str) -> list[Unit]:
    network = {
        "n_qubits": settings.n_qubits,
        "n_latent": settings.student_qubits,
        "n_layers": settings.qae_layers,
    }
    trainer = {
        "iterations": settings.qae_iterations,
        "batch_size": settings.qae_batch_size,
        "learning_rate": settings.qae_learning_rate,
        "lr_step": settings.qae_lr_step,
        "lr_decay": settings.qae_lr_decay,
        "device": settings.device,
    }
    return [
        training_unit(
            f"autoencoders/{seed:02d}",
            train_autoencoder,
            {"network": network, "trainer": {**trainer, "seed": seed}, "data": data, "model": _qae_model(seed)},
            folder,
        )
        for seed in range(settings.qae_candidates)
    ]


def _preparation(arguments: dict, folder: str, needs: tuple[Unit, ...]) -> Unit:
    return Unit("prepared", prepare_students, arguments, folder, artifact=_PREPARED, needs=needs)


def _student_units(settings: Table1Settings, seeds: int, sources: dict, preparation: Unit) -> list[Unit]:
    few_qubits = {"n_qubits": settings.student_qubits, "n_layers": settings.student_layers}
    few_layers = {"n_qubits": settings.n_qubits, "n_layers": settings.thin_layers}
    students = {
        "few_qubits": {"network": few_qubits, "compressed": True},
        "few_layers": {"network": few_layers, "compressed": False},
    }
    trainer = {
        "iterations": settings.iterations,
        "learning_rate": settings.learning_rate,
        "temperature": settings.temperature,
        "device": settings.device,
    }

    def needs(student: str, arm: str) -> tuple[Unit, ...]:
        return (preparation,) if students[student]["compressed"] or arm == "kd" else ()

    common = {"sources": sources}
    scale = settings.logit_scale
    return student_units(train_student, students, trainer, scale, seeds, common, preparation.folder, needs)
