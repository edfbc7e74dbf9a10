"""Models that predict numbers."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import r2_score

from qkd_pl.checks import any_array
from qkd_pl.devices.registry import AnyDevice
from qkd_pl.errors import InvalidInputError
from qkd_pl.networks.base import TrainedNetwork


@dataclass(frozen=True, eq=False)
class TrainedRegressor(TrainedNetwork):
    """A network with weights that predicts y = a·z + b from each of its outputs z in [-1, 1].

    Attributes:
        target_scale, target_offset: a and b in the units of the targets; one number, or one for each output.

    Example:
        >>> from qkd_pl import QNN, trained
        >>> import pennylane as qml
        >>> network = QNN(n_qubits=1, n_layers=1, embedding="angle", observables=[qml.Z(0)])
        >>> model = trained(
        ...     network, np.zeros(network.weights_shape), task="regression", target_scale=5.0, target_offset=10.0
        ... )
        >>> model.predict(np.array([[0.0], [np.pi]])).round(6).tolist()
        [15.0, 5.0]
        >>> model.score(np.array([[0.0], [np.pi]]), np.array([15.0, 5.0]))
        1.0
    """

    task = "regression"

    target_scale: Any = 1.0
    target_offset: Any = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("target_scale", "target_offset"):
            values = np.asarray(getattr(self, name), dtype=np.float64)
            if values.shape not in ((), (self.network.n_outputs,)) or not np.isfinite(values).all():
                raise InvalidInputError(
                    f"{name}={getattr(self, name)!r}: must be a finite number, or one for each of the "
                    f"{self.network.n_outputs} outputs"
                )
            object.__setattr__(self, name, values.tolist())

    def predict(self, inputs: np.ndarray, device: AnyDevice = None) -> np.ndarray:
        """Predictions in the units of the targets, shape ``(n,)`` float64; ``(n, n_outputs)`` if several."""
        predicted = np.asarray(self.target_scale) * self.outputs(inputs, device) + np.asarray(self.target_offset)
        return predicted[:, 0] if self.network.n_outputs == 1 else predicted

    def score(self, inputs: np.ndarray, targets: np.ndarray, device: AnyDevice = None) -> float:
        """R² = 1 - Σ(y - ŷ)² / Σ(y - ȳ)², the mean over outputs; 1 for perfect predictions.

        Raises:
            InvalidInputError: there are fewer than two inputs, or the targets are not of the predictions' shape.
        """
        if targets is None:
            raise InvalidInputError(
                "targets are None; score needs a number for each prediction. Without targets there are predict(inputs) "
                "and, for the agreement with a teacher, score(inputs, teacher.predict(inputs))"
            )
        predicted, targets = self.predict(inputs, device), any_array("targets", targets)
        if len(predicted) < 2:
            raise InvalidInputError(f"inputs: R² needs at least 2, found {len(predicted)}")
        if targets.shape != predicted.shape or targets.dtype.kind not in "biuf" or not np.isfinite(targets).all():
            raise InvalidInputError(
                f"targets have shape {targets.shape} and dtype {targets.dtype}; expected finite numbers "
                f"{predicted.shape}"
            )
        return float(r2_score(targets, predicted))

    def settings(self) -> dict[str, Any]:
        """The map from outputs to targets."""
        return {"target_scale": self.target_scale, "target_offset": self.target_offset}
