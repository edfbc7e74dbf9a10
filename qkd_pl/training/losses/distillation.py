"""Losses that compare a student's logits with a teacher's (Eq. 7)."""

from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import numpy as np
from scipy.special import logsumexp, softmax

from qkd_pl.checks import check_choice, check_number
from qkd_pl.errors import InvalidInputError
from qkd_pl.training.losses.base import Loss, ValueAndCotangent
from qkd_pl.training.losses.classification import check_labelled, cross_entropy
from qkd_pl.training.losses.divergences import RowsAndGradients, huber_rows, kl_rows, squared_rows
from qkd_pl.training.losses.standardisation import (
    Standardise,
    Statistics,
    are_log_probabilities,
    check_standardise,
    measure,
)
from qkd_pl.training.losses.targets import Targets, weighted_mean
from qkd_pl.training.schedules import Schedule, check_schedule, value_at

_TEMPERATURE = (0.0, float("inf"), True)
#: Default temperatures, from our runs: for a teacher's expectation values, and for log-probabilities, whose softmax is
#: so sharp that a student must have its own logits sharpened to follow (as by the logit scale 30 of the cross-entropy).
_EXPECTATIONS, _SHARP = 0.5, 1 / 30


class _FromTeacher(Loss):
    """What losses share that compare logits with a teacher's."""

    temperature: Schedule | None
    standardise: Standardise
    statistics: Statistics | None
    natural_scale: float | None

    def _check_shared(self) -> None:
        if self.temperature is not None:
            check_schedule("temperature", self.temperature, 0, above=True)
        check_standardise(self.standardise)

    def _with_statistics(self, targets: Targets) -> "_FromTeacher":
        if targets.teacher is None:
            raise InvalidInputError(f"teacher is None; {self!r} needs one")
        counted = targets.teacher[targets.weights(len(targets.teacher)) > 0]
        statistics, scale, temperature = measure(counted, self.standardise), targets.teacher_scale, self.temperature
        if statistics is not None and scale is not None:
            scale = scale * statistics.scale[0] if statistics.by_row else None
        if temperature is None:
            temperature = _SHARP if are_log_probabilities(counted) else _EXPECTATIONS
        found = {"statistics": statistics, "natural_scale": scale, "temperature": temperature}
        return replace(self, **found)  # type: ignore[type-var]

    def _temperature(self, iteration: int) -> float:
        return value_at(_EXPECTATIONS if self.temperature is None else self.temperature, iteration)

    def _teacher(self, outputs: np.ndarray, targets: Targets) -> np.ndarray:
        teacher = targets.teacher
        assert teacher is not None
        if teacher.shape != outputs.shape:
            raise InvalidInputError(
                f"the teacher's outputs have shape {teacher.shape}, the student's {outputs.shape}; {self!r} needs the "
                "same, Relational() does not"
            )
        return teacher if self.statistics is None else self.statistics(teacher)

    def probability_scale(self, iteration: int) -> float:
        """The teacher's own, because the student copies its logits; 1/T if the teacher does not say."""
        return 1.0 / self._temperature(iteration) if self.natural_scale is None else self.natural_scale


