import numpy as np
import pennylane as qml
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qkd_pl import QAE, QNN, DeviceSpec
from qkd_pl.devices.registry import load_devices
from qkd_pl.gradients import evaluate, vjp

EXACT = {
    "adjoint": DeviceSpec(name="adjoint", plugin="lightning.qubit", diff_method="adjoint"),
    "backprop": DeviceSpec(name="backprop", plugin="default.qubit", diff_method="backprop"),
    "shift": DeviceSpec(name="shift", plugin="default.qubit", diff_method="parameter-shift"),
    "shift on lightning": DeviceSpec(name="shift", plugin="lightning.qubit", diff_method="parameter-shift"),
}


def problem(network, rng: np.random.Generator, n: int = 2):
    dimension = 2**network.n_qubits
    inputs = rng.normal(size=(n, dimension)) + 1j * rng.normal(size=(n, dimension))
    batch = network.encode(inputs / np.linalg.norm(inputs, axis=1, keepdims=True))
    weights = rng.uniform(0, 2 * np.pi, network.weights_shape)
    return batch, weights, rng.normal(size=(n, network.n_outputs))


def gradient_on(spec: DeviceSpec, network, batch, weights, cotangent, rng=None):
    outputs, pullback = vjp(spec.qnode(network.circuit, network.wires, rng), weights, batch)
    return outputs, pullback(cotangent)


@settings(max_examples=6)
@given(
    n_qubits=st.integers(2, 4),
    n_layers=st.integers(1, 2),
    entangler=st.sampled_from(["cz", "cnot"]),
    seed=st.integers(0, 10_000),
)
def test_adjoint_parameter_shift_and_backprop_agree(n_qubits, n_layers, entangler, seed):
    network = QNN(n_qubits, n_layers, entangler=entangler)
    batch, weights, cotangent = problem(network, np.random.default_rng(seed))
    results = {name: gradient_on(spec, network, batch, weights, cotangent) for name, spec in EXACT.items()}
    for outputs, gradient in results.values():
        np.testing.assert_allclose(outputs, results["shift"][0], atol=1e-10)
        np.testing.assert_allclose(gradient, results["shift"][1], atol=1e-8)
    assert np.abs(results["shift"][1]).max() > 1e-3


@pytest.mark.parametrize("method", ["adjoint", "backprop"])
def test_the_autoencoders_projectors_differentiate_on_every_exact_device(method, rng):
    network = QAE(n_qubits=3, n_latent=1, n_layers=1)
    batch, weights, cotangent = problem(network, rng)
    outputs, gradient = gradient_on(EXACT[method], network, batch, weights, cotangent)
    expected = gradient_on(EXACT["shift"], network, batch, weights, cotangent)
    np.testing.assert_allclose(outputs, expected[0], atol=1e-10)
    np.testing.assert_allclose(gradient, expected[1], atol=1e-8)


@pytest.mark.parametrize("device", ["lightning", "default"])
def test_the_pullback_is_the_derivative_by_central_differences(device, rng):
    network = QNN(2, 1)
    spec = load_devices()[device]
    batch, weights, cotangent = problem(network, rng, n=3)
    outputs, gradient = gradient_on(spec, network, batch, weights, cotangent)
    qnode = spec.qnode(network.circuit, network.wires)
    np.testing.assert_allclose(outputs, evaluate(qnode, weights, batch), atol=1e-12)
    for index in np.ndindex(weights.shape):
        shift = np.zeros_like(weights)
        shift[index] = 1e-5
        difference = (evaluate(qnode, weights + shift, batch) - evaluate(qnode, weights - shift, batch)) / 2e-5
        assert gradient[index] == pytest.approx((difference * cotangent).sum(), abs=1e-8)


def test_the_pullback_is_linear_and_can_be_used_again(rng):
    network = QNN(2, 1)
    batch, weights, cotangent = problem(network, rng)
    _, pullback = vjp(load_devices()["default"].qnode(network.circuit, network.wires), weights, batch)
    np.testing.assert_allclose(pullback(3.0 * cotangent), 3.0 * pullback(cotangent), atol=1e-12)
    assert not pullback(np.zeros_like(cotangent)).any()


def test_the_seam_is_plain_numpy(rng):
    network = QNN(2, 1)
    batch, weights, cotangent = problem(network, rng)
    outputs, gradient = gradient_on(load_devices()["default"], network, batch, weights, cotangent)
    assert type(outputs) is np.ndarray
    assert type(gradient) is np.ndarray
    assert outputs.dtype == gradient.dtype == np.float64
    assert gradient.shape == weights.shape


