"""What is found out about a network before it is used: whether it can be, and whether its circuit takes batches."""

import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
import pennylane as qml

from qkd_pl.checks import kind_of
from qkd_pl.circuits.embeddings import Embedding
from qkd_pl.circuits.preparations import Preparations
from qkd_pl.circuits.rows import RowByRow
from qkd_pl.circuits.tracing import trace
from qkd_pl.devices.spec import EXACT, DeviceSpec
from qkd_pl.errors import InvalidInputError
from qkd_pl.gradients import evaluate
from qkd_pl.networks.composed import EncodedNetwork
from qkd_pl.networks.networks import QAE, QNN
from qkd_pl.networks.probes import Probe, probe, probe_weights
from qkd_pl.networks.protocol import Network
from qkd_pl.networks.weights import checked_shape, inner_shape, split_weights

_MEMBERS = ("wires", "weights_shape", "n_outputs", "encode", "circuit")
_REFERENCE = DeviceSpec(name="reference", plugin="default.qubit", diff_method="backprop")
_TOLERANCE = 1e-8

#: Identity of a network, and width of its rows → the network, so that identities are not mistaken, and its function.
_known: dict[tuple[int, int | None], tuple[weakref.ref, Callable]] = {}


def quantum_function(network: Network, n_features: int | None = None) -> Callable:
    """The network's circuit as a function of a batch and of the one array that holds the weights; checked once.

    Args:
        network: any network.
        n_features: width of the rows of inputs, if that is known.

    Raises:
        InvalidInputError: see :func:`check_network`.
    """
    if is_ours(network):
        return _function(network)
    key = (id(network), n_features)
    if (known := _known.get(key)) is not None and known[0]() is network:
        return known[1]
    function = check_network(network, n_features)
    with suppress(TypeError):  # objects with slots are checked each time
        _known[key] = weakref.ref(network, partial(_forget, _known, key)), function
    return function


def _forget(known: dict, key: tuple[int, int | None], _: weakref.ref) -> None:
    known.pop(key, None)  # the module's own name may be gone at the interpreter's end


def is_ours(network: Network) -> bool:
    """Whether a network is known to be right, and its settings say all about it."""
    if isinstance(network, EncodedNetwork):
        return is_ours(network.encoder) and is_ours(network.student)
    return isinstance(network, QAE) or (isinstance(network, QNN) and not isinstance(network.embedding, Embedding))


def check_network(network: Any, n_features: int | None = None) -> Callable:
    """Refuse what cannot be trained or run; the circuit for batches otherwise.

    A circuit is run on three made rows, together and one by one. If the results differ, or if it fails on the batch, it
    is written for one row, and will be run row by row.

    Raises:
        InvalidInputError: the object has not all that a network needs, its circuit cannot be run, returns something
            else than ``n_outputs`` expectation values, or uses its weights nowhere, or in a way that cannot be
            differentiated.
    """
    if missing := [name for name in _MEMBERS if not hasattr(network, name)]:
        raise InvalidInputError(
            f"network is {kind_of(network)} without {', '.join(missing)}; it must be a QNN, QAE or "
            f"CircuitNetwork, or have {', '.join(_MEMBERS)}"
        )
    checked_shape(network.weights_shape)
    made = probe(network, n_features)
    if len(made.tape.measurements) != network.n_outputs:
        raise InvalidInputError(
            f"n_outputs={network.n_outputs}: must be {len(made.tape.measurements)}, the number of expectation values "
            "that the circuit returns"
        )
    function, weights = _function(network), probe_weights(network)
    if not trace(function, made.batch.circuit_inputs[0], weights).tape.trainable_params:
        raise InvalidInputError("no gate of the circuit depends on the weights, so that there is nothing to train")
    return function if _takes_batches(network, function, made, weights) else RowByRow(function)


def probe_outputs(network: Network, inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Exact outputs ``(n, n_outputs)`` for made inputs."""
    batch = network.encode(inputs)
    return _simulated(network, quantum_function(network, batch.rows.shape[-1]), batch, weights)


def _function(network: Network) -> Callable:
    shape = checked_shape(network.weights_shape)
    if isinstance(shape, tuple):
        return network.circuit
    return lambda inputs, weights: network.circuit(inputs, split_weights(weights, shape))


def _takes_batches(network: Network, function: Callable, made: Probe, weights: np.ndarray) -> bool:
    rows = made.batch.circuit_inputs
    batch = Preparations.pure(rows)
    expected = _simulated(network, function, batch, weights, as_rows=True)
    try:
        found = _simulated(network, function, batch, weights)
    except Exception:  # of the user's code, which may raise anything
        return False
    return found.shape == expected.shape and np.allclose(found, expected, rtol=0.0, atol=_TOLERANCE)


def _simulated(
    network: Network, function: Callable, batch: Preparations, weights: np.ndarray, as_rows: bool = False
) -> np.ndarray:
    """By ``qkd.lightning``; by ``default.qubit`` if there is something in the circuit that Lightning does not know."""
    weights = weights.reshape(inner_shape(checked_shape(network.weights_shape)))
    try:
        return _run(EXACT, network, function, batch, weights, as_rows)
    except (qml.exceptions.DeviceError, qml.exceptions.DecompositionUndefinedError, NotImplementedError):
        return _run(_REFERENCE, network, function, batch, weights, as_rows)


def _run(
    spec: DeviceSpec, network: Network, function: Callable, batch: Preparations, weights: np.ndarray, as_rows: bool
) -> np.ndarray:
    qnode = spec.qnode(function, network.wires)
    if not as_rows:
        return evaluate(qnode, weights, batch)
    return np.stack([np.ravel(qnode(row, weights)) for row in batch.circuit_inputs])
