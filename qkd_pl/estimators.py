"""QNNs with scikit-learn's interface: a classifier and a regressor, with or without a teacher."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from qkd_pl.checks import kind_of
from qkd_pl.devices.registry import AnyDevice
from qkd_pl.errors import InvalidInputError
from qkd_pl.estimator_base import NetworkOrFunction, QNNEstimator
from qkd_pl.teachers import ClassifierTeacher, Teacher, teacher_logits, teacher_predictions, teacher_scale
from qkd_pl.training.losses import SquaredError
from qkd_pl.training.schedules import DEFAULT_RATE, Schedule


@dataclass(frozen=True, eq=False)
class _Logits:
    """What a teacher said of the training data, as a teacher."""

    values: np.ndarray
    logit_scale: float | None

    def logits(self, inputs: np.ndarray) -> np.ndarray:
        return self.values


class QNNClassifier(ClassifierMixin, QNNEstimator):
    """A quantum neural network with scikit-learn's interface.

    Features reach the circuit unscaled; put a scaler in front of it, for example
    ``make_pipeline(MinMaxScaler((0, np.pi)), QNNClassifier())`` for angles. If there are more classes than features,
    the additional qubits start as those of a feature with value 0.

    A teacher is used as it is: it is not fitted here, and :func:`sklearn.base.clone` keeps it. It sees the same
    features as the student, in a pipeline those that the steps before have made. In a cross-validation it should not
    have been fitted on the data that are held out. As a value in a parameter grid, wrap it in
    :class:`sklearn.frozen.FrozenEstimator`, or scikit-learn resets it.

    Every label is a class, −1 too, as for all classifiers of scikit-learn; with ``unlabelled=-1`` it marks samples
    without a label, as it does in scikit-learn's semi-supervised learning and for
    :class:`~qkd_pl.training.trainer.KDTrainer`.

    Args:
        network: a network whose outputs are the logits, or a function ``(n_features, n_outputs) -> network``; instead
            of the following, of which a :class:`~qkd_pl.networks.networks.QNN` is made.
        n_qubits: None for as many as the features and classes need: one per feature (amplitudes: log2 of their
            number), and one per class.
        n_layers, rotations, entangler, topology, closing_rotations: see :class:`~qkd_pl.networks.networks.QNN`.
        embedding: ``"angle"`` (radians), ``"amplitude"``, ``"phase"`` or ``"basis"`` (bits).
        teacher: None, or a fitted classifier with ``predict_proba`` or ``logits`` and the same classes, or a trained
            model whose classes are 0..K-1 in the order of ``classes_``.
        loss: see :meth:`KDTrainer.fit <qkd_pl.training.trainer.KDTrainer.fit>`; a parameter grid takes several.
        iterations, batch_size, optimizer, learning_rate, weight_decay, device: see \
