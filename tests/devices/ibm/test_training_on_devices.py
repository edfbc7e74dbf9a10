"""Models and training on IBM devices, with nothing changed but the name of the device."""

import numpy as np
import pennylane as qml
import pytest
from loopback import Server

from qkd_pl import QNN, CrossEntropy, KDTrainer
from qkd_pl.datasets import topological_phases
from qkd_pl.devices.ibm.jobs.jobs import jobs
from qkd_pl.devices.spec import DeviceSpec
from qkd_pl.errors import CostLimitError
from qkd_pl.gradients import vjp

NETWORK = QNN(2, 1, topology="line")
WEIGHTS = np.random.default_rng(0).uniform(0, 2 * np.pi, NETWORK.weights_shape)
HARDWARE = DeviceSpec(
    name="hardware",
    plugin="qkd.ibm",
    max_qpu_seconds=100_000,
    shots=2000,
    options={"backend": "ibm_manila", "token_env": "QISKIT_IBM_TOKEN", "transpile_attempts": 1},
)


def states(n: int) -> np.ndarray:
    amplitudes = np.random.default_rng(1).normal(size=(n, 4))
    return amplitudes / np.linalg.norm(amplitudes, axis=1, keepdims=True)


def test_a_parameter_shift_step_of_a_batch_is_one_job_with_a_receipt(direct: Server):
    batch = NETWORK.encode(states(3))
    qnode = HARDWARE.qnode(NETWORK.circuit, NETWORK.wires)
    with qml.Tracker(qnode.device) as tracker:
        outputs, pullback = vjp(qnode, WEIGHTS, batch)
        gradient = pullback(np.ones_like(outputs))
        vjp(qnode, WEIGHTS + 0.1, batch)
    assert tracker.totals["jobs"] == 2  # one for each step
    assert tracker.totals["transpilations"] == 1  # the second step transpiles nothing
    assert len(direct.service.active) == 2
    assert [job.receipt.parts[0].stage.value for job in jobs()] == ["done", "done"]

    exact = DeviceSpec(name="exact", plugin="default.qubit").qnode(NETWORK.circuit, NETWORK.wires)
    expected, exact_pullback = vjp(exact, WEIGHTS, batch)
    # A noisy device with 2000 shots: the errors of manila's readout dominate.
    np.testing.assert_allclose(outputs, expected, atol=0.2)
    np.testing.assert_allclose(gradient, exact_pullback(np.ones_like(expected)), atol=0.5)


def test_a_step_above_the_limit_is_refused_before_anything_is_sent(direct: Server):
    spec = HARDWARE.changed(max_qpu_seconds=3.0)
    qnode = spec.qnode(NETWORK.circuit, NETWORK.wires)
    with pytest.raises(CostLimitError, match="max_qpu_seconds: 3"):
        vjp(qnode, WEIGHTS, NETWORK.encode(states(3)))
    assert not direct.service.jobs


def test_a_student_is_trained_on_a_noisy_device_by_changing_its_name():
    """It takes the path that it takes without noise: the same batches, the same ups and downs of the loss."""
    train, _ = topological_phases(n_qubits=3, n_train=40, n_test=0, seed=0)
    settings = {"iterations": 6, "batch_size": 8, "seed": 4}
    network, loss = QNN(3, 1, topology="line"), CrossEntropy(logit_scale=5.0)
    exact, noisy = (
        [record["loss"] for record in KDTrainer(**settings, device=device).fit(network, train, loss=loss).history]
        for device in ("lightning", "manila")
    )
    assert np.mean(noisy[-3:]) < np.mean(noisy[:3])
    assert np.corrcoef(exact, noisy)[0, 1] > 0.95
