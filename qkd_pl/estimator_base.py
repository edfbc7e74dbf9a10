"""What the estimators of scikit-learn's interface share: parameters, and the network and trainer that follow."""

from collections.abc import Callable
from dataclasses import fields
from math import ceil, log2
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from qkd_pl.checks import check_choice
from qkd_pl.circuits.embeddings import EMBEDDINGS, Embedding
from qkd_pl.devices.registry import AnyDevice
from qkd_pl.errors import InvalidInputError
from qkd_pl.networks.networks import QNN
from qkd_pl.networks.protocol import Network
from qkd_pl.teachers import teacher_hints
from qkd_pl.training.losses.base import Task
from qkd_pl.training.schedules import DEFAULT_RATE, Schedule
from qkd_pl.training.trainer import KDTrainer

#: Embeddings of features that scikit-learn knows.
_OF_REAL_NUMBERS = sorted(EMBEDDINGS.keys() - {"state"})
_LARGEST_SEED = np.iinfo(np.int32).max
#: A network, or a function from the numbers of features and outputs to one.
NetworkOrFunction = Network | Callable[[int, int], Network]


class QNNEstimator(BaseEstimator):
    """What classifier and regressor share: their parameters, and the network and trainer that follow from them."""

    _task: ClassVar[Task] = "classification"

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
        device: AnyDevice = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.network = network
        self.n_qubits = n_qubits
        self.n_layers = n_layers
        self.embedding = embedding
        self.rotations = rotations
        self.entangler = entangler
        self.topology = topology
        self.closing_rotations = closing_rotations
        self.teacher = teacher
        self.loss = loss
        self.iterations = iterations
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.device = device
        self.random_state = random_state

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters; those of the teacher are not among them, since it is used as it is."""
        return super().get_params(deep=False)

    def set_params(self, **params: Any) -> Self:
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

    def __sklearn_clone__(self) -> Self:
        """An unfitted copy; the teacher stays fitted."""
        copy = super().__sklearn_clone__()
        copy.teacher = self.teacher
        return copy

    def _train(self, features: np.ndarray, targets: np.ndarray, n_outputs: int, **given: Any) -> None:
        given = {"loss": self.loss} | given
        self._check_task(given["loss"])
        if self.teacher is not None and (observables := getattr(given["loss"], "observables", ())):
            given["hints"] = self._teacher_hints(features, observables)
        network = self._make_network(n_outputs)
        settings = {each.name: getattr(self, each.name) for each in fields(KDTrainer) if hasattr(self, each.name)}
        trainer = KDTrainer(**settings, seed=self._seed())
        self.model_: Any = trainer.fit(network, (self._padded(features, network), targets), **given)

    def _check_task(self, loss: Any) -> None:
        task = getattr(loss, "task", "classification")
        if loss is None or isinstance(loss, type) or not callable(loss) or task == self._task:
            return  # what is no loss is refused when it is trained
        example = "SquaredError()" if self._task == "regression" else "CrossEntropy()"
        raise InvalidInputError(
            f"loss={loss!r} is one of {task}; {type(self).__name__} needs one of {self._task}, for example {example}, "
            f"or one of your own with the attribute task = {self._task!r}"
        )

    def _teacher_hints(self, features: np.ndarray, observables: tuple) -> np.ndarray:
        """The values of a loss's extra observables in the teacher's circuit, which the trainer never sees."""
        if isinstance(self.teacher, QNNEstimator):
            return teacher_hints(self.teacher.model_, self.teacher._prepared(features), observables)
        return teacher_hints(self.teacher, features, observables)

    def _make_network(self, n_outputs: int) -> Network:
        if self.network is None:
            shape = {each.name: getattr(self, each.name) for each in fields(QNN) if hasattr(self, each.name)}
            return QNN(**shape | {"n_qubits": self._choose_qubits(n_outputs), "n_classes": n_outputs})
        defaults = QNNEstimator().get_params()
        of_qnn = [each.name for each in fields(QNN) if each.name in defaults]
        if others := [name for name in of_qnn if getattr(self, name) != defaults[name]]:
            raise InvalidInputError(f"network is given, and has its own {', '.join(others)}: give one or the other")
        if hasattr(self.network, "circuit") or not callable(self.network):
            given: Any = self.network  # what is not a network is refused when it is trained
            return given
        return self.network(self.n_features_in_, n_outputs)

    def _choose_qubits(self, n_outputs: int) -> int:
        if not isinstance(self.embedding, Embedding):
            check_choice(
                "embedding", self.embedding, _OF_REAL_NUMBERS, also="a kd.Embedding (states are for KDTrainer)"
            )
        n_features = self.n_features_in_
        needed = ceil(log2(n_features)) if self.embedding == "amplitude" else n_features
        if self.n_qubits is None:
            return max(needed, n_outputs, 1)
        if self.n_qubits < needed:
            raise InvalidInputError(
                f"n_qubits={self.n_qubits}: {n_features} features need at least {needed} qubits "
                f"with embedding={self.embedding!r}"
            )
        return self.n_qubits

    def _padded(self, features: np.ndarray, network: Any) -> np.ndarray:
        """Features for a network of ours, whose further qubits start as those of a feature with value 0."""
        if self.network is not None or network.embedding == "amplitude":
            return features
        return np.pad(features, ((0, 0), (0, network.n_qubits - features.shape[1])))

    def _prepared(self, X: Any) -> np.ndarray:  # noqa: N803 - scikit-learn's name
        check_is_fitted(self)
        features = validate_data(self, X, reset=False)
        return self._padded(features, self.model_.network)

    def _seed(self) -> int:
        random = check_random_state(self.random_state)
        if isinstance(self.random_state, Integral):
            return int(self.random_state)
        return int(random.randint(_LARGEST_SEED))

    def _check_teacher_is_fitted(self) -> None:
        if hasattr(self.teacher, "fit"):
            check_is_fitted(
                self.teacher,
                msg="The teacher, a %(name)s, is not fitted; a parameter grid resets one that is "
                "not wrapped in sklearn.frozen.FrozenEstimator.",
            )
