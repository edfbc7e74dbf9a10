"""Files of custom networks, tasks, readouts; no file names code."""

import numpy as np
import pennylane as qml
import pytest
from own_circuits import CIRCUITS, own_network, random_weights
from safetensors import safe_open

import qkd_pl as kd
from qkd_pl.circuits.embeddings import EMBEDDINGS
from qkd_pl.circuits.preparations import Preparations
from qkd_pl.errors import FileFormatError, InvalidInputError


@pytest.mark.parametrize("name", CIRCUITS)
def test_a_custom_network_is_saved_without_its_code(name, rng, tmp_path):
    network, path = own_network(name), tmp_path / "model.safetensors"
    model = kd.trained(network, random_weights(network.weights_shape, rng), logit_scale=5.0, training={"seed": 1})
    model.save(path)
    loaded = kd.load_model(path, network=own_network(name))
    inputs = rng.uniform(0, 3, (4, CIRCUITS[name][-1]))
    np.testing.assert_array_equal(loaded.logits(inputs), model.logits(inputs))
    assert (loaded.logit_scale, loaded.training) == (5.0, {"seed": 1})
    with safe_open(path, framework="numpy") as stored:
        names = set(stored.keys())
        assert names >= {"probe.inputs", "probe.outputs"}
        assert len(stored.get_tensor("probe.inputs")) >= 3
        text = stored.metadata()["qkd_pl"]
    assert CIRCUITS[name][0].__name__ not in text
    if name == "named arrays":
        assert names >= {"weights.layers", "weights.phase"}
    with pytest.raises(FileFormatError, match="no file can hold; give it"):
        kd.load_model(path)


def test_another_circuit_is_refused(rng, tmp_path):
    def similar(inputs, weights):
        qml.AngleEmbedding(inputs, wires=range(3), rotation="Y")
        qml.StronglyEntanglingLayers(weights, wires=range(3))
        return [qml.expval(qml.Z(0)), qml.expval(qml.Z(1) @ qml.Z(2)), qml.expval(qml.X(2))]

    network, path = own_network("StronglyEntanglingLayers"), tmp_path / "model.safetensors"
    kd.trained(network, random_weights(network.weights_shape, rng)).save(path)
    with pytest.raises(FileFormatError, match="outputs that differ from the stored ones by up to"):
        kd.load_model(path, network=kd.CircuitNetwork(similar, 3, (2, 3, 3)))
    with pytest.raises(FileFormatError, match=r"differs from the one stored in wires .* n_outputs \(1, not 3\)"):
        kd.load_model(path, network=own_network("convolutional"))


def test_a_checkpoint_of_another_circuit_is_refused(tmp_path):
    def network(gate):
        def circuit(inputs, weights):
            qml.RY(inputs[..., 0], wires=0)
            gate(weights[0], wires=0)
            return qml.expval(qml.Z(0))

        return kd.CircuitNetwork(circuit, wires=1, weights_shape=1)

    data = (np.linspace(0, 3, 6)[:, None], np.arange(6) % 2)
    path = tmp_path / "run.safetensors"
    kd.KDTrainer(iterations=1).fit(network(qml.RY), data, checkpoint=path)
    kd.KDTrainer(iterations=2).fit(network(qml.RY), data, checkpoint=path)
    with pytest.raises(FileFormatError, match=r"differs in network \(outputs\)"):
        kd.KDTrainer(iterations=3).fit(network(qml.RX), data, checkpoint=path)


def test_a_qnn_with_an_embedding_of_the_users_own(rng, tmp_path):
    own = kd.Embedding(lambda inputs, n_qubits: Preparations.pure(2.0 * inputs), EMBEDDINGS["angle"].apply)
    network, path = kd.QNN(2, 1, embedding=own), tmp_path / "model.safetensors"
    model = kd.trained(network, rng.uniform(0, 6, network.weights_shape))
    inputs = rng.uniform(0, 3, (3, 2))
    plain = kd.trained(kd.QNN(2, 1, embedding="angle"), model.weights)
    np.testing.assert_allclose(model.logits(inputs), plain.logits(2.0 * inputs), atol=1e-12)
    model.save(path)
    np.testing.assert_array_equal(kd.load_model(path, network=network).logits(inputs), model.logits(inputs))
    with pytest.raises(FileFormatError, match="give it"):
        kd.load_model(path)
    with pytest.raises(TypeError):
        EMBEDDINGS["own"] = own  # passed as an object instead


def test_observables_are_stored_as_sums_of_pauli_words(rng, tmp_path):
    matrix = rng.normal(size=(4, 4)) + 1j * rng.normal(size=(4, 4))
    observables = [qml.Hermitian(matrix + matrix.conj().T, wires=[0, 2]), qml.Z(1) + 0.25 * qml.X(0), qml.Y(2)]
    network = kd.QNN(3, 1, observables=observables)
    for given, stored in zip(observables, network.readout, strict=True):
        np.testing.assert_allclose(qml.matrix(stored, wire_order=[0, 1, 2]), qml.matrix(given, wire_order=[0, 1, 2]))
    model = kd.trained(network, rng.uniform(0, 6, network.weights_shape))
    model.save(tmp_path / "model.safetensors")
    loaded = kd.load_model(tmp_path / "model.safetensors")
    assert loaded.network == network == kd.QNN(3, 1, observables=observables)
    assert hash(loaded.network) == hash(network)
    assert loaded.n_classes == 3


