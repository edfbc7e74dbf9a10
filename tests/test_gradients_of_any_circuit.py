"""Gradients of circuits that do with their weights what users do, against stock default.qubit, on every device."""

import numpy as np
import pennylane as qml
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from own_circuits import stock

from qkd_pl import CircuitNetwork, DeviceSpec
from qkd_pl.circuits.preparations import Preparations
from qkd_pl.gradients import evaluate, vjp
from qkd_pl.networks.checking import quantum_function
from qkd_pl.networks.weights import checked_shape, joined_weights

EXACT = {
    "qkd.lightning": DeviceSpec(name="batched", plugin="qkd.lightning", diff_method="adjoint"),
    "lightning.qubit": DeviceSpec(name="adjoint", plugin="lightning.qubit", diff_method="adjoint"),
    "default.qubit": DeviceSpec(name="backprop", plugin="default.qubit", diff_method="backprop"),
    "parameter shift": DeviceSpec(name="shift", plugin="default.qubit", diff_method="parameter-shift"),
}
ROTATIONS = [qml.RX, qml.RY, qml.RZ, qml.PhaseShift]

#: How a gate gets its angle: from a weight alone, scaled, a function, a product with a feature, or reused with another.
USES = {
    "sliced": lambda w, x, i: w["a"][i % 4],
    "scaled": lambda w, x, i: -1.5 * w["a"][i % 4],
    "function": lambda w, x, i: qml.math.sin(w["b"][i % 2, 0]) + 0.2,
    "reused": lambda w, x, i: w["a"][0] + w["b"][i % 2, 1],
    "with data": lambda w, x, i: w["b"][i % 2, i % 3] * x[..., i % 2],
    "data": lambda w, x, i: x[..., i % 2],
    "constant": lambda w, x, i: 0.3,
}
SHAPE = {"a": (4,), "b": (2, 3)}

gates = st.lists(
    st.tuples(st.sampled_from(sorted(USES)), st.integers(0, 3), st.integers(0, 2), st.integers(0, 11)),
    min_size=3,
    max_size=6,
)


def circuit_of(plan, is_batched: bool):
    def circuit(inputs, weights):
        qml.AngleEmbedding(inputs, wires=range(2))
        for position, (use, rotation, wire, index) in enumerate(plan):
            ROTATIONS[rotation](USES[use](weights, inputs, index), wires=wire)
            if position % 2:
                qml.CNOT([wire, (wire + 1) % 3])
        qml.BasicEntanglerLayers(qml.math.reshape(weights["b"][:1, :], (1, 3)), wires=range(3))
        return [qml.expval(qml.Z(0)), qml.expval(qml.X(1) @ qml.Y(2))]

    return circuit


@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")  # PennyLane's backprop of PhaseShift
@settings(max_examples=8, phases=[Phase.explicit, Phase.generate])
@given(plan=gates, seed=st.integers(0, 10_000), is_batched=st.booleans())
def test_every_exact_device_agrees_with_stock_default_qubit(plan, seed, is_batched):
    rng = np.random.default_rng(seed)
    circuit = circuit_of(plan, is_batched)
    if not is_batched:
        rows_only = circuit

        def circuit(inputs, weights):
            assert inputs.ndim == 1
            return rows_only(inputs, weights)

    network = CircuitNetwork(circuit, wires=3, weights_shape=SHAPE, n_features=2)
    inputs, cotangent = rng.uniform(0, 3, (3, 2)), rng.normal(size=(3, 2))
    weights = {name: rng.uniform(0, 6, shape) for name, shape in SHAPE.items()}
    outputs, gradient = stock(circuit, 3, inputs, weights, cotangent)
    expected, flat = joined_weights(gradient, checked_shape(SHAPE)), joined_weights(weights, checked_shape(SHAPE))
    function, batch = quantum_function(network, 2), Preparations.pure(inputs)
    for name, spec in EXACT.items():
        qnode = spec.qnode(function, network.wires)
        found, pullback = vjp(qnode, flat, batch)
        np.testing.assert_allclose(found, outputs, atol=1e-8, err_msg=name)
        np.testing.assert_allclose(evaluate(qnode, flat, batch), outputs, atol=1e-8, err_msg=name)
        np.testing.assert_allclose(pullback(cotangent), expected, atol=1e-8, err_msg=name)


def one_weight(inputs, weights):
    qml.AngleEmbedding(inputs, wires=range(2))
    qml.RY(weights[0, 0, 0], wires=0)
    qml.RX(weights[0, 0, 0] * inputs[..., 1], wires=1)
    qml.CNOT([0, 1])
    return [qml.expval(qml.Z(0)), qml.expval(qml.Z(1))]


