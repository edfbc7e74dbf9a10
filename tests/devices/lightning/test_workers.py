"""Batches spread over worker processes."""

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pennylane as qml
import pytest
from batched_circuits import logits, mixture, outputs_and_gradient, random_states, reuploading_circuit, state_circuit
from joblib.externals.loky import reusable_executor
from threadpoolctl import ThreadpoolController

from qkd_pl.devices.lightning import BatchedLightning
from qkd_pl.errors import DeviceConfigError, WorkerLostError


@pytest.fixture(scope="module", autouse=True)
def _stop_workers():
    yield
    if reusable_executor._executor is not None:
        reusable_executor._executor.shutdown(wait=True)


@pytest.mark.parametrize("batch_size", [0, 1, 2, 17])
@pytest.mark.parametrize("observables", [logits, mixture])
@pytest.mark.parametrize("kept_bytes", [0, 2**30])
@pytest.mark.parametrize("circuit", [state_circuit, reuploading_circuit])
def test_results_do_not_depend_on_the_number_of_workers(batch_size, observables, kept_bytes, circuit):
    rng = np.random.default_rng(0)
    inputs, weights = random_states(rng, batch_size), rng.uniform(0, 6, (2, 3, 3))
    arguments = (circuit, observables, inputs, weights, range(3))
    exact, *spread = [
        outputs_and_gradient(device, "adjoint", *arguments, device_vjp=True)
        for device in (
            BatchedLightning(wires=3, workers=workers, spread_from=0, kept_bytes=kept_bytes) for workers in (1, 2)
        )
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


def kill_one_with_work(executor, workers, call_ended):
    while not executor._pending_work_items and not call_ended.wait(0.01):
        pass
    os.kill(workers[0], signal.SIGKILL)


def test_a_worker_that_dies_is_reported_and_replaced():
    circuit = large_circuit(BatchedLightning(wires=14, workers=2, spread_from=0))
    expected = circuit()
    executor, call_ended = reusable_executor._executor, threading.Event()
    workers = list(executor._processes)
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)  # so that none ends its part before one of them dies
    killer = threading.Thread(target=kill_one_with_work, args=[executor, workers, call_ended])
    killer.start()
    try:
        with pytest.raises(WorkerLostError, match="workers=2"):
            circuit()
    finally:
        call_ended.set()
        killer.join()
    np.testing.assert_allclose(circuit(), expected)


def test_blas_gets_its_threads_back():
    """Also when several threads sweep at once, and the first to begin is not the last to end."""
    controller = ThreadpoolController().select(user_api="blas")
    device, tape = BatchedLightning(wires=3), qml.tape.QuantumScript([qml.RX(np.ones(9), 0)], [qml.expval(qml.Z(0))])
    with controller.limit(limits=2), ThreadPoolExecutor(4) as threads:
        before = [library.get_num_threads() for library in controller.lib_controllers]  # some have but one
        assert 2 in before
        list(threads.map(lambda _: device.execute((tape,)), range(200)))
        assert [library.get_num_threads() for library in controller.lib_controllers] == before


@pytest.mark.parametrize("workers", [0, -1, 1.5, None])
def test_number_of_workers_is_checked(workers):
    with pytest.raises(DeviceConfigError, match=f"workers={workers}"):
        BatchedLightning(wires=1, workers=workers)