@pytest.mark.parametrize("n_classes", [3, 4])
def test_more_classes_than_qubits_are_read_from_basis_states(n_classes, rng):
    """2 p_k - 1, with the probabilities of the first basis states."""
    network = kd.QNN(2, 1, n_classes=n_classes)
    model = kd.trained(network, rng.uniform(0, 6, network.weights_shape))
    states = np.eye(4)
    probabilities = np.abs(states @ qml.matrix(network.ansatz.apply, wire_order=range(2))(model.weights).T) ** 2
    for device in ("lightning", "default"):
        np.testing.assert_allclose(model.logits(states, device), 2 * probabilities[:, :n_classes] - 1, atol=1e-10)


def test_one_output_tells_two_classes_apart(rng):
    one = kd.QNN(1, 1, embedding="angle", observables=[qml.Z(0)])
    two = kd.QNN(1, 1, embedding="angle")
    assert (one.n_outputs, one.n_classes, two.n_outputs, two.n_classes) == (1, 2, 2, 2)
    inputs = np.array([[0.1], [0.4], [2.7], [3.0]])
    fitted = [kd.KDTrainer(iterations=12, seed=2).fit(network, (inputs, [0, 0, 1, 1])) for network in (one, two)]
    np.testing.assert_allclose(fitted[0].weights, fitted[1].weights, atol=1e-9)
    z = fitted[0].outputs(inputs)
    np.testing.assert_array_equal(fitted[0].logits(inputs), np.hstack([z, -z]))
    assert fitted[0].score(inputs, [0, 0, 1, 1]) == 1.0


def test_a_regressor_predicts_in_the_units_of_its_targets(rng, tmp_path):
    network = kd.QNN(2, 1, embedding="angle", observables=[qml.Z(0), qml.Z(1)])
    scale, offset = [2.0, 3.0], [10.0, -1.0]
    weights = rng.uniform(0, 6, network.weights_shape)
    model = kd.trained(network, weights, task="regression", target_scale=scale, target_offset=offset)
    inputs = rng.uniform(0, 3, (5, 2))
    expected = model.outputs(inputs) * scale + offset
    model.save(tmp_path / "model.safetensors")
    loaded = kd.load_model(tmp_path / "model.safetensors")
    np.testing.assert_allclose(loaded.predict(inputs), expected)
    assert loaded.score(inputs, expected) == 1.0
    assert loaded.score(inputs, 2 * expected.mean(axis=0) - expected) < 0
    with pytest.raises(InvalidInputError, match="at least 2"):
        loaded.score(inputs[:1], expected[:1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": "dreaming"}, "task='dreaming'"),
        ({"task": "compression"}, "must be a QAE"),
        ({"logit_scale": 0.0}, "logit_scale=0.0"),
        ({"task": "regression", "logit_scale": 1.0}, "has no setting"),
        ({"task": "regression", "target_scale": [1.0, 2.0, 3.0]}, "target_scale"),
    ],
)
def test_settings_of_tasks(arguments, message):
    network = kd.QNN(2, 1)
    with pytest.raises(InvalidInputError, match=message):
        kd.trained(network, np.zeros(network.weights_shape), **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"observables": qml.Z(0)}, "must be a list"),
        ({"observables": []}, "must be a list"),
        ({"observables": [qml.Z(2)]}, "acts on wire 2; the wires are 0 to 1"),
        ({"observables": [1j * qml.Z(0)]}, "not Hermitian"),
        ({"observables": ["Z"]}, "observables"),
        ({"observables": [qml.Z(0)], "n_classes": 3}, "must be 2, with 1 in observables"),
    ],
)
def test_wrong_readouts_are_named(arguments, message):
    with pytest.raises(InvalidInputError, match=message):
        kd.QNN(2, 1, **arguments)


@pytest.mark.parametrize("kind", ["QNN", "QAE"])
def test_a_topology_of_pairs_is_stored(kind, tmp_path):
    pairs = [(1, 0), (1, 2)]
    network = kd.QNN(3, 2, topology=pairs) if kind == "QNN" else kd.QAE(3, 1, 2, topology=pairs)
    model = kd.trained(network, np.random.default_rng(0).uniform(0, 6, network.weights_shape))
    model.save(tmp_path / "model.safetensors")
    loaded = kd.load_model(tmp_path / "model.safetensors")
    assert loaded.network == network
    np.testing.assert_array_equal(loaded.outputs(np.eye(8)), model.outputs(np.eye(8)))


def test_a_run_of_pairs_is_resumed(tmp_path):
    network, data = kd.QNN(3, 1, topology=[(0, 1), (0, 2)]), (np.eye(8), np.arange(8) % 2)
    begun, path = kd.KDTrainer(iterations=3, batch_size=4), tmp_path / "run.safetensors"
    begun.fit(network, data, checkpoint=path)
    longer = kd.KDTrainer(iterations=6, batch_size=4)
    resumed = longer.fit(network, data, checkpoint=path)
    np.testing.assert_array_equal(resumed.weights, longer.fit(network, data).weights)
