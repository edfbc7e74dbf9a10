"""Checks that many settings share; each names the setting, its value and what is allowed."""

from numbers import Integral, Real
from typing import Any

from qkd_pl.errors import InvalidInputError


def check_count(name: str, value: Any, at_least: int = 1) -> None:
    """Refuse all but whole numbers from ``at_least`` on.

    Raises:
        InvalidInputError: see above.

    Example:
        >>> check_count("n_layers", 2)
        >>> check_count("n_layers", 2.5)
        Traceback (most recent call last):
        ...
        qkd_pl.errors.InvalidInputError: n_layers=2.5: must be a whole number of at least 1
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or value < at_least:
        raise InvalidInputError(f"{name}={value!r}: must be a whole number of at least {at_least}")


def check_number(name: str, value: Any, low: float, high: float = float("inf"), *, above: bool = False) -> None:
    """Refuse all but finite numbers from ``low`` to ``high``; with ``above``, also ``low`` itself.

    Raises:
        InvalidInputError: see above.

    Example:
        >>> check_number("alpha", 1, 0, 1)
        >>> check_number("temperature", 0.0, 0, above=True)
        Traceback (most recent call last):
        ...
        qkd_pl.errors.InvalidInputError: temperature=0.0: must be a finite number above 0
    """
    is_finite = isinstance(value, Real) and not isinstance(value, bool) and abs(float(value)) < float("inf")
    if not is_finite or not low <= value <= high or (above and value == low):
        allowed = f"above {low}" if above else f"from {low} on" if high == float("inf") else f"from {low} to {high}"
        raise InvalidInputError(f"{name}={value!r}: must be a finite number {allowed}")
