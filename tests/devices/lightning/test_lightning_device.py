"""``qkd.lightning`` against PennyLane's ``default.qubit``: values and gradients of batched circuits."""

import tracemalloc

import autograd
import numpy as np
import pennylane as qml
import pytest
from batched_circuits import (
    EXPANDED,
    LABELS,
    N_WIRES,
    NATIVE,
    OBSERVABLES,
    TOLERANCE,
    angle_circuit,
    assert_agrees,
    logits,
    mixture,
    outputs_and_gradient,
    phase_circuit,
    random_states,
    single,
    state_circuit,
    template_circuit,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from qkd_pl.devices.lightning import BatchedLightning


@pytest.mark.parametrize("observables", OBSERVABLES)
@pytest.mark.parametrize("circuit", NATIVE)
@settings(max_examples=6, deadline=None)
@given(batch_size=st.integers(1, 40), wires=st.sampled_from(list(LABELS)), seed=st.integers(0, 2**16))
def test_native_batches_agree_with_default_qubit(circuit, observables, batch_size, wires, seed):
    assert_agrees(circuit, observables, batch_size, wires, seed)


@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")  # of autograd, in default.qubit
@pytest.mark.parametrize("circuit", EXPANDED)
@settings(max_examples=3, deadline=None)
@given(batch_size=st.integers(1, 5), wires=st.sampled_from(list(LABELS)), seed=st.integers(0, 2**16))
def test_other_broadcasting_agrees_with_default_qubit(circuit, batch_size, wires, seed):
    assert_agrees(circuit, mixture, batch_size, wires, seed)


@pytest.mark.parametrize("c_dtype", [np.complex64, "complex64"])
def test_complex64_is_accurate_to_single_precision(c_dtype):
    assert_agrees(state_circuit, mixture, 33, None, 3, tolerance=1e-4, c_dtype=c_dtype)


@pytest.mark.parametrize("circuit", [state_circuit, angle_circuit, phase_circuit, template_circuit])
def test_empty_batch_has_empty_results_and_zero_gradient(circuit):
    inputs, weights = np.empty((0, 2**N_WIRES)), np.ones((2, N_WIRES, 3))
    device = BatchedLightning(wires=N_WIRES)
    plain, outputs, gradient = outputs_and_gradient(
        device, "adjoint", circuit, logits, inputs, weights, range(N_WIRES), device_vjp=True
    )
    assert plain.shape == outputs.shape == (2, 0)
    np.testing.assert_array_equal(gradient, np.zeros_like(weights))


def test_empty_batch_has_an_empty_gradient_with_respect_to_its_inputs():
    @qml.qnode(BatchedLightning(wires=2), interface="autograd", diff_method="adjoint", device_vjp=True)
    def circuit(inputs):
        for _ in range(2):
            qml.CNOT([0, 1])
            qml.RX(inputs, wires=1)
            qml.CNOT([1, 0])
            qml.RY(0.3, wires=0)
        qml.RX(0.4, wires=1)
        qml.CNOT([1, 0])
        return qml.expval(qml.Z(0))

    pull, values = autograd.make_vjp(circuit)(np.empty(0))
    assert values.shape == pull(np.empty(0)).shape == (0,)


def expansions(monkeypatch):
    """Count the circuits that the path of ``lightning.qubit`` simulates."""
    simulated = []
    simulate = BatchedLightning.simulate
    monkeypatch.setattr(BatchedLightning, "simulate", lambda *args, **kw: simulated.append(1) or simulate(*args, **kw))
    return simulated


@pytest.mark.parametrize("circuit", NATIVE)
def test_native_circuits_are_not_expanded(circuit, monkeypatch):
    simulated = expansions(monkeypatch)
    assert_agrees(circuit, mixture, 5, None, 0)
    assert not simulated


@pytest.mark.parametrize("circuit", EXPANDED)
def test_other_circuits_are_expanded_and_run_as_a_stack(circuit, monkeypatch):
    broadcast = qml.tape.make_qscript(lambda: circuit(np.ones((3, 3)), np.ones((1, N_WIRES, 3)), range(N_WIRES)))()
    assert not BatchedLightning(wires=N_WIRES).runs_natively(broadcast, differentiable=False)
    simulated = expansions(monkeypatch)
    assert_agrees(circuit, mixture, 5, None, 0)
    assert not simulated


def test_evaluation_without_gradients_is_native_by_default(monkeypatch):
    simulated = expansions(monkeypatch)
    rng = np.random.default_rng(0)
    inputs, weights = random_states(rng, 7), rng.uniform(0, 6, (2, N_WIRES, 3))

    def circuit(inputs, weights):
        state_circuit(inputs, weights, range(N_WIRES))
        return qml.expval(qml.Z(0))

    ours = qml.QNode(circuit, BatchedLightning(wires=N_WIRES))(inputs, weights)
    np.testing.assert_allclose(ours, qml.QNode(circuit, qml.device("default.qubit"))(inputs, weights), atol=TOLERANCE)
    assert not simulated


@pytest.mark.parametrize("options", [{"diff_method": "adjoint"}, {"diff_method": "parameter-shift"}])
def test_full_jacobians(options):
    rng = np.random.default_rng(0)
    inputs, weights = random_states(rng, 3), qml.numpy.array(rng.uniform(0, 6, (1, N_WIRES, 3)))

    def circuit(weights):
        state_circuit(inputs, weights, range(N_WIRES))
        return qml.expval(qml.Z(0))

    ours = qml.jacobian(qml.QNode(circuit, BatchedLightning(wires=N_WIRES), **options))(weights)
    exact = qml.jacobian(qml.QNode(circuit, qml.device("default.qubit")))(weights)
    np.testing.assert_allclose(ours, exact, atol=TOLERANCE)


def test_trainable_inputs_are_differentiated():
    angles = qml.numpy.array([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])

    def circuit(angles):
        qml.AngleEmbedding(angles, wires=range(N_WIRES))
        qml.CNOT([0, 1])
        return qml.expval(qml.Z(1))

    ours = qml.jacobian(qml.QNode(circuit, BatchedLightning(wires=3), diff_method="adjoint", device_vjp=True))(angles)
    exact = qml.jacobian(qml.QNode(circuit, qml.device("default.qubit")))(angles)
    np.testing.assert_allclose(ours, exact, atol=TOLERANCE)


def test_unknown_wires_are_refused():
    @qml.qnode(BatchedLightning(wires=2))
    def circuit(inputs):
        qml.StatePrep(inputs, wires=range(3))
        return qml.expval(qml.Z(0))

    with pytest.raises(qml.wires.WireError, match="Cannot run circuit"):
        circuit(random_states(np.random.default_rng(0), 2))


@pytest.mark.parametrize("measure", [lambda: qml.probs(wires=[0, 1]), lambda: qml.var(qml.Z(0)), qml.state])
def test_other_measurements_agree_with_default_qubit(measure):
    inputs, weights = random_states(np.random.default_rng(0), 3), np.ones((1, N_WIRES, 3))

    def circuit():
        state_circuit(inputs, weights, range(N_WIRES))
        return measure()

    ours = qml.QNode(circuit, BatchedLightning(wires=N_WIRES))()
    np.testing.assert_allclose(ours, qml.QNode(circuit, qml.device("default.qubit"))(), atol=TOLERANCE)


def test_shots_are_sampled():
    @qml.set_shots(50)
    @qml.qnode(BatchedLightning(wires=1, seed=1))
    def circuit(angles):
        qml.RX(angles, wires=0)
        return qml.expval(qml.Z(0))

    values = circuit(np.array([0.0, np.pi, 1.0]))
    assert values[0] == 1
    assert values[1] == -1
    assert (values[2] * 50) % 2 == pytest.approx(0)


def test_calls_are_tracked_once():
    device = BatchedLightning(wires=N_WIRES)
    inputs, weights = random_states(np.random.default_rng(0), 3), np.ones((1, N_WIRES, 3))
    with device.tracker:
        outputs_and_gradient(device, "adjoint", state_circuit, logits, inputs, weights, range(N_WIRES), device_vjp=True)
    assert device.tracker.totals["batches"] == 2
    assert device.tracker.totals["vjps"] == 1


@pytest.mark.parametrize("circuit", NATIVE)
def test_causal_cone_is_exact_and_can_be_switched_off(circuit):
    for causal_cone in (True, False):
        assert_agrees(circuit, single, 5, None, 0, causal_cone=causal_cone)


def test_wires_that_nothing_measured_depends_on_are_not_simulated():
    """A register of 32 wires would take 64 GB."""
    weights, angles = np.array([0.1, 0.4]), np.array([0.3, 0.7])

    @qml.qnode(BatchedLightning(wires=32), interface="autograd", diff_method="adjoint", device_vjp=True)
    def circuit(weights):
        for wire in range(32):
            qml.RX(angles, wire)
        qml.CZ([0, 1])
        qml.RX(weights[0], 0)
        for wire in range(2, 31):
            qml.CNOT([wire, wire + 1])
        qml.RX(weights[1], 5)
        return qml.expval(qml.Z(0))

    pullback, values = autograd.make_vjp(circuit)(weights)
    # After CZ and RX(w), ⟨Z_0⟩ = cos(w) ⟨Z⟩ + sin(w) ⟨Y⟩⟨Z⟩ of the product state
    exact = np.cos(0.1) * np.cos(angles) + np.sin(0.1) * -np.sin(angles) * np.cos(angles)
    np.testing.assert_allclose(values, exact, atol=1e-12)
    assert pullback(np.ones(2))[1] == 0


@pytest.mark.parametrize("entangler", [qml.CNOT, qml.CZ, qml.CY])
@pytest.mark.parametrize("c_dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize("n_wires", [11, 13])  # several samples, or one, in a register
def test_long_rings_of_entanglers_agree_with_stock_lightning(entangler, c_dtype, n_wires):
    rng = np.random.default_rng(0)
    inputs, weights = rng.uniform(0, 6, (3, n_wires)), rng.uniform(0, 6, (2, n_wires, 3))

    def circuit(inputs, weights, wires):
        qml.AngleEmbedding(inputs, wires=wires)
        qml.StronglyEntanglingLayers(weights, wires=wires, ranges=(1, 3), imprimitive=entangler)
        qml.RX(weights[0, 0, 0], 0)

    arguments = (circuit, lambda wires: [qml.Z(0), qml.X(1)], inputs, weights, range(n_wires))
    device = BatchedLightning(wires=n_wires, c_dtype=c_dtype)
    ours = outputs_and_gradient(device, "adjoint", *arguments, device_vjp=True)
    # From 12 wires on default.qubit takes no batches.
    exact = outputs_and_gradient(qml.device("lightning.qubit", wires=n_wires), "adjoint", *arguments)
    for here, there in zip(ours, exact, strict=True):
        np.testing.assert_allclose(here, there, rtol=0, atol=1e-10 if c_dtype is np.complex128 else 1e-4)


def test_memory_of_a_large_batch_is_a_few_copies_of_its_states():
    rng = np.random.default_rng(0)
    inputs, weights = random_states(rng, 64, 15), rng.uniform(0, 6, (1, 15, 3))

    def circuit(weights):
        qml.StatePrep(inputs, wires=range(15))
        qml.StronglyEntanglingLayers(weights, wires=range(15))
        return qml.expval(qml.Z(0))

    qnode = qml.QNode(circuit, BatchedLightning(wires=15), interface="autograd", diff_method="adjoint", device_vjp=True)
    tracemalloc.start()
    pullback, _ = autograd.make_vjp(qnode)(weights)
    pullback(np.ones(64))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * inputs.nbytes
