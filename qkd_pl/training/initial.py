"""Where training starts: distributions of initial weights.

A QNN's few layers train from anywhere, and the paper starts them uniformly in [0, 2π). An autoencoder needs a deep
circuit, which with such weights is nearly a random unitary, whose gradients vanish (McClean et al., Nat. Commun. 9,
4812, 2018). With small angles the rotations are near the identity, and two equal blocks of CZ gates cancel, so that an
even number of layers starts near the identity (as in Grant et al., Quantum 3, 214, 2019). Seven qubits on two, twelve
layers, 600 iterations: mean fidelity 0.78 from a full turn, 0.98 from small angles.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from qkd_pl.checks import check_number
from qkd_pl.networks.models import TrainedNetwork
from qkd_pl.networks.networks import QAE
from qkd_pl.networks.protocol import Network
from qkd_pl.networks.weights import checked_shape, inner_shape, joined_weights

#: From a generator and a shape to weights in radians.
Distribution = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


@dataclass(frozen=True)
class Uniform:
    """Uniform in [0, 2π).

    Example:
        >>> Uniform()(np.random.default_rng(0), (3,)).round(2).tolist()
        [4.0, 1.7, 0.26]
    """

    def __call__(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return rng.uniform(0.0, 2.0 * np.pi, shape)


@dataclass(frozen=True)
class Normal:
    """Normal around 0, with standard deviation ``spread`` in radians.

    Raises:
        InvalidInputError: ``spread`` is not a finite number above 0.

    Example:
        >>> Normal(0.1)(np.random.default_rng(0), (3,)).round(3).tolist()
        [0.013, -0.013, 0.064]
    """

    spread: float = 0.3

    def __post_init__(self) -> None:
        check_number("spread", self.spread, 0, above=True)

    def __call__(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        return rng.normal(0.0, self.spread, shape)


def default_initial(network: Network) -> Uniform | Normal:
    """Small angles for an autoencoder, a full turn for all else."""
    return Normal() if isinstance(network, QAE) else Uniform()


def describe_initial(initial: Any) -> dict[str, Any] | None:
    """A distribution of this module as JSON-able data; None for weights that were given and for functions."""
    if not isinstance(initial, Uniform | Normal):
        return None
    return {"distribution": type(initial).__name__.lower(), **asdict(initial)}


def initial_weights(initial: Any, network: Network, rng: np.random.Generator) -> np.ndarray:
    """The weights of a network before its first iteration: a float64 copy, of shape ``network.weights_shape``,
    or one flat vector for named arrays.

    Args:
        initial: a model, weights in radians, or a :data:`Distribution`.
        network: what is trained.
        rng: what a distribution draws from.

    Raises:
        InvalidInputError: the weights do not have the network's shape, or are not finite numbers.
    """
    shape = checked_shape(network.weights_shape)
    if isinstance(initial, TrainedNetwork):
        given = initial.weights
    else:
        given = initial(rng, inner_shape(shape)) if callable(initial) else initial
    return joined_weights(given, shape, "initial weights")
