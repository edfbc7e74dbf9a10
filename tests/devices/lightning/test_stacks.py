"""Circuits of equal structure in one call of the device run as one batch, and each gets its own results."""

import autograd
import numpy as np
import pennylane as qml
import pytest
from batched_circuits import BY_PRODUCTS

from qkd_pl.devices.lightning import BatchedLightning


def tape(features, weights, trainable, last=0.3):
    operations = [qml.RY(features[0], 0), qml.StatePrep([0.6, 0.8], wires=1), qml.Hadamard(2)]
    operations += [qml.RX(weights[0], 0), qml.CNOT([0, 1]), qml.Rot(*weights[1:4], wires=1), qml.CZ([1, 2])]
    operations += [qml.RZ(features[1], 1), qml.CRX(weights[4], [2, 0]), qml.RX(last, 2)]
    measured = [qml.expval(qml.Z(0)), qml.expval(qml.X(1) @ qml.Y(2))]
    return qml.tape.QuantumScript(operations, measured, trainable_params=trainable)


def assert_each_agrees(tapes):
    device, stock = BatchedLightning(wires=3), qml.device("lightning.qubit", wires=3)
    cotangents = [tuple(np.random.default_rng(i).normal(size=2)) for i in range(len(tapes))]
    values, gradients = device.execute_and_compute_vjp(tapes, cotangents, BY_PRODUCTS)
    for i, one in enumerate(tapes):
        shifted, jacobian_of = qml.gradients.param_shift(one)
        exact = jacobian_of(qml.execute(list(shifted), stock, diff_method=None))
        (expected,) = qml.execute([one], stock, diff_method=None)
        np.testing.assert_allclose(values[i], expected, atol=1e-12)
        for number in range(len(one.trainable_params)):
            of_both = [exact[k][number] if len(one.trainable_params) > 1 else exact[k] for k in range(2)]
            np.testing.assert_allclose(gradients[i][number], np.dot(cotangents[i], of_both), atol=1e-10)


@pytest.mark.parametrize("trainable", [[2], [2, 3, 4, 5, 7], [0, 2, 6], [0, 2, 7, 8], [8]])
def test_stacked_circuits_agree_one_by_one(trainable):
    rng = np.random.default_rng(0)
    weights = rng.uniform(0, 6, 5)
    tapes = [tape(rng.uniform(0, 6, 2), weights, trainable) for _ in range(5)]
    assert_each_agrees(tapes)


def test_weights_may_differ_between_circuits():
    rng = np.random.default_rng(0)
    assert_each_agrees([tape(rng.uniform(0, 6, 2), rng.uniform(0, 6, 5), [2, 3, 7]) for _ in range(4)])


def test_a_mixture_of_circuits_keeps_its_order():
    rng = np.random.default_rng(0)
    weights = rng.uniform(0, 6, 5)
    tapes = [tape(rng.uniform(0, 6, 2), weights, [2, 3] if i % 2 else [2]) for i in range(5)]
    assert_each_agrees(tapes)


def test_broadcast_circuits_and_others_in_one_call():
    single = qml.tape.QuantumScript([qml.RX(0.3, 0)], [qml.expval(qml.Z(0))])
    broadcast = qml.tape.QuantumScript([qml.RX(np.array([0.1, 0.2, 0.3]), 0)], [qml.expval(qml.Z(0))])
    other = qml.tape.QuantumScript([qml.RX(0.5, 0)], [qml.probs(wires=[0])])
    first, second, third, fourth = BatchedLightning(wires=1).execute((single, broadcast, other, single))
    np.testing.assert_allclose([first, fourth], np.cos(0.3))
    np.testing.assert_allclose(second, np.cos([0.1, 0.2, 0.3]))
    np.testing.assert_allclose(third, [np.cos(0.25) ** 2, np.sin(0.25) ** 2])


def test_one_register_serves_all_circuits_of_a_call(monkeypatch):
    simulated = []
    monkeypatch.setattr(BatchedLightning, "simulate", lambda *arguments, **keywords: simulated.append(1))
    device = BatchedLightning(wires=3)
    tapes = [tape([x, 0.1], np.arange(5.0), [2]) for x in np.linspace(0, 1, 7)]
    assert all(device.runs_natively(one) for one in tapes)
    assert np.shape(device.execute(tapes)) == (7, 2)
    assert not simulated


def test_parameters_that_were_tuned_in_one_place_and_used_in_many():
    """The chain rule from tape parameters to weights is autograd's; every use is a parameter of its own."""

    def circuit(weights):
        qml.AngleEmbedding(np.array([[0.1, 0.4, 0.3], [0.2, 0.5, 0.6]]), wires=range(3))
        for wire in range(3):
            qml.RX(weights[0] * weights[1], wire)
            qml.RY(weights[0], wire)
        qml.CNOT([0, 1])
        qml.AngleEmbedding(np.array([[0.1, 0.4, 0.3], [0.2, 0.5, 0.6]]), wires=range(3), rotation="Z")
        qml.IsingXX(2 * weights[1], [1, 2])
        return qml.expval(qml.Z(1))

    weights = np.array([0.3, 0.8])
    ours, exact = (
        autograd.jacobian(qml.QNode(circuit, device, interface="autograd", **options))(weights)
        for device, options in (
            (BatchedLightning(wires=3), {"diff_method": "adjoint", "device_vjp": True}),
            (qml.device("default.qubit"), {"diff_method": "backprop"}),
        )
    )
    np.testing.assert_allclose(ours, exact, atol=1e-10)
