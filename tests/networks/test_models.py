import json
import subprocess
import sys

import numpy as np
import pennylane as qml
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from qkd_pl import QAE, QNN, DeviceSpec, KDTrainer, load_model
from qkd_pl.errors import DeviceConfigError, FileFormatError, InvalidInputError
from qkd_pl.networks.models import TrainedQAE, TrainedQNN, trained
from qkd_pl.storage import read_tensors, write_tensors
from qkd_pl.training.schedules import Step

SAMPLED = DeviceSpec(name="few shots", plugin="default.qubit", shots=20)


def random_states(rng: np.random.Generator, n: int, n_qubits: int) -> np.ndarray:
    states = rng.normal(size=(n, 2**n_qubits)) + 1j * rng.normal(size=(n, 2**n_qubits))
    return states / np.linalg.norm(states, axis=1, keepdims=True)


def random_model(network, rng: np.random.Generator, **keywords):
    return trained(network, rng.uniform(0, 2 * np.pi, network.weights_shape), **keywords)


@pytest.fixture
def classifier(rng) -> TrainedQNN:
    history = [{"iteration": 1, "loss": 0.5}]
    return random_model(QNN(3, 1), rng, training={"seed": 3}, history=history, logit_scale=7.0)


# --- classifier


@pytest.mark.parametrize("device", [None, "lightning", "default"])
def test_logits_are_expectation_values_of_the_evolved_states(classifier, device, rng):
    states = random_states(rng, 4, 3)
    unitary = qml.matrix(classifier.network.ansatz.apply, wire_order=range(3))(classifier.weights)
    evolved = np.abs(states @ unitary.T) ** 2
    signs = [np.kron([1, -1], np.ones(4)), np.kron(np.kron([1, 1], [1, -1]), [1, 1])]
    np.testing.assert_allclose(classifier.logits(states, device), evolved @ np.transpose(signs), atol=1e-10)


def test_probabilities_predictions_and_score_follow_from_the_logits(classifier, rng):
    states = random_states(rng, 9, 3)
    logits = classifier.logits(states, "default")
    probabilities = classifier.predict_proba(states, "default")
    np.testing.assert_allclose(probabilities[:, 1], 1 / (1 + np.exp(7.0 * (logits[:, 0] - logits[:, 1]))), atol=1e-12)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)
    predictions = classifier.predict(states, "default")
    np.testing.assert_array_equal(predictions, (logits[:, 1] > logits[:, 0]).astype(int))
    assert classifier.score(states, predictions, "default") == 1.0
    assert classifier.score(states, 1 - predictions, "default") == 0.0


def test_without_a_logit_scale_probabilities_are_the_plain_softmax(rng):
    model = random_model(QNN(2, 1), rng)
    states = random_states(rng, 2, 2)
    logits = np.exp(model.logits(states, "default"))
    np.testing.assert_allclose(model.predict_proba(states, "default"), logits / logits.sum(axis=1, keepdims=True))


def test_no_samples_give_no_logits(classifier):
    assert classifier.logits(np.empty((0, 8)), "default").shape == (0, 2)


def test_one_sample_on_a_device_with_shots(classifier, rng):
    logits = classifier.logits(random_states(rng, 1, 3), SAMPLED)
    assert logits.shape == (1, 2)
    np.testing.assert_allclose(logits * 10, np.round(logits * 10), atol=1e-9)  # means of 20 outcomes ±1


def test_an_unknown_device_is_named(classifier, rng):
    with pytest.raises(DeviceConfigError, match="no device 'moon'; there are: lightning"):
        classifier.logits(random_states(rng, 1, 3), "moon")


def test_weights_must_fit_the_architecture():
    with pytest.raises(InvalidInputError, match=r"weights have shape \(1, 3, 3\).*needs \(2, 3, 3\)"):
        trained(QNN(3, 1), np.zeros((1, 3, 3)))


# --- autoencoder


