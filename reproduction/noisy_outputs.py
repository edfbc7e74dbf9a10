"""Outputs of a two-class QNN on a noisy device: exact once, then drawn for any number of shots.

The outputs ⟨Z_0⟩ and ⟨Z_1⟩ share a measurement basis, so that every shot gives a pair of bits; with ⟨Z_0 Z_1⟩ the
probability of each pair is known, and any number of shots is one draw from a multinomial distribution.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pennylane as qml

from qkd_pl import trained
from qkd_pl.devices.spec import DeviceSpec
from qkd_pl.networks.models import TrainedQNN
from qkd_pl.networks.networks import QNN

#: Of the outcomes 00, 01, 10, 11: the values of Z_0, Z_1 and Z_0 Z_1.
_SIGNS = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])


def noisy_device(backend: str, preparation: str = "ideal", **options: Any) -> DeviceSpec:
    """``qkd.noisy`` with the noise of a backend, exact but for rounding."""
    settings = {"backend": backend, "preparation": preparation, **options}
    return DeviceSpec(name=f"noise of {backend}", plugin="qkd.noisy", options=settings)


def joint_observables() -> list[qml.operation.Operator]:
    """Z_0, Z_1 and their product."""
    return [qml.Z(0), qml.Z(1), qml.Z(0) @ qml.Z(1)]


def joint_expectations(model: TrainedQNN, inputs: np.ndarray, device: DeviceSpec) -> np.ndarray:
    """⟨Z_0⟩, ⟨Z_1⟩ and ⟨Z_0 Z_1⟩ of a model on a device, float64 ``(n, 3)``."""
    return _with_product(model).outputs(inputs, device)


def drawn(joint: np.ndarray, shots: int, generator: np.random.Generator) -> np.ndarray:
    """Both outputs estimated from a number of shots, float64 ``(n, 2)``.

    Args:
        joint: what :func:`joint_expectations` returned, ``(n, 3)``.
        shots: for each input.
        generator: draws the outcomes.
    """
    probabilities = np.clip((1 + joint @ _SIGNS.T) / 4, 0, None)
    counts = generator.multinomial(shots, probabilities / probabilities.sum(axis=1, keepdims=True))
    return counts @ _SIGNS[:, :2] / shots


def corrected(measured: np.ndarray, exact: np.ndarray, noisy: np.ndarray) -> np.ndarray:
    """Measured outputs ``(n, K)``, corrected by the lines that lead from exact to noisy outputs ``(m, K)``."""
    lines = np.array([np.polyfit(x, y, 1) for x, y in zip(exact.T, noisy.T, strict=True)])
    return (measured - lines[:, 1]) / lines[:, 0]


def accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    """The fraction of rows whose largest logit is that of the label."""
    return float(np.mean(logits.argmax(axis=1) == labels))


def mean_over_seeds(runs: list[Mapping[str, Any]]) -> dict[str, float]:
    """The mean of each number over the seeds of one data set."""
    return {key: float(np.mean([run[key] for run in runs])) for key in runs[0]}


def _with_product(model: TrainedQNN) -> TrainedQNN:
    network = model.network
    assert isinstance(network, QNN)
    kept = {name: getattr(network, name) for name in ("embedding", "rotations", "entangler", "topology")}
    wider = QNN(
        network.n_qubits,
        network.n_layers,
        **kept,
        closing_rotations=network.closing_rotations,
        observables=joint_observables(),
    )
    return trained(wider, model.weights)
