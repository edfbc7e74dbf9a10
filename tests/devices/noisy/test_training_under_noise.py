"""Training under a device's noise is a change of the device's name."""

import numpy as np
import pytest

from qkd_pl import QAE, QNN, KDTrainer, load_devices
from qkd_pl.datasets import topological_phases
from qkd_pl.gradients import vjp
from qkd_pl.training.losses import CrossEntropy


@pytest.fixture(scope="module")
def states():
    return topological_phases(n_qubits=3, n_train=40, n_test=0, seed=0)[0]


@pytest.mark.parametrize("kind", ["distillation", "cross-entropy", "autoencoder"])
def test_a_loss_falls_under_the_noise_of_manila(states, kind):
    """Seeds are fixed; training minimises what the device itself gives, without the statistical error of shots."""
    trainer = KDTrainer(iterations=12, batch_size=16, learning_rate=0.2, seed=0, device="manila-noise")
    if kind == "autoencoder":
        model = trainer.fit(QAE(3, 1, 2), (states.inputs, None))
    elif kind == "distillation":
        exact = KDTrainer(iterations=12, batch_size=16, seed=1, device="lightning")
        teacher = exact.fit(QNN(3, 2), states, loss=CrossEntropy(logit_scale=10.0))
        model = trainer.fit(QNN(3, 1), (states.inputs, None), teacher=teacher)
    else:
        model = trainer.fit(QNN(3, 1), states, loss=CrossEntropy(logit_scale=10.0))
    losses = [record["loss"] for record in model.history]
    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:3])


def test_the_sweep_does_not_grow_with_the_batch(states):
    """Swept backwards are the observables: two, and as many numbers, whatever the number of inputs."""
    network = QNN(3, 2)
    qnode = load_devices()["manila-noise"].qnode(network.circuit, network.wires)
    numbers = []
    for count in (4, 40):
        outputs, pullback = vjp(qnode, np.ones(network.weights_shape), network.encode(states.inputs[:count]))
        pullback(np.ones_like(outputs))
        (execution,) = qnode.device._executed
        numbers.append(sum(kept.size for kept in execution._evaluation._kept))
    assert numbers[0] == numbers[1]
