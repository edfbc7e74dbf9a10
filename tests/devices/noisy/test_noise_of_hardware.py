"""The calibration of a backend on the service, read through our own server: nothing is sent but questions."""

import numpy as np
from loopback import Server

import qkd_pl as kd
from qkd_pl.devices.noisy.device import NoisyDevice
from qkd_pl.gradients import vjp

SERVED = {"backend": "ibm_manila", "token_env": "QISKIT_IBM_TOKEN"}
LAYOUT = {"initial_layout": [1, 2, 3], "transpile_attempts": 1, "preparation": "ideal"}


def outputs_and_gradient(**options) -> tuple[np.ndarray, np.ndarray]:
    network = kd.QNN(3, 2, topology="line")
    spec = kd.DeviceSpec(name="n", plugin="qkd.noisy", options={**LAYOUT, **options})
    weights = np.random.default_rng(0).uniform(0, 6, network.weights_shape)
    outputs, pullback = vjp(spec.qnode(network.circuit, network.wires), weights, network.encode(np.eye(8)))
    return outputs, pullback(outputs)


def test_the_service_s_calibration_is_that_of_the_same_chip_here(direct: Server) -> None:
    served, simulated = outputs_and_gradient(**SERVED), outputs_and_gradient(backend="fake_manila")
    exact = outputs_and_gradient(backend="aer")[0]
    assert abs(simulated[0] - exact).max() > 0.01  # there is noise to agree on
    for mine, other in zip(served, simulated, strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-9)
    assert not direct.service.jobs


def test_a_worse_calibration_weakens_outputs(direct: Server, monkeypatch) -> None:
    """What is read is the present one, not a model of the chip that was shipped with Qiskit."""
    before = outputs_and_gradient(**SERVED)[0]
    present = direct.service.properties

    def recalibrated(name: str) -> dict:
        found = present(name)
        for qubit in found["qubits"]:
            for each in qubit:
                if each["name"] in ("readout_error", "prob_meas0_prep1", "prob_meas1_prep0"):
                    each["value"] = 0.25
        return found

    monkeypatch.setattr(direct.service, "properties", recalibrated)
    after = outputs_and_gradient(**SERVED)[0]
    assert abs(after).sum() < 0.8 * abs(before).sum()


def test_a_search_on_hardware_sends_no_job(direct: Server, tmp_path) -> None:
    train, _ = kd.datasets.topological_phases(n_qubits=3, n_train=24, n_test=2, seed=0)
    device = kd.DeviceSpec(name="ibm", plugin="qkd.ibm", shots=256, max_qpu_seconds=1000, options=SERVED)
    space = kd.SearchSpace(n_qubits=(3,), n_layers=(1,), topology=("line",), entangler=("cz",), absorb=(False,))
    taught = np.stack([-train.inputs[:, 0].real, train.inputs[:, 0].real], axis=1)
    taught -= taught.mean(axis=0)
    given = {"embedding": "state", "space": space, "trials": 1, "iterations": 5, "preparation": "ideal"}
    found = kd.StudentSearch(taught, train.inputs, device, **given).run(tmp_path)
    assert found.best_row.qpu_seconds > 0
    assert isinstance(NoisyDevice(3, **SERVED).backend.name, str)
    assert not direct.service.jobs