@dataclass(frozen=True)
class Distillation(_FromTeacher):
    """α T² KL(teacher ‖ student) + (1 − α) cross-entropy, the mean over the batch (Eq. 7), on raw logits.

    T² keeps the scale of the gradient independent of T (Hinton, Vinyals and Dean, arXiv 1503.02531). With T far below 1
    it makes the teacher's term vanish beside the cross-entropy unless α = 1; ``scale_kl="none"`` leaves it out. Of
    samples without a label (−1) only the teacher counts.

    Attributes:
        temperature: T > 0, a number or a schedule; below 1, because logits in [−1, 1] leave the softmax flat. None for
            0.5, or 1/30 if the teacher's outputs are log-probabilities.
        alpha: α, the weight of the teacher, 0 to 1, a number or a schedule; with 1 no label is used.
        logit_scale: s of the cross-entropy.
        scale_kl: ``"T2"`` or ``"none"``.
        divergence: ``"kl"``; ``"squared"``, the squared distance of the logits that T² · KL tends to for large T; or
            ``"huber"``, which is linear in differences beyond T, for noisy teachers. T has no part in ``"squared"``,
            ``scale_kl`` none in either.
        standardise: False; ``"scale"``, each row less its mean, divided by one number, for teachers whose outputs are
            no expectation values; ``"affine"``, zero mean and unit variance of each output, for noisy teachers, which
            assumes balanced classes; or None: ``"scale"`` if the teacher's outputs are log-probabilities or leave [−1,
            1], else False.
        statistics, natural_scale: of the teacher's outputs, and the scale of the student's probabilities that they
            give; found before training and stored with the model.

    Raises:
        InvalidInputError: a setting is outside its range.

    Example:
        A device has weakened a teacher's outputs, shifted them and made them noisy. Affine standardisation undoes the
        first two, the average over samples the third, and Huber's function holds outliers back:

        >>> from qkd_pl import KDTrainer, QNN, datasets
        >>> train, test = datasets.topological_phases(n_qubits=3, n_train=128, n_test=64, seed=0)
        >>> exact = KDTrainer(seed=0).fit(QNN(3, 2), train).logits(train.inputs)
        >>> noise = np.random.default_rng(0).normal(0.0, 0.02, exact.shape)
        >>> noisy = 0.1 * exact + np.array([0.1, -0.05]) + noise
        >>> bool(np.mean(noisy.argmax(axis=1) == train.labels) < 0.6)  # the teacher
        True
        >>> for divergence in ("kl", "huber"):
        ...     loss = Distillation(temperature=1.0, divergence=divergence, standardise="affine")
        ...     student = KDTrainer(seed=1).fit(QNN(3, 1), (train.inputs, None), teacher=noisy, loss=loss)
        ...     print(student.score(*test) > 0.8)
        True
        True
    """

    temperature: Schedule | None = None
    alpha: Schedule = 1.0
    logit_scale: float = 30.0
    scale_kl: Literal["T2", "none"] = "T2"
    divergence: Literal["kl", "squared", "huber"] = "kl"
    standardise: Standardise = None
    statistics: Statistics | None = field(default=None, repr=False)
    natural_scale: float | None = field(default=None, repr=False)

    scheduled: ClassVar = {"temperature": _TEMPERATURE, "alpha": (0.0, 1.0, False)}

    def __post_init__(self) -> None:
        self._check_shared()
        check_schedule("alpha", self.alpha, 0, 1)
        check_number("logit_scale", self.logit_scale, 0, above=True)
        check_choice("scale_kl", self.scale_kl, ("T2", "none"))
        check_choice("divergence", self.divergence, ("kl", "squared", "huber"))

    def prepare(self, targets: Targets) -> "Distillation":
        """The loss with the statistics of the teacher's outputs."""
        if callable(self.alpha) or self.alpha < 1:
            check_labelled(self, targets)
        return self._with_statistics(targets)  # type: ignore[return-value]

    def __call__(self, outputs: np.ndarray, targets: Targets) -> ValueAndCotangent:
        alpha = value_at(self.alpha, targets.iteration)
        rows, gradients = self._rows(self._teacher(outputs, targets), outputs, targets.iteration)
        factor = alpha * self._factor(targets.iteration)
        value, cotangent = weighted_mean(rows, gradients, factor * targets.weights(len(outputs)))
        if alpha < 1.0:
            hard_value, hard_cotangent = cross_entropy(outputs, targets, self.logit_scale)
            value += (1.0 - alpha) * hard_value
            cotangent += (1.0 - alpha) * hard_cotangent
        return value, cotangent

    def probability_scale(self, iteration: int) -> float:
        """The teacher's own, or 1/T; with α = 0 the logit scale."""
        if value_at(self.alpha, iteration) == 0.0:
            return float(self.logit_scale)
        return super().probability_scale(iteration)

    def _rows(self, teacher: np.ndarray, student: np.ndarray, iteration: int) -> RowsAndGradients:
        if self.divergence == "squared":
            return squared_rows(teacher, student)
        temperature = self._temperature(iteration)
        if self.divergence == "huber":
            return huber_rows(teacher, student, temperature)
        return kl_rows(teacher, student, temperature)

    def _factor(self, iteration: int) -> float:
        return self._temperature(iteration) ** 2 if (self.divergence, self.scale_kl) == ("kl", "T2") else 1.0


