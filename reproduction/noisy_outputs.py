"""Outputs of a QNN on a noisy device: exact once, then drawn for any number of shots.

The outputs ⟨Z_0⟩ … ⟨Z_K−1⟩ share a measurement basis, so that every shot gives K bits; with the products of these Z the
probability of each pattern is known, and any number of shots is one draw from a multinomial distribution.
"""

from collections.abc import Mapping
from itertools import combinations, product
from typing import Any

import numpy as np
import pennylane as qml

from qkd_pl import trained
from qkd_pl.devices.spec import DeviceSpec
from qkd_pl.networks.models import TrainedQNN
from qkd_pl.networks.networks import QNN


def noisy_device(backend: str, preparation: str = "ideal", **options: Any) -> DeviceSpec:
    """``qkd.noisy`` with the noise of a backend, exact but for rounding."""
    settings = {"backend": backend, "preparation": preparation, **options}
    return DeviceSpec(name=f"noise of {backend}", plugin="qkd.noisy", options=settings)


def joint_observables(n_outputs: int = 2) -> list[qml.operation.Operator]:
    """Z_0 … Z_K−1, then their products of two and more."""
    return [qml.prod(*map(qml.Z, wires)) if len(wires) > 1 else qml.Z(*wires) for wires in _subsets(n_outputs)]


def joint_expectations(model: TrainedQNN, inputs: np.ndarray, device: DeviceSpec) -> np.ndarray:
    """Values of :func:`joint_observables` for a model on a device, float64 ``(n, 2^K - 1)``."""
    return _with_products(model).outputs(inputs, device)


def drawn(joint: np.ndarray, shots: int, generator: np.random.Generator) -> np.ndarray:
    """All outputs estimated from a number of shots, float64 ``(n, K)``.

    Args:
        joint: what :func:`joint_expectations` returned, ``(n, 2^K - 1)``.
        shots: for each input.
        generator: draws the outcomes.
    """
    n_outputs = int(np.log2(joint.shape[1] + 1))
    bits = np.array(list(product((1, -1), repeat=n_outputs)))  # of each outcome the values of Z
    signs = np.stack([bits[:, wires].prod(axis=1) for wires in _subsets(n_outputs)], axis=1)
    probabilities = np.clip((1 + joint @ signs.T) / len(bits), 0, None)
    counts = generator.multinomial(shots, probabilities / probabilities.sum(axis=1, keepdims=True))
    return counts @ bits / shots


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


def _subsets(n_outputs: int) -> list[list[int]]:
    wires = range(n_outputs)
    return [list(chosen) for size in range(1, n_outputs + 1) for chosen in combinations(wires, size)]


def _with_products(model: TrainedQNN) -> TrainedQNN:
    network = model.network
    assert isinstance(network, QNN)
    kept = {name: getattr(network, name) for name in ("embedding", "rotations", "entangler", "topology")}
    wider = QNN(
        network.n_qubits,
        network.n_layers,
        **kept,
        closing_rotations=network.closing_rotations,
        observables=joint_observables(network.n_outputs),
    )
    return trained(wider, model.weights)
