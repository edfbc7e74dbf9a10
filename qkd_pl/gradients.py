"""The seam between training and devices: outputs of a circuit and their pullback, on any device.

A circuit may do with its weights what it likes: slice, scale, reuse them, or multiply them with its inputs. Where the
device differentiates (adjoint), it is asked for the derivative with respect to the parameters of the gates; from there
automatic differentiation goes on to the weights, or nothing does where each such parameter *is* the tensor of weights,
as in our ansatz and PennyLane's templates.
"""

import copy
from collections.abc import Callable, Hashable, Iterable
from itertools import chain
from typing import Any
from weakref import WeakKeyDictionary

import autograd
import numpy as np
import pennylane as qml
from autograd.tracer import getval, isbox
from pennylane.devices import ExecutionConfig
from pennylane.gradients import compute_vjp_multi, compute_vjp_single, param_shift
from pennylane.operation import StatePrepBase
from pennylane.tape import QuantumScript, QuantumScriptBatch, make_qscript
from pennylane.transforms import broadcast_expand, convert_to_numpy_parameters
from pennylane.typing import PostprocessingFn, ResultBatch
from pennylane.workflow import construct_batch

from qkd_pl.circuits.embeddings import Preparations
from qkd_pl.circuits.rows import RowsDifferError
from qkd_pl.circuits.tracing import Trace, trace
from qkd_pl.upstream.pennylane import execution_keywords, has_transforms, run_differentiably

Pullback = Callable[[np.ndarray], np.ndarray]
_DEVICE_PRODUCTS = ExecutionConfig(
    gradient_method="adjoint", use_device_gradient=True, use_device_jacobian_product=True
)
# From this size on default.qubit contracts by tensordot, which forgets that a gate is broadcast.
_LARGE_FOR_DEFAULT_QUBIT = 12


def evaluate(qnode: qml.QNode, weights: np.ndarray, batch: Preparations) -> np.ndarray:
    """The circuit's K outputs for every sample of a batch, shape ``(n, K)`` float64."""
    return batch.average(np.asarray(_outputs(qnode, batch.circuit_inputs, weights)))


def vjp(qnode: qml.QNode, weights: np.ndarray, batch: Preparations) -> tuple[np.ndarray, Pullback]:
    """Outputs of a circuit and the pullback that turns a cotangent on them into a gradient of the weights.

    In the sense of ``jax.vjp``. The QNode's own differentiation method does the work: adjoint and backprop exactly,
    parameter shift (Eqs. 5–6) from shifted circuits, SPSA by random directions.

    Args:
        qnode: returns K expectation values; its function takes ``(inputs, weights)``, for a batch of inputs.
        weights: in radians, of the shape that the circuit takes.
        batch: n samples.

    Returns:
        outputs ``(n, K)`` float64, and a function from a cotangent ``(n, K)`` to a gradient shaped like ``weights``.

    Raises:
        InvalidInputError: the weights enter the circuit in a way that cannot be differentiated.
    """
    inputs = batch.circuit_inputs
    outputs, pull = _by_device(qnode, weights, inputs) or _by_autograd(qnode, weights, inputs)

    def pullback(cotangent: np.ndarray) -> np.ndarray:
        return pull(batch.spread(cotangent))

    return batch.average(outputs), pullback


# --- the device's own vector-Jacobian product

#: For each QNode and structure of its tape: whether the weights are the gates' parameters; None if this device does not
#: run such a tape as it is.
_routes: WeakKeyDictionary[qml.QNode, dict[Hashable, bool | None]] = WeakKeyDictionary()


def _by_device(qnode: qml.QNode, weights: np.ndarray, inputs: np.ndarray) -> tuple[np.ndarray, Pullback] | None:
    """The device's own vector-Jacobian product; None unless it runs the tape as it is.

    Tracing a circuit for automatic differentiation takes longer than running a small one. It is done once for each
    structure, and then only if there is something to carry back from the gates' parameters to the weights.
    """
    if qnode.diff_method != "adjoint" or has_transforms(qnode):
        return None
    try:
        tape = make_qscript(qnode.func)(inputs, weights)
    except RowsDifferError:
        return None
    routes, key = _routes.setdefault(qnode, {}), _structure(tape, weights)
    traced = None
    if key not in routes:
        traced = _traced(qnode, inputs, weights)
        routes[key] = None if traced is None else traced.is_direct
    if routes[key] is None:
        return None
    if routes[key]:
        parameters = chain.from_iterable(op.data for op in tape.operations)
        trainable = [i for i, parameter in enumerate(parameters) if parameter is weights]
        tape = QuantumScript(tape.operations, tape.measurements, trainable_params=trainable)
    else:
        traced = traced or _traced(qnode, inputs, weights)
        if traced is None:
            return None
        tape = traced.tape
    config = qnode.device.setup_execution_config(_DEVICE_PRODUCTS, tape)
    tapes, _ = qnode.device.preprocess_transforms(config)((tape,))
    if len(tapes) != 1 or tapes[0] is not tape:
        routes[key] = None
        return None
    (result,) = qnode.device.execute(tapes, config)
    single = len(tape.measurements) == 1

    def pull(cotangent: np.ndarray) -> np.ndarray:
        cotangents = cotangent[:, 0] if single else tuple(cotangent.T)
        (gradients,) = qnode.device.compute_vjp(tapes, (cotangents,), config)
        if routes[key] or traced is None:
            return sum(gradients[1:], gradients[0])
        return traced.pull(np.concatenate([np.ravel(gradient) for gradient in gradients]))

    return np.array((result,) if single else result).T, pull


