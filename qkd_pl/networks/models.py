"""Trained networks: an network with its weights, how it was trained, and what it can do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pennylane as qml
from scipy.special import softmax
from sklearn.metrics import r2_score
from sklearn.pipeline import Pipeline

from qkd_pl.checks import checked_labels
from qkd_pl.circuits.embeddings import EMBEDDINGS, Preparations
from qkd_pl.circuits.readout import fidelity, latent_pauli_words
from qkd_pl.datasets.image_pipeline import check_pipeline, pipeline_state, restore_pipeline
from qkd_pl.devices.registry import AnyDevice, resolve_device
from qkd_pl.errors import FileFormatError, InvalidInputError
from qkd_pl.gradients import evaluate
from qkd_pl.networks.networks import QAE, QNN, Network, from_manifest, to_manifest
from qkd_pl.storage import read_tensors, write_tensors

FORMAT_VERSION = 1
_PACKAGES = ("pennylane", "pennylane-lightning", "numpy", "scikit-learn")
_PREPROCESSING = "preprocessing."  # prefix of the pipeline's tensors


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """What trained QNNs and QAEs share.

    Attributes:
        network: the network's shape.
        weights: radians, float64, of shape ``network.weights_shape``.
        training: the trainer's settings, JSON-able; empty for weights that were not trained here.
        history: one JSON-able record per iteration.
    """

    network: Network
    weights: np.ndarray = field(repr=False)
    training: Mapping[str, Any] = field(default_factory=dict, repr=False)
    history: Sequence[Mapping[str, Any]] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if self.weights.shape != self.network.weights_shape:
            raise InvalidInputError(
                f"weights have shape {self.weights.shape}; {self.network} needs {self.network.weights_shape}"
            )

    def encode(self, inputs: np.ndarray) -> Preparations:
        """What the circuit prepares for inputs in the form that the model takes."""
        return self.network.encode(inputs)

    def outputs(self, inputs: np.ndarray, device: AnyDevice = None) -> np.ndarray:
        """The circuit's expectation values on a device, shape ``(n, observables)`` float64."""
        if len(inputs) == 0:
            return np.empty((0, len(self.network.observables)))
        batch = self.encode(inputs)
        qnode = resolve_device(device).qnode(self.network.circuit, self.network.wires)
        return evaluate(qnode, self.weights, batch)

    def save(self, path: str | Path) -> None:
        """Write weights and manifest to one safetensors file, atomically.

        The manifest holds the network, the training settings and history, the wire order, the observables, the
        preprocessing and the versions of the packages used.
        """
        steps, arrays = self._preprocessing_state()
        manifest = {
            "format_version": FORMAT_VERSION,
            "network": to_manifest(self.network),
            "training": dict(self.training),
            "history": list(self.history),
            "wire_order": list(self.network.wires),
            "observables": self.network.observables,
            "preprocessing": steps,
            "versions": {package: version(package) for package in _PACKAGES},
        }
        tensors = {f"{_PREPROCESSING}{name}": array for name, array in arrays.items()}
        write_tensors(Path(path), "model", {"weights": self.weights, **tensors}, manifest)

    def _preprocessing_state(self) -> tuple[list[dict[str, Any]] | None, dict[str, np.ndarray]]:
        return None, {}


