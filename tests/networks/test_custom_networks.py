"""Circuits of the user's own against stock default.qubit, and what is refused before anything runs."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pennylane as qml
import pytest
from own_circuits import CIRCUITS, after_state, convolutional, entangled, own_network, random_weights, stock

import qkd_pl as kd
from qkd_pl.circuits.preparations import Preparations
from qkd_pl.circuits.rows import RowByRow
from qkd_pl.errors import InvalidInputError
from qkd_pl.gradients import vjp
from qkd_pl.networks.checking import quantum_function
from qkd_pl.networks.weights import checked_shape, joined_weights

DEVICES = ["lightning", "default", kd.DeviceSpec(name="stock", plugin="lightning.qubit", diff_method="adjoint")]


@pytest.mark.parametrize("device", DEVICES, ids=["qkd.lightning", "default.qubit", "lightning.qubit"])
@pytest.mark.parametrize("name", CIRCUITS)
def test_outputs_and_gradients_agree_with_stock_default_qubit(name, device, rng):
    circuit, wires, shape, n_features = CIRCUITS[name]
    network = own_network(name)
    inputs, weights = rng.uniform(0, 3, (5, n_features)), random_weights(shape, rng)
    cotangent = rng.normal(size=(5, network.n_outputs))
    outputs, gradient = stock(circuit, wires, inputs, weights, cotangent)
    model = kd.trained(network, weights)
    np.testing.assert_allclose(model.outputs(inputs, device), outputs, atol=1e-10)
    spec = kd.load_devices()[device] if isinstance(device, str) else device
    qnode = spec.qnode(quantum_function(network, n_features), network.wires)
    found, pullback = vjp(qnode, model.weights, network.encode(inputs))
    np.testing.assert_allclose(found, outputs, atol=1e-10)
    expected = joined_weights(gradient, checked_shape(shape))
    assert np.abs(expected).max() > 1e-2
    np.testing.assert_allclose(pullback(cotangent), expected, atol=1e-10)


@pytest.mark.parametrize("name", CIRCUITS)
def test_a_teacher_and_a_student(name, rng):
    """Fitted, scored, distilled; the student imitates a teacher of its own kind without labels."""
    *_, n_features = CIRCUITS[name]
    inputs = rng.uniform(0, 3, (24, n_features))
    network = own_network(name)
    teacher = kd.trained(network, random_weights(network.weights_shape, np.random.default_rng(3)))
    start = teacher.weights + 0.4
    student = kd.KDTrainer(iterations=25, learning_rate=0.1).fit(
        network, (inputs, None), teacher=kd.Ensemble([teacher]), initial=start
    )
    assert student.history[-1]["loss"] < 0.5 * student.history[0]["loss"]
    before, after = (
        np.abs(m.outputs(inputs) - teacher.outputs(inputs)).mean() for m in (kd.trained(network, start), student)
    )
    assert after < 0.7 * before


def test_rows_only_and_batches_are_told_apart():
    assert isinstance(quantum_function(own_network("data re-uploading")), RowByRow)
    assert not isinstance(quantum_function(own_network("data re-uploading in batches")), RowByRow)
    assert not isinstance(quantum_function(own_network("StronglyEntanglingLayers")), RowByRow)


def test_as_many_features_as_probes_hide_nothing(rng):
    """With three features and three rows, ``inputs[i]`` would take a batch for a row without an error."""

    def circuit(inputs, weights):
        for wire in range(3):
            qml.RX(inputs[wire], wires=wire)
        qml.BasicEntanglerLayers(weights, wires=range(3))
        return qml.expval(qml.Z(0))

    network = kd.CircuitNetwork(circuit, wires=3, weights_shape=(1, 3))
    inputs, weights = rng.uniform(0, 3, (3, 3)), rng.uniform(0, 6, (1, 3))
    np.testing.assert_allclose(
        kd.trained(network, weights).outputs(inputs), stock(circuit, 3, inputs, weights), atol=1e-10
    )


def test_a_circuit_whose_gates_follow_the_data(rng):
    """Rows that cannot be one broadcast circuit are run one by one, and differentiated."""

    def circuit(inputs, weights):
        qml.RY(weights[0], wires=0)
        if inputs[0] > 1.5:
            qml.RX(weights[1] * inputs[1], wires=0)
        return qml.expval(qml.Z(0))

    network = kd.CircuitNetwork(circuit, wires=1, weights_shape=2, n_features=2)
    inputs, weights, cotangent = rng.uniform(0, 3, (6, 2)), rng.uniform(0, 6, 2), rng.normal(size=(6, 1))
    assert 0 < np.sum(inputs[:, 0] > 1.5) < 6
    outputs, gradient = stock(circuit, 1, inputs, weights, cotangent)
    for device in (*DEVICES, kd.DeviceSpec(name="shift", plugin="default.qubit")):
        spec = kd.load_devices()[device] if isinstance(device, str) else device
        qnode = spec.qnode(quantum_function(network, 2), network.wires)
        found, pullback = vjp(qnode, weights, network.encode(inputs))
        np.testing.assert_allclose(found, outputs, atol=1e-10)
        np.testing.assert_allclose(pullback(cotangent), gradient, atol=1e-8)
    np.testing.assert_allclose(kd.trained(network, weights).outputs(inputs), outputs, atol=1e-10)


def test_weights_at_zero_are_not_taken_for_constants(rng):
    """At w = 0 all rows have the angle x·w = 0, but not the derivative x."""

    def circuit(inputs, weights):
        qml.Hadamard(0)
        qml.RZ(inputs[0] * weights[0], wires=0)
        return qml.expval(qml.Y(0))

    network = kd.CircuitNetwork(circuit, wires=1, weights_shape=1)
    inputs, cotangent = rng.uniform(1, 3, (4, 1)), rng.normal(size=(4, 1))
    for device in DEVICES:
        spec = kd.load_devices()[device] if isinstance(device, str) else device
        qnode = spec.qnode(quantum_function(network), network.wires)
        _, pullback = vjp(qnode, np.zeros(1), network.encode(inputs))
        # ⟨Y⟩ = sin(x·w)
        np.testing.assert_allclose(pullback(cotangent), [np.sum(cotangent * inputs)], atol=1e-10)


def test_a_circuit_behind_an_embedding_takes_mixed_states(rng):
    network = kd.CircuitNetwork(after_state, wires=2, weights_shape=(1, 2, 3), embedding="state")
    mixed = np.diag([0.5, 0.25, 0.25, 0.0])[None]
    weights = rng.uniform(0, 6, (1, 2, 3))
    model = kd.trained(network, weights)
    pure = model.outputs(np.eye(4)[:3])
    np.testing.assert_allclose(model.outputs(mixed)[0], [0.5, 0.25, 0.25] @ pure, atol=1e-12)
    angles = kd.CircuitNetwork(after_state, wires=2, weights_shape=(1, 2, 3), embedding="angle")
    inputs = rng.uniform(0, 3, (4, 2))

    def by_hand(row, weights):
        for wire in range(2):
            qml.RX(row[wire], wires=wire)
        return after_state(weights)

    np.testing.assert_allclose(
        kd.trained(angles, weights).outputs(inputs), stock(by_hand, 2, inputs, weights), atol=1e-10
    )


def test_a_qnode_gives_its_function(rng):
    weights, inputs = rng.uniform(0, 6, (2, 3, 3)), rng.uniform(0, 3, (2, 3))
    qnode = qml.QNode(entangled, qml.device("default.qubit", wires=3))
    outputs = kd.trained(kd.CircuitNetwork(qnode, 3, (2, 3, 3)), weights).outputs(inputs)
    np.testing.assert_allclose(outputs, stock(entangled, 3, inputs, weights), atol=1e-10)
    sampled = qml.set_shots(qml.QNode(entangled, qml.device("lightning.qubit", wires=5), diff_method=None), shots=7)
    network = kd.CircuitNetwork(sampled, 3, (2, 3, 3))
    np.testing.assert_array_equal(kd.trained(network, weights).outputs(inputs), outputs)
    with pytest.raises(InvalidInputError, match="QNode with transforms"):
        kd.CircuitNetwork(qml.transforms.cancel_inverses(qnode), 3, (2, 3, 3))


def test_any_object_with_the_five_is_a_network(rng):
    def circuit(inputs, weights):
        qml.RX(inputs[..., 0], wires="a")
        qml.RX(weights["one"][1], wires="a")
        qml.RY(weights["two"], wires="b")
        return [qml.expval(qml.Z("a")), qml.expval(qml.Z("b"))]

    own = SimpleNamespace(
        wires=["a", "b"],
        weights_shape={"one": (2,), "two": ()},
        n_outputs=2,
        encode=lambda inputs: Preparations.pure(np.asarray(inputs, dtype=float)),
        circuit=circuit,
    )
    inputs = rng.uniform(0, 3, (6, 1))
    model = kd.KDTrainer(iterations=2).fit(own, (inputs, np.arange(6) % 2))
    _, angle, other = model.weights
    expected = np.stack([np.cos(inputs[:, 0] + angle), np.full(6, np.cos(other))], axis=1)
    np.testing.assert_allclose(model.logits(inputs), expected, atol=1e-10)


def returning(measurements):
    def circuit(inputs, weights):
        qml.RX(inputs[..., 0], wires=0)
        qml.RY(weights[0], wires=0)
        return measurements()

    return circuit


def measuring_in_between(inputs, weights):
    qml.RY(weights[0], wires=0)
    qml.measure(0)
    return qml.expval(qml.Z(0))


def through_an_observable(inputs, weights):
    qml.RX(inputs[..., 0], wires=0)
    return qml.expval(qml.s_prod(weights[0], qml.Z(0)))


def through_an_exponent(inputs, weights):
    qml.RX(inputs[..., 0], wires=0)
    qml.pow(qml.RX(0.3, wires=0), weights[0], lazy=True)
    return qml.expval(qml.Z(0))


def through_numpy(inputs, weights):
    qml.RX(np.sin(weights[0]) * inputs[..., 0], wires=0)
    return qml.expval(qml.Z(0))


def through_python(inputs, weights):
    qml.RX(float(weights[0]), wires=0)
    return qml.expval(qml.Z(0))


@pytest.mark.parametrize(
    ("circuit", "message"),
    [
        (returning(lambda: qml.probs(wires=0)), "returns probs.*must be expectation values"),
        (returning(lambda: qml.sample(wires=0)), "returns sample"),
        (returning(lambda: [qml.expval(qml.Z(0)), qml.var(qml.Z(0))]), "returns var"),
        (returning(lambda: None), "returns nothing; it must return qml.expval"),
        (returning(lambda: []), "returns nothing; it must return qml.expval"),
        (returning(lambda: {"z": qml.expval(qml.Z(0))}), r"returns \{'z': expval.*it must return qml.expval"),
        (returning(lambda: [[qml.expval(qml.Z(0))]]), r"returns \[\[expval.*or a list of it"),
        (returning(lambda: (qml.expval(qml.Z(0)) for _ in range(1))), "returns <generator.*or a list of it"),
        (returning(lambda: 1.0), r"returns 1\.0; it must return qml.expval"),
        (returning(lambda: qml.Z(0)), r"returns Z\(0\); it must return qml.expval"),
        (returning(lambda: [qml.expval(qml.Z(0))] * 2), "each of its measurements once"),
        (returning(lambda: [qml.expval(qml.Z(0)), qml.expval(qml.X(0))][::-1]), "in the order of making them"),
        (returning(lambda: [qml.expval(qml.Z(0)), qml.expval(qml.X(0))][1]), "each of its measurements once"),
        (returning(lambda: qml.expval(qml.Z(5))), "uses wire 5"),
        (measuring_in_between, "mid-circuit"),
        (through_an_observable, "an observable depends on the weights"),
        (through_an_exponent, "setting that is not a parameter"),
        (lambda inputs, weights: qml.expval(qml.Z(0)), "nothing to train"),
        (through_numpy, "pennylane.numpy or qml.math"),
        (through_python, "pennylane.numpy or qml.math"),
        (lambda inputs, weights: 1 / 0, "cannot be run.*ZeroDivisionError"),
        (7, "circuit is an int"),
    ],
)
def test_what_cannot_work_is_refused_before_training(circuit, message):
    def train():
        network = kd.CircuitNetwork(circuit, wires=1, weights_shape=1)
        kd.KDTrainer(iterations=1).fit(network, (np.zeros((4, 1)), np.arange(4) % 2))

    with pytest.raises(InvalidInputError, match=message):
        train()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_outputs": 4}, "n_outputs=4: must be 1"),
        ({"wires": 0}, "wires=0"),
        ({"wires": ["a", "a"]}, "different labels"),
        ({"weights_shape": (2, 0)}, "weights_shape=0"),
        ({"weights_shape": {}}, "must name at least one array"),
        ({"embedding": "fourier"}, "embedding='fourier'"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(InvalidInputError, match=message):
        kd.CircuitNetwork(**{"circuit": convolutional, "wires": 4, "weights_shape": (2, 4), **arguments})


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (np.zeros(4), r"shape \(4,\)"),
        (np.zeros((2, 4)) * 1j, "complex"),
        (np.full((2, 4), np.nan), "NaN"),
        (np.array([["a"] * 4]), "dtype"),
    ],
)
def test_wrong_inputs_are_refused(inputs, message):
    with pytest.raises(InvalidInputError, match=message):
        own_network("convolutional").encode(inputs)


def test_the_number_of_features_is_checked():
    network = kd.CircuitNetwork(convolutional, wires=4, weights_shape=(2, 4), n_features=4)
    with pytest.raises(InvalidInputError, match=r"takes features \(n, 4\)"):
        network.encode(np.zeros((2, 3)))
    with pytest.raises(InvalidInputError, match="cannot be run with 6 features"):
        kd.KDTrainer(iterations=1).fit(own_network("convolutional"), (np.zeros((4, 6)), np.arange(4) % 2))


def test_what_is_no_network_is_refused():
    with pytest.raises(InvalidInputError, match="network is a function without wires, weights_shape"):
        kd.trained(convolutional, np.zeros((2, 4)))
    with pytest.raises(InvalidInputError, match=r"weights\['phase'\] have shape"):
        kd.trained(own_network("named arrays"), {"layers": np.zeros((2, 2)), "phase": [1, 2]})
    with pytest.raises(InvalidInputError, match=r"weights are named \['layers'\]"):
        kd.trained(own_network("named arrays"), {"layers": np.zeros((2, 2))})


def test_networks_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        own_network("convolutional").n_outputs = 2
