"""A QNN as a scikit-learn classifier, with or without a teacher."""

from dataclasses import fields
from math import ceil, log2
from numbers import Integral
from typing import Any

import numpy as np
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from qkd_pl.circuits.embeddings import EMBEDDINGS, Embedding
from qkd_pl.devices.registry import AnyDevice
from qkd_pl.errors import InvalidInputError
from qkd_pl.networks.networks import QNN
from qkd_pl.teachers import ClassifierTeacher, Teacher, teacher_logits
from qkd_pl.training.losses import KLScale
from qkd_pl.training.trainer import KDTrainer

_LARGEST_SEED = np.iinfo(np.int32).max


class QNNClassifier(ClassifierMixin, BaseEstimator):
    """A quantum neural network with scikit-learn's interface.

    Features reach the circuit unscaled; put a scaler in front of it, for example
    ``make_pipeline(MinMaxScaler((0, np.pi)), QNNClassifier())`` for angles. If there are more classes than features,
    the additional qubits start as those of a feature with value 0.

    A teacher is used as it is: it is not fitted here, and :func:`sklearn.base.clone` keeps it. It sees the same
    features as the student, in a pipeline those that the steps before have made. In a cross-validation it should not
    have been fitted on the data that are held out. As a value in a parameter grid, wrap it in
    :class:`sklearn.frozen.FrozenEstimator`, or scikit-learn resets it.

    Args:
        n_qubits: None for as many as the features and classes need: one per feature (amplitudes: log2 of their
            number), and one per class.
        n_layers, rotations, entangler, topology, closing_rotations: see :class:`~qkd_pl.networks.networks.QNN`.
        embedding: ``"angle"`` (radians), ``"amplitude"``, ``"phase"`` or ``"basis"`` (bits), or a
            :class:`~qkd_pl.circuits.embeddings.Embedding` of one feature per qubit.
        teacher: None, or a fitted classifier with ``predict_proba`` or ``logits`` and the same classes, or a trained
            model whose classes are 0..K-1 in the order of ``classes_``.
        iterations, batch_size, learning_rate, lr_step, lr_decay, weight_decay, logit_scale, temperature, alpha, \
scale_kl, device: see :class:`~qkd_pl.training.trainer.KDTrainer`; the device is used for training and for predictions.
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
        n_qubits: int | None = None,
        n_layers: int = 2,
        embedding: str | Embedding = "angle",
        rotations: str = "XYZ",
        entangler: str = "cz",
        topology: str = "ring",
        closing_rotations: bool = True,
        teacher: Any = None,
        iterations: int = 50,
        batch_size: int = 64,
        learning_rate: float = 0.3,
        lr_step: int = 10,
        lr_decay: float = 0.9,
        weight_decay: float = 0.0,
        logit_scale: float = 10.0,
        temperature: float = 0.5,
        alpha: float = 1.0,
        scale_kl: KLScale = "T2",
        device: AnyDevice = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_qubits = n_qubits
        self.n_layers = n_layers
        self.embedding = embedding
        self.rotations = rotations
        self.entangler = entangler
        self.topology = topology
        self.closing_rotations = closing_rotations
        self.teacher = teacher
        self.iterations = iterations
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.lr_step = lr_step
        self.lr_decay = lr_decay
        self.weight_decay = weight_decay
        self.logit_scale = logit_scale
        self.temperature = temperature
        self.alpha = alpha
        self.scale_kl = scale_kl
        self.device = device
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> "QNNClassifier":  # noqa: N803 - scikit-learn's name
        """Train on features ``(n, n_features)`` and labels ``(n,)`` of any type.

        Raises:
            InvalidInputError: a parameter, the features or the teacher does not fit; a ``ValueError``.
            NotFittedError: the teacher is not fitted.
        """
        features, y = validate_data(self, X, y)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise InvalidInputError(f"y has one class, {self.classes_[0]!r}; a classifier needs at least 2 classes")
        network = QNN(**self._settings(QNN) | {"n_qubits": self._choose_qubits(), "n_classes": len(self.classes_)})
        targets = None if self.teacher is None else self._teacher_logits(features)
        trainer = KDTrainer(**self._settings(KDTrainer), seed=self._seed())
        self.model_ = trainer.fit(network, (self._padded(features, network.n_qubits), labels), teacher=targets)
        return self

    def logits(self, X: Any) -> np.ndarray:  # noqa: N803
        """Raw expectation values, shape ``(n, K)`` float64; with this method a fitted classifier can teach."""
        check_is_fitted(self)
        features = validate_data(self, X, reset=False)
        return self.model_.logits(self._padded(features, len(self.model_.network.wires)), self.device)

    def decision_function(self, X: Any) -> np.ndarray:  # noqa: N803
        """The logits ``(n, K)``; with two classes their difference ``(n,)``, positive for ``classes_[1]``."""
        logits = self.logits(X)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        """softmax(s·z) with the logit scale s of the training, shape ``(n, K)``, in the order of ``classes_``."""
        logits = self.logits(X)
        return softmax(self.model_.logit_scale * logits, axis=1)

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """The label of the largest logit, shape ``(n,)``."""
        winners = self.logits(X).argmax(axis=1)
        return self.classes_[winners]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters; those of the teacher are not among them, since it is used as it is."""
        return super().get_params(deep=False)

    def set_params(self, **params: Any) -> "QNNClassifier":
        """Set parameters, which count from the next fit on.

        Raises:
            InvalidInputError: a parameter of the teacher is among them.
        """
        if of_teacher := [name for name in params if name.startswith("teacher__")]:
            raise InvalidInputError(
                f"{of_teacher[0]}: a teacher is used as it is; a grid over teachers takes fitted ones, each wrapped "
                "in sklearn.frozen.FrozenEstimator"
            )
        return super().set_params(**params)

    def __sklearn_clone__(self) -> "QNNClassifier":
        """An unfitted copy; the teacher stays fitted."""
        copy = super().__sklearn_clone__()
        copy.teacher = self.teacher
        return copy

    def _settings(self, owner: type) -> dict[str, Any]:
        """The parameters of this estimator that ``owner`` has, too."""
        return {field.name: getattr(self, field.name) for field in fields(owner) if hasattr(self, field.name)}

    def _choose_qubits(self) -> int:
        of_real_numbers = sorted(EMBEDDINGS.keys() - {"state"})
        if not isinstance(self.embedding, Embedding) and self.embedding not in of_real_numbers:
            raise InvalidInputError(
                f"embedding={self.embedding!r}: must be one of {of_real_numbers}; quantum states are for KDTrainer"
            )
        n_features = self.n_features_in_
        needed = ceil(log2(n_features)) if self.embedding == "amplitude" else n_features
        if self.n_qubits is None:
            return max(needed, len(self.classes_))
        if self.n_qubits < needed:
            raise InvalidInputError(
                f"n_qubits={self.n_qubits}: {n_features} features need at least {needed} qubits "
                f"with embedding={self.embedding!r}"
            )
        return self.n_qubits

    def _padded(self, features: np.ndarray, n_qubits: int) -> np.ndarray:
        if self.embedding == "amplitude":
            return features
        return np.pad(features, ((0, 0), (0, n_qubits - features.shape[1])))

    def _seed(self) -> int:
        random = check_random_state(self.random_state)
        if isinstance(self.random_state, Integral):
            return int(self.random_state)
        return int(random.randint(_LARGEST_SEED))

    def _teacher_logits(self, features: np.ndarray) -> np.ndarray:
        teacher = self.teacher
        if not isinstance(teacher, Teacher) and not hasattr(teacher, "predict_proba"):
            raise InvalidInputError(
                f"teacher is a {type(teacher).__name__}; it needs logits(X) or predict_proba(X). Logits computed "
                "before belong to fixed rows, which scikit-learn splits and shuffles; KDTrainer takes them"
            )
        if hasattr(teacher, "fit"):
            check_is_fitted(
                teacher,
                msg="The teacher, a %(name)s, is not fitted; a parameter grid resets one that is "
                "not wrapped in sklearn.frozen.FrozenEstimator.",
            )
        if hasattr(teacher, "classes_") and not np.array_equal(teacher.classes_, self.classes_):
            raise InvalidInputError(f"the teacher's classes are {teacher.classes_}, but y has {self.classes_}")
        if not isinstance(teacher, Teacher):
            teacher = ClassifierTeacher(teacher, classes=self.classes_.tolist())
        return teacher_logits(teacher, features, len(self.classes_), self.classes_.tolist())