def _traced(qnode: qml.QNode, inputs: np.ndarray, weights: np.ndarray) -> Trace | None:
    """The circuit's trace; None if its rows differ, or if nothing depends on the weights."""
    try:
        traced = trace(qnode.func, inputs, weights)
    except RowsDifferError:
        return None
    return traced if traced.tape.trainable_params else None


def _structure(tape: QuantumScript, weights: np.ndarray) -> Hashable:
    """All of a tape but its numbers, and where it holds the tensor of weights itself."""
    return tuple(
        (op.name, op.wires.labels, *((getattr(value, "shape", ()), value is weights) for value in op.data))
        for op in tape.operations
    ), len(tape.measurements)


# --- PennyLane's automatic differentiation


def _by_autograd(qnode: qml.QNode, weights: np.ndarray, inputs: np.ndarray) -> tuple[np.ndarray, Pullback]:
    """PennyLane's automatic differentiation, with the QNode's method."""
    pull, outputs = autograd.make_vjp(lambda weights: _outputs(qnode, inputs, weights))(np.asarray(weights))
    return np.asarray(outputs), lambda cotangent: np.asarray(pull(cotangent))


def _outputs(qnode: qml.QNode, inputs: np.ndarray, weights: Any) -> Any:
    """Outputs ``(n, K)``; ``weights`` may be a tracer of autograd."""
    node = _expanding(qnode)
    try:
        result = _run(node, [inputs], weights)[0] if _takes_shifts(node, weights) else node(inputs, weights)
    except RowsDifferError:
        return _row_by_row(node, qnode.func.circuit, inputs, weights)
    outputs = _stacked(result)
    # PennyLane expands some templates' batches twice (IQPEmbedding's before adjoint differentiation).
    if qml.math.ndim(outputs) > 2:
        return _row_by_row(node, getattr(qnode.func, "circuit", qnode.func), inputs, weights)
    # A circuit that does not depend on its inputs has no batch, and default.qubit drops that of a batch of one.
    if qml.math.ndim(outputs) == 1:
        outputs = qml.math.reshape(outputs, (1, -1)) * np.ones((len(inputs), 1))
    return outputs


def _row_by_row(node: qml.QNode, circuit: Callable, inputs: np.ndarray, weights: Any) -> Any:
    node = copy.copy(node)
    node.func = circuit
    return qml.math.stack([_stacked(each) for each in _run(node, inputs, weights)])


def _stacked(result: Any) -> Any:
    """Expectation values, one or several, along a last axis."""
    is_sequence = isinstance(getval(result), list | tuple)
    return qml.math.stack(result if is_sequence else [result], axis=-1)


def _run(qnode: qml.QNode, all_inputs: Iterable[np.ndarray], weights: Any) -> list[Any]:
    """Results for several inputs, each a batch or a row, in one call of the device.

    With parameter shift, the shifted circuits are in the same call. PennyLane itself runs the circuit first and the
    shifted ones when the cotangent is known, which on hardware are two jobs with a wait in the queue for each.
    """
    shifts = _takes_shifts(qnode, weights)
    tapes: list[QuantumScript] = []
    parts: list[tuple[slice, PostprocessingFn]] = []
    for inputs in all_inputs:
        own, postprocessing = construct_batch(qnode, level="gradient" if shifts else "user")(inputs, weights)
        parts.append((slice(len(tapes), len(tapes) + len(own)), postprocessing))
        tapes += own
    if shifts:
        results = run_differentiably(tapes, _ShiftedTogether(qnode))
    else:
        keywords = execution_keywords(qnode)
        results = qml.execute(tapes, qnode.device, diff_method=qnode.diff_method, interface="autograd", **keywords)
    return [_only(postprocessing(results[span])) for span, postprocessing in parts]


def _takes_shifts(qnode: qml.QNode, weights: Any) -> bool:
    """Whether a gradient by shifted circuits is asked for: only then are the weights a tracer."""
    return qnode.diff_method == "parameter-shift" and isbox(weights)


class _ShiftedTogether:
    """PennyLane's calculator of Jacobian products for :func:`_run`."""

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


# --- batches that PennyLane cannot take

_expanded: WeakKeyDictionary[qml.QNode, qml.QNode] = WeakKeyDictionary()


def _expanding(qnode: qml.QNode) -> qml.QNode:
    """The QNode, taking batches apart where its device or its differentiation method fails on them."""
    if qnode.diff_method not in ("parameter-shift", "spsa") and qnode.device.name != "default.qubit":
        return qnode
    if qnode not in _expanded:
        _expanded[qnode] = _one_by_one(qnode, shifts=qnode.diff_method in ("parameter-shift", "spsa"))
    return _expanded[qnode]


@qml.transform
def _one_by_one(tape: QuantumScript, shifts: bool) -> tuple[QuantumScriptBatch, PostprocessingFn]:
    """Expand a batch whose trainable parameters differ between samples, or that default.qubit contracts wrongly."""
    if tape.batch_size is None:
        return (tape,), _only
    is_large = len(tape.wires) >= _LARGE_FOR_DEFAULT_QUBIT and any(
        op.batch_size is not None and not isinstance(op, StatePrepBase) for op in tape.operations
    )
    trains_batch = shifts and any(
        tape.get_operation(i)[0].batch_size is not None for i in range(len(tape.trainable_params))
    )
    return broadcast_expand(tape) if is_large or trains_batch else ((tape,), _only)


def _only(results: ResultBatch) -> Any:
    return results[0]
