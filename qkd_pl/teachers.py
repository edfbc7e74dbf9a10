"""What can teach: anything that gives logits, or numbers to be predicted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pennylane as qml
from sklearn.base import is_regressor
from sklearn.exceptions import NotFittedError

from qkd_pl.checks import as_array, kind_of
from qkd_pl.circuits.rows import measuring_also
from qkd_pl.devices.spec import EXACT
from qkd_pl.errors import InvalidInputError, QKDError
from qkd_pl.gradients import evaluate
from qkd_pl.networks.checking import quantum_function
from qkd_pl.networks.models import TrainedNetwork, TrainedQNN, TrainedRegressor


@runtime_checkable
class Teacher(Protocol):
    """Anything with ``logits(inputs) -> (n, K)``: a trained QNN, an ensemble, a wrapped classifier."""

    def logits(self, inputs: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class Ensemble:
    """Several teachers whose logits are averaged.

    Attributes:
        teachers: at least one of what :func:`as_teacher` takes; all with the same number of classes.

    Example:
        >>> from types import SimpleNamespace
        >>> one, two = (SimpleNamespace(logits=lambda inputs, z=z: np.full((len(inputs), 2), z)) for z in (0.0, 1.0))
        >>> Ensemble((one, two)).logits(np.zeros((1, 3))).tolist()
        [[0.5, 0.5]]
    """

    teachers: Sequence[Any]

    def __post_init__(self) -> None:
        if not isinstance(self.teachers, Sequence):
            raise InvalidInputError(f"teachers is {kind_of(self.teachers)}; an ensemble takes a list of them")
        if not self.teachers:
            raise InvalidInputError("teachers is empty; an ensemble needs at least one teacher")
        for position, teacher in enumerate(self.teachers):
            if is_array(teacher):
                raise InvalidInputError(
                    f"teachers[{position}] is {kind_of(teacher)}, and outputs belong to fixed inputs, while an "
                    "ensemble is asked about any; give the mean of all the outputs, an array, as teacher"
                )
            if not _predicts_numbers(teacher):
                as_teacher(teacher)

    def logits(self, inputs: np.ndarray) -> np.ndarray:
        """Mean of the teachers' logits, shape ``(n, K)``.

        Raises:
            InvalidInputError: they do not have the same number of classes.
        """
        logits = [np.asarray(_asked(teacher, as_teacher(teacher).logits, inputs)) for teacher in self.teachers]
        if len({each.shape for each in logits}) > 1:
            shapes = ", ".join(str(each.shape) for each in logits)
            raise InvalidInputError(f"the teachers of an ensemble give logits of different shapes: {shapes}")
        return np.mean(logits, axis=0)


@dataclass(frozen=True)
class ClassifierTeacher:
    """A fitted scikit-learn classifier; its log-probabilities are its logits.

    Attributes:
        classifier: has ``predict_proba``.
        smallest: probabilities are raised to this before the logarithm, so that a certain classifier stays finite.
        classes: the classifier's name for each of the student's classes 0..K-1; by default the same numbers.
    """

    classifier: Any
    smallest: float = 1e-12
    classes: Sequence[Any] | None = None

    def logits(self, inputs: np.ndarray) -> np.ndarray:
        """log p, shape ``(n, K)``; inputs of more than two dimensions are flattened per sample.

        Raises:
            InvalidInputError: the inputs are complex, which scikit-learn's classifiers do not take, or the classifier
                has other classes.
        """
        columns = self._columns()
        features = np.asarray(inputs).reshape(len(inputs), -1)
        if np.iscomplexobj(features):
            raise InvalidInputError(
                "a classical classifier cannot take complex amplitudes; compute its logits from what it was trained "
                "on, for example measured probabilities, and give the array as teacher"
            )
        probabilities = self.classifier.predict_proba(features)[:, columns]
        return np.log(np.maximum(probabilities, self.smallest))

    def _columns(self) -> list[int] | slice:
        """Which probability belongs to which of the student's classes."""
        if not hasattr(self.classifier, "classes_"):
            return slice(None)
        theirs = np.asarray(self.classifier.classes_).tolist()
        ours = list(range(len(theirs))) if self.classes is None else np.asarray(self.classes).tolist()
        if {*theirs} != {*ours} or len(theirs) != len(ours):
            raise InvalidInputError(
                f"the classifier's classes are {theirs[:10]}, the student's {ours[:10]}; fit it on the student's "
                "labels, or name its classes in the student's order: ClassifierTeacher(classifier, classes=...)"
            )
        return [theirs.index(name) for name in ours]


