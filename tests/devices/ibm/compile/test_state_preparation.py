"""The prepared state against the state asked for, by default.qubit; the structure against the data."""

import numpy as np
import pennylane as qml
import pytest

from qkd_pl.devices.ibm.compile.state_preparation import prepare_bits, prepare_state


def random_states(rng, kind, n_wires, batch=6):
    states = rng.normal(size=(batch, 2**n_wires)) + 1j * rng.normal(size=(batch, 2**n_wires))
    if kind == "real":
        states = states.real
    if kind == "global phase":
        states = states.real * np.exp(1j * rng.random((batch, 1)))
    if kind == "sparse":
        states = states * (rng.random(states.shape) < 0.4)
        states[:, 0] += np.all(states == 0, axis=1)
    return states / np.linalg.norm(states, axis=1, keepdims=True)


def prepared(operations, n_wires):
    tape = qml.tape.QuantumScript(operations, [qml.state()])
    return qml.execute([tape], qml.device("default.qubit", wires=n_wires))[0]


def assert_equal_up_to_phase(found, wanted):
    phase = np.sum(found.conj() * wanted, axis=-1, keepdims=True)
    np.testing.assert_allclose(found * phase, wanted, atol=1e-14)


@pytest.mark.parametrize("n_wires", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("kind", ["real", "complex", "global phase", "sparse"])
def test_prepares_every_state_of_a_batch(kind, n_wires):
    states = random_states(np.random.default_rng(n_wires), kind, n_wires)
    assert_equal_up_to_phase(prepared(prepare_state(states, range(n_wires)), n_wires), states)
    assert_equal_up_to_phase(prepared(prepare_state(states[0], range(n_wires)), n_wires), states[0])


@pytest.mark.parametrize(
    "state", [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1j], [1, 0, 0, 1], [1, 1j, -1, 1j], [0, 1, -1, 0]]
)
def test_two_qubits_with_degenerate_schmidt_coefficients(state):
    normalised = np.array(state) / np.linalg.norm(state)
    assert_equal_up_to_phase(prepared(prepare_state(normalised, [0, 1]), 2), normalised)


@pytest.mark.parametrize(
    ("kind", "n_wires", "cnots"),
    [("complex", 1, 0), ("complex", 2, 1), ("real", 3, 6), ("real", 5, 30), ("complex", 5, 52)],
)
def test_number_of_cnots(kind, n_wires, cnots):
    operations = prepare_state(random_states(np.random.default_rng(0), kind, n_wires), range(n_wires))
    assert sum(operation.name == "CNOT" for operation in operations) == cnots


@pytest.mark.parametrize("n_wires", [1, 2, 3, 4])
def test_structure_does_not_follow_the_amplitudes(n_wires):
    rng = np.random.default_rng(0)
    basis_state = np.eye(2**n_wires)[-1]
    structures = {
        tuple((operation.name, tuple(operation.wires)) for operation in prepare_state(state, range(n_wires)))
        for state in [basis_state, *random_states(rng, "real", n_wires)]
    }
    assert len(structures) == 1


def test_prepares_on_the_given_wires_in_the_given_order():
    state = random_states(np.random.default_rng(0), "complex", 3)[0]
    wanted = np.transpose(state.reshape(2, 2, 2), (1, 2, 0)).ravel()
    assert_equal_up_to_phase(prepared(prepare_state(state, [2, 0, 1]), 3), wanted)


def test_bits_are_angles():
    np.testing.assert_allclose(
        np.abs(prepared(prepare_bits(np.array([1, 0, 1]), range(3)), 3)), np.eye(8)[5], atol=1e-15
    )
