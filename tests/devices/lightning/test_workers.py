"""Batches spread over worker processes."""

import os
import signal
import threading
from contextlib import suppress

import numpy as np
import pennylane as qml
import pytest
from batched_circuits import logits, mixture, outputs_and_gradient, random_states, state_circuit
from joblib.externals.loky import reusable_executor

from qkd_pl.devices.lightning import BatchedLightning, batch, sweep
from qkd_pl.errors import DeviceConfigError, WorkerLostError


@pytest.fixture(scope="module", autouse=True)
def _stop_workers():
    yield
    if reusable_executor._executor is not None:
        reusable_executor._executor.shutdown(wait=True)


@pytest.fixture
def always_spread(monkeypatch):
    monkeypatch.setattr(batch, "SPREAD_UPDATES", 0)


@pytest.mark.parametrize("batch_size", [1, 2, 17])
@pytest.mark.parametrize("observables", [logits, mixture])
@pytest.mark.parametrize("kept_bytes", [0, batch.KEPT_BYTES])
def test_results_do_not_depend_on_the_number_of_workers(
    always_spread, monkeypatch, batch_size, observables, kept_bytes
):
    monkeypatch.setattr(batch, "KEPT_BYTES", kept_bytes)
    monkeypatch.setattr(sweep, "sample_wires", lambda n_wires, batch_size, c_dtype: 1)
    rng = np.random.default_rng(0)
    inputs, weights = random_states(rng, batch_size), rng.uniform(0, 6, (2, 3, 3))
    arguments = (state_circuit, observables, inputs, weights, range(3))
    exact, *spread = [
        outputs_and_gradient(BatchedLightning(wires=3, workers=workers), "adjoint", *arguments, device_vjp=True)
        for workers in (1, 2)
    ]
    for results in spread:
        for here, there in zip(results, exact, strict=True):
            np.testing.assert_allclose(here, there, rtol=0, atol=1e-13)


def large_circuit(device):
    rng = np.random.default_rng(0)
    inputs, weights = random_states(rng, 32, 14), rng.uniform(0, 6, (6, 14, 3))
    return qml.QNode(
        lambda: (
            (qml.StatePrep(inputs, wires=range(14)), qml.StronglyEntanglingLayers(weights, wires=range(14)))
            and qml.expval(qml.Z(0))
        ),
        device,
    )


def repeat_for_a_while(circuit):
    for _ in range(50):
        circuit()


def kill_workers(enough):
    """One after the other: a worker that dies between two calls is replaced without loss."""
    while not enough.wait(0.1):
        with suppress(ProcessLookupError, StopIteration):
            os.kill(next(iter(reusable_executor._executor._processes)), signal.SIGKILL)


def test_a_worker_that_dies_is_reported_and_replaced(always_spread):
    circuit = large_circuit(BatchedLightning(wires=14, workers=2))
    expected = circuit()
    enough = threading.Event()
    thread = threading.Thread(target=kill_workers, args=[enough])
    thread.start()
    try:
        with pytest.raises(WorkerLostError, match="workers=2"):
            repeat_for_a_while(circuit)
    finally:
        enough.set()
        thread.join()
    np.testing.assert_allclose(circuit(), expected)


def test_temporary_files_vanish(always_spread, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    device = BatchedLightning(wires=3, workers=2)
    inputs, weights = random_states(np.random.default_rng(0), 4), np.ones((1, 3, 3))
    outputs_and_gradient(device, "adjoint", state_circuit, logits, inputs, weights, range(3), device_vjp=True)
    assert list(tmp_path.glob("qkd_pl-*"))
    del device
    assert not list(tmp_path.glob("qkd_pl-*"))


@pytest.mark.parametrize("workers", [0, -1, 1.5, None])
def test_number_of_workers_is_checked(workers):
    with pytest.raises(DeviceConfigError, match=f"workers={workers}"):
        BatchedLightning(wires=1, workers=workers)
