"""The seam between training and devices: outputs of a circuit and their pullback, on any device."""

from collections.abc import Callable
from typing import Any

import autograd
import numpy as np
import pennylane as qml
from pennylane.devices import ExecutionConfig
from pennylane.gradients import compute_vjp_multi, compute_vjp_single, param_shift
from pennylane.tape import QuantumScriptBatch, make_qscript
from pennylane.transforms import convert_to_numpy_parameters
from pennylane.typing import ResultBatch
from pennylane.workflow import construct_batch
from pennylane.workflow.interfaces.autograd import autograd_execute

from qkd_pl.circuits.embeddings import Preparations

Pullback = Callable[[np.ndarray], np.ndarray]
_DEVICE_PRODUCTS = ExecutionConfig(
    gradient_method="adjoint", use_device_gradient=True, use_device_jacobian_product=True
)


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
    inputs = batch.circuit_inputs
    outputs, pull = _by_device(qnode, weights, inputs) or _by_autograd(qnode, weights, inputs)

    def pullback(cotangent: np.ndarray) -> np.ndarray:
        return pull(batch.spread(cotangent))

    return batch.average(outputs), pullback


def _by_device(qnode: qml.QNode, weights: np.ndarray, inputs: np.ndarray) -> tuple[np.ndarray, Pullback] | None:
    """The device's own vector-Jacobian product; None unless it runs the tape as it is, with the weights as one tensor.

    Tracing a circuit for automatic differentiation takes longer than running a small one, and there is nothing to
    trace where the weights are a parameter of the tape.
    """
    if qnode.diff_method != "adjoint" or len(qnode.compile_pipeline):
        return None
    tape = make_qscript(qnode.func)(inputs, weights)
    tape.trainable_params = [i for i, p in enumerate(tape.get_parameters(trainable_only=False)) if p is weights]
    config = qnode.device.setup_execution_config(_DEVICE_PRODUCTS, tape)
    tapes, _ = qnode.device.preprocess_transforms(config)((tape,))
    if len(tapes) != 1 or tapes[0] is not tape:
        return None
    (result,) = qnode.device.execute(tapes, config)
    single = len(tape.measurements) == 1

    def pull(cotangent: np.ndarray) -> np.ndarray:
        cotangents = cotangent[:, 0] if single else tuple(cotangent.T)
        (gradients,) = qnode.device.compute_vjp(tapes, (cotangents,), config)
        return np.sum(gradients, axis=0)

    return np.stack((result,) if single else result, axis=-1), pull


def _by_autograd(qnode: qml.QNode, weights: np.ndarray, inputs: np.ndarray) -> tuple[np.ndarray, Pullback]:
    """PennyLane's automatic differentiation, with the QNode's method."""
    run = _with_shifts(qnode) if qnode.diff_method == "parameter-shift" else qnode

    def outputs_of(weights: np.ndarray) -> np.ndarray:
        outputs = qml.math.stack(run(inputs, weights), axis=-1)
        # With shots, default.qubit drops the batch axis of a batch of one.
        return qml.math.reshape(outputs, (len(inputs), -1))

    pull, outputs = autograd.make_vjp(outputs_of)(np.asarray(weights))
    return np.asarray(outputs), lambda cotangent: np.asarray(pull(cotangent))


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
