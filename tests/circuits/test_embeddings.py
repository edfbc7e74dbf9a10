"""Every embedding against a density matrix that we prepare by hand, evolved by stock default.mixed sample by sample."""

from functools import reduce

import numpy as np
import pennylane as qml
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qkd_pl.circuits.ansatz import Ansatz
from qkd_pl.circuits.embeddings import EMBEDDINGS, encode
from qkd_pl.circuits.readout import class_observables
from qkd_pl.errors import InvalidInputError
from qkd_pl.gradients import vjp

TOLERANCE = 1e-10


def kron(vectors) -> np.ndarray:
    return reduce(np.kron, vectors, np.ones(1))


def random_states(rng: np.random.Generator, n: int, dimension: int) -> np.ndarray:
    states = rng.normal(size=(n, dimension)) + 1j * rng.normal(size=(n, dimension))
    return states / np.linalg.norm(states, axis=1, keepdims=True)


def random_mixtures(rng: np.random.Generator, n: int, dimension: int) -> np.ndarray:
    """Density matrices of random rank, from 1 to full."""
    matrices = np.zeros((n, dimension, dimension), dtype=complex)
    for matrix in matrices:
        rank = rng.integers(1, dimension + 1)
        vectors = random_states(rng, rank, dimension)
        matrix += np.einsum("r,ri,rj->ij", rng.dirichlet(np.ones(rank)), vectors, vectors.conj())
    return matrices


def draw_inputs(kind: str, rng: np.random.Generator, n: int, n_qubits: int) -> np.ndarray:
    if kind == "pure":
        return random_states(rng, n, 2**n_qubits)
    if kind == "mixed":
        return random_mixtures(rng, n, 2**n_qubits)
    if kind == "amplitude":
        return rng.normal(size=(n, rng.integers(1, 2**n_qubits + 1)))
    if kind == "angle":
        return rng.uniform(-7.0, 7.0, size=(n, n_qubits))
    return rng.integers(0, 2, size=(n, n_qubits))


def density_matrix(kind: str, sample: np.ndarray, n_qubits: int) -> np.ndarray:
    """What the embedding is defined to prepare, wire 0 being the leftmost factor."""
    if kind == "mixed":
        return sample
    if kind == "pure":
        state = sample
    elif kind == "amplitude":
        state = np.concatenate([sample, np.zeros(2**n_qubits - len(sample))]) / np.linalg.norm(sample)
    elif kind == "angle":
        state = kron([[np.cos(x / 2), -1j * np.sin(x / 2)] for x in sample])
    elif kind == "phase":
        state = kron([[1, np.exp(1j * np.pi * bit)] for bit in sample]) / 2 ** (n_qubits / 2)
    else:
        state = kron([[1 - bit, bit] for bit in sample])
    return np.outer(state, np.conj(state))


EMBEDDING_OF = {"pure": "state", "mixed": "state"}
KINDS = ["pure", "mixed", "amplitude", "phase", "angle", "basis"]


@st.composite
def cases(draw):
    n_qubits = draw(st.integers(1, 5))
    ansatz = Ansatz(
        n_qubits=n_qubits,
        n_layers=draw(st.integers(1, 3 if n_qubits < 4 else 2)),
        rotations=draw(st.sampled_from(["XYZ", "YZ", "Y", "ZXZ"])),
        entangler=draw(st.sampled_from(["cz", "cnot"])),
        topology=draw(st.sampled_from(["ring", "line"])),
        closing_rotations=draw(st.booleans()),
    )
    return ansatz, draw(st.integers(1, n_qubits)), draw(st.integers(0, 2**32 - 1))


