"""Where states are kept between the sweeps, and what happens when they do not fit."""

import copy
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pennylane as qml
import pytest
from batched_circuits import BY_PRODUCTS, NATIVE, assert_agrees, logits, random_states
from pennylane.devices import ExecutionConfig

from qkd_pl.devices.lightning import BatchedLightning


@pytest.mark.parametrize("kept_bytes", [0, 2**10, 2**12])
@pytest.mark.parametrize("circuit", NATIVE)
def test_gradients_do_not_depend_on_how_many_states_are_kept(circuit, kept_bytes):
    assert_agrees(circuit, logits, 7, 3, seed=1, kept_bytes=kept_bytes)


@pytest.mark.parametrize("kept_bytes", [0, 2**22, 2**30])
def test_a_batch_in_portions_is_the_sum_of_its_parts(kept_bytes):
    device, whole = BatchedLightning(wires=9, kept_bytes=kept_bytes), deep_tape(1, batch_size=5000, n_wires=9)
    parts = [
        whole.copy(operations=[with_rows(whole.operations[0], rows), *whole.operations[1:]], trainable_params=[1])
        for rows in (slice(0, 2500), slice(2500, 5000))
    ]
    values, (gradient,) = device.execute_and_compute_vjp((whole,), (np.ones(5000),))
    results = [device.execute_and_compute_vjp((part,), (np.ones(2500),)) for part in parts]
    np.testing.assert_allclose(values[0], np.concatenate([found[0][0] for found in results]), atol=1e-12)
    np.testing.assert_allclose(gradient[0], sum(found[1][0][0] for found in results), atol=1e-9)


def with_rows(preparation, rows):
    return qml.StatePrep(preparation.data[0][rows], wires=preparation.wires)


def deep_tape(n_layers, batch_size=8, n_wires=8):
    rng = np.random.default_rng(0)
    inputs, weights = random_states(rng, batch_size, n_wires), rng.uniform(0, 6, (n_layers, n_wires, 3))
    operations = [qml.StatePrep(inputs, wires=range(n_wires)), qml.StronglyEntanglingLayers(weights, range(n_wires))]
    return qml.tape.QuantumScript(operations, [qml.expval(qml.Z(0))], trainable_params=[1])


def peak_of(n_layers):
    device, tape = BatchedLightning(wires=8, kept_bytes=0), deep_tape(n_layers, batch_size=128)
    tracemalloc.start()
    device.compute_vjp((tape,), (np.ones(128),))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def test_memory_is_bounded_however_deep_the_circuit():
    peak_of(1)
    assert peak_of(120) < peak_of(40) + 10e6  # the states after 80 more layers take 42 MB


def test_repeated_backward_sweeps_and_many_circuits_take_no_more_memory():
    device, tape = BatchedLightning(wires=8, kept_bytes=0), deep_tape(2, batch_size=256)
    device.compute_vjp((tape,), (np.ones(256),))
    tracemalloc.start()
    for _ in range(10):
        device.compute_vjp((tape,), (np.ones(256),))
    device.execute((tape,) * 10)
    remaining, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert remaining < 2 * 256 * 2**8 * 16


def test_registers_and_memory_stay_with_the_device():
    device, tape = BatchedLightning(wires=8), deep_tape(20, batch_size=128)
    for _ in range(2):
        device.execute_and_compute_vjp((tape,), (np.ones(128),))
    tracemalloc.start()
    device.execute_and_compute_vjp((tape,), (np.ones(128),))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * 128 * 2**8 * 16  # the states after all layers take five times as much


def kept_by(batch_size, **options):
    """Bytes that stay with a device between the sweeps."""
    device, tape = BatchedLightning(wires=8, **options), deep_tape(20, batch_size)
    device.execute((tape,), BY_PRODUCTS)  # what is found out about the circuit is not counted
    device.execute((deep_tape(20, 1),), BY_PRODUCTS)
    device = BatchedLightning(wires=8, **options)
    tracemalloc.start()
    device.execute((tape,), BY_PRODUCTS)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return kept


@pytest.mark.parametrize("batch_size", [33, 129])
def test_states_that_fit_only_without_padding_are_not_kept(batch_size):
    bound = kept_by(32) * batch_size // 32
    assert kept_by(batch_size, kept_bytes=bound) <= bound


@pytest.mark.parametrize("workers", [1, 2])
def test_a_copy_of_a_used_device_works(workers):
    device, tape = BatchedLightning(wires=8, workers=workers, spread_from=0), deep_tape(2)
    (expected,), _ = device.execute_and_compute_vjp((tape,), (np.ones(8),))
    np.testing.assert_array_equal(copy.deepcopy(device).execute((tape,))[0], expected)


@pytest.mark.parametrize("operation", [lambda: qml.GlobalPhase(0.3), lambda: qml.Identity()])
@pytest.mark.parametrize("causal_cone", [True, False])
def test_gates_without_wires_change_nothing(operation, causal_cone):
    @qml.qnode(BatchedLightning(wires=2, causal_cone=causal_cone), diff_method="adjoint")
    def circuit(angles):
        qml.RX(angles, 0)
        operation()
        qml.CNOT([0, 1])
        return qml.expval(qml.Z(1))

    angles = np.array([0.1, 0.2])
    np.testing.assert_allclose(circuit(angles), np.cos(angles), atol=1e-12)


@pytest.fixture
def _hasty_threads():
    """Let threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("_hasty_threads")
def test_threads_with_the_same_circuit_do_not_disturb_each_other():
    device, tape = BatchedLightning(wires=8), deep_tape(4, batch_size=64)
    (expected,) = BatchedLightning(wires=8).compute_vjp((tape,), (np.ones(64),), BY_PRODUCTS)

    def gradient(_):
        device.execute((tape,), BY_PRODUCTS)
        return device.compute_vjp((tape,), (np.ones(64),), BY_PRODUCTS)[0]

    with ThreadPoolExecutor(4) as threads:
        for found in threads.map(gradient, range(40)):
            np.testing.assert_allclose(found, expected, atol=1e-10)


@pytest.mark.usefixtures("_hasty_threads")
def test_threads_with_other_configurations_get_their_own_pipelines():
    device, configs = BatchedLightning(wires=2), [BY_PRODUCTS, ExecutionConfig(gradient_method="adjoint")]

    def all_own(config):
        pipelines = [device.preprocess_transforms(config) for _ in range(5000)]
        return all([each.kwargs["config"] is config for each in pipeline] == [True] for pipeline in pipelines)

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(all_own, configs * 2))
