"""What ``qkd-pl distill`` can be told, with all defaults; imports nothing heavy, because ``--help`` shows them."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Demonstration:
    """The README's first table in small: one data set, one teacher and one autoencoder, few seeds.

    Attributes:
        seeds: runs of each arm of each student.
        device: name in ``devices.yaml`` of the device that everything is trained on.
        n_qubits, teacher_layers: the teacher, the best by training accuracy of ``teacher_candidates``.
        student_qubits, student_layers: student (1), behind an autoencoder of ``qae_layers``, the best by
            training fidelity of ``qae_candidates``.
        thin_layers: layers of student (2), which has the teacher's qubits.
        n_train, n_test, data_seed: the ground states.
        iterations, learning_rate: training of teachers and students.
        temperature: T of the KD loss.
        logit_scale: s of the teachers and of the control arm.
        qae_batch_size, qae_iterations, qae_learning_rate, qae_lr_step, qae_lr_decay: training of the autoencoder.
    """

    seeds: int = 5
    device: str = "lightning"
    n_qubits: int = 7
    teacher_layers: int = 2
    teacher_candidates: int = 5
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
    qae_layers: int = 12
    qae_candidates: int = 2
    qae_batch_size: int = 16
    qae_iterations: int = 600
    qae_learning_rate: float = 0.1
    qae_lr_step: int = 100
    qae_lr_decay: float = 0.8


@dataclass(frozen=True, kw_only=True)
class OwnDistillation:
    """One student of the user's own data and teacher.

    Attributes:
        data: ``.npz`` file with ``inputs`` ``(n, …)`` and, if there are any, class indices ``labels`` ``(n,)``.
        teacher: a saved QNN, or an ``.npy`` file with its outputs ``(n, K)`` for all inputs.
        qubits, embedding: of the student; None for those of the teacher, or what the inputs allow.
        layers: of the student.
        topology: of its entanglers, ``ring`` or ``line``; a line needs no gate between far qubits of a device.
        iterations, learning_rate, batch_size: training.
        temperature, alpha: T and α of the KD loss; T is None for 0.5, or 1/30 if the teacher gives log-probabilities;
            below α = 1 it needs labels.
        logit_scale: s of the cross-entropy.
        test_fraction: part of the samples, from 0 to 1, that is held out for the scores.
        seed: of the split, the initial weights and the batches.
        device: name in ``devices.yaml``.
    """

    data: Path
    teacher: Path
    qubits: int | None = None
    layers: int = 1
    embedding: str | None = None
    topology: str = "ring"
    iterations: int = 50
    learning_rate: float = 0.3
    batch_size: int = 64
    temperature: float | None = None
    alpha: float = 1.0
    logit_scale: float = 30.0
    test_fraction: float = 0.2
    seed: int = 0
    device: str = "lightning"