@pytest.mark.parametrize("method", ["parameter-shift", "spsa"])
def test_with_shots_the_gradient_is_right_on_average(method, rng):
    """The mean over repetitions lies within 4.5 of its own standard errors of the exact gradient, for one weight.

    By the normal approximation that fails with a probability below 1e-5; SPSA with one weight has the exact derivative
    as its expectation, up to a bias of order h². The error of a single repetition must be visible.
    """
    options, shots = ({"num_directions": 10, "h": 0.1}, 20_000) if method == "spsa" else ({}, 400)
    spec = DeviceSpec(name="shots", plugin="default.qubit", shots=shots, diff_method=method, gradient_options=options)
    network = CircuitNetwork(one_weight, wires=2, weights_shape=(1, 1, 1), n_features=2)
    inputs, cotangent = rng.uniform(0.5, 2.5, (3, 2)), rng.normal(size=(3, 2))
    weights = np.full((1, 1, 1), 0.7)
    _, exact = stock(one_weight, 2, inputs, weights, cotangent)
    qnode = spec.qnode(quantum_function(network, 2), network.wires, np.random.default_rng(1))
    batch = network.encode(inputs)
    estimates = np.array([vjp(qnode, weights, batch)[1](cotangent).item() for _ in range(40)])
    error = estimates.std(ddof=1) / np.sqrt(len(estimates))
    assert 0 < error < 0.2 * abs(exact.item())
    assert abs(estimates.mean() - exact.item()) < 4.5 * error + 0.02 * abs(exact.item())


@pytest.mark.parametrize("n_wires", [11, 12, 13])
def test_default_qubit_takes_broadcast_gates_on_many_wires(n_wires, rng):
    """From 12 wires on PennyLane itself fails on a broadcast gate; the values are products of cosines."""

    def circuit(inputs, weights):
        for wire in range(n_wires):
            qml.RX(inputs[..., wire], wires=wire)
        qml.RX(weights[0], wires=n_wires - 1)
        return qml.expval(qml.prod(*(qml.Z(wire) for wire in range(n_wires))))

    network = CircuitNetwork(circuit, wires=n_wires, weights_shape=1, n_features=n_wires)
    qnode = EXACT["default.qubit"].qnode(quantum_function(network, n_wires), network.wires)
    inputs = rng.uniform(0, 0.5, (2, n_wires))
    outputs, pullback = vjp(qnode, np.array([0.3]), network.encode(inputs))
    others = np.cos(inputs[:, :-1]).prod(axis=1)
    np.testing.assert_allclose(outputs[:, 0], others * np.cos(inputs[:, -1] + 0.3), atol=1e-10)
    np.testing.assert_allclose(pullback(np.ones((2, 1))), [-(others * np.sin(inputs[:, -1] + 0.3)).sum()], atol=1e-10)


def test_the_fast_path_is_taken_where_the_weights_are_the_parameters(rng, monkeypatch):
    """One trace in the whole training, as many as steps where angles have to be carried back."""
    import qkd_pl.gradients as module

    def template(inputs, weights):
        qml.AngleEmbedding(inputs, wires=range(2))
        qml.StronglyEntanglingLayers(weights, wires=range(2))
        return qml.expval(qml.Z(0))

    def sliced(inputs, weights):
        qml.AngleEmbedding(inputs, wires=range(2))
        qml.RY(weights[0, 0, 0], wires=0)
        return qml.expval(qml.Z(0))

    inputs = rng.uniform(0, 3, (4, 2))
    traces = []
    trace = module.trace
    monkeypatch.setattr(module, "trace", lambda *arguments: traces.append(1) or trace(*arguments))
    for circuit, expected in ((template, 1), (sliced, 5)):
        traces.clear()
        network = CircuitNetwork(circuit, wires=2, weights_shape=(1, 2, 3))
        qnode = EXACT["qkd.lightning"].qnode(network.circuit, network.wires)
        with qml.Tracker(qnode.device) as tracker:
            for _ in range(5):
                vjp(qnode, rng.uniform(0, 6, (1, 2, 3)), network.encode(inputs))[1](np.ones((4, 1)))
        assert len(traces) == expected
        assert tracker.totals["batches"] == 5  # the batch as a whole, in every step


@pytest.mark.parametrize("device", EXACT)
def test_a_template_whose_batch_pennylane_expands_twice(device):
    def circuit(inputs, weights):
        qml.IQPEmbedding(inputs, wires=range(2))
        qml.BasicEntanglerLayers(weights, wires=range(2))
        return [qml.expval(qml.Z(wire)) for wire in range(2)]

    rng = np.random.default_rng(0)
    inputs, weights, cotangent = rng.normal(size=(5, 2)), rng.normal(size=(2, 2)), rng.normal(size=(5, 2))
    network = CircuitNetwork(circuit, wires=2, weights_shape=(2, 2))
    reference = qml.QNode(circuit, qml.device("default.qubit", wires=2), diff_method="backprop")

    def loss(weights):
        return sum(
            c * z
            for row, cs in zip(inputs, cotangent, strict=True)
            for c, z in zip(cs, reference(row, weights), strict=True)
        )

    expected = np.array([reference(row, weights) for row in inputs])
    qnode, batch = EXACT[device].qnode(quantum_function(network, 2), network.wires), network.encode(inputs)
    np.testing.assert_allclose(evaluate(qnode, weights, batch), expected, atol=1e-10)
    outputs, pullback = vjp(qnode, weights, batch)
    np.testing.assert_allclose(outputs, expected, atol=1e-10)
    gradient = qml.grad(loss)(qml.numpy.array(weights, requires_grad=True))
    np.testing.assert_allclose(pullback(cotangent), gradient, atol=1e-10)
