"""What makes an object a network: a circuit's description, without weights."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from qkd_pl.circuits.preparations import Preparations

#: One shape, or a shape for each of several named arrays.
WeightsShape = tuple[int, ...] | Mapping[str, tuple[int, ...]]


class Network(Protocol):
    """What every network has: ``kd.QNN``, ``kd.QAE``, ``kd.CircuitNetwork``, and any object with these five.

    Attributes:
        wires: labels of the circuit's wires.
        weights_shape: shape of the weights, or a dictionary with the shape of each of several named arrays.
        n_outputs: how many expectation values the circuit returns.
    """

    @property
    def wires(self) -> Sequence[Any]: ...

    @property
    def weights_shape(self) -> WeightsShape: ...

    @property
    def n_outputs(self) -> int: ...

    def encode(self, inputs: Any) -> Preparations:
        """Check inputs and turn them into preparations, whose rows ``circuit`` takes."""
        ...

    def circuit(self, inputs: np.ndarray, weights: Any) -> Any:
        """The quantum function: queues gates and returns one or a list of ``qml.expval``.

        Args:
            inputs: one row, shape ``(features,)``; also a batch ``(n, features)``, or the rows are run one by one.
            weights: an array of the shape ``weights_shape``, or a dictionary of the named arrays.
        """
        ...


def n_classes_of(network: Network) -> int:
    """How many classes a network tells apart: as many as it has outputs, or two by the sign of a single one."""
    return max(2, network.n_outputs)
