"""The device against default.qubit, and what it sends."""

import tomllib
from importlib import import_module
from pathlib import Path

import numpy as np
import pennylane as qml
import pytest
from pennylane import numpy as pnp
from pennylane_qiskit import qiskit_session

from qkd_pl.devices.ibm.device import IBMDevice
from qkd_pl.errors import InvalidInputError
from qkd_pl.upstream import runtime

EXACT = 1e-9
N = 3


def ansatz(weights, wires):
    """Blocks of RX, RY, RZ with a ring of CZ between them; ``weights`` is (layers + 1, wires, 3)."""
    for layer, block in enumerate(weights):
        for wire, (x, y, z) in zip(wires, block, strict=True):
            qml.RX(x, wires=wire)
            qml.RY(y, wires=wire)
            qml.RZ(z, wires=wire)
        if layer + 1 < len(weights):
            for index in range(len(wires)):
                qml.CZ(wires=[wires[index], wires[(index + 1) % len(wires)]])


def amplitudes(inputs, wires):
    qml.AmplitudeEmbedding(inputs, wires=wires, normalize=True)


def state(inputs, wires):
    qml.StatePrep(inputs, wires=wires)


def angle(inputs, wires):
    qml.AngleEmbedding(inputs, wires=wires, rotation="Y")


def phase(inputs, wires):
    for index, wire in enumerate(wires):
        qml.Hadamard(wires=wire)
        qml.RZ(np.pi * inputs[..., index], wires=wire)


def bits(inputs, wires):
    for index, wire in enumerate(wires):
        qml.RX(np.pi * inputs[..., index], wires=wire)


def inputs_for(embedding, n=7, n_wires=N, real=False):
    rng = np.random.default_rng(0)
    if embedding in (state, amplitudes):
        states = rng.normal(size=(n, 2**n_wires)) + (0 if real else 1j) * rng.normal(size=(n, 2**n_wires))
        return states / np.linalg.norm(states, axis=1, keepdims=True)
    return rng.integers(0, 2, (n, n_wires)) if embedding is not angle else rng.uniform(0, 3, (n, n_wires))


def classifier(embedding=angle, wires=range(N), n_classes=2):
    def circuit(inputs, weights):
        embedding(inputs, wires)
        ansatz(weights, wires)
        return [qml.expval(qml.PauliZ(wire)) for wire in list(wires)[:n_classes]]

    return circuit


def weights_for(layers=2, n_wires=N):
    return pnp.array(np.random.default_rng(1).uniform(0, 2 * np.pi, (layers + 1, n_wires, 3)), requires_grad=True)


def both(circuit, device, *arguments, wires=N):
    """Values of ``circuit`` on ``device`` and on default.qubit."""
    found = qml.QNode(circuit, device)(*arguments)
    return np.array(found), np.array(qml.QNode(circuit, qml.device("default.qubit", wires=wires))(*arguments))


@pytest.mark.parametrize("real", [False, True])
@pytest.mark.parametrize("embedding", [state, amplitudes, angle, phase, bits])
def test_exact_for_every_embedding(embedding, real):
    inputs = inputs_for(embedding, real=real)
    found, wanted = both(classifier(embedding), IBMDevice(wires=N), inputs, weights_for())
    assert found.shape == (2, 7)
    np.testing.assert_allclose(found, wanted, atol=EXACT)


def test_exact_for_single_inputs_and_basis_states():
    def circuit(features, weights):
        qml.BasisEmbedding(features, wires=range(N))
        ansatz(weights, range(N))
        return qml.expval(qml.PauliZ(0))

    for features in ([0, 1, 1], [1, 0, 0]):
        found, wanted = both(circuit, IBMDevice(wires=N), features, weights_for())
        assert found.shape == ()
        np.testing.assert_allclose(found, wanted, atol=EXACT)


