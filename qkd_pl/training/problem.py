"""What a training solves: a network, prepared inputs, targets and a loss that fit together."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pennylane as qml

from qkd_pl.checks import cut, kind_of
from qkd_pl.circuits.preparations import Preparations
from qkd_pl.circuits.rows import measuring_also
from qkd_pl.errors import InvalidInputError
from qkd_pl.networks.checking import quantum_function
from qkd_pl.networks.networks import QAE
from qkd_pl.networks.protocol import Network
from qkd_pl.teachers import teacher_hints, teacher_logits, teacher_predictions, teacher_scale
from qkd_pl.training.losses import CrossEntropy, Distillation, Infidelity, Targets
from qkd_pl.training.losses.base import check_loss, prepared
from qkd_pl.training.losses.targets import labelled_share
from qkd_pl.training.scaling import Scaling
from qkd_pl.training.targets import checked_hints, checked_numbers, checked_weights, class_indices


@dataclass(frozen=True, eq=False)
class Problem:
    """What is minimised.

    Attributes:
        network: what is trained.
        batch: all inputs, prepared for the circuit.
        targets: what the loss compares with, in the units of the outputs.
        loss: prepared for these targets.
        scaling: of regression targets; None otherwise.
    """

    network: Network
    batch: Preparations
    targets: Targets
    loss: Any
    scaling: Scaling | None

    @property
    def task(self) -> str:
        """What the outputs are: logits, numbers, or an autoencoder's expectation values."""
        return getattr(self.loss, "task", "classification")

    @property
    def circuit(self) -> Callable[[np.ndarray, np.ndarray], Any]:
        """The network's circuit, with the loss's extra observables measured behind its outputs."""
        extra = getattr(self.loss, "observables", ())
        own = quantum_function(self.network, self.batch.rows.shape[-1])
        return measuring_also(own, extra) if extra else own

    def evaluate(self, outputs: np.ndarray, targets: Targets) -> tuple[float, np.ndarray]:
        """The loss of measured outputs ``(b, …)`` and its cotangent, of the same shape.

        One output of a classifier stands for the logits (z, −z).
        """
        n_outputs = count_outputs(self.network)
        if self.task != "classification" or n_outputs > 1:
            return self._lost(outputs, targets)
        value, cotangent = self._lost(
            np.concatenate([outputs[:, :1], -outputs[:, :1], outputs[:, 1:]], axis=1), targets
        )
        return value, np.concatenate([cotangent[:, :1] - cotangent[:, 1:2], cotangent[:, 2:]], axis=1)

    def _lost(self, outputs: np.ndarray, targets: Targets) -> tuple[float, np.ndarray]:
        """What the loss, which may be the user's own, returns."""
        returned = self.loss(outputs, targets)
        try:
            value, cotangent = returned
            value, cotangent = float(value), np.asarray(cotangent, dtype=np.float64)
        except (TypeError, ValueError):
            raise InvalidInputError(
                f"loss={self.loss!r} returns {cut(returned)}; it must return its value and the cotangent of the outputs"
            ) from None
        if cotangent.shape != outputs.shape:
            raise InvalidInputError(
                f"loss={self.loss!r} returns a cotangent of shape {cotangent.shape}; the outputs have {outputs.shape}"
            )
        return value, cotangent

    @property
    def n_logits(self) -> int:
        """How many outputs the loss sees, extra observables left out."""
        n_outputs = count_outputs(self.network)
        return 2 if self.task == "classification" and n_outputs == 1 else n_outputs


