"""Made inputs and weights with which a circuit is tried out before data come into play: the same in every process."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from pennylane.exceptions import QuantumFunctionError
from pennylane.measurements import ExpectationMP, MeasurementProcess
from pennylane.ops import MidMeasure
from pennylane.queuing import AnnotatedQueue
from pennylane.tape import QuantumScript

from qkd_pl.checks import cut
from qkd_pl.circuits.preparations import Preparations
from qkd_pl.errors import InvalidInputError
from qkd_pl.networks.protocol import Network
from qkd_pl.networks.weights import inner_shape, split_weights

_SEED = 20260321
N_PROBES = 3


@dataclass(frozen=True, eq=False)
class Probe:
    """A circuit on made inputs.

    Attributes:
        inputs: float64, three samples, or four if they have three features: a batch must not pass for a row.
        batch: how the network encodes them.
        tape: the circuit for the first preparation and :func:`probe_weights`.
    """

    inputs: np.ndarray
    batch: Preparations
    tape: QuantumScript


def probe_weights(network: Network) -> np.ndarray:
    """Seeded weights, uniform in [0, 2π), as the array that holds a network's weights."""
    return np.random.default_rng(_SEED).uniform(0.0, 2.0 * np.pi, inner_shape(network.weights_shape))


def probe(network: Network, n_features: int | None = None) -> Probe:
    """The first made inputs that a network encodes and its circuit takes.

    Args:
        network: what is tried out.
        n_features: width of the rows that the circuit will be given, if that is known.

    Raises:
        InvalidInputError: it takes none of them, or returns something else than expectation values.
    """
    weights = split_weights(probe_weights(network), network.weights_shape)
    problem: Exception | None = None
    width = n_features or getattr(network, "n_features", None)
    for inputs in _candidates(len(network.wires), width):
        try:
            batch = network.encode(inputs)
        except InvalidInputError as error:
            problem = problem or error
            continue
        if n_features not in (None, batch.rows.shape[-1]):
            continue
        try:
            with AnnotatedQueue() as queue:
                returned = network.circuit(batch.circuit_inputs[0], weights)
            tape = QuantumScript.from_queue(queue)
        except QuantumFunctionError as error:
            raise InvalidInputError(f"the circuit must return expectation values: {error}") from error
        except Exception as error:  # of the user's code, which may raise anything
            problem = error if problem is None or isinstance(problem, InvalidInputError) else problem
            continue
        _check_returned(returned, tape)
        _check(tape, network)
        return Probe(inputs, batch, tape)
    what = f"{width} features" if width else "any number of features that was tried (n_features=... says which)"
    message = f"the circuit cannot be run with {what} and weights of shape {network.weights_shape}"
    raise InvalidInputError(f"{message}: {type(problem).__name__}: {problem}") from problem


def _candidates(n_wires: int, width: int | None) -> Iterator[np.ndarray]:
    """Angles, bits and normalised real vectors: of the given width, one feature per wire, and then other numbers."""
    if width is not None:
        yield from (_angles(width), _bits(width), _unit_vectors(width))
    if width is None or width == 2**n_wires or width == n_wires:
        yield from (_angles(n_wires), _bits(n_wires), _unit_vectors(2**n_wires))
    if width is None:
        yield from map(_angles, (*range(n_wires + 1, 8 * n_wires + 9), *range(1, n_wires)))


def _angles(width: int) -> np.ndarray:
    return _random(width).uniform(0.0, 2.0 * np.pi, (_n_probes(width), width))


def _bits(width: int) -> np.ndarray:
    return _random(width).integers(0, 2, (_n_probes(width), width)).astype(np.float64)


def _unit_vectors(width: int) -> np.ndarray:
    vectors = _random(width).normal(size=(_n_probes(width), width))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _n_probes(width: int) -> int:
    return N_PROBES + (width == N_PROBES)


def _random(width: int) -> np.random.Generator:
    return np.random.default_rng((_SEED, width))


def _check_returned(returned: Any, tape: QuantumScript) -> None:
    """Refuse what a circuit returns unless it is a measurement or a list of it, all that it has made."""
    outputs = list(returned) if isinstance(returned, list | tuple) else [returned]
    if not outputs or not all(isinstance(each, MeasurementProcess) for each in outputs):
        given = "nothing" if returned is None or not outputs else cut(returned)
        raise InvalidInputError(f"the circuit returns {given}; it must return qml.expval(observable), or a list of it")
    made = tape.measurements
    if len(made) != len(outputs) or any(one is not other for one, other in zip(made, outputs, strict=True)):
        raise InvalidInputError("the circuit must return each of its measurements once, in the order of making them")


def _check(tape: QuantumScript, network: Network) -> None:
    """Refuse measurements that cannot be outputs, and wires that are not the network's."""
    for measurement in tape.measurements:
        if not isinstance(measurement, ExpectationMP) or measurement.obs is None:
            raise InvalidInputError(
                f"the circuit returns {measurement}; outputs must be expectation values, qml.expval(observable)"
            )
    if any(isinstance(op, MidMeasure) for op in tape.operations):
        raise InvalidInputError("the circuit measures in between; mid-circuit measurements cannot be differentiated")
    if strange := [wire for wire in tape.wires if wire not in network.wires]:
        raise InvalidInputError(f"the circuit uses wire {strange[0]!r}; the network's wires are {list(network.wires)}")
