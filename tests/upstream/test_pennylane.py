"""What PennyLane's optimizers remember: restored in the middle, they go on bit for bit."""

import numpy as np
import pennylane as qml
import pytest

from qkd_pl.upstream.pennylane import optimizer_state, restore_optimizer

KINDS = [
    qml.GradientDescentOptimizer,
    qml.MomentumOptimizer,
    qml.AdagradOptimizer,
    qml.RMSPropOptimizer,
    qml.AdamOptimizer,
]


def steps(optimizer, weights, gradients):
    for gradient in gradients:
        arguments = (qml.numpy.array(weights, requires_grad=True),)
        weights = np.array(optimizer.apply_grad((gradient,), arguments)[0])
    return weights


@pytest.mark.parametrize("kind", KINDS)
def test_a_restored_optimizer_goes_on_as_if_it_had_not_stopped(kind, rng):
    gradients, start = rng.normal(size=(7, 2, 3)), rng.normal(size=(2, 3))
    whole = steps(kind(0.1), start, gradients)
    first = kind(0.1)
    middle = steps(first, start, gradients[:4])
    second = kind(0.1)
    restore_optimizer(second, {name: value.copy() for name, value in optimizer_state(first).items()})
    assert steps(second, middle, gradients[4:]).tobytes() == whole.tobytes()
    if kind is not qml.GradientDescentOptimizer:
        assert steps(kind(0.1), middle, gradients[4:]).tobytes() != whole.tobytes(), "there is nothing to restore"


@pytest.mark.parametrize("kind", KINDS)
def test_before_the_first_step_there_is_nothing(kind):
    assert optimizer_state(kind(0.1)) == {}
