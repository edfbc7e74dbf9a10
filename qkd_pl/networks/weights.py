"""Weights: one array, or several named ones, which inside are one flat vector."""

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
import pennylane as qml

from qkd_pl.checks import any_array, check_count
from qkd_pl.errors import InvalidInputError
from qkd_pl.networks.protocol import WeightsShape


def checked_shape(shape: Any) -> WeightsShape:
    """A shape as a tuple of whole numbers, or a dictionary of such.

    Raises:
        InvalidInputError: it is neither.

    Example:
        >>> checked_shape({"rotations": [2, 3], "phase": ()})
        {'rotations': (2, 3), 'phase': ()}
    """
    if isinstance(shape, Mapping):
        if not shape or not all(isinstance(name, str) and name for name in shape):
            raise InvalidInputError(f"weights_shape={shape!r}: must name at least one array, by texts")
        return {name: _tuple(each) for name, each in shape.items()}
    return _tuple(shape)


def inner_shape(shape: WeightsShape) -> tuple[int, ...]:
    """Shape of the array that holds the weights: that of one array, or ``(total,)`` for named ones."""
    return (sum(map(prod, shape.values())),) if isinstance(shape, Mapping) else shape


def split_weights(weights: Any, shape: WeightsShape) -> Any:
    """What a circuit takes, from the array that holds the weights; that may be a tracer of autograd.

    Example:
        >>> split_weights(np.arange(3.0), {"angles": (2,), "phase": ()})
        {'angles': array([0., 1.]), 'phase': array(2.)}
    """
    if not isinstance(shape, Mapping):
        return weights
    arrays, start = {}, 0
    for name, each in shape.items():
        arrays[name] = qml.math.reshape(weights[start : start + prod(each)], each)
        start += prod(each)
    return arrays


def joined_weights(weights: Any, shape: WeightsShape, source: str = "weights") -> np.ndarray:
    """The array that holds the weights, float64, from one array, or from a dictionary of the named ones.

    Args:
        source: what a message calls the weights.

    Raises:
        InvalidInputError: names or shapes differ from ``shape``, or the values are not finite real numbers.

    Example:
        >>> joined_weights({"phase": 2, "angles": [0, 1]}, {"angles": (2,), "phase": ()})
        array([0., 1., 2.])
    """
    if not isinstance(weights, Mapping):
        return _checked(weights, inner_shape(shape), source)
    if not isinstance(shape, Mapping) or weights.keys() != shape.keys():
        expected = sorted(shape, key=str) if isinstance(shape, Mapping) else f"one array of shape {shape}"
        raise InvalidInputError(f"{source} are named {sorted(weights, key=str)}; the network needs {expected}")
    parts = [_checked(weights[name], each, f"{source}[{name!r}]").ravel() for name, each in shape.items()]
    return np.concatenate(parts)


def _checked(values: Any, shape: tuple[int, ...], source: str) -> np.ndarray:
    given = any_array(source, values)
    try:
        array = np.array(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"{source} are not an array of real numbers ({error})") from error
    if array.shape != shape:
        raise InvalidInputError(f"{source} have shape {array.shape}; the network needs {shape}")
    if not np.isfinite(array).all():
        raise InvalidInputError(f"{source} contain NaN or infinity; they must be finite")
    return array


def _tuple(shape: Any) -> tuple[int, ...]:
    try:
        sizes = tuple(shape)
    except TypeError:
        sizes = (shape,)
    for size in sizes:
        check_count("weights_shape", size)
    return tuple(map(int, sizes))