@settings(max_examples=15)
@given(
    n_qubits=st.integers(2, 4),
    n_latent=st.integers(1, 2),
    seed=st.integers(0, 1000),
    entangler=st.sampled_from(["cz", "cnot"]),
)
def test_compress_decode_and_fidelity_agree_with_matrices(n_qubits, n_latent, seed, entangler):
    n_latent = min(n_latent, n_qubits - 1)
    rng = np.random.default_rng(seed)
    model = random_model(QAE(n_qubits, n_latent, 1, entangler=entangler), rng)
    states = random_states(rng, 2, n_qubits)
    kept, traced = 2**n_latent, 2 ** (n_qubits - n_latent)
    unitary = qml.matrix(model.network.ansatz.apply, wire_order=range(n_qubits))(model.weights)
    zero = np.zeros((traced, traced))
    zero[0, 0] = 1.0

    compressed, fidelities = [], []
    for state in states:
        evolved = (unitary @ state).reshape(kept, traced)
        rho = evolved @ evolved.conj().T  # Tr_B |ψ⟩⟨ψ|
        decoded = unitary.conj().T @ np.kron(rho, zero) @ unitary
        compressed.append(rho)
        fidelities.append((state.conj() @ decoded @ state).real)
        np.testing.assert_allclose(model.decode(rho[None])[0], decoded, atol=1e-10)
    np.testing.assert_allclose(model.compress(states, "default"), compressed, atol=1e-10)
    np.testing.assert_allclose(model.fidelity(states, "default"), fidelities, atol=1e-10)


@pytest.mark.parametrize("device", [SAMPLED, "lightning", "default"], ids=str)
def test_compressed_states_are_density_matrices_also_with_few_shots(device, rng):
    model = random_model(QAE(3, 2, 1), rng)
    compressed = model.compress(random_states(rng, 5, 3), device)
    assert compressed.shape == (5, 4, 4)
    assert compressed.dtype == np.complex128
    np.testing.assert_allclose(np.trace(compressed, axis1=1, axis2=2), 1.0, atol=1e-12)
    np.testing.assert_allclose(compressed, compressed.conj().swapaxes(1, 2), atol=1e-14)
    assert np.linalg.eigvalsh(compressed).min() > -1e-12
    QNN(2, 1).encode(compressed)  # what a student takes


def test_the_projection_of_a_noisy_estimate_is_the_nearest_density_matrix(rng, monkeypatch):
    """For one qubit: a Bloch vector longer than 1 is no state; the nearest state has its direction and length 1."""
    model = random_model(QAE(2, 1, 1), rng)
    bloch = np.array([0.9, -0.8, 0.7])
    noisy = np.concatenate([[1.0], bloch, np.zeros(4)])[None]
    monkeypatch.setattr(TrainedQAE, "outputs", lambda *_: noisy)
    (rho,) = model.compress(np.eye(4)[:1])
    paulis = [[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]]
    np.testing.assert_allclose(
        [np.trace(rho @ np.array(pauli)).real for pauli in paulis], bloch / np.linalg.norm(bloch), atol=1e-12
    )


def test_no_states_compress_to_nothing(rng):
    model = random_model(QAE(3, 1, 1), rng)
    assert model.compress(np.empty((0, 8)), "default").shape == (0, 2, 2)
    assert model.fidelity(np.empty((0, 8)), "default").shape == (0,)
    assert model.decode(np.empty((0, 2, 2))).shape == (0, 8, 8)


def test_decode_refuses_what_is_no_state(rng):
    with pytest.raises(InvalidInputError, match="not a density matrix"):
        random_model(QAE(3, 1, 1), rng).decode(2 * np.eye(2)[None])


def test_training_an_autoencoder_raises_its_fidelity(phases):
    train, _ = phases
    model = KDTrainer(iterations=25, learning_rate=Step(0.1), device="default", seed=0).fit(
        QAE(3, 2, 2), (train.inputs, None)
    )
    assert isinstance(model, TrainedQAE)
    losses = [record["loss"] for record in model.history]
    assert losses[-1] < losses[0] - 0.1
    assert model.fidelity(train.inputs, "default").mean() == pytest.approx(1 - losses[-1], abs=0.05)


# --- files


