import re

import numpy as np
import pennylane as qml
import pytest

from qkd_pl.circuits import Ansatz, class_logits, latent_expectations, latent_pauli_words
from qkd_pl.errors import InvalidInputError

SETTINGS = {
    "n_qubits": 3,
    "n_layers": 2,
    "rotations": "XYZ",
    "entangler": "cz",
    "topology": "ring",
    "closing_rotations": True,
}


def operations(ansatz: Ansatz) -> list:
    weights = np.arange(np.prod(ansatz.weights_shape), dtype=float).reshape(ansatz.weights_shape)
    (template,) = qml.tape.make_qscript(ansatz.apply)(weights).operations
    return template.decomposition()


@pytest.mark.parametrize(
    ("n_qubits", "topology", "couplings"),
    [
        (1, "ring", ()),
        (2, "ring", ((0, 1),)),
        (3, "ring", ((0, 1), (1, 2), (2, 0))),
        (4, "line", ((0, 1), (1, 2), (2, 3))),
    ],
)
def test_couplings(n_qubits, topology, couplings):
    assert Ansatz(**{**SETTINGS, "n_qubits": n_qubits, "topology": topology}).couplings == couplings


def test_gates_stand_in_their_documented_order():
    gates = operations(Ansatz(**{**SETTINGS, "n_qubits": 2, "n_layers": 1, "rotations": "ZY", "entangler": "cnot"}))
    expected = ["RZ", "RY", "RZ", "RY", "CNOT", "RZ", "RY", "RZ", "RY"]
    assert [gate.name for gate in gates] == expected
    assert [gate.data[0] for gate in gates if gate.data] == list(range(8))
    assert gates[4].wires.tolist() == [0, 1]


@pytest.mark.parametrize("closing", [True, False])
def test_closing_rotations(closing):
    ansatz = Ansatz(**{**SETTINGS, "closing_rotations": closing})
    assert ansatz.weights_shape == (2 + closing, 3, 3)
    assert operations(ansatz)[-1].name == ("RZ" if closing else "CZ")
    assert sum(gate.name == "CZ" for gate in operations(ansatz)) == 6


@pytest.mark.parametrize(
    ("setting", "value", "allowed"),
    [
        ("n_qubits", 0, "at least 1"),
        ("n_layers", 0, "at least 1"),
        ("rotations", "", "letters of 'XYZ'"),
        ("rotations", "XW", "letters of 'XYZ'"),
        ("entangler", "swap", "cnot"),
        ("topology", "star", "ring"),
        ("rotations", ("X", "Y"), "letters of 'XYZ'"),
        ("closing_rotations", "no", "True or False"),
    ],
)
def test_wrong_settings_are_named(setting, value, allowed):
    with pytest.raises(InvalidInputError, match=re.escape(f"{setting}={value!r}") + f".*{allowed}"):
        Ansatz(**{**SETTINGS, setting: value})


def test_logits_are_pauli_z_on_the_first_wires():
    assert [m.obs for m in class_logits(3)] == [qml.Z(0), qml.Z(1), qml.Z(2)]


def test_pauli_words_are_a_basis_of_operators():
    words = [qml.matrix(word, wire_order=range(2)) for word in latent_pauli_words(2)]
    assert len(words) == 16
    overlaps = np.einsum("aij,bji->ab", words, words)
    np.testing.assert_allclose(overlaps, 4 * np.eye(16), atol=1e-14)
    np.testing.assert_allclose(words[1], np.kron(np.eye(2), [[0, 1], [1, 0]]))


def test_latent_expectations_are_the_words_and_then_the_words_behind_the_projector():
    observables = [qml.matrix(m.obs, wire_order=range(3)) for m in latent_expectations(3, 1)]
    zero = np.diag([1.0, 0, 0, 0])
    words = [qml.matrix(word, wire_order=range(1)) for word in latent_pauli_words(1)]
    expected = [np.kron(word, np.eye(4)) for word in words] + [np.kron(word, zero) for word in words]
    np.testing.assert_allclose(observables, expected)
