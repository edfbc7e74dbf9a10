"""What we rely on in PennyLane that it does not document."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pennylane as qml


def optimizer_state(optimizer: qml.GradientDescentOptimizer) -> dict[str, np.ndarray]:
    """What a gradient optimizer remembers of earlier steps of one array of weights; empty before the first step.

    PennyLane keeps it in ``accumulation``: nothing, a list with one array for each argument, or for Adam a dictionary
    of two such lists, ``fm`` and ``sm``, and the number of steps ``t``.
    """
    accumulation = getattr(optimizer, "accumulation", None)
    if accumulation is None:
        return {}
    if isinstance(accumulation, list):
        return {"accumulation": np.asarray(accumulation[0])}
    return {
        "first_moment": np.asarray(accumulation["fm"][0]),
        "second_moment": np.asarray(accumulation["sm"][0]),
        "steps": np.asarray(accumulation["t"]),
    }


def optimizer_memory(optimizer: Any) -> tuple[str, ...]:
    """Names of what :func:`optimizer_state` finds in an optimizer of this kind after a step."""
    if isinstance(optimizer, qml.AdamOptimizer):
        return ("first_moment", "second_moment", "steps")
    return () if type(optimizer) is qml.GradientDescentOptimizer else ("accumulation",)


def restore_optimizer(optimizer: Any, state: Mapping[str, np.ndarray]) -> None:
    """Set an optimizer to what :func:`optimizer_state` found."""
    if "first_moment" in state:
        moments = {"fm": [state["first_moment"]], "sm": [state["second_moment"]]}
        optimizer.accumulation = {**moments, "t": int(np.ravel(state["steps"])[0])}  # a file makes it one-dimensional
    elif "accumulation" in state:
        optimizer.accumulation = [state["accumulation"]]
