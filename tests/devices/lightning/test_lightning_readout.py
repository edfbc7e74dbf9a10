"""Expectation values of sums and products of observables, against their matrices."""

import numpy as np
import pennylane as qml
import pytest
from batched_circuits import random_states
from hypothesis import given
from hypothesis import strategies as st

from qkd_pl.devices.lightning.readout import observable_key, readout_of

observables = st.recursive(
    st.builds(lambda kind, wire: kind(wire), st.sampled_from([qml.X, qml.Y, qml.Z, qml.Hadamard]), st.integers(0, 3))
    | st.builds(
        lambda bits, wires: qml.Projector(bits, wires=wires[:2]),
        st.lists(st.integers(0, 1), min_size=2, max_size=2),
        st.permutations(range(4)),
    ),
    lambda inner: st.builds(qml.sum, inner, inner) | st.builds(qml.s_prod, st.floats(-2, 2), inner),
    max_leaves=4,
)
products = st.builds(
    lambda kinds, wires: qml.prod(*[kind(wire) for kind, wire in zip(kinds, wires, strict=True)]),
    st.lists(st.sampled_from([qml.X, qml.Y, qml.Z, qml.Hadamard]), min_size=4, max_size=4),
    st.permutations(range(4)),
)
hermitian = qml.Hermitian(np.array([[1, 0, 0, 2j], [0, 3, 1, 0], [0, 1, -1, 0], [-2j, 0, 0, 0.5]]), wires=[3, 1])


def assert_reads(measured, seed):
    states = random_states(np.random.default_rng(seed), 3, 4)
    readout = readout_of([qml.expval(observable) for observable in measured], {wire: wire for wire in range(4)})
    matrices = [qml.matrix(operator, wire_order=range(4)) for operator in measured]
    exact = [np.einsum("bi,ij,bj->b", states.conj(), matrix, states).real for matrix in matrices]
    np.testing.assert_allclose(readout.expectations(states.T.copy()), exact, atol=1e-10)
    coefficients = np.random.default_rng(1).normal(size=(len(measured), 3))
    applied = np.einsum("kb,kij,bj->bi", coefficients, matrices, states)
    found = readout.applied(states.T.copy(), coefficients, np.empty((16, 3), complex))
    np.testing.assert_allclose(found.T, applied, atol=1e-10)


@given(observables | products, st.integers(0, 2**16))
def test_readout_agrees_with_the_matrix_of_an_observable(observable, seed):
    assert_reads([observable, qml.Y(2) @ qml.Z(0), hermitian], seed)


def test_factors_on_the_same_wire_multiply():
    """X·Y·X = -Y, and Z·Z = 1."""
    assert_reads([qml.prod(qml.X(1), qml.Y(1), qml.X(1)), qml.prod(qml.Z(0), qml.Z(0))], 0)


@pytest.mark.parametrize(
    "measurement",
    [
        qml.probs(wires=[0]),
        qml.var(qml.Z(0)),
        qml.expval(qml.SparseHamiltonian(qml.Z(0).sparse_matrix(), wires=[0])),
        qml.expval(qml.Hermitian(np.eye(128), wires=range(7))),
        qml.expval(qml.exp(qml.Z(0), 0.1)),
    ],
)
def test_other_measurements_are_not_read(measurement):
    assert observable_key(measurement) is None
