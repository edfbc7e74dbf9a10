import hashlib
import subprocess
import sys
from functools import reduce

import numpy as np
import pennylane as qml
import pytest
import scipy.sparse as sparse
from hypothesis import given
from hypothesis import strategies as st

from qkd_pl.datasets import ground_states, topological_phases
from qkd_pl.errors import InvalidInputError

FIELDS = [0.0, 0.3, 0.97, 1.0, 1.6]


def dense_hamiltonian(n_qubits: int, h1: float, h2: float) -> np.ndarray:
    """Eq. 11 with J = 1, from Kronecker products of PennyLane's own operators."""
    clusters = [qml.Z(i) @ qml.X(i + 1) @ qml.Z(i + 2) for i in range(n_qubits - 2)]
    fields = [qml.X(i) for i in range(n_qubits)]
    couplings = [qml.X(i) @ qml.X(i + 1) for i in range(n_qubits - 1)]
    coefficients = [-1.0] * len(clusters) + [-h1] * len(fields) + [-h2] * len(couplings)
    return qml.matrix(qml.Hamiltonian(coefficients, clusters + fields + couplings), wire_order=range(n_qubits)).real


@pytest.mark.parametrize("n_qubits", [3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("h2", [0.0, 0.4, -0.7])
def test_ground_states_agree_with_dense_diagonalisation(n_qubits, h2):
    energies, states = ground_states(n_qubits, np.array(FIELDS), h2)
    for h1, energy, state in zip(FIELDS, energies, states, strict=True):
        hamiltonian = dense_hamiltonian(n_qubits, h1, h2)
        assert energy == pytest.approx(np.linalg.eigvalsh(hamiltonian)[0], abs=1e-10)
        np.testing.assert_allclose(hamiltonian @ state, energy * state, atol=1e-9)
        assert np.linalg.norm(state) == pytest.approx(1.0, abs=1e-12)


def test_sparse_ground_states_of_a_longer_chain_are_eigenstates():
    """Beyond the dense limit: an eigenstate of the Kronecker products, with the energy of the exact solution."""
    (energy,), (state,) = ground_states(10, np.array([0.8]))
    x, z = sparse.csr_array([[0.0, 1.0], [1.0, 0.0]]), sparse.csr_array([[1.0, 0.0], [0.0, -1.0]])

    def on(site, *factors):
        before, after = sparse.eye_array(2**site), sparse.eye_array(2 ** (10 - site - len(factors)))
        return reduce(sparse.kron, [before, *factors, after])

    matrix = -sum(on(i, z, x, z) for i in range(8)) - 0.8 * sum(on(i, x) for i in range(10))
    np.testing.assert_allclose(matrix @ state, energy * state, atol=1e-9)
    # The Jordan-Wigner transformation turns the chain at h2 = 0 into two decoupled chains of 5 free fermions.
    assert energy == pytest.approx(2 * fermion_chain_energy(5, 0.8), abs=1e-10)


def fermion_chain_energy(n_sites: int, h1: float) -> float:
    """Ground energy of -Σ i b_j a_{j+1} - h1 Σ i a_j b_j: minus the singular values of the coupling matrix."""
    return -np.linalg.svd(np.diag(np.full(n_sites, h1)) + np.diag(np.ones(n_sites - 1), 1), compute_uv=False).sum()


@given(h1=st.floats(0.0, 2.0), n_qubits=st.integers(3, 6))
def test_sign_convention(h1, n_qubits):
    state = ground_states(n_qubits, np.array([h1]))[1][0]
    magnitudes = np.abs(state)
    assert state[np.flatnonzero(magnitudes > magnitudes.max() / 2)[0]] > 0


def test_the_degenerate_ground_state_of_the_cluster_chain_is_the_symmetric_one():
    """Without a field the four edge states have equal energy; the chosen one has ⟨ΠX⟩ = 1 on either sublattice."""
    state = ground_states(6, np.array([0.0]))[1][0]
    for sites in ([0, 2, 4], [1, 3, 5]):
        parity = qml.matrix(qml.prod(*(qml.X(i) for i in sites)), wire_order=range(6))
        assert state @ parity @ state == pytest.approx(1.0, abs=1e-10)


def test_labels_follow_the_phase_of_the_state():
    """The string order of the cluster phase, ⟨K_1 K_3 …⟩, tells the phases apart without knowledge of the field."""
    train, test = topological_phases(7, 60, 20, seed=1, h1=(0.0, 2.0))
    inputs, labels = np.concatenate([train.inputs, test.inputs]), np.concatenate([train.labels, test.labels])
    clusters = qml.prod(*(qml.Z(i) @ qml.X(i + 1) @ qml.Z(i + 2) for i in (0, 2, 4)))
    order = np.einsum("ni,ij,nj->n", inputs.conj(), qml.matrix(clusters, wire_order=range(7)), inputs).real
    assert set(labels) == {0, 1}
    assert order[labels == 1].min() > order[labels == 0].max()


def test_shapes_and_types():
    train, test = topological_phases(4, 5, 3, seed=2)
    inputs, labels = train
    assert inputs.shape == (5, 16)
    assert inputs.dtype == np.complex128
    assert labels.shape == (5,)
    assert labels.dtype == np.int64
    assert test.inputs.shape == (3, 16)
    empty, _ = topological_phases(4, 0, 3, seed=2)
    assert empty.inputs.shape == (0, 16)


def test_the_transition_is_at_a_field_of_one():
    assert set(topological_phases(3, 20, 0, seed=0, h1=(0.98, 0.9999))[0].labels) == {1}
    assert set(topological_phases(3, 20, 0, seed=0, h1=(1.0, 1.02))[0].labels) == {0}


_PRINT_DIGEST = """
import hashlib
from qkd_pl.datasets import topological_phases
train, test = topological_phases(10, 2, 1, seed=5)
print(hashlib.sha256(b"".join(part.tobytes() for part in (*train, *test))).hexdigest())
"""


def test_equal_arguments_give_equal_bytes_also_in_another_process(tmp_path, monkeypatch):
    """Ten qubits, so that the iterative solver is used."""
    train, test = topological_phases(10, 2, 1, seed=5)
    digest = hashlib.sha256(b"".join(part.tobytes() for part in (*train, *test))).hexdigest()
    monkeypatch.setenv("QKD_PL_CACHE", str(tmp_path))  # empty, so that the other process computes everything again
    printed = subprocess.run([sys.executable, "-c", _PRINT_DIGEST], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == digest
    other = topological_phases(10, 2, 1, seed=6)[0]
    assert not np.array_equal(other.inputs, train.inputs)


def test_progress_is_shown_for_long_computations_only(capsys, monkeypatch):
    ground_states(3, np.array([0.5, 0.6]))
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("qkd_pl.datasets.phases._PROGRESS_DELAY", 0.0)
    ground_states(3, np.array([0.5, 0.6]))
    assert "ground states, 3 qubits" in capsys.readouterr().err
    ground_states(3, np.array([0.5, 0.6]), progress=False)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_qubits": 2}, "n_qubits=2: the chain needs 3 to 20"),
        ({"n_qubits": 21}, "n_qubits=21"),
        ({"n_qubits": 3.5}, "n_qubits=3.5: must be a whole number"),
        ({"n_train": -1}, "n_train=-1"),
        ({"n_train": 2.5}, "n_train=2.5: must be a whole number"),
        ({"n_test": "3"}, "n_test='3': must be a whole number"),
        ({"h1": (0.0, float("inf"))}, "h1="),
        ({"n_test": -2}, "n_test=-2"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": None}, "seed=None"),
        ({"seed": 1.5}, "seed=1.5: must be a whole number"),
        ({"h1": (1.0, 0.5)}, r"h1=\(1.0, 0.5\)"),
        ({"h1": (-1.0, 0.5)}, "h1="),
        ({"h1": (0.0, float("nan"))}, "h1="),
        ({"h2": 0.1}, "phase boundary"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(InvalidInputError, match=message):
        topological_phases(**{"n_qubits": 3, "n_train": 1, "n_test": 1, "seed": 0, **arguments})


def test_ground_states_checks_the_length_of_the_chain():
    with pytest.raises(InvalidInputError, match="n_qubits=1"):
        ground_states(1, np.array([0.5]))


@pytest.mark.parametrize("fields", [0.5, [[0.5]], [0.5, float("nan")]])
def test_ground_states_checks_the_fields(fields):
    with pytest.raises(InvalidInputError, match=r"h1=.*list of finite fields"):
        ground_states(4, fields)


def test_numbers_may_be_numpys_integers():
    numbers = (3, 4, 2, 3)
    for ours, theirs in zip(topological_phases(*map(np.int64, numbers)), topological_phases(*numbers), strict=True):
        np.testing.assert_array_equal(ours.inputs, theirs.inputs)


def test_the_targets_are_phases_or_fields():
    phase, field = (topological_phases(3, 20, 5, seed=4, targets=targets) for targets in ("phase", "field"))
    for one, other in zip(phase, field, strict=True):
        np.testing.assert_array_equal(one.inputs, other.inputs)
        np.testing.assert_array_equal(one.labels, other.labels < 1.0)
        _, states = ground_states(3, other.labels)
        np.testing.assert_array_equal(states, other.inputs.real)
    with pytest.raises(InvalidInputError, match="targets='h2': must be one of 'phase', 'field'"):
        topological_phases(3, 2, 2, seed=0, targets="h2")
