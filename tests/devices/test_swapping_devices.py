"""Swapping the plugin of a device changes the speed of a training and nothing else."""

import numpy as np
import pytest

from qkd_pl import QAE, QNN, KDTrainer, load_devices
from qkd_pl.datasets import topological_phases

TRAINER = {"iterations": 15, "batch_size": 24, "weight_decay": 1e-3}
DEVICES = """
default: native
devices:
  native: {plugin: qkd.lightning, diff_method: adjoint}
  native_whole: {plugin: qkd.lightning, diff_method: adjoint, causal_cone: false}
  stock: {plugin: lightning.qubit, diff_method: adjoint}
  reference: {plugin: default.qubit, diff_method: backprop}
"""


@pytest.mark.parametrize("network", [QNN(4, 2), QNN(4, 1, entangler="cnot", topology="line"), QAE(4, 2, 2)], ids=repr)
def test_losses_of_a_whole_training_agree(network, tmp_path):
    path = tmp_path / "devices.yaml"
    path.write_text(DEVICES, encoding="utf-8")
    train, _ = topological_phases(n_qubits=4, n_train=48, n_test=0, seed=0)
    teacher = None
    if isinstance(network, QNN):
        teacher = np.random.default_rng(0).uniform(-1, 1, (48, 2))
    losses = {}
    for name, spec in load_devices(path).items():
        model = KDTrainer(device=spec, seed=3, **TRAINER).fit(network, train, teacher=teacher)
        losses[name] = [record["loss"] for record in model.history]
    for name in ("native_whole", "stock", "reference"):
        np.testing.assert_allclose(losses[name], losses["native"], atol=1e-9, rtol=0, err_msg=name)
