"""Models that classify."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import softmax

from qkd_pl.checks import check_number, checked_labels
from qkd_pl.circuits.readout import logits_of
from qkd_pl.devices.registry import AnyDevice
from qkd_pl.errors import InvalidInputError
from qkd_pl.networks.base import TrainedNetwork
from qkd_pl.networks.protocol import n_classes_of


@dataclass(frozen=True, eq=False)
class TrainedQNN(TrainedNetwork):
    """A quantum neural network with weights, as a classifier.

    Attributes:
        logit_scale: s in :meth:`predict_proba`, of the cross-entropy that it was trained by.

    Example:
        >>> from qkd_pl import QNN, trained
        >>> network = QNN(n_qubits=2, n_layers=1, embedding="basis")
        >>> model = trained(network, np.zeros(network.weights_shape), logit_scale=10.0)
        >>> bits, labels = np.array([[0, 0], [0, 1], [1, 0]]), np.array([0, 1, 0])
        >>> model.logits(bits).round(6).tolist()  # ⟨Z_0⟩ and ⟨Z_1⟩
        [[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0]]
        >>> model.predict(bits).tolist()
        [0, 0, 1]
        >>> model.predict_proba(bits)[1].round(6).tolist()
        [1.0, 0.0]
        >>> round(model.score(bits, labels), 3)
        0.333
    """

    task = "classification"

    logit_scale: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("logit_scale", self.logit_scale, 0, above=True)

    @property
    def n_classes(self) -> int:
        """K: the number of outputs, or 2 for a single output."""
        return n_classes_of(self.network)

    def logits(self, inputs: np.ndarray, device: AnyDevice = None) -> np.ndarray:
        """Raw expectation values z, shape ``(n, K)`` float64 (Eq. 2); (z, -z) for a network with a single output.

        Args:
            inputs: n samples in the form that the model takes.
            device: a name in the device registry, a plugin, ``aer`` or ``fake_…``, a spec, or a PennyLane device; by
                default the registry's default.

        Raises:
            InvalidInputError: the inputs do not fit the embedding.
            DeviceConfigError: there is no such device.
        """
        return logits_of(self.outputs(inputs, device))

    def predict_proba(self, inputs: np.ndarray, device: AnyDevice = None) -> np.ndarray:
        """softmax(s·z) with the logit scale s of the training, shape ``(n, K)`` (Eq. 3)."""
        return softmax(self.logit_scale * self.logits(inputs, device), axis=1)

    def predict(self, inputs: np.ndarray, device: AnyDevice = None) -> np.ndarray:
        """The class of the largest logit, shape ``(n,)`` int64."""
        return self.logits(inputs, device).argmax(axis=1)

    def score(self, inputs: np.ndarray, labels: np.ndarray, device: AnyDevice = None) -> float:
        """Accuracy, from 0 to 1, for class indices ``labels`` of shape ``(n,)``, at least one.

        Raises:
            InvalidInputError: there are no inputs, or the labels are not one class index for each.
        """
        if len(inputs) == 0:
            raise InvalidInputError("there are no inputs to score; give at least one")
        if labels is None:
            raise InvalidInputError(
                "labels are None; score needs a class index for each input. Without labels there are predict(inputs) "
                "and, for the agreement with a teacher, score(inputs, teacher.predict(inputs))"
            )
        labels = checked_labels(labels, len(inputs), self.n_classes)
        return float(np.mean(self.predict(inputs, device) == labels))

    def settings(self) -> dict[str, Any]:
        """The logit scale."""
        return {"logit_scale": self.logit_scale}
