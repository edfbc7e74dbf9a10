"""Losses: what a training minimises. Each gives its value and its derivative with respect to what the circuit returns.

``loss(outputs, targets) -> (value, cotangent)``: outputs ``(b, K)`` of a batch, its
:class:`~qkd_pl.training.losses.targets.Targets`, the mean over the batch as a float, and the derivative with respect to
each output, ``(b, K)``. The pullback of :func:`qkd_pl.gradients.vjp` turns the cotangent into the gradient of the
weights. No loss knows a circuit.
"""

from qkd_pl.training.losses.autoencoder import Infidelity as Infidelity
from qkd_pl.training.losses.base import Loss as Loss
from qkd_pl.training.losses.base import Sum as Sum
from qkd_pl.training.losses.classification import CrossEntropy as CrossEntropy
from qkd_pl.training.losses.distillation import DecoupledDistillation as DecoupledDistillation
from qkd_pl.training.losses.distillation import Distillation as Distillation
from qkd_pl.training.losses.hints import Hints as Hints
from qkd_pl.training.losses.regression import Huber as Huber
from qkd_pl.training.losses.regression import SquaredError as SquaredError
from qkd_pl.training.losses.relational import Relational as Relational
from qkd_pl.training.losses.targets import Targets as Targets

__all__ = [
    "CrossEntropy",
    "DecoupledDistillation",
    "Distillation",
    "Hints",
    "Huber",
    "Infidelity",
    "Loss",
    "Relational",
    "SquaredError",
    "Sum",
    "Targets",
]
