"""Staircases of two-qubit gates: what they prepare, by default.qubit, against the states asked for."""

import numpy as np
import pennylane as qml
import pytest

from qkd_pl.datasets import ground_states
from qkd_pl.devices.ibm.compile.staircase import fit_staircase, staircase_cnots


def random_states(n_qubits, batch, real, seed=0):
    rng = np.random.default_rng(seed)
    states = rng.normal(size=(batch, 2**n_qubits))
    if not real:
        states = states + 1j * rng.normal(size=states.shape)
    return states / np.linalg.norm(states, axis=1, keepdims=True)


def bond_two_states(n_qubits, batch, real, seed=0):
    """Random matrix product states of bond dimension 2."""
    rng = np.random.default_rng(seed)
    states = np.ones((batch, 1, 1))
    for site in range(n_qubits):
        shape = (batch, 1 if site == 0 else 2, 2, 1 if site == n_qubits - 1 else 2)
        tensor = rng.normal(size=shape) + (0 if real else 1j * rng.normal(size=shape))
        states = np.einsum("bxa,basc->bxsc", states, tensor).reshape(batch, -1, shape[-1])
    states = states[:, :, 0]
    return states / np.linalg.norm(states, axis=1, keepdims=True)


def prepared(operations, n_qubits):
    tape = qml.tape.QuantumScript(operations, [qml.state()])
    return qml.execute([tape], qml.device("default.qubit", wires=n_qubits))[0]


@pytest.mark.parametrize("real", [True, False])
@pytest.mark.parametrize("n_qubits", [2, 3, 6])
def test_one_layer_is_exact_for_states_of_bond_dimension_two(n_qubits, real):
    states = bond_two_states(n_qubits, 5, real)
    np.testing.assert_allclose(fit_staircase(states, 1).fidelities, 1, atol=1e-12)


@pytest.mark.parametrize("real", [True, False])
@pytest.mark.parametrize(("n_qubits", "layers"), [(2, 1), (3, 1), (4, 2), (5, 3)])
def test_the_circuit_prepares_what_the_fit_says(n_qubits, layers, real):
    states = random_states(n_qubits, 7, real)
    fitted = fit_staircase(states, layers)
    operations = fitted.operations(range(n_qubits))
    found = prepared(operations, n_qubits)
    overlaps = np.abs(np.einsum("bi,bi->b", states.conj(), found)) ** 2
    np.testing.assert_allclose(overlaps, fitted.fidelities, atol=1e-9)
    cnots = sum(operation.name == "CNOT" for operation in operations)
    assert cnots == staircase_cnots(n_qubits, layers, real)
    assert {operation.name for operation in operations} == {"RY", "RZ", "CNOT"}


def test_layers_add_fidelity():
    states = random_states(6, 4, real=True)
    means = [fit_staircase(states, layers).fidelities.mean() for layers in (1, 2, 3, 4)]
    assert np.all(np.diff(means) > 0.02)


def test_real_states_have_real_gates_of_determinant_one():
    fitted = fit_staircase(random_states(5, 3, real=True), 2)
    assert fitted.gates.dtype == np.float64
    np.testing.assert_allclose(np.linalg.det(fitted.gates), 1, atol=1e-12)


def test_states_are_fitted_one_by_one():
    """What else is in the batch changes nothing."""
    states = random_states(4, 6, real=True)
    together = fit_staircase(states, 2)
    alone = fit_staircase(states[3:4], 2)
    np.testing.assert_allclose(together.gates[3], alone.gates[0], atol=1e-9)


def test_ground_states_of_the_chain_take_24_cnots():
    """126 exactly. Fields over both phases, the critical one and the degenerate corner among them."""
    fields = np.concatenate([[0.0, 1e-4, 1.0, 2.0], np.random.default_rng(0).uniform(0, 2, 36)])
    _, states = ground_states(7, fields)
    fitted = fit_staircase(states, 2)
    assert staircase_cnots(7, 2, real=True) <= 24
    assert fitted.fidelities.mean() >= 0.9999
    assert fitted.fidelities.min() >= 0.9995
