"""How the parameters of a circuit's gates depend on its weights, found by one automatic-differentiation trace."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import autograd
import autograd.numpy as anp
import numpy as np
from autograd.extend import Box
from pennylane.operation import Operator
from pennylane.tape import QuantumScript, make_qscript
from pennylane.transforms import convert_to_numpy_parameters

from qkd_pl.errors import InvalidInputError

_Parameters = list[Any]


@dataclass(frozen=True, eq=False)
class Trace:
    """A circuit for given inputs and weights, with its gates' parameters as functions of the weights.

    Attributes:
        tape: with numbers; trainable are exactly the parameters that depend on the weights.
        is_direct: whether each of these *is* the tensor of weights, so that there is nothing to carry back.
        pull: from the cotangents of the trainable parameters, one after the other and flat, to that of the weights.
    """

    tape: QuantumScript
    is_direct: bool
    pull: Callable[[np.ndarray], np.ndarray]


def trace(circuit: Callable, inputs: np.ndarray, weights: np.ndarray) -> Trace:
    """Run ``circuit(inputs, weights)`` once, recording what becomes of the weights.

    Raises:
        InvalidInputError: the weights enter in a way that no device can differentiate: through an observable, through
            a setting of an operation that is not among its parameters, or through plain NumPy or Python.
    """
    recorded: list[tuple[QuantumScript, bool]] = []

    def parameters_of(weights: Any) -> Any:
        tape = make_qscript(circuit)(inputs, weights)
        parameters = tape.get_parameters(trainable_only=False)
        dependent = [i for i, parameter in enumerate(parameters) if isinstance(parameter, Box)]
        _check(tape, parameters, dependent)
        tape.trainable_params = dependent
        recorded.append((tape, all(parameters[i] is weights for i in dependent)))
        return anp.concatenate([anp.ravel(parameters[i]) for i in dependent] or [anp.ravel(weights)[:0]])

    try:
        pull, _ = autograd.make_vjp(parameters_of)(weights)
    except TypeError as error:  # with numbers the circuit runs, or it would not be traced
        raise InvalidInputError(
            f"the circuit cannot be differentiated ({error}); compute with weights by pennylane.numpy or qml.math"
        ) from error
    (tape, is_direct), *_ = recorded
    trainable = tape.trainable_params
    (numbers,), _ = convert_to_numpy_parameters(tape)
    numbers.trainable_params = trainable
    return Trace(numbers, is_direct, lambda cotangent: np.asarray(pull(cotangent)))


def _check(tape: QuantumScript, parameters: _Parameters, dependent: list[int]) -> None:
    n_of_gates = sum(len(op.data) for op in tape.operations)
    if dependent and dependent[-1] >= n_of_gates:
        raise InvalidInputError("an observable depends on the weights; only gates may")
    for op in tape.operations:
        # A composite operation's parameters are those of its base, which stands among its settings.
        if any(isinstance(value, Box) and not any(value is each for each in op.data) for value in _settings(op)):
            raise InvalidInputError(
                f"{op.name} on wires {op.wires.tolist()} depends on the weights through a setting that is not a "
                "parameter of the gate, so that its gradient would be lost"
            )
    if any(getattr(parameter, "dtype", None) == np.object_ for parameter in parameters):
        raise InvalidInputError(
            "a gate's parameter is an array of objects, which cannot be differentiated; make it by pennylane.numpy or "
            "qml.math instead of NumPy"
        )


def _settings(value: Any) -> Iterator[Any]:
    """Everything that an operation holds beside its parameters."""
    if isinstance(value, Operator):
        for each in value.hyperparameters.values():
            yield from _settings(each)
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _settings(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _settings(each)
    else:
        yield value
