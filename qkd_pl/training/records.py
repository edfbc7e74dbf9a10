"""Values as a model file can hold them: JSON."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from qkd_pl.devices.registry import DeviceSpec
from qkd_pl.errors import InvalidInputError


def plain(value: Any, name: str) -> Any:
    """The value in JSON's own types; NumPy's numbers and arrays become numbers and lists.

    Raises:
        InvalidInputError: the value, or one within, has no such form; names where.

    Example:
        >>> plain({"accuracy": np.float64(0.5), "per_class": np.array([1, 0])}, "history")
        {'accuracy': 0.5, 'per_class': [1, 0]}
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, np.ndarray):
        return plain(value.tolist(), name)
    if isinstance(value, Mapping):
        return {str(key): plain(each, f"{name}[{key!r}]") for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each, f"{name}[{index}]") for index, each in enumerate(value)]
    raise InvalidInputError(
        f"{name} is a {type(value).__name__}, which a model file cannot hold; use numbers, text, lists and dictionaries"
    )


def plain_device(device: DeviceSpec) -> tuple[dict[str, Any], str | None]:
    """A device's settings as a model file can hold them, and which of them it can only name.

    A backend object or a random generator among the options is named by its type: a model may be trained on it, but a
    checkpoint could not tell it from another.
    """
    unnamed = None
    settings: dict[str, Any] = {}
    for name, value in device.model_dump().items():
        if not isinstance(value, dict):
            settings[name] = plain(value, name)
            continue
        settings[name] = {}
        for option, given in value.items():
            try:
                settings[name][option] = plain(given, option)
            except InvalidInputError:
                settings[name][option] = f"<{type(given).__name__}>"
                unnamed = f"{name}[{option!r}]"
    return settings, unnamed
