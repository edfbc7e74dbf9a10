import re

import numpy as np
import pennylane as qml
import pytest

from qkd_pl.circuits.ansatz import Ansatz
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
