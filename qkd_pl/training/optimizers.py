"""PennyLane's optimizers by name: those that need nothing but the gradient."""

import pennylane as qml

from qkd_pl.checks import check_choice
from qkd_pl.errors import InvalidInputError

_OPTIMIZERS = {
    "gradient-descent": qml.GradientDescentOptimizer,
    "momentum": qml.MomentumOptimizer,
    "adagrad": qml.AdagradOptimizer,
    "rmsprop": qml.RMSPropOptimizer,
    "adam": qml.AdamOptimizer,
}
_METRIC = "needs the circuit's metric tensor"
_OBJECTIVE = "evaluates the loss at other weights"
#: Why PennyLane's other optimizers cannot be had: the trainer gives them one gradient per batch, and nothing else.
_REFUSED = {
    "nesterov": "needs the gradient at a point ahead of the weights",
    "nesterov-momentum": "needs the gradient at a point ahead of the weights",
    "qng": _METRIC,
    "momentum-qng": _METRIC,
    "qnspsa": _METRIC,
    "spsa": f"{_OBJECTIVE}; a device entry with diff_method spsa gives gradients by random directions",
    "rotosolve": _OBJECTIVE,
    "rotoselect": _OBJECTIVE,
    "riemannian": "builds a circuit of its own",
    "adaptive": "builds a circuit of its own",
    "shot-adaptive": "chooses the number of shots itself",
}
NAMES = tuple(_OPTIMIZERS)


def make_optimizer(name: str) -> qml.GradientDescentOptimizer:
    """A new optimizer with PennyLane's own settings; its step size is set before each step.

    Raises:
        InvalidInputError: no optimizer has this name, or it needs more than the gradient.

    Example:
        >>> make_optimizer("adam").beta2
        0.99
        >>> make_optimizer("qng")
        Traceback (most recent call last):
        ...
        qkd_pl.errors.InvalidInputError: optimizer='qng' needs the circuit's metric tensor; allowed: \
gradient-descent, momentum, adagrad, rmsprop, adam
    """
    if isinstance(name, str) and name in _REFUSED:
        raise InvalidInputError(f"optimizer={name!r} {_REFUSED[name]}; allowed: {', '.join(NAMES)}")
    check_choice("optimizer", name, NAMES)
    return _OPTIMIZERS[name]()