@dataclass(frozen=True, eq=False)
class TrainedQNN(TrainedNetwork):
    """A trained quantum neural network: a classifier. ``KDTrainer.fit`` and ``load_model`` return it.

    Attributes:
        preprocessing: fitted pipeline that turns what the model is given, raw images for example, into inputs in the
            form of its embedding; None if it is given those.

    Example:
        >>> network = QNN(n_qubits=2, n_layers=1, embedding="basis")
        >>> model = trained(network, np.zeros(network.weights_shape), {"logit_scale": 10.0})
        >>> bits, labels = np.array([[0, 0], [0, 1], [1, 0]]), np.array([0, 1, 0])
        >>> model.logits(bits).round(6).tolist()  # ⟨Z_0⟩ and ⟨Z_1⟩
        [[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0]]
        >>> model.predict(bits).tolist()
        [0, 0, 1]
        >>> model.predict_proba(bits)[1].round(6).tolist()
        [1.0, 0.0]
        >>> round(model.score(bits, labels), 3)
        0.333
    """

    network: QNN
    preprocessing: Pipeline | None = None

    def with_preprocessing(self, pipeline: Pipeline | None) -> "TrainedQNN":
        """The same network, which from now on takes, and is saved with, what the pipeline takes.

        Args:
            pipeline: fitted, of the steps in :mod:`qkd_pl.datasets.image_pipeline`; None to take the embedding's form
                again.

        Raises:
            InvalidInputError: a step is not fitted, or of a kind that a model file cannot hold.
        """
        if pipeline is not None:
            check_pipeline(pipeline)
        return replace(self, preprocessing=pipeline)

    def encode(self, inputs: np.ndarray) -> Preparations:
        """Preprocess inputs and turn them into preparations for the circuit.

        Raises:
            InvalidInputError: the inputs do not fit the preprocessing or the embedding.
        """
        if self.preprocessing is None:
            return self.network.encode(inputs)
        try:
            prepared = self.preprocessing.transform(inputs)
        except ValueError as error:
            raise InvalidInputError(f"inputs of shape {np.shape(inputs)} cannot be preprocessed: {error}") from error
        return self.network.encode(prepared)

    def logits(self, inputs: np.ndarray, device: AnyDevice = None) -> np.ndarray:
        """Raw expectation values z, shape ``(n, K)`` float64 (Eq. 2).

        Args:
            inputs: in the form of the embedding, n samples.
            device: name in the device registry, or a spec; by default the registry's default device.

        Raises:
            InvalidInputError: the inputs do not fit the embedding.
            DeviceConfigError: there is no such device.
        """
        return self.outputs(inputs, device)

    def predict_proba(self, inputs: np.ndarray, device: AnyDevice = None) -> np.ndarray:
        """softmax(s·z) with the logit scale s of the training, shape ``(n, K)`` (Eq. 3)."""
        return softmax(self.training.get("logit_scale", 1.0) * self.logits(inputs, device), axis=1)

    def predict(self, inputs: np.ndarray, device: AnyDevice = None) -> np.ndarray:
        """The class of the largest logit, shape ``(n,)`` int64."""
        return self.logits(inputs, device).argmax(axis=1)

    def score(self, inputs: np.ndarray, labels: np.ndarray, device: AnyDevice = None) -> float:
        """Accuracy, from 0 to 1, for class indices ``labels`` of shape ``(n,)``, at least one.

        Raises:
            InvalidInputError: there are no inputs, or the labels are not one class index for each.
        """
        if len(inputs) == 0:
            raise InvalidInputError("there are no inputs, and so there is no accuracy")
        labels = checked_labels(labels, len(inputs), self.network.n_classes)
        return float(np.mean(self.predict(inputs, device) == labels))

    def _preprocessing_state(self) -> tuple[list[dict[str, Any]] | None, dict[str, np.ndarray]]:
        return (None, {}) if self.preprocessing is None else pipeline_state(self.preprocessing)


