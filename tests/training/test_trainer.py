"""How a network is trained: by Adam as published, with seeds, and what a teacher adds."""

import json

import autograd.numpy as anp
import numpy as np
import pennylane as qml
import pytest
from small_training import ARCHITECTURE, DATA, INPUTS, LABELS, TEACHER, Spy

from qkd_pl import (
    QAE,
    QNN,
    CrossEntropy,
    DeviceSpec,
    Distillation,
    Ensemble,
    KDTrainer,
    SquaredError,
    datasets,
    load_model,
)
from qkd_pl.errors import InvalidInputError, TrainingDivergedError
from qkd_pl.training import trainer as trainer_module
from qkd_pl.training.callbacks import Callback
from qkd_pl.training.schedules import Step


def adam(gradient, weights: np.ndarray, iterations: int, rate, decay: float) -> np.ndarray:
    """Kingma and Ba (arXiv 1412.6980), with ε behind the bias correction as in section 2's efficient form."""
    first, second = np.zeros_like(weights), np.zeros_like(weights)
    for t in range(1, iterations + 1):
        g = gradient(weights) + decay * weights
        first, second = 0.9 * first + 0.1 * g, 0.99 * second + 0.01 * g**2
        step = rate(t - 1) * np.sqrt(1 - 0.99**t) / (1 - 0.9**t)
        weights = weights - step * first / (np.sqrt(second) + 1e-8)
    return weights


@qml.qnode(qml.device("default.qubit", wires=2), interface="autograd", diff_method="backprop")
def reference_circuit(inputs, weights):
    for wire in range(2):
        qml.RX(inputs[:, wire], wires=wire)
    for block in range(2):
        for wire in range(2):
            qml.RX(weights[block, wire, 0], wires=wire)
            qml.RY(weights[block, wire, 1], wires=wire)
            qml.RZ(weights[block, wire, 2], wires=wire)
        if block == 0:
            qml.CZ(wires=[0, 1])
    return qml.expval(qml.Z(0)), qml.expval(qml.Z(1))


def log_softmax(logits):
    return logits - anp.log(anp.sum(anp.exp(logits), axis=1, keepdims=True))


def reference_loss(weights, temperature=None, alpha=0.0, scale=1.0):
    logits = anp.stack(reference_circuit(INPUTS, weights), axis=1)
    hard = -anp.mean(log_softmax(scale * logits)[np.arange(10), LABELS])
    if temperature is None:
        return hard
    log_p, log_q = log_softmax(TEACHER / temperature), log_softmax(logits / temperature)
    soft = anp.mean(anp.sum(anp.exp(log_p) * (log_p - log_q), axis=1))
    return alpha * temperature**2 * soft + (1 - alpha) * hard