@dataclass(frozen=True)
class _ExactTeacher:
    """A trained QNN, simulated exactly whatever the default device is: teaching neither samples nor costs QPU time."""

    model: TrainedQNN

    def logits(self, inputs: np.ndarray) -> np.ndarray:
        return self.model.logits(inputs, device=EXACT)


@dataclass(frozen=True)
class _FunctionTeacher:
    """A function from inputs to logits, in any library of arrays."""

    function: Callable[[Any], Any]

    def logits(self, inputs: np.ndarray) -> np.ndarray:
        return as_array(
            f"what the teacher {getattr(self.function, '__name__', 'function')} returns", self.function(inputs)
        )


def is_array(teacher: Any) -> bool:
    """Whether the teacher is its logits: an array of NumPy, JAX or PyTorch, or nested lists of numbers."""
    return isinstance(teacher, list | tuple) or (hasattr(teacher, "__array__") and not hasattr(teacher, "logits"))


def as_teacher(teacher: Any) -> Teacher:
    """A trained QNN, a fitted classifier with ``predict_proba``, a function of the inputs, or anything with
    ``logits(inputs)``, as a teacher.

    Raises:
        InvalidInputError: it gives no logits.
    """
    if isinstance(teacher, TrainedQNN):
        return _ExactTeacher(teacher)
    if isinstance(teacher, type):
        raise InvalidInputError(f"teacher is the class {teacher.__name__}; it must be a fitted object of it")
    if isinstance(teacher, Teacher):
        return teacher
    if hasattr(teacher, "predict_proba"):
        return ClassifierTeacher(teacher)
    if callable(teacher):
        return _FunctionTeacher(teacher)
    hint = "; one that predicts numbers teaches regression: loss=SquaredError()" if _predicts_numbers(teacher) else ""
    raise InvalidInputError(
        f"teacher is {kind_of(teacher)}; it must be a model, a fitted classifier, a function of the inputs, "
        f"or an array of logits{hint}"
    )


def teacher_logits(
    teacher: Any, inputs: np.ndarray, n_classes: int | None, classes: Sequence[Any] | None = None
) -> np.ndarray:
    """The logits that a teacher gives for a data set, computed once; those of a trained QNN by exact simulation.

    Args:
        teacher: what :func:`as_teacher` takes, or logits ``(n, K)`` made before, an array of
            NumPy, JAX or PyTorch or a list (as is needed where teacher
            and student see different inputs, or for a teacher on a noisy device).
        inputs: n samples.
        n_classes: K of the student; None to take a teacher of other classes.
        classes: what the student calls its classes; by default 0..K-1.

    Returns:
        ``(n, K)`` float64.

    Raises:
        InvalidInputError: the teacher gives no logits, or those of other classes, or they are not real, not finite or
            not of shape ``(n, K)``; it is not fitted, or raises an error itself.
    """
    if n_classes is not None:
        _check_classes(teacher, list(range(n_classes)) if classes is None else list(classes))
    logits = as_array("teacher", teacher if is_array(teacher) else _asked(teacher, as_teacher(teacher).logits, inputs))
    if np.iscomplexobj(logits):
        raise InvalidInputError("the teacher's logits are complex; they must be real numbers")
    if logits.dtype.kind not in "biuf":
        raise InvalidInputError(f"the teacher's logits have dtype {logits.dtype}; they must be real numbers")
    logits = logits.astype(np.float64)
    allowed = f"({len(inputs)}, {'K' if n_classes is None else n_classes})"
    if logits.ndim != 2 or len(logits) != len(inputs) or n_classes not in (None, logits.shape[1]):
        raise InvalidInputError(f"the teacher's logits have shape {logits.shape}; the student needs {allowed}")
    if not np.isfinite(logits).all():
        raise InvalidInputError("the teacher's logits contain NaN or infinity")
    return logits


def teacher_scale(teacher: Any) -> float | None:
    """The scale s for which softmax(s · logits) are a teacher's probabilities; None if it does not say.

    A trained network has one, and so has an ensemble of networks that share it.
    """
    if isinstance(teacher, Ensemble):
        scales = {teacher_scale(member) for member in teacher.teachers}
        return scales.pop() if len(scales) == 1 else None
    model = getattr(teacher, "model_", teacher)
    scale = getattr(model if isinstance(model, TrainedQNN) else teacher, "logit_scale", None)
    if isinstance(model, TrainedQNN) and scale == 1.0:
        scale = model.training.get("logit_scale")  # 1 may be said by the training, or by nobody
    return None if scale is None else float(scale)


