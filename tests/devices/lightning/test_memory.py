"""Where states are kept between the sweeps, and what happens when they do not fit."""

import copy
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pennylane as qml
import pytest
from batched_circuits import assert_agrees, logits, random_states, state_circuit, template_circuit
from pennylane.devices import ExecutionConfig

from qkd_pl.devices.lightning import BatchedLightning, batch
from qkd_pl.devices.lightning.memory import Memory, SharedMemory


@pytest.mark.parametrize("kept_bytes", [0, 2**10, 2**12])
@pytest.mark.parametrize("circuit", [state_circuit, template_circuit])
def test_gradients_do_not_depend_on_how_many_states_are_kept(circuit, kept_bytes, monkeypatch):
    monkeypatch.setattr(batch, "KEPT_BYTES", kept_bytes)
    monkeypatch.setattr(batch, "PORTION", 2**4)
    assert_agrees(circuit, logits, 7, 3, seed=1)


def deep_tape(n_layers, batch_size=8, n_wires=8):
    rng = np.random.default_rng(0)
    inputs, weights = random_states(rng, batch_size, n_wires), rng.uniform(0, 6, (n_layers, n_wires, 3))
    operations = [qml.StatePrep(inputs, wires=range(n_wires)), qml.StronglyEntanglingLayers(weights, range(n_wires))]
    return qml.tape.QuantumScript(operations, [qml.expval(qml.Z(0))], trainable_params=[1])


def peak_of(n_layers):
    device, tape = BatchedLightning(wires=8), deep_tape(n_layers, batch_size=128)
    tracemalloc.start()
    device.compute_vjp((tape,), (np.ones(128),))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def test_memory_is_bounded_however_deep_the_circuit(monkeypatch):
    peak_of(1)
    monkeypatch.setattr(batch, "KEPT_BYTES", 0)
    assert peak_of(120) < peak_of(40) + 10e6  # the states after 80 more layers take 42 MB


def test_repeated_backward_sweeps_and_many_circuits_take_no_more_memory(monkeypatch):
    monkeypatch.setattr(batch, "KEPT_BYTES", 0)
    device, tape = BatchedLightning(wires=8), deep_tape(2, batch_size=256)
    device.compute_vjp((tape,), (np.ones(256),))
    tracemalloc.start()
    for _ in range(10):
        device.compute_vjp((tape,), (np.ones(256),))
    device.execute((tape,) * 10)
    remaining, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert remaining < 2 * 256 * 2**8 * 16


@pytest.mark.parametrize("kind", [Memory, SharedMemory])
def test_what_is_given_back_is_lent_again(kind):
    memory = kind(np.complex128)
    loan = memory.lend(10)
    address, other = loan.array.ctypes.data, memory.lend(10)
    assert other.array.ctypes.data != address
    del loan
    assert memory.lend(8).array.ctypes.data == address


def test_a_copy_of_a_used_device_works(monkeypatch):
    monkeypatch.setattr(batch, "SPREAD_UPDATES", 0)
    device, tape = BatchedLightning(wires=8, workers=2), deep_tape(2)
    expected = device.execute((tape,))[0]
    device.execute(())
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
    config = ExecutionConfig(gradient_method="adjoint", use_device_gradient=True, use_device_jacobian_product=True)
    (expected,) = BatchedLightning(wires=8).compute_vjp((tape,), (np.ones(64),), config)

    def gradient(_):
        device.execute((tape,), config)
        return device.compute_vjp((tape,), (np.ones(64),), config)[0]

    with ThreadPoolExecutor(4) as threads:
        for found in threads.map(gradient, range(40)):
            np.testing.assert_allclose(found, expected, atol=1e-10)
