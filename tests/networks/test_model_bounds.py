"""Model files whose checksum fits, and which say what no model of ours can be."""

import tracemalloc

import numpy as np
import pennylane as qml
import pytest
from own_circuits import own_network

import qkd_pl as kd
from qkd_pl.errors import FileFormatError, InvalidInputError
from qkd_pl.storage import read_tensors, write_tensors


def weights_of(network):
    return np.random.default_rng(0).uniform(0, 6, network.weights_shape)


@pytest.fixture
def signed(tmp_path):
    """Saves a model with changes to its manifest and tensors, and loads it."""

    def load(model, manifest=None, tensors=None, network=None):
        path = tmp_path / "model.safetensors"
        model.save(path)
        arrays, stored = read_tensors(path, "model")
        for place, value in (manifest or {}).items():
            *parents, name = place.split(".")
            inner = stored
            for parent in parents:
                inner = inner[parent]
            inner[name] = value
        arrays |= tensors or {}
        write_tensors(path, "model", {name: each for name, each in arrays.items() if each is not None}, stored)
        return kd.load_model(path, network=network)

    return load


@pytest.fixture
def classifier():
    network = kd.QNN(2, 1, embedding="phase")
    return kd.trained(network, weights_of(network))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network.n_qubits": 10**8}, "network.QNN.n_qubits: Input should be less than or equal to 1000"),
        ({"network.topology": [[0, 2]]}, r"\(0, 2\) is no coupling"),
        ({"network.topology": [[0, 1]] * 10_001}, "network.QNN.topology"),
        ({"network.topology": [[0, 1, 2]]}, "network.QNN.topology"),
        ({"network.topology": [["0", 1]]}, "network.QNN.topology"),
        ({"network.n_qubits": 25, "network.embedding": "state"}, "n_qubits: 25, at most 24 with embedding state"),
        ({"network.n_layers": 10**9}, "network.QNN.n_layers: Input should be less than or equal to 10000"),
        ({"network.n_classes": 10**6}, "network.QNN.n_classes: Input should be less than or equal to 1024"),
        ({"network.n_qubits": 1000}, r"expected float64 \(2, 1000, 3\)"),
        ({"network.n_qubits": 2.0}, "network.QNN.n_qubits: Input should be a valid integer"),
        ({"network.observables": [[["Z0", 1.0]] * 5000] * 2}, "observables: 10000 Pauli words, at most 4096"),
        ({"network.observables": [[["W0", 1.0]]]}, "network.QNN.observables.0.0.0"),
        ({"network.observables": [[["Z0", None]]]}, "network.QNN.observables.0.0.1"),
        ({"network": []}, "network: "),
        ({"settings": {"logit_scale": 1.0, "x": 1.0}}, "settings: must be logit_scale"),
        ({"settings": {"logit_scale": 0.0}}, r"logit_scale=0\.0"),
        ({"training": {"logit_scale": "high"}}, "logit_scale must be a finite number above 0"),
        ({"task": "dreaming"}, "task: "),
        ({"history": {}}, "history: "),
        ({"format_version": [2]}, r"model format \[2\]"),
        ({"unknown": 1}, "unknown: Extra inputs are not permitted"),
        ({"network.topology": "x" * 100_000}, "network.QNN.topology"),
        ({"preprocessing": [{"name": "a", "type": "PCA", "parameters": {}}]}, "'a': .* must be a bool"),
    ],
)
def test_wrong_manifests_are_refused_before_anything_is_built(signed, classifier, changes, message):
    tracemalloc.start()
    with pytest.raises(FileFormatError, match=rf"model\.safetensors: .*{message}") as caught:
        signed(classifier, changes)
    assert len(str(caught.value)) < 2000
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.full((2, 2, 3), np.nan), "not finite"),
        (np.full((2, 2, 3), np.inf), "not finite"),
        (np.ones((2, 2, 3), int), "is int64"),
        (np.ones((2, 2, 3), np.float32), "is float32"),
        (np.ones(12), r"\(12,\), expected float64 \(2, 2, 3\)"),
        (None, "there is no tensor 'weights'"),
    ],
)
def test_wrong_weights_are_refused(signed, classifier, weights, message):
    with pytest.raises(FileFormatError, match=message):
        signed(classifier, tensors={"weights": weights})


def test_autoencoders_are_bounded_alone_and_with_a_student(signed):
    encoder, reader = kd.QAE(3, 1, 1), kd.QNN(1, 1)
    autoencoder = kd.trained(encoder, weights_of(encoder))
    whole = autoencoder.then(kd.trained(reader, weights_of(reader)))
    for model, prefix in ((autoencoder, "network"), (whole, "network.encoder")):
        for name, value, most in (("n_latent", 6, 5), ("n_latent", 10**6, 5), ("n_qubits", 25, 24)):
            with pytest.raises(FileFormatError, match=rf"{name}: Input should be less than or equal to {most}"):
                signed(model, {f"{prefix}.{name}": value})
    with pytest.raises(FileFormatError, match="student: has wires"):
        signed(whole, {"network.student.n_qubits": 2})
    with pytest.raises(FileFormatError, match=r"'weights.student' is float64 \(3,\)"):
        signed(whole, tensors={"weights.student": np.ones(3)})
    assert signed(whole).network == whole.network


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"probe.outputs": None}, "no tensor 'probe.outputs'"),
        ({"probe.inputs": None, "probe.outputs": None}, "no tensor 'probe.inputs'"),
        ({"probe.inputs": np.zeros((3, 1))}, r"'probe.inputs' is float64 \(3, 1\)"),
        ({"probe.outputs": np.full((4, 3), np.nan)}, "not finite"),
        ({"probe.outputs": np.zeros((4, 3))}, "outputs that differ from the stored ones"),
    ],
)
def test_the_probes_of_a_custom_network_cannot_be_left_out(signed, tensors, message):
    network = own_network("StronglyEntanglingLayers")
    model = kd.trained(network, weights_of(network))
    with pytest.raises(FileFormatError, match=message):
        signed(model, tensors=tensors, network=network)


def test_what_could_not_be_read_again_is_not_saved(tmp_path, monkeypatch):
    """The bounds hold for writers, too."""
    network = kd.QNN(1, 1, embedding="angle", n_classes=1)
    model = kd.trained(network, weights_of(network), training={"logit_scale": float("inf")})
    with pytest.raises(InvalidInputError, match=r"no file can hold this: .*logit_scale"):
        model.save(tmp_path / "model.safetensors")
    monkeypatch.setattr("qkd_pl.networks.schema.MOST_WORDS", 2)
    many = kd.QNN(2, 1, observables=[qml.Z(0) + qml.Z(1), qml.X(0)], embedding="angle")
    with pytest.raises(InvalidInputError, match="3 Pauli words, at most 2"):
        kd.trained(many, weights_of(many)).save(tmp_path / "model.safetensors")
    assert not (tmp_path / "model.safetensors").exists()
