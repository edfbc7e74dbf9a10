"""Labels, numbers, hints and weights as users give them, checked and brought into one form."""

from typing import Any

import numpy as np

from qkd_pl.checks import any_array, checked_labels
from qkd_pl.errors import InvalidInputError


def class_indices(labels: Any, n_samples: int, n_classes: int) -> np.ndarray:
    """Class indices as int64, ``(n,)``; −1, or NaN among floating-point ones, where there is no label.

    Raises:
        InvalidInputError: they are not one class index, or none, for each sample.

    Example:
        >>> class_indices(np.array([1.0, np.nan, 0.0]), n_samples=3, n_classes=2)
        array([ 1, -1,  0])
    """
    given = any_array("labels", labels)
    if given.shape != (n_samples,):
        return checked_labels(given, n_samples, n_classes)
    if given.dtype.kind == "f" and np.isnan(given).any():
        missing = np.isnan(given)
        known = np.where(missing, 0.0, given)
        if (known == np.round(known)).all():
            given = np.where(missing, -1, known).astype(np.int64)
    missing = given == -1 if given.dtype.kind == "i" else np.zeros(n_samples, dtype=bool)
    known = checked_labels(np.where(missing, 0, given) if missing.any() else given, n_samples, n_classes)
    return np.where(missing, -1, known)


def checked_numbers(name: str, values: Any, n_samples: int, n_outputs: int) -> np.ndarray:
    """Numbers to be predicted, ``(n, K)`` float64; NaN where there is none.

    Raises:
        InvalidInputError: they are not real numbers, infinite, or not K for each sample.
    """
    numbers = any_array(name, values)
    if numbers.dtype.kind not in "biuf":
        raise InvalidInputError(f"{name} have dtype {numbers.dtype}; regression needs real numbers")
    numbers = numbers.astype(np.float64)
    columns = numbers.reshape(len(numbers), -1) if numbers.ndim in (1, 2) else numbers
    if columns.shape != (n_samples, n_outputs):
        raise InvalidInputError(
            f"{name} have shape {numbers.shape}; the network has {n_outputs} outputs for each of {n_samples} samples"
        )
    if np.isinf(columns).any():
        raise InvalidInputError(f"{name} contain infinity")
    return columns


def checked_hints(hints: Any, n_samples: int, n_observables: int) -> np.ndarray:
    """Values of extra observables, ``(n, m)`` float64; NaN where there is none.

    Raises:
        InvalidInputError: they are not real numbers of this shape.
    """
    values = any_array("hints", hints)
    if values.dtype.kind not in "biuf" or values.shape != (n_samples, n_observables):
        raise InvalidInputError(
            f"hints have shape {values.shape} and dtype {values.dtype}; expected real numbers of shape "
            f"{(n_samples, n_observables)}, one for each sample and observable"
        )
    return values.astype(np.float64)


def checked_weights(sample_weight: Any, n_samples: int) -> np.ndarray:
    """Weights of the samples as float64, ``(n,)``, divided by their mean.

    Raises:
        InvalidInputError: they are not one finite number of at least 0 for each sample, or all zero.
    """
    weights = any_array("sample_weight", sample_weight)
    if weights.shape != (n_samples,) or weights.dtype.kind not in "biuf":
        raise InvalidInputError(
            f"sample_weight has shape {weights.shape} and dtype {weights.dtype}; expected one number per sample, "
            f"({n_samples},)"
        )
    weights = weights.astype(np.float64)
    if not np.isfinite(weights).all() or (weights < 0).any() or not weights.sum() > 0:
        raise InvalidInputError("sample_weight: weights must be finite, not negative, and not all zero")
    return weights / weights.mean()
