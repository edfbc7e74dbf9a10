"""The seam between training and devices: outputs of a circuit and their pullback, on any device."""

from collections.abc import Callable
from typing import Any

import autograd
import numpy as np
import pennylane as qml
from pennylane.gradients import compute_vjp_multi, compute_vjp_single, param_shift
from pennylane.tape import QuantumScriptBatch
from pennylane.transforms import convert_to_numpy_parameters
from pennylane.typing import ResultBatch
from pennylane.workflow import construct_batch
from pennylane.workflow.interfaces.autograd import autograd_execute

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
    run = _with_shifts(qnode) if qnode.diff_method == "parameter-shift" else qnode

    def outputs_of(weights: np.ndarray) -> np.ndarray:
        outputs = qml.math.stack(run(batch.circuit_inputs, weights), axis=-1)
        # With shots, default.qubit drops the batch axis of a batch of one.
        return qml.math.reshape(outputs, (len(batch.circuit_inputs), -1))

    pull, outputs = autograd.make_vjp(outputs_of)(np.asarray(weights))

    def pullback(cotangent: np.ndarray) -> np.ndarray:
        return np.asarray(pull(batch.spread(cotangent)))

    return batch.average(np.asarray(outputs)), pullback


def _with_shifts(qnode: qml.QNode) -> Callable[..., Any]:
    """The QNode, executed together with all its shifted circuits in one call of the device.

    PennyLane itself runs the circuit first and the shifted ones when the cotangent is known, which on hardware are two
    jobs with a wait in the queue for each.
    """

    def run(*arguments: Any) -> Any:
        tapes, postprocessing = construct_batch(qnode, level="gradient")(*arguments)
        shifts = _ShiftedTogether(qnode)
        return postprocessing(autograd_execute(tapes, shifts.execute, shifts))[0]

    return run


class _ShiftedTogether:
    """PennyLane's calculator of Jacobian products for :func:`_with_shifts`."""

    def __init__(self, qnode: qml.QNode) -> None:
        self._qnode = qnode
        self._jacobians: tuple = ()

    def execute(self, tapes: QuantumScriptBatch) -> ResultBatch:
        """Run the circuits and their shifted ones; keep the Jacobians for :meth:`compute_vjp`."""
        tapes = tuple(convert_to_numpy_parameters(tape)[0][0] for tape in tapes)
        shifted, jacobians_of = param_shift(tapes, **self._qnode.gradient_kwargs)
        results = qml.execute((*tapes, *shifted), self._qnode.device, diff_method=None, cache=False)
        self._jacobians = tuple(jacobians_of(results[len(tapes) :]))
        return results[: len(tapes)]

    def compute_vjp(self, tapes: QuantumScriptBatch, cotangents: tuple) -> tuple:
        """Cotangents times Jacobians, for each circuit."""
        return tuple(
            (compute_vjp_multi if len(tape.measurements) > 1 else compute_vjp_single)(cotangent, jacobian)
            for tape, cotangent, jacobian in zip(tapes, cotangents, self._jacobians, strict=True)
        )
