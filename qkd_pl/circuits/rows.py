"""A circuit that is written for one row of inputs, as a circuit for a batch of them.

The rows are run one by one, and where the circuits that they give have the same gates, these are put together to one
broadcast circuit, which any device takes and fast ones run as a whole.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pennylane as qml
from autograd.tracer import getval, isbox
from pennylane.measurements import MeasurementProcess
from pennylane.operation import Operator
from pennylane.ops.functions import bind_new_parameters
from pennylane.tape import QuantumScript, make_qscript

# Where parameters are compared a second time: any place but special ones will do.
_ELSEWHERE = 20260321


class RowsDifferError(Exception):
    """The circuits of a batch's rows differ in their gates, or in a parameter that takes no batch."""


class RowByRow:
    """``circuit(row, weights)``, for batches.

    Called with a batch ``(n, features)``, it queues one broadcast circuit; :class:`RowsDifferError` says that there is
    none. A parameter that has one value for all rows stays one parameter.

    Attributes:
        circuit: takes one row, shape ``(features,)``.
    """

    def __init__(self, circuit: Callable) -> None:
        self.circuit = circuit

    def __call__(self, inputs: np.ndarray, weights: Any) -> list[MeasurementProcess]:
        """Queue the gates of all rows at once."""
        if inputs.ndim == 1:
            return self.circuit(inputs, weights)
        tapes = self._tapes(inputs, weights)
        # Functions of the weights may agree here and still have different derivatives, such as x·w at w = 0.
        others = self._tapes(inputs, _elsewhere(getval(weights))) if isbox(weights) else tapes
        operations = stacked(tapes, others)
        for operation in operations:
            qml.apply(operation)
        return [qml.apply(measurement) for measurement in tapes[0].measurements]

    def _tapes(self, inputs: np.ndarray, weights: Any) -> list[QuantumScript]:
        return [make_qscript(self.circuit)(row, weights) for row in inputs]


def measuring_also(circuit: Callable, observables: Sequence[Operator]) -> Callable:
    """A circuit for batches that measures further observables behind its own."""

    def measured(inputs: np.ndarray, weights: Any) -> list[MeasurementProcess]:
        own = row_circuit(inputs, weights)
        own = list(own) if isinstance(own, list | tuple) else [own]
        return [*own, *map(qml.expval, observables)]

    row_circuit = circuit.circuit if isinstance(circuit, RowByRow) else circuit
    return RowByRow(measured) if isinstance(circuit, RowByRow) else measured


def stacked(tapes: Sequence[QuantumScript], others: Sequence[QuantumScript]) -> list[Operator]:
    """Operations that do for a batch what each tape does for its row.

    Args:
        tapes: one for each row; their parameters may be tracers of autograd.
        others: the same for other weights. A parameter is shared if all rows agree on it, here and there.

    Raises:
        RowsDifferError: the tapes do not have the same gates and measurements, or a gate takes no batch.
    """
    first, *rest = tapes
    if any(len(tape.operations) != len(first.operations) for tape in (*rest, *others)):
        raise RowsDifferError
    if any(not _measure_same(first, tape) for tape in rest):
        raise RowsDifferError
    with qml.QueuingManager.stop_recording():
        return [
            _stacked(gates, elsewhere)
            for gates, elsewhere in zip(
                zip(*(tape.operations for tape in tapes), strict=True),
                zip(*(tape.operations for tape in others), strict=True),
                strict=True,
            )
        ]


def _stacked(gates: Sequence[Operator], elsewhere: Sequence[Operator]) -> Operator:
    first = gates[0]
    if any(not _is_alike(first, gate) for gate in (*gates[1:], *elsewhere)):
        raise RowsDifferError
    data = []
    for values, other_values in zip(
        zip(*(gate.data for gate in gates), strict=True),
        zip(*(gate.data for gate in elsewhere), strict=True),
        strict=True,
    ):
        is_shared = _agree(values) and _agree(other_values)
        data.append(values[0] if is_shared else qml.math.stack(values))
    if all(value is own for value, own in zip(data, first.data, strict=True)):
        return first
    try:
        gate = bind_new_parameters(first, data)
        fits = gate.batch_size == len(gates)
    except (ValueError, TypeError, NotImplementedError) as error:
        raise RowsDifferError from error
    if not fits:
        raise RowsDifferError
    return gate


def _is_alike(first: Operator, other: Operator) -> bool:
    """Whether two operations differ in the values of their parameters only."""
    if first is other:
        return True
    shapes, other_shapes = ([np.shape(getval(value)) for value in gate.data] for gate in (first, other))
    return (
        type(first) is type(other)
        and first.name == other.name
        and first.wires == other.wires
        and shapes == other_shapes
        and _metadata(first) == _metadata(other)
    )


def _metadata(gate: Operator) -> Any:
    """Hyperparameters, with those of the operations within, whose parameters stand among the gate's own."""
    return {
        name: (value.name, value.wires, _metadata(value)) if isinstance(value, Operator) else value
        for name, value in gate.hyperparameters.items()
    }


def _agree(values: Sequence[Any]) -> bool:
    first = values[0]
    return all(value is first or np.array_equal(getval(value), getval(first)) for value in values[1:])


def _measure_same(first: QuantumScript, other: QuantumScript) -> bool:
    return len(first.measurements) == len(other.measurements) and all(
        qml.equal(one, another) for one, another in zip(first.measurements, other.measurements, strict=True)
    )


def _elsewhere(weights: np.ndarray) -> np.ndarray:
    return weights + np.random.default_rng(_ELSEWHERE).uniform(0.5, 1.5, np.shape(weights))