def _predicts_numbers(teacher: Any) -> bool:
    """Whether it is a model of regression, or one of scikit-learn's regressors."""
    return isinstance(teacher, TrainedRegressor) or (hasattr(teacher, "__sklearn_tags__") and is_regressor(teacher))


def teacher_predictions(teacher: Any, inputs: np.ndarray) -> np.ndarray:
    """The numbers that a teacher predicts for a data set, in its own units; those of a model by exact simulation.

    Args:
        teacher: a model of regression, a fitted scikit-learn regressor, a function of the inputs, an ensemble of
            these, whose mean is taken, or an array of predictions.
        inputs: n samples.

    Returns:
        ``(n,)`` or ``(n, K)``.

    Raises:
        InvalidInputError: the teacher does not predict numbers, is not fitted, or raises an error itself.
    """
    if is_array(teacher):
        return as_array("teacher", teacher)
    if isinstance(teacher, Ensemble):
        return np.mean([teacher_predictions(member, inputs) for member in teacher.teachers], axis=0)
    if isinstance(teacher, TrainedRegressor):
        return _asked(teacher, lambda given: teacher.predict(given, device=EXACT), inputs)
    if _predicts_numbers(teacher):
        flat = np.asarray(inputs).reshape(len(inputs), -1)
        if np.iscomplexobj(flat):
            raise InvalidInputError("a classical regressor cannot take complex amplitudes; give its predictions")
        return as_array("what the teacher predicts", _asked(teacher, teacher.predict, flat))
    if callable(teacher) and not isinstance(teacher, type):
        return as_array("what the teacher returns", _asked(teacher, teacher, inputs))
    raise InvalidInputError(
        f"teacher is {kind_of(teacher)}; for regression it must predict numbers: a model of regression, a "
        "regressor with predict(inputs), a function of the inputs, or an array of predictions"
    )


def teacher_hints(teacher: Any, inputs: np.ndarray, observables: Sequence[qml.operation.Operator]) -> np.ndarray:
    """The exact values of observables in the circuit of a trained network, shape ``(n, m)``; the mean of an ensemble's.

    Raises:
        InvalidInputError: the teacher has no circuit, or it has not the observables' wires.
    """
    if isinstance(teacher, Ensemble):
        return np.mean([teacher_hints(member, inputs, observables) for member in teacher.teachers], axis=0)
    if not isinstance(teacher, TrainedNetwork):
        raise InvalidInputError(
            f"teacher is {kind_of(teacher)}, which has no circuit to measure hints in; give fit(…, hints=array)"
        )
    network = teacher.network
    wires = {wire for observable in observables for wire in observable.wires}
    if not wires <= set(network.wires):
        raise InvalidInputError(f"hints: the teacher has no wires {sorted(wires - set(network.wires), key=str)}")
    batch = teacher.encode(inputs)
    circuit = measuring_also(quantum_function(network, batch.rows.shape[-1]), observables)
    return evaluate(EXACT.qnode(circuit, network.wires), teacher.weights, batch)[:, network.n_outputs :]


def _check_classes(teacher: Any, classes: list[Any]) -> None:
    """Refuse a network whose logits are in the order of other classes, alone or in an ensemble."""
    for member in teacher.teachers if isinstance(teacher, Ensemble) else ():
        _check_classes(member, classes)
    names = getattr(teacher, "classes_", None)
    if not isinstance(teacher, Teacher) or names is None:
        return
    theirs = np.asarray(names).tolist()
    if theirs != classes:
        raise InvalidInputError(
            f"the teacher's classes are {theirs[:10]}, the student's {classes[:10]}; fit it on the student's labels, "
            "or name its classes in the student's order: ClassifierTeacher(classifier, classes=...)"
        )


def _asked(teacher: Any, ask: Callable[[Any], Any], inputs: np.ndarray) -> Any:
    """What a teacher answers, which may be code of the user's own; its errors say that they are the teacher's."""
    try:
        return ask(inputs)
    except QKDError as error:
        if not getattr(error, "__notes__", ()):  # a member of an ensemble has said so already
            error.add_note(
                "It is the teacher that says this. It is given the student's inputs; where it takes others, give an "
                "array of its outputs."
            )
        raise
    except NotFittedError as error:
        raise InvalidInputError(f"teacher is {kind_of(teacher)} that is not fitted; fit it first") from error
    except Exception as error:  # of the user's code, which may raise anything
        name = getattr(teacher, "__name__", None) or kind_of(teacher)
        raise InvalidInputError(
            f"the teacher, {name}, raised {type(error).__name__}: {' '.join(str(error).split())[:300]}; it is given "
            f"the student's inputs, a NumPy array of shape {np.shape(inputs)}"
        ) from error
