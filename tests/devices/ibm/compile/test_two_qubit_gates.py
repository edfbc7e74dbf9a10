"""Gates from CNOTs and single-qubit rotations against the gates themselves, multiplied by default.qubit."""

import numpy as np
import pennylane as qml
import pytest
from scipy.stats import ortho_group, special_ortho_group, unitary_group

from qkd_pl.devices.ibm.compile.two_qubit_gates import merged, slots

CLIFFORD = np.stack([qml.matrix(gate) for gate in (qml.CNOT([0, 1]), qml.CZ([0, 1]), qml.SWAP([0, 1]))])
PAIR = np.kron(qml.matrix(qml.RX(0.3, 0)), qml.matrix(qml.RZ(1.1, 0)))
AWKWARD = np.stack([np.eye(4), PAIR, *CLIFFORD, *(CLIFFORD @ PAIR), np.diag(np.exp(1j * np.arange(4)))])


def assert_same_up_to_phase(found, wanted):
    overlaps = np.abs(np.einsum("bij,bij->b", found.conj(), wanted)) / wanted.shape[-1]
    np.testing.assert_allclose(overlaps, 1, atol=1e-9)


def matrices(operations, wires):
    return qml.matrix(qml.tape.QuantumScript(operations), wire_order=wires)


@pytest.mark.parametrize(
    ("gates", "cnots"),
    [
        (special_ortho_group(4, seed=0).rvs(50), 2),
        (np.stack([np.eye(4), -np.eye(4), np.diag([1, -1, -1, 1]), np.diag([1, 1, -1, -1])]), 2),
        (unitary_group(4, seed=0).rvs(50), 3),
        (ortho_group(4, seed=1).rvs(20).astype(complex), 3),
        (AWKWARD.astype(complex), 3),
    ],
    ids=["real", "real and diagonal", "complex", "orthogonal as complex", "Clifford and local"],
)
def test_every_gate_has_the_same_few_cnots(gates, cnots):
    operations = list(merged([(*slots(gates), (0, 1))]))
    assert [operation.name for operation in operations].count("CNOT") == cnots
    assert_same_up_to_phase(matrices(operations, [0, 1]), gates)


@pytest.mark.parametrize("group", [special_ortho_group, unitary_group])
def test_single_qubit_gates_between_gates_are_multiplied(group):
    first, second = group(4, seed=1).rvs(10), group(4, seed=2).rvs(10)
    operations = list(merged([(*slots(first), (0, 1)), (*slots(second), (1, 2))]))
    eye = np.eye(2)
    wanted = np.stack([np.kron(eye, b) @ np.kron(a, eye) for a, b in zip(first, second, strict=True)])
    assert_same_up_to_phase(matrices(operations, [0, 1, 2]), wanted)
    apart = 2 * len(list(merged([(*slots(first), (0, 1))])))
    assert len(operations) == apart - 3  # one wire's RZ, RY, RZ


def test_on_fresh_wires_the_first_turn_about_z_is_left_out():
    gates = special_ortho_group(4, seed=3).rvs(10)
    whole, short = (list(merged([(*slots(gates), (0, 1))], untouched)) for untouched in ((), (0, 1)))
    assert len(whole) - len(short) == 2
    assert_same_up_to_phase(matrices(short, [0, 1])[:, :, :1], gates[:, :, :1])
