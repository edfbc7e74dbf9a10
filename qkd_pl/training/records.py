"""Values as a model file can hold them: JSON."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from qkd_pl.checks import kind_of
from qkd_pl.errors import InvalidInputError


def storable(value: Any, name: str) -> Any:
    """The value in JSON's own types; NumPy's numbers and arrays become numbers and lists.

    Raises:
        InvalidInputError: the value, or one within, has no such form; names where.

    Example:
        >>> storable({"accuracy": np.float64(0.5), "per_class": np.array([1, 0])}, "history")
        {'accuracy': 0.5, 'per_class': [1, 0]}
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, np.ndarray):
        return storable(value.tolist(), name)
    if isinstance(value, Mapping):
        return {str(key): storable(each, f"{name}[{key!r}]") for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [storable(each, f"{name}[{index}]") for index, each in enumerate(value)]
    raise InvalidInputError(
        f"{name} is {kind_of(value)}, which a model file cannot hold; use numbers, text, lists and dictionaries"
    )