@pytest.mark.parametrize("real", [False, True])
def test_exact_for_an_autoencoder(real):
    """Compressed state in the Pauli basis, and the probability that the trash is |00⟩, for every input."""
    latent, trash = [0, 1], [2, 3]

    def circuit(inputs, weights):
        qml.StatePrep(inputs, wires=range(4))
        ansatz(weights, range(4))
        words = [
            qml.Identity(0),
            *(gate(0) for gate in (qml.X, qml.Y, qml.Z)),
            qml.X(0) @ qml.Y(1),
            qml.Z(0) @ qml.Z(1),
        ]
        empty = qml.Projector([0, 0], wires=trash)
        return [qml.expval(word @ empty) for word in words] + [qml.expval(word) for word in words[1:]]

    inputs = inputs_for(state, n_wires=4, real=real)
    found, wanted = both(circuit, IBMDevice(wires=latent + trash), inputs, weights_for(1, 4), wires=4)
    assert found.shape == (11, 7)
    np.testing.assert_allclose(found, wanted, atol=EXACT)


def test_exact_variances_and_general_observables():
    matrix = np.array([[1.0, 0.3 - 2j], [0.3 + 2j, -0.5]])

    def circuit(inputs):
        angle(inputs, range(N))
        qml.CNOT(wires=[0, 2])
        return [
            qml.var(qml.PauliZ(0)),
            qml.var(qml.PauliX(0) @ qml.PauliZ(1) + 0.5 * qml.PauliY(2)),
            qml.expval(qml.Hermitian(matrix, wires=1)),
            qml.var(qml.Hermitian(matrix, wires=2)),
            qml.expval(qml.Hadamard(0) @ qml.Projector([1], wires=2)),
            qml.expval(qml.Projector([0.6, 0.8j], wires=1)),
            qml.expval(qml.Identity(1)),
            qml.expval(2 * qml.PauliX(1) @ qml.PauliX(1) + 3 * qml.Hermitian(matrix, wires=0)),
        ]

    found, wanted = both(circuit, IBMDevice(wires=N), inputs_for(angle))
    np.testing.assert_allclose(found, wanted, atol=EXACT)


@pytest.mark.parametrize("embedding", [state, angle])
def test_gradient_by_parameter_shift(embedding):
    inputs, weights = inputs_for(embedding), weights_for(1)
    cotangent = np.random.default_rng(2).normal(size=(2, len(inputs)))

    def loss(weights, node):
        return qml.math.sum(qml.math.stack(node(inputs, weights)) * cotangent)

    circuit = classifier(embedding)
    found = qml.grad(loss)(weights, qml.QNode(circuit, IBMDevice(wires=N), diff_method="parameter-shift"))
    reference = qml.QNode(circuit, qml.device("default.qubit", wires=N), diff_method="backprop")
    np.testing.assert_allclose(found, qml.grad(loss)(weights, reference), atol=EXACT)


@pytest.mark.parametrize("wires", [["b", "a", "c"], [2, 0, 1], [7, 3, 5], ["q", 1, -1]])
def test_wires_in_any_order_and_with_any_labels(wires):
    def circuit(inputs):
        state(inputs, wires)
        qml.CRY(0.7, wires=[wires[2], wires[0]])
        qml.QubitUnitary(qml.matrix(qml.CRX(0.4, wires=[0, 1])), wires=[wires[1], wires[2]])
        return [qml.expval(qml.PauliZ(wires[0])), qml.expval(qml.PauliX(wires[2]) @ qml.PauliY(wires[1]))]

    found, wanted = both(circuit, IBMDevice(wires=wires), inputs_for(state), wires=wires)
    np.testing.assert_allclose(found, wanted, atol=EXACT)

    def sampled(inputs):
        state(inputs, wires)
        return qml.probs(wires=[wires[2], wires[0]]), qml.probs()

    found = qml.set_shots(qml.QNode(sampled, IBMDevice(wires=wires, seed=4)), 10_000)(inputs_for(state))
    wanted = qml.QNode(sampled, qml.device("default.qubit", wires=wires))(inputs_for(state))
    for estimate, exact in zip(found, wanted, strict=True):
        # 84 probabilities beyond 5 standard errors, of at most 0.005 each: 5e-5 by chance.
        np.testing.assert_allclose(estimate, exact, atol=5 * 0.005)


def test_unknown_wires_are_refused():
    with pytest.raises(qml.exceptions.WireError, match="wires"):
        both(classifier(wires=["x", "y", "z"]), IBMDevice(wires=N), inputs_for(angle), weights_for())