@pytest.mark.parametrize("distil", [False, True])
def test_training_is_adam_with_weight_decay_and_step_decay(distil):
    """Against an optimizer and losses written out in NumPy, differentiated by autograd, over three rates."""
    settings = {"temperature": 0.7, "alpha": 0.6} if distil else {}
    what = Distillation(**settings, logit_scale=3.0) if distil else CrossEntropy(3.0)
    spy = Spy()
    trainer = KDTrainer(
        iterations=12,
        batch_size=10,
        learning_rate=Step(0.2, factor=0.5, every=5),
        weight_decay=0.02,
        device="default",
    )
    model = trainer.fit(ARCHITECTURE, DATA, teacher=TEACHER if distil else None, loss=what, callbacks=[spy])

    def loss(weights):
        return reference_loss(weights, scale=3.0, **settings)

    def gradient(weights):
        return qml.grad(loss)(qml.numpy.array(weights, requires_grad=True))

    expected = adam(gradient, spy.weights[0], 12, lambda t: 0.2 * 0.5 ** (t // 5), 0.02)
    np.testing.assert_allclose(model.weights, expected, atol=1e-9)
    assert [record["learning_rate"] for record in model.history] == [0.2] * 5 + [0.1] * 5 + [0.05] * 2
    for record, weights in zip(model.history, spy.weights, strict=False):
        assert record["loss"] == pytest.approx(float(loss(weights)), abs=1e-12)
        norm = np.linalg.norm(gradient(weights) + 0.02 * weights)
        assert record["gradient_norm"] == pytest.approx(norm, abs=1e-10)


def batches_of(monkeypatch, **arguments) -> list[tuple[np.ndarray, np.ndarray]]:
    """The weights and the batch of each iteration of a run."""
    seen = []

    def spying(qnode, weights, batch):
        seen.append((weights.copy(), batch.rows.copy()))
        return original(qnode, weights, batch)

    original = trainer_module.vjp
    with monkeypatch.context() as patch:
        patch.setattr(trainer_module, "vjp", spying)
        KDTrainer(iterations=4, batch_size=3, device="default", **arguments.pop("settings", {})).fit(
            arguments.pop("network", ARCHITECTURE), DATA, **arguments
        )
    return seen


def test_equal_seeds_share_initial_weights_and_batches_with_and_without_a_teacher(monkeypatch):
    plain = batches_of(monkeypatch)
    distilled = batches_of(monkeypatch, teacher=TEACHER)
    control = batches_of(monkeypatch, loss=CrossEntropy(1.0))
    larger = batches_of(monkeypatch, network=QNN(2, 3, embedding="angle"))
    for other in (distilled, control):
        np.testing.assert_array_equal(plain[0][0], other[0][0])
    for other in (distilled, control, larger):
        for (_, one), (_, two) in zip(plain, other, strict=True):
            np.testing.assert_array_equal(one, two)
    assert not np.array_equal(plain[-1][0], distilled[-1][0])


def test_other_seeds_give_other_weights_and_batches(monkeypatch):
    one, two = batches_of(monkeypatch), batches_of(monkeypatch, settings={"seed": 1})
    assert not np.array_equal(one[0][0], two[0][0])
    assert not np.array_equal(one[0][1], two[0][1])


def test_batches_are_random_and_hold_no_sample_twice(monkeypatch):
    seen = [rows for _, rows in batches_of(monkeypatch)]
    assert all(len(np.unique(rows, axis=0)) == 3 for rows in seen)
    assert not np.array_equal(seen[0], seen[1])


def test_initial_weights_are_uniform_in_a_full_turn():
    """1,200 weights: the Kolmogorov-Smirnov statistic exceeds 1.95/√1200 with probability 1e-3; the seed is fixed."""
    spy = Spy()
    KDTrainer(iterations=1, device="default").fit(QNN(2, 199, embedding="angle"), DATA, callbacks=[spy])
    ordered = np.sort(spy.weights[0].ravel()) / (2 * np.pi)
    assert 0 <= ordered[0] <= ordered[-1] < 1
    assert np.abs(ordered - (np.arange(1200) + 0.5) / 1200).max() < 1.95 / np.sqrt(1200)


@pytest.mark.parametrize("device", ["default", "lightning", "sampled", "spsa"])
def test_two_fits_of_one_trainer_are_equal_on_every_device(device):
    trainer = KDTrainer(iterations=2, batch_size=2, device=device)
    first, second = trainer.fit(ARCHITECTURE, DATA), trainer.fit(ARCHITECTURE, DATA)
    assert first.weights.tobytes() == second.weights.tobytes()
    assert first.history == second.history


def test_training_on_lightning_and_on_the_reference_simulator_agree():
    models = [KDTrainer(iterations=5, batch_size=4, device=d).fit(ARCHITECTURE, DATA) for d in ("lightning", "default")]
    np.testing.assert_allclose(models[0].weights, models[1].weights, atol=1e-8)


def test_sampling_noise_follows_the_trainers_seed_also_on_a_device_with_its_own():
    def train(seed, device_seed):
        spec = DeviceSpec(name="shots", plugin="default.qubit", shots=10, seed=device_seed)
        start = np.ones(ARCHITECTURE.weights_shape)
        trainer = KDTrainer(iterations=1, batch_size=10, device=spec, seed=seed)
        return trainer.fit(ARCHITECTURE, (INPUTS[:1], LABELS[:1]), initial=start).history[0]["loss"]

    losses = [train(seed, None) for seed in range(4)]
    assert len(set(losses)) > 1
    assert [train(seed, 5) for seed in range(4)] == losses


def test_distillation_teaches_what_the_labels_do_not_say(phases):
    """The student sees wrong labels and the teacher's logits; with α = 1 it follows the teacher."""
    train, test = phases
    teacher = KDTrainer(iterations=30, device="lightning", seed=1).fit(QNN(3, 2), train, loss=CrossEntropy(10.0))
    assert teacher.score(*train) > 0.85
    wrong = (train.inputs, 1 - train.labels)
    student = KDTrainer(iterations=30, device="lightning").fit(QNN(3, 1), wrong, teacher=Ensemble([teacher]))
    assert np.mean(student.predict(test.inputs) == teacher.predict(test.inputs)) > 0.85


def test_mixed_inputs_train(rng):
    """The samples of class 1 are mixtures in which |11⟩ weighs most: a student of compressed states can learn that."""
    labels = np.arange(12) % 2
    diagonals = rng.dirichlet(np.ones(4), size=12) * 0.4
    diagonals[np.arange(12), 3 * labels] += 0.6
    inputs = np.stack([np.diag(d) for d in diagonals])
    model = KDTrainer(iterations=30, device="lightning").fit(QNN(2, 1), (inputs, labels), loss=CrossEntropy(5.0))
    assert model.score(inputs, labels) == 1.0


def test_the_history_and_the_settings_are_json():
    model = KDTrainer(iterations=3, device="default", seed=4).fit(ARCHITECTURE, DATA, teacher=TEACHER)
    assert json.loads(json.dumps(model.history, allow_nan=False)) == model.history
    assert [record["iteration"] for record in model.history] == [1, 2, 3]
    assert json.loads(json.dumps(model.training)) == model.training
    assert model.training["seed"] == 4
    assert model.training["device"]["plugin"] == "default.qubit"


class Poison(Callback):
    """Makes one weight NaN after an iteration."""

    def __init__(self, after: int) -> None:
        self.after = after
        self.ended_at: int | None = None

    def on_iteration_end(self, run) -> None:
        if run.iteration == self.after:
            run.weights[0, 0, 0] = np.nan

    def on_train_end(self, run) -> None:
        self.ended_at = run.iteration


@pytest.mark.parametrize("device", ["default", "lightning"])
def test_nan_stops_the_training_and_says_where(device):
    poison = Poison(after=3)
    trainer = KDTrainer(iterations=9, device=device)
    with pytest.raises(TrainingDivergedError, match=rf"iteration 4: loss nan.*device '{device}'"):
        trainer.fit(ARCHITECTURE, DATA, callbacks=[poison])
    assert poison.ended_at == 3


def test_an_infinite_gradient_stops_the_training():
    trainer = KDTrainer(iterations=2, device="default", weight_decay=1e308)
    weights = np.full(ARCHITECTURE.weights_shape, 10.0)
    with np.errstate(over="ignore"), pytest.raises(TrainingDivergedError, match=r"iteration 1: .*gradient inf"):
        trainer.fit(ARCHITECTURE, DATA, initial=weights)


def test_the_learning_rate_of_the_iteration_that_diverged_is_named():
    trainer = KDTrainer(iterations=3, device="default", learning_rate=Step(0.5, 0.1, 2))
    with pytest.raises(TrainingDivergedError, match=r"iteration 3: .*learning rate 0\.05"):
        trainer.fit(ARCHITECTURE, DATA, callbacks=[Poison(after=2)])


def test_a_model_tells_by_which_loss_it_was_trained():
    trainer = KDTrainer(iterations=1, device="default")
    assert trainer.fit(ARCHITECTURE, DATA).training["loss"] == {"type": "CrossEntropy", "logit_scale": 30.0}
    assert trainer.fit(ARCHITECTURE, DATA, teacher=TEACHER).training["loss"]["type"] == "Distillation"
    assert trainer.fit(QAE(2, 1, 1), (np.eye(4), None)).training["loss"] == {"type": "Infidelity"}


def test_a_model_is_tuned_from_where_it_stands():
    model = KDTrainer(iterations=2, device="default").fit(ARCHITECTURE, DATA)
    spy = Spy()
    tuned = KDTrainer(iterations=1, device="default").fit(ARCHITECTURE, DATA, initial=model, callbacks=[spy])
    np.testing.assert_array_equal(spy.weights[0], model.weights)
    assert not np.array_equal(tuned.weights, model.weights)
    with pytest.raises(InvalidInputError, match=r"initial weights have shape \(2, 2, 3\)"):
        KDTrainer(device="default").fit(QNN(2, 2, embedding="angle"), DATA, initial=model)


@pytest.mark.parametrize(
    ("name", "kind"), [("gradient-descent", "GradientDescent"), ("momentum", "Momentum"), ("adagrad", "Adagrad")]
)
def test_the_optimizer_is_pennylanes(name, kind):
    spy = Spy()
    trainer = KDTrainer(iterations=4, optimizer=name, learning_rate=0.1, device="default")
    model = trainer.fit(ARCHITECTURE, DATA, loss=CrossEntropy(1.0), callbacks=[spy])
    optimizer = getattr(qml, f"{kind}Optimizer")(0.1)
    weights = qml.numpy.array(spy.weights[0], requires_grad=True)
    for _ in range(4):
        weights = optimizer.step(reference_loss, weights)
    np.testing.assert_allclose(model.weights, weights, atol=1e-9)


def test_one_output_of_a_classifier_stands_for_two_logits():
    """z and −z: cross-entropy with scale s of one output is that of a logistic model with 2·s·z."""
    network = QNN(2, 1, n_classes=1, embedding="angle")
    start = np.random.default_rng(0).uniform(0, 6, network.weights_shape)
    trainer = KDTrainer(iterations=1, optimizer="gradient-descent", learning_rate=0.1, device="default")
    model = trainer.fit(network, DATA, loss=CrossEntropy(1.5), initial=start)

    def loss(weights):
        z = reference_circuit(INPUTS, weights)[0]
        return anp.mean(anp.log(1 + anp.exp(-2 * 1.5 * z * (1 - 2 * LABELS))))

    weights = qml.numpy.array(start, requires_grad=True)
    assert model.history[0]["loss"] == pytest.approx(float(loss(weights)))
    np.testing.assert_allclose(model.weights, start - 0.1 * qml.grad(loss)(weights), atol=1e-9)


def test_the_field_is_learnt_from_ground_states_and_taught_to_a_smaller_network():
    """Regression end to end: h1 of 4-qubit ground states, then a student that sees no field at all."""
    train, test = datasets.topological_phases(n_qubits=4, n_train=120, n_test=60, seed=1, targets="field")
    trainer = KDTrainer(iterations=120, seed=0)
    teacher = trainer.fit(QNN(4, 3, n_classes=1), train, loss=SquaredError())
    assert teacher.score(*test) > 0.8  # what overlapping states allow
    assert np.abs(teacher.predict(test.inputs) - test.labels).mean() < 0.2
    student = trainer.fit(QNN(4, 2, n_classes=1), (train.inputs, None), teacher=teacher, loss=SquaredError())
    assert student.score(test.inputs, teacher.predict(test.inputs)) > 0.9


def test_a_model_of_regression_is_stored_with_its_units(tmp_path):
    network = QNN(2, 1, n_classes=1, embedding="angle")
    model = KDTrainer(iterations=2, device="default").fit(network, (INPUTS, 7 + INPUTS[:, 0]), loss=SquaredError())
    model.save(tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(loaded.predict(INPUTS), model.predict(INPUTS))
    assert 4 < loaded.predict(INPUTS).mean() < 10
