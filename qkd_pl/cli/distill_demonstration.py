"""The demonstration of ``qkd-pl distill``: a teacher of quantum phases, with fewer qubits and with fewer layers."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from qkd_pl.checks import check_count
from qkd_pl.cli.distill_settings import Demonstration
from qkd_pl.cli.distill_training import train_and_save
from qkd_pl.datasets import Dataset, topological_phases
from qkd_pl.devices.registry import resolve_device
from qkd_pl.devices.spec import EXACT
from qkd_pl.networks.models import TrainedQAE, TrainedQNN
from qkd_pl.networks.networks import QAE, QNN
from qkd_pl.statistics import ARMS, format_arms, summarise_arms
from qkd_pl.training.losses import CrossEntropy, Distillation
from qkd_pl.training.schedules import Step

_FIRST_STUDENT_SEED = 1000  # so that no student shares its initial weights with a teacher candidate


def demonstrate(settings: Demonstration, out: Path) -> dict[str, Any]:
    """Train or resume everything, and save all models in ``<out>/models``.

    The arms of a seed share initial weights and batches: without a teacher, distilled, and by cross-entropy on scaled
    logits, the control that shows what a better loss alone would bring.

    Returns:
        JSON-able: settings, the teacher's test accuracy, the autoencoder's mean test fidelity, and for each student
        what :func:`qkd_pl.statistics.summarise_arms` says of its test accuracies.

    Raises:
        InvalidInputError: a setting is wrong.
        FileFormatError: the folder holds trainings with other settings.
    """
    check_count("seeds", settings.seeds)
    resolve_device(settings.device)  # an unknown name is refused before data are made
    models = out / "models"
    train, test = topological_phases(settings.n_qubits, settings.n_train, settings.n_test, settings.data_seed)
    teacher = _train_teacher(settings, train, models)
    autoencoder = _train_autoencoder(settings, train, models)
    small, thin = QNN(settings.student_qubits, settings.student_layers), QNN(settings.n_qubits, settings.thin_layers)
    compressed = [split._replace(inputs=autoencoder.compress(split.inputs, EXACT)) for split in (train, test)]
    accuracies = partial(_accuracies, settings, models, teacher.logits(train.inputs, EXACT))
    students = {
        "few_qubits": accuracies("few_qubits", small, *compressed),
        "few_layers": accuracies("few_layers", thin, train, test),
    }
    return {
        "settings": asdict(settings),
        "teacher": {"test_accuracy": teacher.score(*test, settings.device)},
        "autoencoder": {"test_fidelity": float(autoencoder.fidelity(test.inputs, EXACT).mean())},
        "students": {name: summarise_arms(arms) for name, arms in students.items()},
        "models": str(models),
    }


def _train_teacher(settings: Demonstration, train: Dataset, models: Path) -> TrainedQNN:
    """The best candidate by training accuracy."""
    candidates = [
        train_and_save(
            QNN(settings.n_qubits, settings.teacher_layers),
            train,
            models / f"teacher-{seed:02d}.safetensors",
            loss=CrossEntropy(settings.logit_scale),
            iterations=settings.iterations,
            learning_rate=Step(settings.learning_rate),
            device=settings.device,
            seed=seed,
        )
        for seed in range(settings.teacher_candidates)
    ]
    return max(candidates, key=lambda model: model.score(*train, settings.device))


def _train_autoencoder(settings: Demonstration, train: Dataset, models: Path) -> TrainedQAE:
    """The best candidate by training fidelity, which is also saved as ``autoencoder.safetensors``."""
    candidates = [
        train_and_save(
            QAE(settings.n_qubits, settings.student_qubits, settings.qae_layers),
            train,
            models / f"autoencoder-{seed:02d}.safetensors",
            iterations=settings.qae_iterations,
            batch_size=settings.qae_batch_size,
            learning_rate=Step(settings.qae_learning_rate, settings.qae_lr_decay, settings.qae_lr_step),
            device=settings.device,
            seed=seed,
        )
        for seed in range(settings.qae_candidates)
    ]
    best: TrainedQAE = max(candidates, key=lambda model: float(model.fidelity(train.inputs, EXACT).mean()))
    best.save(models / "autoencoder.safetensors")
    return best


def _accuracies(
    settings: Demonstration, models: Path, teacher_logits: Any, name: str, network: QNN, train: Dataset, test: Dataset
) -> dict[str, list[float]]:
    """Test accuracies of one student: arm → one for each seed."""
    losses = {
        "no_kd": CrossEntropy(logit_scale=1.0),
        "kd": Distillation(settings.temperature),
        "control": CrossEntropy(settings.logit_scale),
    }

    def accuracy(arm: str, seed: int) -> float:
        student = train_and_save(
            network,
            train,
            models / f"{name}-{arm}-{seed:02d}.safetensors",
            teacher=teacher_logits if arm == "kd" else None,
            loss=losses[arm],
            iterations=settings.iterations,
            learning_rate=Step(settings.learning_rate),
            device=settings.device,
            seed=_FIRST_STUDENT_SEED + seed,
        )
        return student.score(*test, settings.device)

    return {arm: [accuracy(arm, seed) for seed in range(settings.seeds)] for arm in ARMS}


def format_demonstration(report: Mapping[str, Any]) -> str:
    """The report as text: test accuracy, mean ± 95 % confidence interval over seeds."""
    settings = Demonstration(**report["settings"])
    names = {
        "few_qubits": f"{settings.student_qubits} qubits × {settings.student_layers} layers, autoencoder",
        "few_layers": f"{settings.n_qubits} qubits, layers: {settings.thin_layers}",
    }
    rows = {names[student]: arms for student, arms in report["students"].items()}
    return "\n".join(
        [
            f"teacher, {settings.n_qubits} qubits × {settings.teacher_layers} layers: test accuracy "
            f"{report['teacher']['test_accuracy']:.3f}; autoencoder: mean test fidelity "
            f"{report['autoencoder']['test_fidelity']:.3f}",
            "",
            *format_arms(f"test accuracy, {settings.seeds} seeds", rows),
            "",
            "A demonstration: ONE data set, teacher and autoencoder, so that the intervals say nothing about others.",
            "The README's table has 20 data sets, each with the best of 20 teachers and of 3 autoencoders.",
            f"The models are in {report['models']}.",
        ]
    )
