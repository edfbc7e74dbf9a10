import numpy as np
import pytest
from scipy.stats import kstest

from qkd_pl import QAE, QNN, KDTrainer, trained
from qkd_pl.datasets import topological_phases
from qkd_pl.errors import InvalidInputError
from qkd_pl.training.callbacks import Callback
from qkd_pl.training.initial import Normal, Uniform, describe_initial, initial_weights

DEEP = QAE(n_qubits=2, n_latent=1, n_layers=199)  # 1,200 weights
STATES = (np.eye(4), None)


class Start(Callback):
    """Keeps the weights before the first iteration."""

    def on_train_begin(self, run) -> None:
        self.weights = run.weights.copy()


def start_of(network, data, **settings) -> np.ndarray:
    start = Start()
    KDTrainer(iterations=1, device="default").fit(network, data, callbacks=[start], **settings)
    return start.weights


@pytest.mark.parametrize(
    ("network", "data", "given", "law"),
    [
        (DEEP, STATES, {}, ("norm", (0.0, 0.3))),
        (DEEP, STATES, {"initial": Normal(0.05)}, ("norm", (0.0, 0.05))),
        (DEEP, STATES, {"initial": Uniform()}, ("uniform", (0.0, 2 * np.pi))),
        (QNN(2, 199), (np.eye(4), [0, 1, 0, 1]), {}, ("uniform", (0.0, 2 * np.pi))),
        (QNN(2, 199), (np.eye(4), [0, 1, 0, 1]), {"initial": Normal()}, ("norm", (0.0, 0.3))),
    ],
)
def test_training_starts_from_the_distribution(network, data, given, law):
    assert kstest(start_of(network, data, **given).ravel(), *law).pvalue > 1e-3  # the seed is fixed


def test_the_distribution_draws_from_the_trainers_seed_and_leaves_the_batches_alone():
    def train(seed, initial):
        trainer = KDTrainer(iterations=1, batch_size=1, seed=seed, device="default", learning_rate=1e-9)
        return trainer.fit(QAE(2, 1, 2), STATES, initial=initial)

    np.testing.assert_array_equal(train(1, Normal()).weights, train(1, Normal()).weights)
    assert not np.allclose(train(1, Normal()).weights, train(2, Normal()).weights)
    # Equal weights and equal batches give equal losses, however the weights came about.
    drawn = start_of(QAE(2, 1, 2), STATES)
    np.testing.assert_array_equal(train(0, drawn).history[0]["loss"], train(0, None).history[0]["loss"])


def test_a_function_is_a_distribution():
    np.testing.assert_array_equal(start_of(QAE(2, 1, 1), STATES, initial=lambda rng, shape: np.ones(shape)), 1.0)


def test_a_model_is_a_start_that_training_does_not_alter():
    weights = np.arange(12.0).reshape(2, 2, 3)
    model = trained(QAE(2, 1, 1), weights)
    drawn = initial_weights(model, model.network, np.random.default_rng(0))
    np.testing.assert_array_equal(drawn, weights)
    assert not np.shares_memory(drawn, model.weights)


@pytest.mark.parametrize(
    ("initial", "message"),
    [
        (np.zeros(3), r"shape \(3,\).*\(2, 2, 3\)"),
        (lambda rng, shape: rng.normal(size=shape[1:]), r"shape \(2, 3\).*\(2, 2, 3\)"),
        (np.full((2, 2, 3), np.nan), "NaN or infinity"),
        ("normal", "initial weights are not an array of real numbers"),
    ],
)
def test_a_start_that_does_not_fit_is_refused(initial, message):
    with pytest.raises(InvalidInputError, match=message):
        KDTrainer(iterations=1, device="default").fit(QAE(2, 1, 1), STATES, initial=initial)


@pytest.mark.parametrize("spread", [0.0, -1.0, np.nan, np.inf, "0.3"])
def test_a_spread_that_is_none_is_refused(spread):
    with pytest.raises(InvalidInputError, match="spread="):
        Normal(spread)


def test_the_model_tells_how_it_started():
    trainer = KDTrainer(iterations=1, device="default")
    assert trainer.fit(DEEP, STATES).training["initial"] == {"distribution": "normal", "spread": 0.3}
    assert trainer.fit(DEEP, STATES, initial=Uniform()).training["initial"] == {"distribution": "uniform"}
    assert describe_initial(np.zeros(3)) is None


def test_an_even_number_of_cz_layers_at_zero_angles_is_the_identity():
    """Why small angles and CZ gates: what is kept there is what the first qubits and |0…0⟩ behind them hold."""
    network = QAE(n_qubits=4, n_latent=1, n_layers=6)
    model = trained(network, np.zeros(network.weights_shape))
    kept = np.arange(16) % 8 == 0
    np.testing.assert_allclose(model.fidelity(np.eye(16)), kept, atol=1e-12)


def test_an_autoencoder_started_at_small_angles_keeps_more_than_the_most_frequent_state():
    """Ground states of five qubits on two; the largest singular value is all that one state can hold of them."""
    train, test = topological_phases(n_qubits=5, n_train=100, n_test=100, seed=0, progress=False)
    trainer = KDTrainer(iterations=200, batch_size=16, learning_rate=0.1, device="lightning")
    model = trainer.fit(QAE(n_qubits=5, n_latent=2, n_layers=8), train)
    most_frequent = np.linalg.svd(train.inputs, compute_uv=False)[0] ** 2 / len(train.inputs)
    assert model.fidelity(test.inputs).mean() > 0.97 > 0.93 > most_frequent
