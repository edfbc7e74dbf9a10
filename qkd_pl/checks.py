"""Checks that many settings share; each names the setting, its value and what is allowed."""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from numbers import Integral, Real
from typing import Any

import numpy as np

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
        raise InvalidInputError(f"{name}={cut(value)}: must be a whole number of at least {at_least}")


def checked_labels(labels: Any, n_samples: int, n_classes: int) -> np.ndarray:
    """Class indices of ``n_samples`` samples as int64.

    Raises:
        InvalidInputError: they are not one integer from 0 to ``n_classes - 1`` for each sample.

    Example:
        >>> checked_labels([1, 0], n_samples=2, n_classes=2)
        array([1, 0])
        >>> checked_labels([1, 5], n_samples=2, n_classes=2)
        Traceback (most recent call last):
        ...
        qkd_pl.errors.InvalidInputError: labels must be integers from 0 to 1; found [1 5]
    """
    labels = any_array("labels", labels)
    if labels.shape != (n_samples,):
        raise InvalidInputError(f"labels have shape {labels.shape}; expected one per sample, ({n_samples},)")
    if labels.dtype.kind not in "biu" or (n_samples and not 0 <= labels.min() <= labels.max() < n_classes):
        found = labels[:10] if labels.dtype.kind == "O" else np.unique(labels)[:10]
        raise InvalidInputError(f"labels must be integers from 0 to {n_classes - 1}; found {found}")
    return labels.astype(np.int64)


def check_variable_name(name: str, value: Any) -> None:
    """Refuse what cannot be the name of an environment variable, without repeating it: it may be a secret.

    Raises:
        InvalidInputError: see above.

    Example:
        >>> check_variable_name("token_env", "QISKIT_IBM_TOKEN")
        >>> check_variable_name("token_env", "kRm3-aPiKey")
        Traceback (most recent call last):
        ...
        qkd_pl.errors.InvalidInputError: token_env: must name an environment variable in capitals, not hold a key
    """
    if not isinstance(value, str) or not re.fullmatch(r"[A-Z_][A-Z0-9_]*", value):
        raise InvalidInputError(f"{name}: must name an environment variable in capitals, not hold a key")


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
    is_finite = isinstance(value, Real) and not isinstance(value, bool) and _is_finite(value)
    if not is_finite or not low <= value <= high or (above and value == low):
        allowed = f"above {low}" if above else f"of at least {low}" if high == float("inf") else f"from {low} to {high}"
        raise InvalidInputError(f"{name}={cut(value)}: must be a finite number {allowed}")


def _is_finite(value: Any) -> bool:
    try:
        return abs(float(value)) < float("inf")
    except OverflowError:  # a whole number of hundreds of digits
        return False


def cut(value: Any, length: int = 120) -> str:
    """``repr(value)`` for a message, cut at a sensible length.

    Example:
        >>> cut("moon"), cut("x" * 1000, length=10)
        ("'moon'", "'xxxxxxxx…")
    """
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits; lists within lists
        text = f"<a {type(value).__name__} that is too long to be shown>"
    return text if len(text) <= length else f"{text[: length - 1]}…"


def nearest(name: Any, known: Iterable[str]) -> str:
    """What may have been meant by a misspelt name, in any case, as the end of a message; empty if nothing is like it.

    Example:
        >>> nearest("default.qbit", ["default.qubit", "lightning.qubit"])
        ' (did you mean default.qubit?)'
        >>> nearest("FAKE_MANILA", ["fake_manila"])
        ' (did you mean fake_manila?)'
        >>> nearest("moon", ["default.qubit"])
        ''
    """
    lower = {each.lower(): each for each in known}
    text = cut(name)[1:-1] if isinstance(name, str) else cut(name)
    close = [text.lower()] if text.lower() in lower else get_close_matches(text.lower(), list(lower), n=3)
    return f" (did you mean {' or '.join(lower[each] for each in close)}?)" if close else ""


def check_choice(name: str, value: Any, allowed: Iterable[Any], also: str = "") -> None:
    """Refuse all but the names of a closed set, which may hold True, False and None; what is near is suggested.

    Args:
        name: of the setting.
        value: what was given.
        allowed: the names.
        also: what else is allowed, as the end of the list.

    Raises:
        InvalidInputError: see above.

    Example:
        >>> check_choice("entangler", "cz", ["cz", "cnot"])
        >>> check_choice("entangler", "CNOT", ["cz", "cnot"])
        Traceback (most recent call last):
        ...
        qkd_pl.errors.InvalidInputError: entangler='CNOT': must be one of 'cz', 'cnot' (did you mean cnot?)
    """
    choices = list(allowed)
    value = bool(value) if isinstance(value, np.bool_) else value
    if any(value is each or (isinstance(value, str) and value == each) for each in choices):
        return
    listed = ", ".join(map(repr, choices)) + (f", or {also}" if also else "")
    close = nearest(value, [each for each in choices if isinstance(each, str)]) if isinstance(value, str) else ""
    raise InvalidInputError(f"{name}={cut(value)}: must be one of {listed}{close}")


def kind_of(value: Any) -> str:
    """The type of a value, with its article, for a message.

    Example:
        >>> kind_of(3), kind_of("x"), kind_of(None)
        ('an int', 'a str', 'None')
    """
    if value is None:
        return "None"
    name = type(value).__name__
    # An abbreviation is spelt out: an SVC, an MLPClassifier, a QNN.
    vowels = "AEFHILMNORSX" if name[:2].isupper() else "AEIOaeio"
    return f"{'an' if name[0] in vowels or name == 'ndarray' else 'a'} {name}"


def plain(value: Any) -> Any:
    """A setting with NumPy's numbers replaced by Python's, also inside lists and dictionaries.

    Example:
        >>> plain({"shots": np.int64(100), "levels": [np.float64(0.5)]})
        {'shots': 100, 'levels': [0.5]}
    """
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(plain(each) for each in value) if type(value) in (list, tuple) else value
    return value


def any_array(name: str, value: Any) -> np.ndarray:
    """What :func:`as_array` takes, or an array of anything else, such as text.

    Raises:
        InvalidInputError: it is not one array, for example rows of different lengths; the message names ``name``.
    """
    if hasattr(value, "detach") and hasattr(value, "cpu"):  # a torch.Tensor
        value = value.detach().cpu()
    try:
        return np.asarray(value)
    except (ValueError, TypeError, RuntimeError):
        raise InvalidInputError(f"{name} is {kind_of(value)}; it must be an array of numbers") from None


def as_array(name: str, value: Any) -> np.ndarray:
    """An array of NumPy, JAX, PyTorch (also one that is differentiated or on a GPU), TensorFlow, or nested lists.

    Raises:
        InvalidInputError: it is not numbers, or its rows have different lengths; the message names ``name``.

    Example:
        >>> as_array("inputs", [[1, 2], [3, 4]]).shape
        (2, 2)
        >>> as_array("inputs", [[1, 2], [3]])
        Traceback (most recent call last):
        ...
        qkd_pl.errors.InvalidInputError: inputs is a list; it must be an array of numbers
    """
    array = any_array(name, value)
    if array.dtype.kind not in "biufc":
        of = f" of dtype {array.dtype}" if hasattr(value, "dtype") else ""
        raise InvalidInputError(f"{name} is {kind_of(value)}{of}; it must be an array of numbers")
    return array
