"""What all losses share: how they are called, and added up."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any, ClassVar, Literal

import numpy as np

from qkd_pl.checks import check_number
from qkd_pl.errors import InvalidInputError
from qkd_pl.training.losses.targets import Targets
from qkd_pl.training.schedules import check_schedule

Task = Literal["classification", "regression", "autoencoder"]
ValueAndCotangent = tuple[float, np.ndarray]


class Loss:
    """Base class of the losses, which are frozen dataclasses, hashable, and know no circuit.

    A loss is called with the outputs of a batch, ``(b, K)``, and its :class:`Targets`, and returns its value and the
    derivative with respect to each output, ``(b, K)``. Losses add up, also by ``sum``, and may be multiplied or divided
    by a number::

        Distillation(temperature=0.5) + 0.1 * Relational()

    A loss of one's own needs no base class: any function or object that is called in this way will do, and may have
    the attributes and methods below.

    Attributes:
        task: what the outputs are: ``"classification"`` (logits), ``"regression"`` or ``"autoencoder"``.
        observables: extra ones that are measured behind the network's outputs while it is trained.
        same_outputs: whether the teacher must have as many outputs as the student.

    Example:
        >>> def margin(outputs, targets):  # a loss of one's own: 1 − z_y, the mean over the batch
        ...     rows = np.arange(len(outputs))
        ...     cotangent = np.zeros_like(outputs)
        ...     cotangent[rows, targets.labels] = -1 / len(outputs)
        ...     return 1 - outputs[rows, targets.labels].mean(), cotangent
        >>> from qkd_pl import QNN, KDTrainer
        >>> bits = np.array([[0, 0], [1, 1]]), np.array([0, 1])
        >>> model = KDTrainer(iterations=20).fit(QNN(2, 1, embedding="basis"), bits, loss=margin)
        >>> model.score(*bits)
        1.0
    """

    task: ClassVar[Task] = "classification"
    same_outputs: ClassVar[bool] = True
    #: Settings that may be schedules, with their range: lowest, highest, and whether the lowest is excluded.
    scheduled: ClassVar[Mapping[str, tuple[float, float, bool]]] = {}
    observables: tuple = ()
    #: NumPy's numbers leave it to the loss to be multiplied by them.
    __array_ufunc__ = None

    def __call__(self, outputs: np.ndarray, targets: Targets) -> ValueAndCotangent:
        """The loss's value, and its derivative with respect to each of ``outputs``."""
        raise NotImplementedError

    def prepare(self, targets: Targets) -> "Loss":
        """The loss for these targets, those of all samples: called once, before training, to check and to measure.

        Raises:
            InvalidInputError: targets that the loss needs are missing.
        """
        return self

    def probability_scale(self, iteration: int) -> float:
        """The scale s of softmax(s·z) with which a network trained by this loss gives calibrated probabilities."""
        return 1.0

    def __add__(self, other: Any) -> "Sum":
        return Sum(*(terms_of(self) + terms_of(other))) if callable(other) else NotImplemented

    def __radd__(self, other: Any) -> "Loss":
        if isinstance(other, Real) and other == 0:  # where Python's sum() begins
            return self
        return Sum(*(terms_of(other) + terms_of(self))) if callable(other) else NotImplemented

    def __rmul__(self, factor: Any) -> "Sum":
        if not isinstance(factor, Real):
            return NotImplemented
        check_number("the weight of a loss", factor, 0)
        return Sum(*((float(factor) * weight, loss) for weight, loss in terms_of(self)))

    __mul__ = __rmul__

    def __truediv__(self, divisor: Any) -> "Sum":
        if not isinstance(divisor, Real):
            return NotImplemented
        check_number("the divisor of a loss", divisor, 0, above=True)
        return self * (1.0 / float(divisor))


