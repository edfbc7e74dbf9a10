"""Outputs of a QNN on a noisy device, drawn and extrapolated, against devices that sample, and exact simulation."""

import numpy as np
import pytest

import qkd_pl as kd
from qkd_pl.datasets import ground_states
from reproduction.extrapolation import extrapolated, folded_expectations
from reproduction.noisy_outputs import corrected, drawn, joint_expectations, noisy_device

STATES = ground_states(4, np.linspace(0.2, 1.8, 6))[1].astype(complex)


def model(n_qubits=4, topology="ring"):
    network = kd.QNN(n_qubits=n_qubits, n_layers=1, topology=topology)
    return kd.trained(network, np.random.default_rng(0).uniform(0, 2 * np.pi, network.weights_shape))


def test_the_first_two_expectations_are_the_outputs():
    device = noisy_device("fake_manila")
    assert joint_expectations(model(), STATES, device)[:, :2] == pytest.approx(model().outputs(STATES, device))


def test_draws_scatter_as_those_of_the_device():
    """Means and covariance of both outputs, against qkd.noisy with shots, whose draws are its own."""
    shots, draws = 50, 2000
    exact = noisy_device("fake_manila")
    copies = np.repeat(STATES[:1], draws, axis=0)
    joint = joint_expectations(model(), STATES[:1], exact)
    ours = drawn(np.repeat(joint, draws, axis=0), shots, np.random.default_rng(1))
    theirs = model().outputs(copies, exact.changed(shots=shots, diff_method="parameter-shift", seed=2))
    assert ours.mean(axis=0) == pytest.approx(theirs.mean(axis=0), abs=5 * np.sqrt(2 / shots / draws))
    found, expected = (np.cov(each.T) * shots for each in (ours, theirs))
    assert found == pytest.approx(expected, abs=0.2)
    assert found[0, 1] == pytest.approx(joint[0, 2] - joint[0, 0] * joint[0, 1], abs=0.1)


def test_three_outputs_scatter_together():
    """Means, variances and covariances of many draws, against the values of the products."""
    network = kd.QNN(4, 1, n_classes=3)
    model = kd.trained(network, np.random.default_rng(3).uniform(0, 2 * np.pi, network.weights_shape))
    device = noisy_device("fake_manila")
    joint = joint_expectations(model, STATES[:1], device)
    assert joint.shape == (1, 7)
    assert joint[:, :3] == pytest.approx(model.outputs(STATES[:1], device))
    draws = drawn(np.repeat(joint, 40_000, axis=0), 10, np.random.default_rng(0))
    assert draws.mean(axis=0) == pytest.approx(joint[0, :3], abs=0.01)
    z, (z01, z02, z12) = joint[0, :3], joint[0, 3:6]
    expected = [[1, z01, z02], [z01, 1, z12], [z02, z12, 1]] - np.outer(z, z)
    assert np.cov(draws.T) * 10 == pytest.approx(expected, abs=0.03)


def test_an_average_over_repeated_queries_is_one_query_of_all_their_shots():
    joint = np.array([[0.3, -0.2, 0.1]])
    generator = np.random.default_rng(0)
    once = np.stack([drawn(joint, 64, generator)[0] for _ in range(4000)])
    averaged = np.stack([np.mean([drawn(joint, 16, generator)[0] for _ in range(4)], axis=0) for _ in range(4000)])
    assert np.cov(once.T) == pytest.approx(np.cov(averaged.T), abs=0.0015)
    assert once.mean(axis=0) == pytest.approx(joint[0, :2], abs=0.01)


def test_a_correction_undoes_a_line():
    exact = np.random.default_rng(0).uniform(-1, 1, (20, 2))
    noisy = exact * np.array([0.1, 0.2]) + np.array([0.3, -0.1])
    assert corrected(noisy[:5], exact, noisy) == pytest.approx(exact[:5])


def test_without_noise_folding_changes_nothing():
    exact = joint_expectations(model(), STATES, kd.DeviceSpec(name="exact", plugin="default.qubit"))
    folded = folded_expectations(model(), STATES, noisy_device("aer"), (1.0, 2.0, 3.0))
    for each in folded:
        assert each == pytest.approx(exact, abs=1e-12)
    assert extrapolated(folded, (1.0, 2.0, 3.0)) == pytest.approx(exact, abs=1e-9)


def test_folding_multiplies_the_noise_and_extrapolation_takes_some_of_it_away():
    """Five qubits on manila, which has five: routed, so that the layouts matter."""
    states = ground_states(5, np.linspace(0.2, 1.8, 12))[1].astype(complex)
    network = model(5)
    exact = joint_expectations(network, states, kd.DeviceSpec(name="exact", plugin="default.qubit"))
    folded = folded_expectations(network, states, noisy_device("fake_manila"), (1.0, 2.0, 3.0))
    errors = [np.abs(each - exact).mean() for each in folded]
    assert errors[0] < errors[1] < errors[2]
    # Not all: errors of the read-out are not folded.
    assert np.abs(extrapolated(folded, (1.0, 2.0, 3.0)) - exact).mean() < errors[0]


def test_richardson_is_exact_for_a_parabola():
    scales = np.array([1.0, 2.0, 3.0])
    values = 0.7 - 0.2 * scales + 0.03 * scales**2
    outputs = values[:, None, None] * np.array([[1.0, -1.0], [0.5, 2.0]])
    assert extrapolated(outputs, scales) == pytest.approx(0.7 * np.array([[1.0, -1.0], [0.5, 2.0]]))