def pose(
    network: Network,
    train: tuple[Any, Any],
    *,
    teacher: Any,
    loss: Any,
    hints: Any,
    sample_weight: Any,
    iterations: int,
    like: Problem | None = None,
) -> Problem:
    """Check everything that a training compares with, and bring it into one form.

    Args:
        network: what is trained.
        train: inputs and labels.
        teacher, loss, hints, sample_weight: see :meth:`qkd_pl.training.trainer.KDTrainer.fit`.
        iterations: of the run, for which schedules are checked.
        like: the problem of the training, if this one is for its validation: its loss and its scaling are taken.

    Raises:
        InvalidInputError: something is missing or does not fit; the message names it.
    """
    inputs, labels = train
    quantum_function(network)
    loss = _default_loss(network, teacher) if loss is None else loss
    check_loss(loss, iterations)
    _check_task(network, loss, teacher)
    batch = network.encode(inputs)
    if len(batch) == 0:
        name = "train: there are no samples to train on" if like is None else "validation: there are no samples in it"
        raise InvalidInputError(name)
    problem = Problem(network, batch, Targets(), loss, None)
    weights = None if sample_weight is None else checked_weights(sample_weight, len(batch))
    observables = tuple(getattr(loss, "observables", ()))
    values = None if not observables else _hints(hints, teacher, inputs, observables, network)
    if hints is not None and not observables:
        raise InvalidInputError(f"hints are given, and {loss!r} compares with none; add Hints([...observables])")
    if problem.task == "regression":
        labels, taught, scaling = _numbers(problem, inputs, labels, teacher, weights, like)
    else:
        scaling = None
        labels = (
            None
            if labels is None or problem.task == "autoencoder"
            else class_indices(labels, len(batch), problem.n_logits)
        )
        taught = None if teacher is None else _logits(problem, inputs, teacher)
    targets = Targets(labels, taught, values, weights, teacher_scale=teacher_scale(teacher))
    if like is None and labels is not None:
        targets = replace(targets, labelled=_share(targets, len(batch)))
    ready = prepared(loss, targets)
    return Problem(network, batch, targets, ready if like is None else like.loss, scaling)


def count_outputs(network: Network) -> int:
    """How many expectation values a network returns."""
    return network.n_outputs


def _default_loss(network: Network, teacher: Any) -> Any:
    if isinstance(network, QAE):
        return Infidelity()
    return CrossEntropy() if teacher is None else Distillation()


def _check_task(network: Network, loss: Any, teacher: Any) -> None:
    task = getattr(loss, "task", "classification")
    if isinstance(network, QAE) and teacher is not None:
        raise InvalidInputError("teacher: an autoencoder is trained by fidelity, without a teacher")
    if isinstance(network, QAE) != (task == "autoencoder"):
        allowed = "Infidelity()" if isinstance(network, QAE) else "a loss of classification or regression"
        raise InvalidInputError(f"loss={loss!r}: {kind_of(network)} is trained by {allowed}")


def _logits(problem: Problem, inputs: Any, teacher: Any) -> np.ndarray:
    same = getattr(problem.loss, "same_outputs", False)
    return teacher_logits(teacher, inputs, problem.n_logits if same else None)


def _numbers(
    problem: Problem, inputs: Any, labels: Any, teacher: Any, weights: np.ndarray | None, like: Problem | None
) -> tuple[np.ndarray | None, np.ndarray | None, Scaling]:
    """Labels and the teacher's predictions in the units of the outputs, and the scaling between the units."""
    n_samples, n_outputs = len(problem.batch), count_outputs(problem.network)
    given = None if labels is None else checked_numbers("labels", labels, n_samples, n_outputs)
    taught = None
    if teacher is not None:
        taught = checked_numbers(
            "the teacher's predictions", teacher_predictions(teacher, inputs), n_samples, n_outputs
        )
    wanted = given if taught is None else taught
    if wanted is None:
        raise InvalidInputError(f"labels are None and there is no teacher; {problem.loss!r} needs one of them")
    counted = wanted if weights is None else wanted[weights > 0]
    if not np.isfinite(counted).any(axis=0).all():
        raise InvalidInputError(f"labels: no sample has a label, and {problem.loss!r} needs some")
    scaling = None if like is None else like.scaling
    scaling = Scaling.of(counted) if scaling is None else scaling
    scaled = [None if each is None else scaling.to_outputs(each) for each in (given, taught)]
    return scaled[0], scaled[1], scaling


def _hints(hints: Any, teacher: Any, inputs: Any, observables: tuple, network: Network) -> np.ndarray:
    for observable in observables:
        if not isinstance(observable, qml.operation.Operator) or not set(observable.wires) <= set(network.wires):
            raise InvalidInputError(
                f"observables: {observable!r} is not an observable on the network's wires {list(network.wires)}"
            )
    if hints is not None:
        return checked_hints(hints, len(inputs), len(observables))
    if teacher is None:
        raise InvalidInputError("hints are None and there is no teacher to take the observables' values from")
    return teacher_hints(teacher, inputs, observables)


def _share(targets: Targets, n_samples: int) -> float:
    assert targets.labels is not None
    if targets.labels.dtype.kind == "i":
        return labelled_share(targets.labels >= 0, targets.weights(n_samples))
    n_outputs = targets.labels.shape[1]
    return labelled_share(np.isfinite(targets.labels).ravel(), np.repeat(targets.weights(n_samples), n_outputs))