@dataclass(frozen=True, init=False, repr=False)
class Sum(Loss):
    """Losses added up with weights; made by ``+`` and ``*``.

    Each loss sees the network's outputs and, behind them, the values of its own extra observables.

    Attributes:
        terms: pairs (weight, loss).

    Raises:
        InvalidInputError: the losses belong to different tasks.

    Example:
        >>> from qkd_pl import Huber, SquaredError
        >>> SquaredError() + 0.1 * Huber()
        SquaredError() + 0.1 * Huber(delta=0.1)
    """

    terms: tuple[tuple[float, Any], ...] = field(default=())

    def __init__(self, *terms: tuple[float, Any]) -> None:
        object.__setattr__(self, "terms", tuple(terms))
        tasks = sorted({getattr(loss, "task", "classification") for _, loss in terms})
        if len(tasks) > 1:
            raise InvalidInputError(f"losses of {' and '.join(tasks)} cannot be added")

    def __repr__(self) -> str:
        return " + ".join(repr(loss) if weight == 1.0 else f"{weight:g} * {loss!r}" for weight, loss in self.terms)

    @property
    def task(self) -> Task:  # type: ignore[override]
        """That of all terms."""
        return getattr(self.terms[0][1], "task", "classification")

    @property
    def same_outputs(self) -> bool:  # type: ignore[override]
        """Whether a term needs it."""
        return any(getattr(loss, "same_outputs", False) for _, loss in self.terms)

    @property
    def observables(self) -> tuple:  # type: ignore[override]
        """Those of all terms, one behind the other."""
        return tuple(each for _, loss in self.terms for each in getattr(loss, "observables", ()))

    def prepare(self, targets: Targets) -> "Sum":
        """Each term, prepared."""
        return Sum(*((weight, prepared(loss, own)) for weight, loss, own, _ in self._parts(targets)))

    def __call__(self, outputs: np.ndarray, targets: Targets) -> ValueAndCotangent:
        first = outputs.shape[1] - len(self.observables)
        value, cotangent = 0.0, np.zeros_like(outputs)
        for weight, loss, own, block in self._parts(targets):
            columns = [*range(first), *(first + column for column in block)]
            term, gradient = loss(outputs[:, columns], own)
            value += weight * term
            cotangent[:, columns] += weight * gradient
        return value, cotangent

    def probability_scale(self, iteration: int) -> float:
        """That of the first term that has one."""
        scales = [probability_scale(loss, iteration) for _, loss in self.terms]
        return next((scale for scale in scales if scale != 1.0), 1.0)

    def _parts(self, targets: Targets) -> list[tuple[float, Any, Targets, range]]:
        """Weight, loss, its targets, and which of the extra observables are its own."""
        parts, start = [], 0
        for weight, loss in self.terms:
            block = range(start, start + len(getattr(loss, "observables", ())))
            start = block.stop
            hints = None if targets.hints is None else targets.hints[:, list(block)]
            parts.append((weight, loss, replace(targets, hints=hints), block))
        return parts


def terms_of(loss: Any) -> tuple[tuple[float, Any], ...]:
    """Pairs (weight, loss)."""
    return loss.terms if isinstance(loss, Sum) else ((1.0, loss),)


def prepared(loss: Any, targets: Targets) -> Any:
    """The loss for these targets; one without ``prepare`` as it is."""
    return loss.prepare(targets) if hasattr(loss, "prepare") else loss


def probability_scale(loss: Any, iteration: int) -> float:
    """The scale of the probabilities of what a loss has trained; 1 where it does not say."""
    return float(loss.probability_scale(iteration)) if hasattr(loss, "probability_scale") else 1.0


def check_loss(loss: Any, iterations: int) -> None:
    """Refuse what cannot be called, and schedules that leave their range in a run of ``iterations``.

    Raises:
        InvalidInputError: names the loss or the setting.
    """
    for _, term in terms_of(loss):
        if not callable(term) or isinstance(term, type):
            hint = f"{term.__name__}()" if isinstance(term, type) else "for example CrossEntropy()"
            raise InvalidInputError(f"loss={term!r}: must be a loss, or a function (outputs, targets); {hint}")
        for name, (low, high, above) in getattr(term, "scheduled", {}).items():
            if (value := getattr(term, name)) is not None:
                check_schedule(name, value, low, high, above=above, iterations=iterations)
