import dataclasses
import json

import numpy as np
import pennylane as qml
import pytest

from qkd_pl import QAE, QNN
from qkd_pl.circuits.embeddings import EMBEDDINGS
from qkd_pl.errors import InvalidInputError
from qkd_pl.networks.manifest import from_manifest, to_manifest

ARCHITECTURES = [
    *(QNN(n_qubits=3, n_layers=2, embedding=embedding) for embedding in EMBEDDINGS),
    QNN(
        n_qubits=4, n_layers=1, n_classes=4, rotations="YZ", entangler="cnot", topology="line", closing_rotations=False
    ),
    QAE(n_qubits=3, n_latent=1, n_layers=2),
]


@pytest.mark.parametrize("network", ARCHITECTURES, ids=str)
def test_manifest_and_back(network):
    assert from_manifest(json.loads(json.dumps(to_manifest(network)))) == network


@pytest.mark.parametrize("network", ARCHITECTURES, ids=str)
def test_pennylane_draws_and_counts_the_circuit(network, rng):
    embedding = getattr(network, "embedding", "state")
    dimension = 2**network.n_qubits if embedding in ("state", "amplitude") else network.n_qubits
    inputs = np.eye(dimension)[:2] if embedding != "angle" else rng.normal(size=(2, dimension))
    rows = network.encode(inputs).circuit_inputs
    weights = rng.normal(size=network.weights_shape)
    qnode = qml.QNode(network.circuit, qml.device("default.qubit", wires=network.wires))
    assert "HardwareEfficientAnsatz" in qml.draw(qnode)(rows, weights)
    gates_drawn = qml.draw(qnode, level="device")(rows, weights)
    assert all(f"{wire}: " in gates_drawn for wire in network.wires)
    assert gates_drawn.count("RZ(") >= network.weights_shape[0] * network.n_qubits
    gates = qml.specs(qnode, level="device")(rows, weights)["resources"].gate_types
    entangler = {"cz": "CZ", "cnot": "CNOT"}[network.entangler]
    assert gates[entangler] == network.n_layers * len(network.ansatz.couplings)


def test_architectures_are_frozen_and_hashable():
    assert len({QNN(3, 1), QNN(3, 1), QNN(3, 2), QAE(3, 1, 1)}) == 3
    with pytest.raises(dataclasses.FrozenInstanceError):
        QNN(3, 1).n_layers = 2


def test_shapes_and_observables():
    network = QNN(n_qubits=4, n_layers=3, n_classes=3)
    assert network.weights_shape == (4, 4, 3)
    assert list(network.wires) == [0, 1, 2, 3]
    assert network.readout == [qml.Z(0), qml.Z(1), qml.Z(2)]
    autoencoder = QAE(n_qubits=4, n_latent=2, n_layers=1)
    assert autoencoder.weights_shape == (2, 4, 3)
    assert autoencoder.n_outputs == len(autoencoder.readout) == 32


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: QNN(3, 1, embedding="fourier"), "embedding='fourier'.*'phase'"),
        (lambda: QNN(3, 1, n_classes=0), "n_classes=0: must be a whole number of at least 1"),
        (lambda: QNN(3, 1, n_classes=9), "n_qubits=3: too few for 9 classes, which need 4"),
        (lambda: QNN(0, 1), "n_qubits=0"),
        (lambda: QNN(3, 0), "n_layers=0"),
        (lambda: QNN(3, 1, rotations="H"), "rotations='H'"),
        (lambda: QAE(3, 0, 1), "n_latent=0: must be 1 to n_qubits - 1 = 2"),
        (lambda: QAE(3, 3, 1), "n_latent=3"),
        (lambda: QAE(3, 1, 1, entangler="iswap"), "entangler='iswap'"),
        (lambda: from_manifest({"type": "CNN"}), "network type='CNN': must be one of .*'QAE', 'QNN'"),
    ],
)
def test_wrong_settings_are_named(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()


def test_the_autoencoder_takes_state_vectors_only():
    with pytest.raises(InvalidInputError, match=r"\(n, 4\)"):
        QAE(2, 1, 1).encode(np.eye(4)[None] / 4)
