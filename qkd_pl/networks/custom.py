"""A network from any PennyLane circuit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pennylane as qml
from pennylane.wires import Wires

from qkd_pl.checks import check_count, kind_of
from qkd_pl.circuits.embeddings import Embedding, checked_numbers, embedding_of, encode
from qkd_pl.circuits.preparations import Preparations
from qkd_pl.errors import InvalidInputError
from qkd_pl.networks.probes import probe
from qkd_pl.networks.weights import checked_shape
from qkd_pl.upstream.pennylane import has_transforms


@dataclass(frozen=True, eq=False)
class CircuitNetwork:
    """Any PennyLane circuit as a network.

    Without ``embedding`` the circuit takes ``(inputs, weights)``, the inputs being real features: one row ``(d,)``, or,
    if written with ``inputs[..., i]``, a batch ``(n, d)``. Which of the two is found out before it is first used, and a
    circuit that takes rows only is run row by row. With ``embedding`` it takes ``(weights)``, and stands behind it.

    Computations with weights use ``qml.math`` or ``pennylane.numpy``, so that they can be differentiated.

    Attributes:
        circuit: a quantum function, or a QNode without transforms, whose function is used (its device, shots and
            differentiation are not: those of the training or evaluation count); it returns one ``qml.expval`` or a
            list of it, one for each output.
        wires: their number, or their labels.
        weights_shape: shape of the weights, or a dictionary of shapes; then the circuit's ``weights`` are a dictionary
            of arrays.
        n_outputs: how many expectation values the circuit returns; found by running it once if None.
        embedding: None, or the name of an embedding, or an :class:`~qkd_pl.circuits.embeddings.Embedding`.
        n_features: d, checked if given; for circuits without embedding.

    Raises:
        InvalidInputError: an argument does not fit, or the circuit cannot be run, or does not return ``n_outputs``
            expectation values.

    Example:
        >>> def circuit(inputs, weights):
        ...     qml.AngleEmbedding(inputs, wires=range(2))
        ...     qml.StronglyEntanglingLayers(weights, wires=range(2))
        ...     return [qml.expval(qml.Z(0)), qml.expval(qml.Z(0) @ qml.X(1))]
        >>> CircuitNetwork(circuit, wires=2, weights_shape=(3, 2, 3)).n_outputs
        2
    """

    function: Callable
    wires: Sequence[Any]
    weights_shape: Any
    n_outputs: int
    embedding: str | Embedding | None
    n_features: int | None

    def __init__(
        self,
        circuit: Callable,
        wires: int | Sequence[Any],
        weights_shape: Any,
        n_outputs: int | None = None,
        embedding: str | Embedding | None = None,
        n_features: int | None = None,
    ) -> None:
        if isinstance(circuit, qml.QNode):
            if has_transforms(circuit):
                raise InvalidInputError("circuit is a QNode with transforms, which would be lost; give its function")
            circuit = circuit.func
        if not callable(circuit):
            raise InvalidInputError(f"circuit is {kind_of(circuit)}; it must be a quantum function or a QNode")
        for name, count in (("n_outputs", n_outputs), ("n_features", n_features)):
            if count is not None:
                check_count(name, count)
        if embedding is not None:
            embedding_of(embedding)
        values = {
            "function": circuit,
            "wires": _wires(wires),
            "weights_shape": checked_shape(weights_shape),
            "embedding": embedding,
            "n_features": n_features,
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        found = len(probe(self).tape.measurements)
        if n_outputs not in (None, found):
            raise InvalidInputError(
                f"n_outputs={n_outputs}: must be {found}, the number of expectation values that the circuit returns"
            )
        object.__setattr__(self, "n_outputs", found)

    def __repr__(self) -> str:
        name = getattr(self.function, "__name__", type(self.function).__name__)
        return f"CircuitNetwork({name}, wires={self.wires!r}, weights_shape={self.weights_shape})"

    def encode(self, inputs: Any) -> Preparations:
        """Check inputs and turn them into preparations for :meth:`circuit`.

        Raises:
            InvalidInputError: they are not what the embedding takes, or no real features ``(n, d)``.
        """
        if self.embedding is not None:
            return encode(self.embedding, inputs, len(self.wires))
        inputs = checked_numbers(inputs)
        features = "d" if self.n_features is None else self.n_features
        if inputs.ndim != 2 or self.n_features not in (None, inputs.shape[1]):
            raise InvalidInputError(f"inputs have shape {inputs.shape}; the circuit takes features (n, {features})")
        if inputs.dtype.kind == "c":
            raise InvalidInputError("inputs are complex; without an embedding, a circuit takes real features")
        return Preparations.pure(inputs.astype(np.float64))

    def circuit(self, inputs: np.ndarray, weights: Any) -> Any:
        """The quantum function, with its embedding."""
        if self.embedding is None:
            return self.function(inputs, weights)
        embedding_of(self.embedding).apply(inputs, Wires(self.wires))
        return self.after_embedding(weights)

    def after_embedding(self, weights: Any) -> Any:
        """The circuit behind the embedding.

        Raises:
            InvalidInputError: there is no embedding: the circuit loads its inputs itself.
        """
        if self.embedding is None:
            raise InvalidInputError("the circuit loads its inputs itself: it has no part behind an embedding")
        return self.function(weights)


def _wires(wires: Any) -> Sequence[Any]:
    if isinstance(wires, int | np.integer):
        check_count("wires", wires)
        return range(int(wires))
    labels = tuple(wires)
    if not labels or len(set(labels)) < len(labels):
        raise InvalidInputError(f"wires={wires!r}: must be a number, or different labels, at least one")
    return labels
