"""An autoencoder and a student in one circuit."""

import numpy as np
import pennylane as qml
import pytest

import qkd_pl as kd
from qkd_pl.errors import FileFormatError, InvalidInputError
from qkd_pl.networks.composed import EncodedNetwork


def random_states(rng, n, n_qubits):
    states = rng.normal(size=(n, 2**n_qubits)) + 1j * rng.normal(size=(n, 2**n_qubits))
    return states / np.linalg.norm(states, axis=1, keepdims=True)


def model_of(network, rng, **settings):
    return kd.trained(network, rng.uniform(0, 6, network.weights_shape), **settings)


def own_student(weights):
    qml.StronglyEntanglingLayers(weights, wires=range(2))
    return qml.expval(qml.Z(0) @ qml.X(1))


@pytest.mark.parametrize("device", ["lightning", "default"])
@pytest.mark.parametrize(
    "student",
    [kd.QNN(2, 1), kd.QNN(2, 1, n_classes=4), kd.CircuitNetwork(own_student, 2, (1, 2, 3), embedding="state")],
    ids=["QNN", "four classes", "own circuit"],
)
def test_outputs_equal_those_of_the_compressed_inputs(student, device, rng):
    autoencoder, reader = model_of(kd.QAE(4, 2, 1), rng), model_of(student, rng, logit_scale=3.0)
    states = random_states(rng, 5, 4)
    whole = autoencoder.then(reader)
    expected = reader.outputs(autoencoder.compress(states))
    np.testing.assert_allclose(whole.outputs(states, device), expected, atol=1e-10)
    np.testing.assert_allclose(whole.predict_proba(states), reader.predict_proba(autoencoder.compress(states)))


def test_it_is_saved_as_two_and_trained_further(rng, tmp_path):
    autoencoder, reader = model_of(kd.QAE(3, 1, 1), rng), model_of(kd.QNN(1, 1), rng, logit_scale=10.0)
    states, labels = random_states(rng, 16, 3), np.arange(16) % 2
    whole = autoencoder.then(reader)
    whole.save(tmp_path / "whole.safetensors")
    loaded = kd.load_model(tmp_path / "whole.safetensors")
    assert loaded.network == EncodedNetwork(kd.QAE(3, 1, 1), kd.QNN(1, 1))
    np.testing.assert_array_equal(loaded.logits(states), whole.logits(states))
    np.testing.assert_array_equal(loaded.named_weights["encoder"], autoencoder.weights)
    np.testing.assert_array_equal(loaded.named_weights["student"], reader.weights)
    trainer = kd.KDTrainer(iterations=20, learning_rate=0.05)
    tuned = trainer.fit(whole.network, (states, labels), initial=whole.named_weights)
    assert tuned.history[-1]["loss"] < tuned.history[0]["loss"]
    assert np.abs(tuned.named_weights["encoder"] - autoencoder.weights).max() > 1e-3


def test_a_students_own_circuit_is_given_when_it_is_read(rng, tmp_path):
    student = kd.CircuitNetwork(own_student, 2, (1, 2, 3), embedding="state")
    whole = model_of(kd.QAE(3, 2, 1), rng).then(model_of(student, rng))
    whole.save(tmp_path / "whole.safetensors")
    states = random_states(rng, 3, 3)
    for given in (student, whole.network):
        loaded = kd.load_model(tmp_path / "whole.safetensors", network=given)
        np.testing.assert_array_equal(loaded.logits(states), whole.logits(states))
    with pytest.raises(FileFormatError, match="no file can hold"):
        kd.load_model(tmp_path / "whole.safetensors")


def test_it_is_priced_for_hardware(rng):
    whole = model_of(kd.QAE(3, 1, 1), rng).then(model_of(kd.QNN(1, 1), rng))
    plan = kd.plan(whole, np.eye(8)[:2], device="manila")
    assert plan.cost.circuits == 2  # one for each state; compressed states would need up to two each


@pytest.mark.parametrize(
    ("student", "message"),
    [
        (kd.QNN(2, 1), r"the autoencoder keeps \[0\]"),
        (kd.QNN(1, 1, embedding="angle"), "embedding='state'"),
        (kd.QAE(2, 1, 1), "classifier or regressor"),
    ],
)
def test_students_of_something_else_are_refused(student, message, rng):
    with pytest.raises(InvalidInputError, match=message):
        model_of(kd.QAE(3, 1, 1), rng).then(model_of(student, rng))
