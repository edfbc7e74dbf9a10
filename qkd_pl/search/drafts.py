"""From what a trial draws to a network, and to the autoencoder that may stand in front of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pennylane as qml

from qkd_pl.devices.spec import EXACT
from qkd_pl.networks.composed import EncodedNetwork
from qkd_pl.networks.models import TrainedQAE, load_model, trained
from qkd_pl.networks.networks import QAE, QNN
from qkd_pl.search.entrance import Entrance
from qkd_pl.search.question import Question
from qkd_pl.search.space import CLASSICALLY, DEVICE, SearchSpace, topology_of
from qkd_pl.training.trainer import KDTrainer

# A shallow autoencoder is trained once for all students behind it; more updates at this rate gain little.
_ENCODER_ITERATIONS, _ENCODER_RATE = 300, 0.05


@dataclass(frozen=True)
class Draft:
    """A student without weights.

    Attributes:
        network: the student's, with the encoder in front where that runs on the device.
        encoder: the autoencoder; None for students as wide as the inputs.
        entrance: what inputs go through; without the file of an autoencoder.
        compresses: whether the autoencoder runs before the circuit.
    """

    network: Any
    encoder: QAE | None
    entrance: Entrance
    compresses: bool

    def untrained(self, seed: int) -> Callable[[Any], np.ndarray]:
        """Inputs of the student by an encoder of random weights: as many rows as a trained one gives."""
        if not self.compresses:
            return self.entrance
        weights = np.random.default_rng(seed).uniform(0, 2 * np.pi, self.encoder.weights_shape)  # type: ignore[union-attr]
        return self.entrance.by(lambda states: trained(self.encoder, weights).compress(states, EXACT))  # type: ignore[arg-type]

    def entered(self, question: Question, folder: Path, seed: int) -> tuple[Entrance, Any]:
        """What inputs go through, and the weights that a training starts from, None for its own choice.

        The autoencoder is trained on the first use, and kept in ``folder`` for other trials.
        """
        if self.encoder is None:
            return self.entrance, None
        path = folder / f"{_name(self.encoder)}.safetensors"
        model = load_model(path) if path.is_file() else _trained_encoder(self.encoder, question, path)
        if self.compresses:
            return replace(self.entrance, autoencoder=path), None
        student = np.random.default_rng(seed).uniform(0, 2 * np.pi, self.network.weights_shape["student"])
        return self.entrance, {"encoder": model.weights, "student": student}


def draft_of(drawn: Mapping[str, Any], question: Question, space: SearchSpace) -> Draft:
    """The student that a trial draws."""
    if space.networks:
        return Draft(space.networks[drawn["network"]], None, Entrance(), False)
    n_qubits = drawn["n_qubits"]
    if n_qubits == question.full or not question.compresses:
        network = _network(drawn, question, n_qubits, question.embedding, _couplings(drawn, question, n_qubits))
        fewer = None if n_qubits == question.full else question.features_of(n_qubits)
        return Draft(network, None, Entrance(features=fewer), False)
    couplings = _couplings(drawn, question, question.full)
    student = _network(drawn, question, n_qubits, "state", _inner(couplings, n_qubits))
    layers = drawn["encoder_layers"]
    encoder = QAE(question.full, n_qubits, layers, entangler=drawn["entangler"], topology=couplings)
    classical = drawn["compress"] == CLASSICALLY
    whole = student if classical else EncodedNetwork(encoder, student)
    return Draft(whole, encoder, Entrance(encoder_layers=layers), classical)


def _network(drawn: Mapping[str, Any], question: Question, n_qubits: int, embedding: Any, topology: Any) -> QNN:
    single = drawn["readout"] == "single" or (question.task == "regression" and question.n_outputs == 1)
    return QNN(
        n_qubits,
        drawn["n_layers"],
        embedding=embedding,
        rotations=drawn["rotations"],
        entangler=drawn["entangler"],
        topology=topology,
        **({"observables": [qml.Z(n_qubits // 2)]} if single else {"n_classes": question.n_outputs}),
    )


def _couplings(drawn: Mapping[str, Any], question: Question, n_qubits: int) -> Any:
    return question.couplings[n_qubits] if drawn["topology"] == DEVICE else topology_of(drawn["topology"])


def _inner(topology: Any, n_qubits: int) -> Any:
    """The couplings among the wires that an autoencoder keeps."""
    return topology if isinstance(topology, str) else tuple(pair for pair in topology if max(pair) < n_qubits)


def _name(encoder: QAE) -> str:
    topology = encoder.topology
    named = topology if isinstance(topology, str) else "_".join(f"{a}-{b}" for a, b in topology)
    return f"{encoder.n_latent}-of-{encoder.n_qubits}-{encoder.n_layers}-{encoder.entangler}-{named}"


def _trained_encoder(encoder: QAE, question: Question, path: Path) -> TrainedQAE:
    trainer = KDTrainer(iterations=_ENCODER_ITERATIONS, learning_rate=_ENCODER_RATE, device=EXACT, seed=question.seed)
    model = trainer.fit(encoder, (question.train, None))
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save(path)
    return model