@dataclass(frozen=True, eq=False)
class TrainedRegressor(TrainedNetwork):
    """A trained QNN that predicts numbers: y = scale · z + offset for each output, with the training targets' units.

    Example:
        >>> network = QNN(n_qubits=2, n_layers=1, n_classes=2, embedding="basis")
        >>> training = {"task": "regression", "target_scale": [2.0, 1.0], "target_offset": [5.0, 0.0]}
        >>> model = trained(network, np.zeros(network.weights_shape), training)
        >>> model.predict(np.array([[0, 1]])).round(6).tolist()
        [[7.0, -1.0]]
    """

    network: QNN

    def predict(self, inputs: np.ndarray, device: AnyDevice = None) -> np.ndarray:
        """The predicted numbers, shape ``(n,)`` float64, or ``(n, K)`` for K > 1 outputs."""
        predictions = self.outputs(inputs, device) * self._unit("target_scale", 1.0) + self._unit("target_offset", 0.0)
        return predictions[:, 0] if predictions.shape[1] == 1 else predictions

    def score(self, inputs: np.ndarray, targets: np.ndarray, device: AnyDevice = None) -> float:
        """R², the mean over the outputs; 1 is perfect, 0 what the targets' mean would get.

        Raises:
            InvalidInputError: there are fewer than two inputs, or the targets do not fit.
        """
        if len(inputs) < 2:
            raise InvalidInputError(f"there are {len(inputs)} inputs; R² needs at least 2")
        try:
            return float(r2_score(targets, self.predict(inputs, device)))
        except ValueError as error:
            raise InvalidInputError(f"targets of shape {np.shape(targets)}: {error}") from error

    def _unit(self, name: str, default: float) -> np.ndarray:
        return np.asarray(self.training.get(name, default), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class TrainedQAE(TrainedNetwork):
    """A trained quantum autoencoder: compresses states to ``n_latent`` qubits.

    Example:
        >>> encoder = QAE(n_qubits=2, n_latent=1, n_layers=1, entangler="cz")
        >>> model = trained(encoder, np.zeros(encoder.weights_shape))  # a CZ gate, which leaves |00⟩ and |10⟩ alone
        >>> states = np.eye(4)[[0, 2, 1]]  # |00⟩, |10⟩, |01⟩: the second qubit is thrown away
        >>> model.fidelity(states).round(6).tolist()
        [1.0, 1.0, 0.0]
        >>> model.compress(states)[1].real.round(6).tolist()
        [[0.0, 0.0], [0.0, 1.0]]
        >>> model.decode(model.compress(states)).shape
        (3, 4, 4)
    """

    network: QAE

    def compress(self, states: np.ndarray, device: AnyDevice = None) -> np.ndarray:
        """The compressed states ρ_A (Eq. 8), shape ``(n, 2**n_latent, 2**n_latent)`` complex128.

        Reconstructed from the expectation values of all Pauli words on the latent qubits. With a finite number of shots
        or on a noisy device the estimate is replaced by the nearest density matrix in the 2-norm (Smolin, Gambetta and
        Smith, Phys. Rev. Lett. 108, 070502, 2012).
        """
        expectations, _ = np.split(self.outputs(states, device), 2, axis=1)
        n_latent = self.network.n_latent
        words = np.stack([qml.matrix(word, wire_order=range(n_latent)) for word in latent_pauli_words(n_latent)])
        return _nearest_density_matrices(np.tensordot(expectations, words, axes=1) / 2**n_latent)

    def fidelity(self, states: np.ndarray, device: AnyDevice = None) -> np.ndarray:
        """⟨x| U†(ρ_A ⊗ |0⟩⟨0|)U |x⟩ for each state (Eq. 10), shape ``(n,)``.

        From 0 to 1; on a device with shots or noise, its error may carry it beyond.
        """
        return fidelity(self.outputs(states, device))

    def decode(self, compressed: np.ndarray) -> np.ndarray:
        """U†(ρ_A ⊗ |0⟩⟨0|)U (Eq. 9), computed exactly; shape ``(n, 2**n_qubits, 2**n_qubits)`` complex128.

        Args:
            compressed: density matrices ``(n, 2**n_latent, 2**n_latent)``.
        """
        network = self.network
        dimension = 2**network.n_qubits
        if len(compressed) == 0:
            return np.empty((0, dimension, dimension), dtype=np.complex128)
        kept = network.wires[: network.n_latent]
        batch = EMBEDDINGS["state"].encode(np.asarray(compressed), len(kept))

        @qml.qnode(qml.device("default.qubit", wires=network.wires))
        def decoder(states: np.ndarray) -> Any:
            qml.StatePrep(states, wires=kept)
            qml.adjoint(network.ansatz.apply)(self.weights)
            return qml.density_matrix(network.wires)

        dimension = 2**network.n_qubits
        matrices = decoder(batch.circuit_inputs).reshape(*batch.weights.shape, dimension, dimension)
        return np.einsum("nr,nrij->nij", batch.weights, matrices)


Model = TrainedQNN | TrainedRegressor | TrainedQAE


def trained(
    network: Network,
    weights: np.ndarray,
    training: Mapping[str, Any] | None = None,
    history: Sequence[Mapping[str, Any]] = (),
) -> Model:
    """The trained form of a network; ``training["task"]`` tells a regression."""
    training = training or {}
    if isinstance(network, QAE):
        return TrainedQAE(network, weights, training, history)
    kind = TrainedRegressor if training.get("task") == "regression" else TrainedQNN
    return kind(network, weights, training, history)


def load_model(path: str | Path) -> Model:
    """Read a model that :meth:`TrainedNetwork.save` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        FileFormatError: the file is truncated, altered, of another kind, or from a newer format.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> network = QNN(n_qubits=2, n_layers=1)
        >>> with TemporaryDirectory() as directory:
        ...     trained(network, np.zeros(network.weights_shape)).save(Path(directory) / "model.safetensors")
        ...     load_model(Path(directory) / "model.safetensors").network == network
        True
    """
    tensors, manifest = read_tensors(Path(path), "model")
    if manifest["format_version"] != FORMAT_VERSION:
        raise FileFormatError(
            f"{path}: model format {manifest['format_version']}; this version of qkd_pl reads format {FORMAT_VERSION}"
        )
    network = from_manifest(manifest["network"])
    if manifest["observables"] != network.observables or manifest["wire_order"] != list(network.wires):
        raise FileFormatError(f"{path}: wire order or observables differ from those that {network} measures")
    model = trained(network, tensors.pop("weights"), manifest["training"], manifest["history"])
    if isinstance(model, TrainedQNN) and (steps := manifest.get("preprocessing")) is not None:
        arrays = {name.removeprefix(_PREPROCESSING): array for name, array in tensors.items()}
        return replace(model, preprocessing=restore_pipeline(steps, arrays))
    return model


def _nearest_density_matrices(matrices: np.ndarray) -> np.ndarray:
    """Project Hermitian matrices of trace 1 onto density matrices: water-filling of their eigenvalues."""
    values, vectors = np.linalg.eigh(matrices)
    descending = values[:, ::-1]
    excess = (np.cumsum(descending, axis=1) - 1.0) / np.arange(1, values.shape[1] + 1)
    last = np.count_nonzero(descending > excess, axis=1) - 1
    values = np.clip(values - np.take_along_axis(excess, last[:, None], axis=1), 0.0, None)
    return np.einsum("nik,nk,njk->nij", vectors, values, vectors.conj())
