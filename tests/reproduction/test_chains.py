"""Chains against Hamiltonians and strings that PennyLane builds."""

import numpy as np
import pennylane as qml
import pytest

from qkd_pl.datasets import ground_states
from qkd_pl.errors import InvalidInputError
from reproduction.chains import critical_field, ising_ground_states, string_order


@pytest.mark.parametrize(("field", "frustration"), [(0.3, 0.0), (1.0, 0.0), (1.7, 0.0), (0.4, 0.25), (0.8, 0.4)])
def test_ising_states_have_the_lowest_energy(field, frustration):
    terms = [-qml.Z(i) @ qml.Z(i + 1) for i in range(3)] + [-field * qml.X(i) for i in range(4)]
    terms += [frustration * qml.Z(i) @ qml.Z(i + 2) for i in range(2)]
    hamiltonian = qml.matrix(qml.sum(*terms), wire_order=range(4))
    (state,) = ising_ground_states(4, np.array([field]), frustration)
    energy = np.real(state.conj() @ hamiltonian @ state)
    assert energy == pytest.approx(np.linalg.eigvalsh(hamiltonian)[0], abs=1e-10)
    flip = qml.matrix(qml.prod(*map(qml.X, range(4))), wire_order=range(4))
    np.testing.assert_allclose(flip @ state, state, atol=1e-10)


def test_the_critical_field_falls_from_that_of_ising_to_nothing():
    near = [critical_field(frustration) for frustration in (1e-4, 0.1, 0.25, 0.4999)]
    assert near[0] == pytest.approx(1.0 - 1.5e-4, abs=1e-6)  # slope −3/2 at κ = 0, by expansion
    assert near == sorted(near, reverse=True)
    assert near[-1] == pytest.approx(0.0, abs=0.02)
    with pytest.raises(InvalidInputError, match=r"frustration=0\.5: must be 0 to less than 0\.5"):
        critical_field(0.5)


def test_the_string_order_is_that_of_the_operator():
    states = ground_states(5, np.array([0.2, 0.9, 1.8]), 0.3)[1].astype(complex)
    string = qml.matrix(qml.prod(qml.Z(0), qml.X(1), qml.X(3), qml.Z(4)), wire_order=range(5))
    expected = np.real(np.einsum("mi,ij,mj->m", states.conj(), string, states))
    np.testing.assert_allclose(string_order(states), expected, atol=1e-12)


def test_what_these_chains_cannot_be_is_refused():
    with pytest.raises(InvalidInputError, match="n_qubits=11"):
        ising_ground_states(11, np.array([1.0]))
    with pytest.raises(InvalidInputError, match="4 qubits: this string needs an odd number"):
        string_order(np.eye(16)[:1])
