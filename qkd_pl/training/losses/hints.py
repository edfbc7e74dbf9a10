"""Hints: extra observables of the student, matched to given values while it is trained."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from qkd_pl.errors import InvalidInputError
from qkd_pl.training.losses.base import Loss, ValueAndCotangent
from qkd_pl.training.losses.regression import masked_mean
from qkd_pl.training.losses.targets import Targets


@dataclass(frozen=True)
class Hints(Loss):
    """Mean squared difference between extra expectation values of the student and given ones.

    The hints of FitNets (Romero et al., arXiv 1412.6550) in the only form that hardware can measure: observables. They
    are measured behind the network's outputs while it is trained, and not afterwards. Their values come from
    ``fit(…, hints=array)`` of shape ``(n, m)``, NaN where there is none, or are those of the teacher's own circuit.

    Attributes:
        observables: PennyLane observables on the student's wires, m of them.

    Raises:
        InvalidInputError: no observable is given.

    Example:
        >>> import pennylane as qml
        >>> from qkd_pl import CrossEntropy
        >>> loss = CrossEntropy() + 0.5 * Hints([qml.Z(0) @ qml.Z(1)])
        >>> outputs = np.array([[0.2, -0.1, 0.5]])  # two logits, and the hint behind them
        >>> value, cotangent = loss(outputs, Targets(labels=np.array([0]), hints=np.array([[0.3]])))
        >>> round(float(cotangent[0, 2]), 6)  # 0.5 · 2 · (0.5 − 0.3)
        0.2
    """

    observables: tuple[Any, ...]

    same_outputs: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not isinstance(self.observables, list | tuple) or not self.observables:
            raise InvalidInputError(f"observables={self.observables!r}: must be a list of at least one observable")
        object.__setattr__(self, "observables", tuple(self.observables))

    def prepare(self, targets: Targets) -> "Hints":
        """The loss itself, once there are hints of the right number."""
        expected = len(self.observables)
        if targets.hints is None or targets.hints.shape[1] != expected:
            found = "None" if targets.hints is None else f"of shape {targets.hints.shape}"
            raise InvalidInputError(
                f"hints are {found}; {self!r} needs one for each sample and observable, (n, {expected})"
            )
        return self

    def __call__(self, outputs: np.ndarray, targets: Targets) -> ValueAndCotangent:
        assert targets.hints is not None
        count = len(self.observables)
        difference = outputs[:, -count:] - targets.hints
        value, gradient = masked_mean(difference**2, 2.0 * difference, targets.weights(len(outputs)), None)
        cotangent = np.zeros_like(outputs)
        cotangent[:, -count:] = gradient
        return value, cotangent