def test_a_batch_of_different_matrices():
    angles = np.linspace(0, 3, 5)
    matrices = qml.matrix(qml.RY(angles, wires=0))

    def circuit():
        qml.QubitUnitary(matrices, wires=1)
        return qml.expval(qml.PauliZ(1))

    np.testing.assert_allclose(qml.QNode(circuit, IBMDevice(wires=2))(), np.cos(angles), atol=EXACT)


def test_expectation_values_scatter_as_they_should():
    """Mean of z² over 3 × 300 estimates; it leaves 1 ± 0.25 with probability 1e-7 (χ² with 900 degrees of freedom)."""
    shots, inputs = 500, inputs_for(angle, n=300)
    circuit = classifier(n_classes=3)
    device = IBMDevice(wires=N, seed=11)
    found = np.array(qml.set_shots(qml.QNode(circuit, device), shots)(inputs, weights_for()))
    exact = np.array(qml.QNode(circuit, qml.device("default.qubit", wires=N))(inputs, weights_for()))
    z = (found - exact) / np.sqrt((1 - exact**2) / shots)
    assert abs(np.mean(z**2) - 1) < 0.25
    assert np.allclose(found * shots, np.round(found * shots), atol=1e-6), "a multiple of 1 / shots"


def test_samples_counts_and_probabilities_of_observables():
    def circuit(inputs):
        angle(inputs, range(N))
        qml.CNOT(wires=[0, 2])
        return (
            qml.counts(qml.PauliX(0) @ qml.PauliZ(1)),
            qml.sample(wires=[2, 0]),
            qml.sample(qml.PauliY(1)),
            qml.probs(op=qml.PauliX(2)),
            qml.counts(all_outcomes=True),
            qml.expval(qml.PauliZ(2)),
        )

    inputs, shots = inputs_for(angle, n=2), 4000
    counts, samples, signs, probs, all_counts, z = qml.set_shots(qml.QNode(circuit, IBMDevice(wires=N, seed=5)), shots)(
        inputs
    )

    def exact(inputs):
        angle(inputs, range(N))
        qml.CNOT(wires=[0, 2])
        observables = [qml.X(0) @ qml.Z(1), qml.Z(2), qml.Z(0), qml.Y(1), qml.X(2), qml.Z(2) @ qml.Z(0)]
        return [qml.expval(observable) for observable in observables]

    xz, z2, z0, y1, x2, zz = np.array(qml.QNode(exact, qml.device("default.qubit", wires=N))(inputs))
    # 16 comparisons at 5 standard errors: 1e-5 by chance.
    tolerance = 5 / np.sqrt(shots)
    assert samples.shape == (2, shots, 2)
    assert signs.shape == (2, shots)
    assert [sum(each.values()) for each in counts] == [sum(each.values()) for each in all_counts] == [shots, shots]
    assert all(len(each) == 8 for each in all_counts)
    np.testing.assert_allclose([(each.get(1.0, 0) - each.get(-1.0, 0)) / shots for each in counts], xz, atol=tolerance)
    np.testing.assert_allclose((1.0 - 2 * samples).mean(axis=1), np.stack([z2, z0], axis=1), atol=tolerance)
    np.testing.assert_allclose(
        (1 - 2 * samples[..., 0]).astype(float).__mul__(1 - 2 * samples[..., 1]).mean(1), zz, atol=tolerance
    )
    np.testing.assert_allclose(signs.mean(axis=1), y1, atol=tolerance)
    np.testing.assert_allclose(probs[:, 0] - probs[:, 1], x2, atol=tolerance)
    np.testing.assert_allclose(z, z2, atol=tolerance)


def test_evaluation_is_one_job_and_one_transpilation():
    device = IBMDevice(wires=N, backend="fake_manila", seed=1)
    node = qml.set_shots(qml.QNode(classifier(), device), 50)
    with qml.Tracker(device) as tracker:
        node(inputs_for(angle, n=40), weights_for())
    assert tracker.totals == {"batches": 1, "jobs": 1, "transpilations": 1, "circuits": 40, "shots": 2000}


