"""The seam between training and devices: outputs of a circuit and their pullback, on any device."""

from collections.abc import Callable

import autograd
import numpy as np
import pennylane as qml

from qkd_pl.embeddings import Preparations

Pullback = Callable[[np.ndarray], np.ndarray]


def evaluate(qnode: qml.QNode, weights: np.ndarray, batch: Preparations) -> np.ndarray:
    """The circuit's K outputs for every sample of a batch, shape ``(n, K)`` float64."""
    return batch.average(np.stack(qnode(batch.circuit_inputs, weights), axis=-1))


def vjp(qnode: qml.QNode, weights: np.ndarray, batch: Preparations) -> tuple[np.ndarray, Pullback]:
    """Outputs of a circuit and the pullback that turns a cotangent on them into a gradient of the weights.

    In the sense of ``jax.vjp``. The QNode's own differentiation method does the work: adjoint and backprop exactly,
    parameter shift (Eqs. 5–6) from shifted circuits, SPSA by random directions.

    Args:
        qnode: returns K expectation values; its function takes ``(inputs, weights)``.
        weights: in radians, of the shape that the circuit takes.
        batch: n samples.

    Returns:
        outputs ``(n, K)`` float64, and a function from a cotangent ``(n, K)`` to a gradient shaped like ``weights``.
    """

    def outputs_of(weights: np.ndarray) -> np.ndarray:
        outputs = qml.math.stack(qnode(batch.circuit_inputs, weights), axis=-1)
        # With shots, default.qubit drops the batch axis of a batch of one.
        return qml.math.reshape(outputs, (len(batch.circuit_inputs), -1))

    pull, outputs = autograd.make_vjp(outputs_of)(np.asarray(weights))

    def pullback(cotangent: np.ndarray) -> np.ndarray:
        return np.asarray(pull(batch.spread(cotangent)))

    return batch.average(np.asarray(outputs)), pullback
