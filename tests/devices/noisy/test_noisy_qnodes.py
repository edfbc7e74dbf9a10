"""``qkd.noisy`` as PennyLane uses it: QNodes, their gradients, and shots."""

import numpy as np
import pennylane as qml
import pennylane.numpy as pnp
import pytest
from noisy_circuits import ATTEMPTS

from qkd_pl import QNN, DeviceSpec
from qkd_pl.devices.noisy.device import NoisyDevice
from qkd_pl.gradients import vjp


def uploaded_again(x, w):
    """Inputs again after weights, angles that are functions of weights, halved and negated ones, a variance, …"""
    qml.AngleEmbedding(x, wires=range(3))
    for layer in range(2):
        for wire in range(3):
            qml.RY(w[layer, wire], wires=wire)
            qml.RZ(0.5 * w[layer, wire] ** 2, wires=wire)
        qml.CNOT([0, 1])
        qml.IsingZZ(w[layer, 0], wires=[1, 2])
        qml.CRX(w[layer, 1], wires=[0, 2])
        qml.adjoint(qml.StronglyEntanglingLayers(w.reshape(2, 1, 3), wires=[1]))
        if layer == 0:
            qml.AngleEmbedding(x, wires=range(3), rotation="Y")
    return qml.expval(qml.Z(0)), qml.expval(qml.X(1) @ qml.Y(2)), qml.var(qml.Z(1)), qml.expval(qml.Projector([0], [0]))


@pytest.fixture(scope="module")
def manila() -> NoisyDevice:
    return NoisyDevice(3, backend="fake_manila", seed=1, **ATTEMPTS)


@pytest.mark.parametrize("device_vjp", [True, False])
@pytest.mark.parametrize("argument", [0, 1])
def test_gradients_of_anything_by_autograd(manila, device_vjp, argument):
    node = qml.QNode(uploaded_again, manila, interface="autograd", diff_method="adjoint", device_vjp=device_vjp)
    rng = np.random.default_rng(0)
    arguments = [rng.normal(size=(2, 3)), rng.normal(size=(2, 3))]
    cotangent = rng.normal(size=(4, 2))

    def total(value):
        chosen = [*arguments[:argument], value, *arguments[argument + 1 :]]
        return qml.math.sum(qml.math.stack(node(*chosen)) * cotangent)

    gradient = qml.grad(total)(pnp.array(arguments[argument], requires_grad=True))
    for index in [(0, 0), (1, 2)]:
        step = np.zeros((2, 3))
        step[index] = 1e-5
        expected = (total(arguments[argument] + step) - total(arguments[argument] - step)) / 2e-5
        assert gradient[index] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("device_vjp", [True, False])
def test_a_template_s_tensor_of_weights_is_trained_either_way(device_vjp):
    """PennyLane multiplies whole Jacobians only of parameters that are numbers."""

    def circuit(weights):
        qml.StronglyEntanglingLayers(weights, wires=range(2))
        return qml.expval(qml.Z(0) @ qml.X(1))

    weights = pnp.array(np.random.default_rng(0).normal(size=(2, 2, 3)), requires_grad=True)
    ours = qml.QNode(circuit, NoisyDevice(2), diff_method="adjoint", device_vjp=device_vjp)
    exact = qml.QNode(circuit, qml.device("default.qubit", wires=2))
    np.testing.assert_allclose(qml.grad(ours)(weights), qml.grad(exact)(weights), atol=1e-10)


def test_parameter_shift_agrees_with_adjoint(manila):
    def circuit(w):
        qml.RX(w[0], wires=0)
        qml.CNOT([0, 1])
        qml.RY(w[1], wires=1)
        return qml.expval(qml.Z(1))

    w = pnp.array([0.3, 0.8], requires_grad=True)
    adjoint, shift = (
        qml.grad(qml.QNode(circuit, manila, diff_method=method, device_vjp=method == "adjoint"))(w)
        for method in ("adjoint", "parameter-shift")
    )
    np.testing.assert_allclose(adjoint, shift, atol=1e-9)


def test_wires_may_have_any_labels():
    def circuit(a, b):
        qml.RX(0.4, wires=a)
        qml.CNOT([a, b])
        return qml.expval(qml.Z(b)), qml.expval(qml.Y(a))

    named = qml.QNode(lambda: circuit("b", "a"), NoisyDevice(["a", "b"], backend="fake_manila", **ATTEMPTS))
    plain = qml.QNode(lambda: circuit(1, 0), NoisyDevice(2, backend="fake_manila", **ATTEMPTS))
    np.testing.assert_allclose(named(), plain(), atol=1e-14)


def test_outputs_of_one_basis_are_drawn_together():
    """The variance of z_1 − z_0 on a Bell pair is 0; independent draws would give 2/shots."""
    device = NoisyDevice(2, backend="aer", seed=3)

    @qml.set_shots(50)
    @qml.qnode(device)
    def bell():
        qml.Hadamard(0)
        qml.CNOT([0, 1])
        return qml.expval(qml.Z(0)), qml.expval(qml.Z(1))

    draws = np.array([bell() for _ in range(40)])
    np.testing.assert_array_equal(draws[:, 0], draws[:, 1])
    assert 0.05 < draws[:, 0].std() < 0.3  # 1/√50 = 0.14


@pytest.mark.parametrize("batch", [1, 40])
def test_means_and_variances_of_samples_are_exact(batch):
    """Both sweeps; 4000 shots, five standard errors."""
    network = QNN(3, 1, embedding="angle")
    rng = np.random.default_rng(0)
    rows, weights = network.encode(rng.normal(size=(batch, 3))), rng.uniform(0, 6, network.weights_shape)
    options = {"backend": "fake_manila", **ATTEMPTS}
    noise = DeviceSpec(name="noise", plugin="qkd.noisy", options=options)
    exact = vjp(noise.qnode(network.circuit, network.wires), weights, rows)[0]
    sampled = noise.changed(shots=4000, seed=2, diff_method="parameter-shift")
    found = np.stack(sampled.qnode(network.circuit, network.wires)(rows.circuit_inputs, weights), axis=-1)
    error = np.sqrt((1 - exact**2) / 4000)
    assert np.abs((found - exact) / error).max() < 5
    assert np.abs(found - exact).max() > 0
    again = np.stack(sampled.qnode(network.circuit, network.wires)(rows.circuit_inputs, weights), axis=-1)
    np.testing.assert_array_equal(found, again)


def test_bit_strings_and_exact_probabilities(manila):
    def circuit():
        qml.RY(0.7, wires=0)
        qml.CNOT([0, 1])
        qml.CNOT([1, 2])
        return qml.probs(wires=[2, 0])

    exact = qml.QNode(circuit, manila)()
    found = qml.set_shots(qml.QNode(circuit, manila), shots=20000)()
    np.testing.assert_allclose(found, exact, atol=5 * np.sqrt(0.25 / 20000))
    p01 = qml.QNode(lambda: qml.expval(qml.Z(0)), manila)
    assert 0 < 1 - p01() < 0.2, "an idle qubit's read-out errs"
    assert exact.sum() == pytest.approx(1, abs=1e-12)
    assert min(exact[1], exact[2]) > 0.005, "the two qubits would agree without noise"