def test_a_training_step_is_one_job_forward_one_for_the_gradient_and_transpiles_nothing_new():
    device = IBMDevice(wires=N, seed=1)
    node = qml.set_shots(qml.QNode(classifier(), device, diff_method="parameter-shift"), 20)

    def loss(weights, inputs):
        return qml.math.sum(qml.math.stack(node(inputs, weights)))

    weights = weights_for(1)
    shifted = 2 * (weights.size - 3)  # wire 2's last block reaches no measured wire
    for step, transpilations in enumerate([1, 0]):
        with qml.Tracker(device) as tracker:
            weights = weights - 0.1 * qml.grad(loss)(weights, inputs_for(angle, n=4 + step))
        assert tracker.totals["jobs"] == 2
        assert tracker.totals["transpilations"] == transpilations
        assert tracker.totals["circuits"] == (4 + step) * (1 + shifted)


def test_a_seed_repeats_the_whole_sequence_but_no_job_repeats_another():
    def sequence(seed):
        node = qml.set_shots(qml.QNode(classifier(), IBMDevice(wires=N, seed=seed)), 100)
        return [np.array(node(inputs_for(angle), weights_for())) for _ in range(2)]

    first, second = sequence(0), sequence(np.random.default_rng(0))
    np.testing.assert_array_equal(first, second)
    assert np.any(first[0] != first[1])
    assert np.any(first[0] != sequence(1)[0])


@pytest.mark.parametrize(
    ("backend", "measure", "shots", "message"),
    [
        ("fake_manila", lambda: qml.expval(qml.PauliZ(0)), None, "shots"),
        ("aer", lambda: qml.expval(qml.PauliZ(0)), [10, 20], "one number of shots"),
    ],
)
def test_impossible_shots_are_refused(backend, measure, shots, message):
    def circuit():
        qml.Hadamard(0)
        return measure()

    node = qml.set_shots(qml.QNode(circuit, IBMDevice(wires=2, backend=backend)), shots)
    with pytest.raises(InvalidInputError, match=message):
        node()


@pytest.mark.parametrize("measure", [qml.probs, qml.state, lambda: qml.purity(wires=[0])])
def test_unsupported_measurements_are_refused(measure):
    def circuit():
        qml.Hadamard(0)
        return measure()

    with pytest.raises(qml.exceptions.DeviceError, match="not accepted"):
        qml.QNode(circuit, IBMDevice(wires=2))()


def test_state_preparation_after_gates_is_refused():
    def circuit():
        qml.Hadamard(1)
        qml.StatePrep(np.array([0, 1, 0, 0]), wires=[0, 1])
        return qml.expval(qml.PauliZ(0))

    with pytest.raises(InvalidInputError, match="after gates"):
        qml.QNode(circuit, IBMDevice(wires=2))()


def test_options_are_checked_when_the_device_is_made():
    with pytest.raises(InvalidInputError, match="resilience"):
        IBMDevice(wires=2, resilience_level=7)
    with pytest.raises(InvalidInputError, match="enabled"):
        IBMDevice(wires=2, dynamical_decoupling={"enabled": True})
    with pytest.raises(TypeError, match="shots"):
        IBMDevice(wires=2, shots=100)


def test_options_and_seed_reach_the_payload():
    device = IBMDevice(wires=2, seed=0, resilience_level=1, dynamical_decoupling={"enable": True})
    tape = qml.tape.QuantumScript([qml.RX(0.3, 0)], [qml.expval(qml.PauliZ(0))], shots=10)
    options = dict(device.plan([tape]).payloads[0].options)
    assert options.pop("seed") >= 1
    assert options.pop("primitives") == runtime.installed()[0], "the payload must be sent as it was priced"
    assert options == {"resilience_level": 1, "dynamical_decoupling": {"enable": True}}


def test_the_sampler_refuses_options_of_the_estimator():
    device = IBMDevice(wires=2, resilience_level=1)
    tape = qml.tape.QuantumScript([qml.RX(0.3, 0)], [qml.probs(wires=0)], shots=10)
    with pytest.raises(InvalidInputError, match=r"sampler.*resilience_level"):
        device.plan([tape])


def test_registered_under_its_name():
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    module, _, name = project["project"]["entry-points"]["pennylane.plugins"]["qkd.ibm"].partition(":")
    assert getattr(import_module(module), name) is IBMDevice
    assert IBMDevice(wires=1).name == "qkd.ibm"


def test_a_session_is_refused_before_it_is_opened():
    refused = pytest.raises(InvalidInputError, match=r"qiskit_session: qkd\.ibm sends each call as one job")
    with refused, qiskit_session(IBMDevice(1, "aer")):
        pytest.fail("it would be ignored")