def reference_circuit(ansatz: Ansatz, n_classes: int):
    """The circuit as the documentation describes it, written out on stock default.mixed for a single sample."""

    @qml.qnode(qml.device("default.mixed", wires=ansatz.n_qubits), diff_method="backprop")
    def circuit(rho, weights):
        qml.QubitDensityMatrix(rho, wires=range(ansatz.n_qubits))
        gates = {"X": qml.RX, "Y": qml.RY, "Z": qml.RZ}
        for block in range(ansatz.n_layers + ansatz.closing_rotations):
            for wire in range(ansatz.n_qubits):
                for position, axis in enumerate(ansatz.rotations):
                    gates[axis](weights[block, wire, position], wires=wire)
            if block < ansatz.n_layers:
                for wire in range(ansatz.n_qubits - 1):
                    (qml.CZ if ansatz.entangler == "cz" else qml.CNOT)(wires=[wire, wire + 1])
                if ansatz.topology == "ring" and ansatz.n_qubits > 2:
                    (qml.CZ if ansatz.entangler == "cz" else qml.CNOT)(wires=[ansatz.n_qubits - 1, 0])
        return [qml.expval(qml.Z(k)) for k in range(n_classes)]

    return circuit


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15)
@given(case=cases())
def test_logits_and_gradients_agree_with_stock_pennylane_sample_by_sample(kind, case):
    ansatz, n_classes, seed = case
    rng = np.random.default_rng(seed)
    inputs = draw_inputs(kind, rng, 2, ansatz.n_qubits)
    weights = rng.uniform(0, 2 * np.pi, ansatz.weights_shape)
    cotangent = rng.normal(size=(2, n_classes))
    embedding = EMBEDDING_OF.get(kind, kind)

    def circuit(rows, weights):
        EMBEDDINGS[embedding].apply(rows, qml.wires.Wires(range(ansatz.n_qubits)))
        ansatz.apply(weights)
        return [qml.expval(each) for each in class_observables(n_classes, ansatz.n_qubits)]

    device = qml.device("default.qubit", wires=ansatz.n_qubits)
    logits, pullback = vjp(
        qml.QNode(circuit, device, interface="autograd"), weights, encode(embedding, inputs, ansatz.n_qubits)
    )

    reference = reference_circuit(ansatz, n_classes)
    expected, gradient = [], np.zeros_like(weights)
    for sample, row in zip(inputs, cotangent, strict=True):
        rho = density_matrix(kind, sample, ansatz.n_qubits)

        def weighted(weights, rho=rho, row=row):
            return qml.math.dot(row, qml.math.stack(reference(rho, weights)))

        expected.append(reference(rho, weights))
        gradient += qml.grad(weighted)(qml.numpy.array(weights, requires_grad=True))
    np.testing.assert_allclose(logits, expected, atol=TOLERANCE)
    np.testing.assert_allclose(pullback(cotangent), gradient, atol=TOLERANCE)


@pytest.mark.parametrize("kind", KINDS)
def test_no_samples_are_no_error(kind, rng):
    batch = encode(EMBEDDING_OF.get(kind, kind), draw_inputs(kind, rng, 3, 2)[:0], 2)
    assert len(batch) == 0


def test_a_batch_of_mixed_states_weighs_eigenstates_by_eigenvalues(rng):
    mixtures = random_mixtures(rng, 4, 4)
    batch = encode("state", mixtures, 2)
    np.testing.assert_allclose(
        np.einsum("nr,nri,nrj->nij", batch.weights, batch.rows, batch.rows.conj()), mixtures, atol=1e-12
    )
    assert (batch.weights >= 0).all()


def test_take_selects_samples(rng):
    batch = encode("angle", rng.normal(size=(5, 2)), 2)
    np.testing.assert_array_equal(batch.take(np.array([3, 1])).circuit_inputs, batch.circuit_inputs[[3, 1]])


@given(seed=st.integers(0, 1000), n=st.integers(1, 4), outputs=st.integers(1, 3))
def test_spread_is_the_transpose_of_average(seed, n, outputs):
    rng = np.random.default_rng(seed)
    batch = encode("state", random_mixtures(rng, n, 4), 2)
    values = rng.normal(size=(len(batch.circuit_inputs), outputs))
    cotangent = rng.normal(size=(n, outputs))
    assert (batch.average(values) * cotangent).sum() == pytest.approx((values * batch.spread(cotangent)).sum())


PURE = np.array([[1.0, 0, 0, 0], [0, 1.0, 0, 0]])