def test_error_of_parameter_shift_falls_as_one_over_the_root_of_shots(rng):
    """Errors of 200 and of 200·16 shots are compared, over 40 repetitions of 9 components.

    The mean squared error is proportional to 1/shots, so that the ratio of the two is 16. Components of a repetition
    share no shots with another repetition; the mean over 40 of them has a relative spread of at most √(2/40) = 0.22 in
    the worst case of fully dependent Gaussian components, and the log of the ratio one of at most 0.32. The accepted
    interval, 16 · e^±1.1, is 3.4 standard deviations wide on either side: a false alarm has a probability below 1e-3,
    and with the fixed seed the result is always the same. An error that did not fall would give 1; 1/shots, 256.
    """
    network = QNN(3, 1, closing_rotations=False)
    batch, weights, cotangent = problem(network, rng, n=1)
    exact = gradient_on(EXACT["shift"], network, batch, weights, cotangent)[1]

    def mean_squared_error(shots: int) -> float:
        spec = DeviceSpec(name="shots", plugin="default.qubit", shots=shots, diff_method="parameter-shift")
        node = spec.qnode(network.circuit, network.wires, np.random.default_rng(shots))
        errors = [vjp(node, weights, batch)[1](cotangent) - exact for _ in range(40)]
        return float(np.mean(np.square(errors)))

    ratio = mean_squared_error(200) / mean_squared_error(3200)
    assert np.exp(-1.1) < ratio / 16 < np.exp(1.1)


def test_spsa_averages_to_the_gradient(rng):
    """300 directions with exact expectation values.

    Each component of one estimate is g_i + Σ_{j≠i} ±g_j, of variance |g|² - g_i² < |g|²; the mean of m of them lies
    within 4.5 |g|/√m of g except with probability 7e-6 for each of the four components, below 1e-4 for the test. The
    bias of the step h = 0.01 is of the order of h² and covered by the small constant.
    """
    spec = DeviceSpec(
        name="spsa",
        plugin="default.qubit",
        diff_method="spsa",
        gradient_options={"num_directions": 300, "h": 0.01},
    )
    network = QNN(2, 1, rotations="Y")
    batch, weights, cotangent = problem(network, rng, n=1)
    exact = gradient_on(EXACT["shift"], network, batch, weights, cotangent)[1]
    bound = 4.5 * np.linalg.norm(exact) / np.sqrt(300) + 1e-3
    assert np.abs(exact).max() > 2 * bound  # so that a wrong gradient would be noticed
    estimate = gradient_on(spec, network, batch, weights, cotangent, np.random.default_rng(5))[1]
    assert 0 < np.abs(estimate - exact).max() < bound


@pytest.mark.parametrize("plugin", ["default.qubit", "lightning.qubit"])
@pytest.mark.parametrize("method", ["parameter-shift", "spsa"])
@pytest.mark.parametrize("n", [1, 3])
def test_batches_of_any_size_have_one_shape_with_shots(plugin, method, n, rng):
    network = QNN(2, 1)
    batch, weights, cotangent = problem(network, rng, n=n)
    spec = DeviceSpec(name="shots", plugin=plugin, shots=10, diff_method=method)
    outputs, gradient = gradient_on(spec, network, batch, weights, cotangent, rng)
    assert outputs.shape == (n, 2)
    assert gradient.shape == weights.shape


@pytest.mark.parametrize("device", ["sampled", "spsa"])
def test_equal_generators_give_equal_samples(device, rng):
    network = QNN(2, 1)
    batch, weights, cotangent = problem(network, rng)
    spec = load_devices()[device]

    def run(seed):
        return np.concatenate(
            [
                part.ravel()
                for part in gradient_on(spec, network, batch, weights, cotangent, np.random.default_rng(seed))
            ]
        )

    np.testing.assert_array_equal(run(1), run(1))
    assert not np.array_equal(run(1), run(2))


def test_parameter_shift_costs_two_circuits_per_weight(rng):
    """Eqs. 5-6: z(θ + π/2) and z(θ - π/2) for each weight, and one forward circuit."""
    network = QNN(2, 1)
    batch, weights, cotangent = problem(network, rng, n=1)
    spec = EXACT["shift"].model_copy(update={"causal_cone": False})
    qnode = spec.qnode(network.circuit, network.wires)
    with qml.Tracker(qnode.device) as tracker:
        vjp(qnode, weights, batch)[1](cotangent)
    assert tracker.totals["simulations"] == 1 + 2 * weights.size