:class:`~qkd_pl.training.trainer.KDTrainer`; the device is used for training and for predictions.
        class_weight: None, ``"balanced"``, or weights by label, which multiply ``sample_weight``.
        unlabelled: the label of samples that have none; from them only a teacher is learnt. None: all have one.
        random_state: an int is the trainer's seed; a ``RandomState`` or None draws one.

    Attributes:
        classes_: the labels, sorted; shape ``(K,)``.
        n_features_in_: number of features.
        model_: the trained network, a :class:`qkd_pl.networks.models.TrainedQNN`; it holds weights and settings, no
            device.

    Example:
        >>> features = np.array([[0.1], [0.3], [2.8], [3.0]])
        >>> classifier = QNNClassifier(n_layers=1, iterations=20, random_state=0)
        >>> classifier.fit(features, ["left", "left", "right", "right"]).predict([[0.2], [2.9]]).tolist()
        ['left', 'right']
    """

    def __init__(
        self,
        *,
        network: NetworkOrFunction | None = None,
        n_qubits: int | None = None,
        n_layers: int = 2,
        embedding: str = "angle",
        rotations: str = "XYZ",
        entangler: str = "cz",
        topology: str = "ring",
        closing_rotations: bool = True,
        teacher: Any = None,
        loss: Any = None,
        iterations: int = 50,
        batch_size: int = 64,
        optimizer: str = "adam",
        learning_rate: Schedule = DEFAULT_RATE,
        weight_decay: float = 0.0,
        class_weight: Any = None,
        unlabelled: Any = None,
        device: AnyDevice = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        super().__init__(
            network=network,
            n_qubits=n_qubits,
            n_layers=n_layers,
            embedding=embedding,
            rotations=rotations,
            entangler=entangler,
            topology=topology,
            closing_rotations=closing_rotations,
            teacher=teacher,
            loss=loss,
            iterations=iterations,
            batch_size=batch_size,
            optimizer=optimizer,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            device=device,
            random_state=random_state,
        )
        self.class_weight = class_weight
        self.unlabelled = unlabelled

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "QNNClassifier":  # noqa: N803
        """Train on features ``(n, n_features)`` and labels ``(n,)`` of any type, with weights ``(n,)``.

        Raises:
            InvalidInputError: a parameter, the features or the teacher does not fit; a ``ValueError``.
            NotFittedError: the teacher is not fitted.
        """
        features, y = validate_data(self, X, y)
        y = _of_one_type(y)
        check_classification_targets(y)
        known = np.array([each != self.unlabelled for each in y.tolist()])
        labels = np.full(len(y), -1)
        self.classes_, labels[known] = np.unique(y[known], return_inverse=True)
        if len(self.classes_) < 2:
            found = f"one class, {self.classes_.tolist()[0]!r}" if len(self.classes_) else "no class"
            raise InvalidInputError(f"y has {found}; a classifier needs at least 2 classes")
        if self.class_weight is not None:
            weights = np.ones(len(labels)) if sample_weight is None else np.array(sample_weight, dtype=np.float64)
            weights[known] *= compute_sample_weight(self.class_weight, y[known])
            sample_weight = weights
        teacher = None if self.teacher is None else _Logits(self._teacher_logits(features), teacher_scale(self.teacher))
        self._train(features, labels, len(self.classes_), teacher=teacher, sample_weight=sample_weight)
        return self

    def logits(self, X: Any) -> np.ndarray:  # noqa: N803
        """Raw expectation values, shape ``(n, K)`` float64; with this method a fitted classifier can teach."""
        prepared = self._prepared(X)
        return self.model_.logits(prepared, self.device)

    def decision_function(self, X: Any) -> np.ndarray:  # noqa: N803
        """The logits ``(n, K)``; with two classes their difference ``(n,)``, positive for ``classes_[1]``."""
        logits = self.logits(X)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        """softmax(s·z) with the scale s that the loss gives, shape ``(n, K)``, in the order of ``classes_``."""
        prepared = self._prepared(X)
        return self.model_.predict_proba(prepared, self.device)

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """The label of the largest logit, shape ``(n,)``."""
        winners = self.logits(X).argmax(axis=1)
        return self.classes_[winners]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        # Needed by check_class_weight_classifiers alone: its blobs have coordinates of tens, many turns as angles.
        tags.classifier_tags.poor_score = True
        return tags

    def _teacher_logits(self, features: np.ndarray) -> np.ndarray:
        teacher = self.teacher
        if not isinstance(teacher, Teacher) and not hasattr(teacher, "predict_proba"):
            raise InvalidInputError(
                f"teacher is {kind_of(teacher)}; it needs logits(X) or predict_proba(X). Logits computed "
                "before belong to fixed rows, which scikit-learn splits and shuffles; KDTrainer takes them"
            )
        self._check_teacher_is_fitted()
        if hasattr(teacher, "classes_") and not np.array_equal(teacher.classes_, self.classes_):
            hint = "; unlabelled=-1 says that -1 is no class" if -1 in self.classes_.tolist() else ""
            raise InvalidInputError(f"the teacher's classes are {teacher.classes_}, but y has {self.classes_}{hint}")
        if not isinstance(teacher, Teacher):
            teacher = ClassifierTeacher(teacher, classes=self.classes_.tolist())
        return teacher_logits(teacher, features, len(self.classes_), self.classes_.tolist())


def _of_one_type(labels: np.ndarray) -> np.ndarray:
    """Labels that are objects as an array of their type."""
    if labels.dtype != object:
        return labels
    kinds = sorted({type(each).__name__ for each in labels})
    if len(kinds) > 1:
        raise InvalidInputError(f"y has labels of different types, {' and '.join(kinds)}; they must be of one type")
    return np.array(labels.tolist())


class QNNRegressor(RegressorMixin, QNNEstimator):
    """A quantum neural network that predicts numbers, with scikit-learn's interface.

    Numbers have no classes, so that there is no ``class_weight``; weights of samples are given to :meth:`fit`.

    The range of the training targets is scaled into that of expectation values, and predictions back. As with
    :class:`QNNClassifier`, features reach the circuit unscaled, and a teacher is used as it is.

    Args:
        network: a network with one output per target, or a function ``(n_features, n_outputs) -> network``; instead of
            the following, of which a :class:`~qkd_pl.networks.networks.QNN` is made.
        n_qubits, n_layers, embedding, rotations, entangler, topology, closing_rotations: see :class:`QNNClassifier`.
        teacher: None, or a fitted regressor, or a trained model of regression, whose predictions replace the targets.
        loss: :class:`~qkd_pl.training.losses.SquaredError` by default; or :class:`~qkd_pl.training.losses.Huber`, or
            one of one's own with ``task = "regression"``.
        iterations, batch_size, optimizer, learning_rate, weight_decay, device, random_state: see \
:class:`QNNClassifier`.

    Attributes:
        n_features_in_: number of features.
        model_: the trained network, which holds weights, settings and the scaling of the targets, no device.

    Example:
        >>> angles = np.linspace(0.0, np.pi, 12)[:, None]
        >>> regressor = QNNRegressor(n_layers=1, random_state=0).fit(angles, 20.0 + 5.0 * np.cos(angles[:, 0]))
        >>> bool(abs(regressor.predict([[0.0]])[0] - 25.0) < 0.3)
        True
    """

    _task = "regression"

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "QNNRegressor":  # noqa: N803
        """Train on features ``(n, n_features)`` and targets ``(n,)`` or ``(n, K)``, with weights ``(n,)``.

        Raises:
            InvalidInputError: a parameter, the features or the teacher does not fit; a ``ValueError``.
            NotFittedError: the teacher is not fitted.
        """
        features, y = validate_data(self, X, y, multi_output=True, y_numeric=True)
        teacher = None
        if self.teacher is not None:
            self._check_teacher_is_fitted()
            teacher = teacher_predictions(self.teacher, features)
        n_outputs = 1 if y.ndim == 1 else y.shape[1]
        loss = SquaredError() if self.loss is None else self.loss
        self._train(features, y, n_outputs, teacher=teacher, sample_weight=sample_weight, loss=loss)
        return self

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """The predicted numbers, shape ``(n,)``, or ``(n, K)`` for K > 1 targets."""
        prepared = self._prepared(X)
        return self.model_.predict(prepared, self.device)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        # Needed by check_regressors_train alone: one of its ten features tells the target, and with two layers only a
        # few neighbours of the qubit that is read reach it (R² 0.03; 0.45 with eight layers; 0.5 is asked for).
        tags.regressor_tags.poor_score = True
        return tags
