"""What we rely on in PennyLane that it does not document."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pennylane as qml
from pennylane.tape import QuantumScript, QuantumScriptBatch
from pennylane.typing import ResultBatch
from pennylane.workflow.interfaces.autograd import autograd_execute


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


def has_transforms(qnode: qml.QNode) -> bool:
    """Whether transforms, such as ``qml.transforms.merge_rotations``, were applied to a QNode."""
    return len(qnode.compile_pipeline) > 0


def execution_keywords(qnode: qml.QNode) -> dict[str, Any]:
    """The keywords with which a QNode calls ``qml.execute``, but for the device and the method of differentiation."""
    return {"gradient_kwargs": qnode.gradient_kwargs, **qnode.execute_kwargs}


class JacobianProducts(Protocol):
    """What runs circuits and multiplies cotangents with their Jacobians."""

    def execute(self, tapes: QuantumScriptBatch) -> ResultBatch: ...

    def compute_vjp(self, tapes: QuantumScriptBatch, cotangents: tuple) -> tuple: ...


def run_differentiably(tapes: Sequence[QuantumScript], products: JacobianProducts) -> ResultBatch:
    """Results of circuits with autograd's tracers among their parameters; a gradient asks ``products`` for products."""
    return autograd_execute(tuple(tapes), products.execute, products)


def flattened(op: qml.operation.Operator) -> tuple[Sequence[Any], Any]:
    """The parameters and inner operations of an operation, and its hashable settings: wires, words, control values."""
    return op._flatten()