@pytest.mark.parametrize("network", [QNN(2, 1, embedding="angle"), QAE(3, 1, 2)], ids=str)
def test_save_and_load(network, rng, tmp_path):
    model = random_model(network, rng, training={"seed": 1}, history=[{"loss": 0.25}])
    model.save(tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors")
    assert type(loaded) is type(model)
    assert loaded.network == network
    assert loaded.weights.tobytes() == model.weights.tobytes()
    assert loaded.training == {"seed": 1}
    assert loaded.history == [{"loss": 0.25}]


_PRINT_LOGITS = """
import sys
import numpy as np
from qkd_pl import load_model
print(load_model(sys.argv[1]).logits(np.eye(8)[:3], "default").tobytes().hex())
"""


def test_a_model_gives_equal_logits_in_another_process(classifier, tmp_path):
    path = tmp_path / "model.safetensors"
    classifier.save(path)
    command = [sys.executable, "-c", _PRINT_LOGITS, str(path)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.strip() == classifier.logits(np.eye(8)[:3], "default").tobytes().hex()


def test_the_manifest_tells_how_the_model_was_made(classifier, tmp_path):
    classifier.save(tmp_path / "model.safetensors")
    with safe_open(tmp_path / "model.safetensors", framework="numpy") as stored:
        manifest = json.loads(stored.metadata()["qkd_pl"])
    assert manifest["network"]["type"] == "QNN"
    assert manifest["network"]["n_qubits"] == 3
    assert manifest["wire_order"] == ["0", "1", "2"]
    assert manifest["observables"] == ["Z(0)", "Z(1)"]
    assert manifest["versions"]["pennylane"] == qml.__version__
    assert manifest["training"] == {"seed": 3}
    assert (manifest["task"], manifest["settings"]) == ("classification", {"logit_scale": 7.0})


@pytest.mark.parametrize("damage", [lambda b: b[:-9], lambda b: b[:50], lambda b: b[:-1] + bytes([b[-1] ^ 4])])
def test_a_damaged_model_is_refused(classifier, tmp_path, damage):
    path = tmp_path / "model.safetensors"
    classifier.save(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(FileFormatError, match=r"model\.safetensors"):
        load_model(path)


def test_other_files_are_refused(classifier, tmp_path):
    path = tmp_path / "file.safetensors"
    write_tensors(path, "checkpoint", {"weights": np.zeros(2)}, {})
    with pytest.raises(FileFormatError, match="holds a checkpoint, expected a model"):
        load_model(path)
    with pytest.raises(FileNotFoundError, match="no such model file"):
        load_model(tmp_path / "absent")
    classifier.save(path)
    tensors, manifest = read_tensors(path, "model")
    write_tensors(path, "model", tensors, {**manifest, "format_version": 3})
    with pytest.raises(FileFormatError, match="model format 3; this version of qkd_pl reads format 2"):
        load_model(path)


def test_a_model_that_measures_something_else_is_refused(classifier, tmp_path, monkeypatch):
    monkeypatch.setattr(QNN, "readout", [qml.X(0), qml.X(1)])
    classifier.save(tmp_path / "model.safetensors")
    monkeypatch.undo()
    with pytest.raises(FileFormatError, match="wire order or observables differ"):
        load_model(tmp_path / "model.safetensors")


def test_without_labels_a_score_tells_what_there_is(rng):
    for network, task, named in (
        (QNN(2, 1), "classification", "labels"),
        (QNN(2, 1, observables=[qml.Z(0)]), "regression", "targets"),
    ):
        model = trained(network, rng.uniform(0, 6, network.weights_shape), task)
        with pytest.raises(InvalidInputError, match=rf"{named} are None; score needs .*predict\(inputs\)"):
            model.score(np.eye(4), None)
        assert model.score(np.eye(4), model.predict(np.eye(4))) == 1.0  # what the message says of a teacher


def test_a_score_needs_one_label_per_input():
    model = trained(QNN(2, 1), np.zeros(QNN(2, 1).weights_shape))
    with pytest.raises(InvalidInputError, match=r"labels have shape \(1,\); expected one per sample, \(4,\)"):
        model.score(np.eye(4), np.array([0]))


def test_models_are_compared_and_hashed_by_identity(rng):
    model, other = (random_model(QNN(2, 1), rng) for _ in range(2))
    assert model in [other, model]
    assert len({model, other, model}) == 2


@pytest.mark.parametrize(
    ("inputs", "labels", "message"),
    [
        (np.eye(4), list("abab"), "must be integers"),
        (np.eye(4), [0, 1, 5, 0], "must be integers from 0 to 1; found"),
        (np.eye(4), np.array([0, 1, "b", None], dtype=object), "must be integers"),
        (np.empty((0, 4)), np.empty(0, dtype=int), "no inputs"),
    ],
)
def test_accuracy_needs_inputs_and_class_indices(inputs, labels, message, rng):
    with pytest.raises(InvalidInputError, match=message):
        random_model(QNN(2, 1), rng).score(inputs, labels)


def test_a_printed_model_is_short(rng):
    assert repr(random_model(QNN(2, 1), rng, history=[{"loss": 1.0}] * 100)).startswith("TrainedQNN(network=QNN(")
    assert len(repr(random_model(QNN(2, 1), rng, history=[{"loss": 1.0}] * 100))) < 300
