"""What tells measurements apart."""

from collections.abc import Hashable, Iterator
from typing import Any

import numpy as np
from pennylane.measurements import MeasurementProcess
from pennylane.operation import Operator
from scipy.sparse import issparse

from qkd_pl.upstream.pennylane import flattened


def measurement_key(measurement: MeasurementProcess) -> Hashable | None:
    """Equal for measurements that are the same; None if that cannot be known, as of a traced coefficient."""
    try:
        key = (type(measurement), measurement.wires.labels, _observable_key(measurement.obs))
        hash(key)
    except TypeError:
        return None
    return key


def _observable_key(observable: Operator | None) -> Hashable:
    if observable is None:
        return None
    leaves, metadata = flattened(observable)
    return type(observable), metadata, tuple(map(_leaf_key, _flat(leaves)))


def _leaf_key(leaf: Any) -> Hashable:
    if isinstance(leaf, Operator):
        return _observable_key(leaf)
    if issparse(leaf):
        rows = leaf.tocsr()
        return leaf.shape, *map(_leaf_key, (rows.data, rows.indices, rows.indptr))
    array = np.ascontiguousarray(leaf)
    if array.dtype.kind not in "biufc":
        raise TypeError("not a number")
    return array.shape, array.dtype.str, array.tobytes()


def _flat(leaves: Any) -> Iterator[Any]:
    for leaf in leaves:
        if isinstance(leaf, list | tuple):
            yield from _flat(leaf)
        else:
            yield leaf