@pytest.mark.parametrize(
    ("embedding", "inputs", "message"),
    [
        ("state", np.ones((2, 3)), r"shape \(2, 3\); expected state vectors \(n, 4\)"),
        ("state", np.eye(4)[0], r"shape \(4,\)"),
        ("state", np.zeros((1, 2, 2)), r"shape \(1, 2, 2\)"),
        ("state", PURE * [[1.0], [1.1]], r"inputs\[1\] has norm 1\.1"),
        ("state", np.stack([np.eye(4) / 4, np.eye(4)]), r"inputs\[1\] is not a density matrix"),
        ("state", np.diag([0.7, 0.5, -0.2, 0.0])[None], r"inputs\[0\] is not a density matrix"),
        ("state", (np.eye(4) / 4 + np.eye(4, k=1) * 0.1)[None], r"inputs\[0\] is not a density matrix"),
        ("state", PURE * np.nan, "NaN or infinity"),
        ("state", np.array([["a", "b"]]), "dtype"),
        ("state", np.array([[None] * 4]), "dtype object"),
        ("state", (np.eye(4), np.zeros(4)), "inputs is a tuple; it must be an array of numbers"),
        ("amplitude", np.ones((1, 5)), r"\(n, 1\.\.4\)"),
        ("amplitude", np.ones((1, 0)), r"\(n, 1\.\.4\)"),
        ("amplitude", np.zeros((1, 4)), r"inputs\[0\] is all zeros"),
        ("amplitude", np.ones((1, 4)) * 1j, "complex"),
        ("phase", np.array([[0, 2]]), "must be bits"),
        ("phase", np.array([[0, 1, 1]]), r"expected bits \(n, 2\)"),
        ("basis", np.array([[0.5, 0]]), "must be bits"),
        ("angle", np.array([[np.inf, 0]]), "NaN or infinity"),
        ("angle", np.ones((2, 3)), r"expected angles in radians \(n, 2\)"),
    ],
)
def test_wrong_inputs_are_named(embedding, inputs, message):
    with pytest.raises(InvalidInputError, match=message):
        encode(embedding, inputs, 2)


@pytest.mark.parametrize("scale", [1e-180, 1e200])
def test_amplitudes_of_any_size_are_normalised(scale, rng):
    features = rng.normal(size=(3, 4))
    expected = encode("amplitude", features, 2).rows
    np.testing.assert_allclose(encode("amplitude", features * scale, 2).rows, expected, rtol=1e-12)


def test_amplitudes_in_half_precision(rng):
    pixels = rng.integers(1, 256, (3, 16))
    rows = [encode("amplitude", pixels.astype(dtype), 4).rows for dtype in (np.float16, np.float64, np.uint8)]
    np.testing.assert_array_equal(rows[0], rows[1])
    np.testing.assert_array_equal(rows[2], rows[1])


def test_single_precision_makes_no_rank(rng):
    """Density matrices in complex64 have eigenvalues of the size of rounding where those in complex128 have zeros."""
    vectors = random_states(rng, 3, 16)
    mixed = np.einsum("r,ri,rj->ij", [0.5, 0.3, 0.2], vectors, vectors.conj())[None]
    exact, single = encode("state", mixed, 4), encode("state", mixed.astype(np.complex64), 4)
    assert exact.rows.shape == single.rows.shape == (1, 3, 16)
    np.testing.assert_allclose(single.weights, exact.weights, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.complex64])
def test_states_in_lower_precision_are_normalised(dtype, rng):
    states = rng.normal(size=(20, 4096))
    states = (states / np.linalg.norm(states, axis=1, keepdims=True)).astype(dtype)
    rows = encode("state", states, 12).circuit_inputs
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-14)
    np.testing.assert_allclose(rows, states, atol=1e-3)


def test_a_wrong_norm_is_told_from_one():
    with pytest.raises(InvalidInputError, match=r"inputs\[1\] has norm 1\.000003; state vectors must have norm 1"):
        encode("state", np.eye(4)[:2] * [[1.0], [1.000003]], 2)
    encode("state", (np.eye(4) * 1.000003).astype(np.float32), 2)  # within what float32 holds


def test_encoding_leaves_the_inputs_alone():
    states = np.eye(4, dtype=np.complex128) * (1 + 1e-8)
    before = states.copy()
    encode("state", states, 2)
    np.testing.assert_array_equal(states, before)