@dataclass(frozen=True)
class DecoupledDistillation(_FromTeacher):
    """T² times the two parts of the KL divergence with weights of their own (Zhao et al., arXiv 2203.08679).

    With p the teacher's and q the student's probabilities at temperature T and y the label, KL(p ‖ q) is the binary
    divergence of (p_y, 1 − p_y) from (q_y, 1 − q_y), plus (1 − p_y) times the divergence between the distributions
    over the *other* classes. A sure teacher hides the second part; here it is weighted for itself. For more than two
    classes. Where there is no label, the teacher's own decision is y.

    Attributes:
        temperature: T > 0, a number or a schedule; None as in :class:`Distillation`.
        target_weight, other_weight: of the two parts (α and β in the paper; 1 and 1 to 8 there).
        standardise, statistics, natural_scale: see :class:`Distillation`.

    Example:
        >>> loss = DecoupledDistillation(temperature=1.0, target_weight=0.0)
        >>> targets = Targets(labels=np.array([0]), teacher=np.array([[0.9, 0.1, -0.2]]))
        >>> loss(np.array([[0.0, 0.4, 0.1]]), targets)[0] < 1e-15  # among others, all is as for the teacher
        True
    """

    temperature: Schedule | None = None
    target_weight: float = 1.0
    other_weight: float = 1.0
    standardise: Standardise = None
    statistics: Statistics | None = field(default=None, repr=False)
    natural_scale: float | None = field(default=None, repr=False)

    scheduled: ClassVar = {"temperature": _TEMPERATURE}

    def __post_init__(self) -> None:
        self._check_shared()
        check_number("target_weight", self.target_weight, 0)
        check_number("other_weight", self.other_weight, 0)

    def prepare(self, targets: Targets) -> "DecoupledDistillation":
        """The loss with the statistics of the teacher's outputs."""
        loss = self._with_statistics(targets)
        if targets.teacher is not None and targets.teacher.shape[1] < 3:
            raise InvalidInputError(
                f"{self!r} needs at least 3 classes; with {targets.teacher.shape[1]} no other classes are left to "
                "compare: use Distillation()"
            )
        return loss  # type: ignore[return-value]

    def __call__(self, outputs: np.ndarray, targets: Targets) -> ValueAndCotangent:
        temperature = self._temperature(targets.iteration)
        teacher, student = self._teacher(outputs, targets) / temperature, outputs / temperature
        decisions = teacher.argmax(axis=1)
        labels = decisions if targets.labels is None else np.where(targets.labels >= 0, targets.labels, decisions)
        rows = np.arange(len(outputs))
        others = np.ones(outputs.shape, dtype=bool)
        others[rows, labels] = False
        teachers, students = (each[others].reshape(len(outputs), -1) for each in (teacher, student))
        theirs, ours = (
            np.stack([each[rows, labels], logsumexp(rest, axis=1)], axis=1)
            for each, rest in ((teacher, teachers), (student, students))
        )
        target_rows, target_gradients = kl_rows(theirs, ours)
        other_rows, other_gradients = kl_rows(teachers, students)
        gradients = np.empty_like(outputs)
        gradients[rows, labels] = self.target_weight * target_gradients[:, 0]
        # The other classes enter the binary divergence through log Σ e^z, whose derivative is their softmax.
        through = self.target_weight * target_gradients[:, 1:] * softmax(students, axis=1)
        gradients[others] = (through + self.other_weight * other_gradients).ravel()
        values = self.target_weight * target_rows + self.other_weight * other_rows
        # T² for the value; one T of it is used up by z/T in the gradient.
        return weighted_mean(temperature**2 * values, temperature * gradients, targets.weights(len(outputs)))
