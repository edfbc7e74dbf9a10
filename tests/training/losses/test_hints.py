import numpy as np
import pennylane as qml
import pytest
from loss_references import assert_gradient

from qkd_pl import QNN, CrossEntropy, Ensemble, Hints, KDTrainer
from qkd_pl.errors import InvalidInputError
from qkd_pl.training.losses import Targets

OBSERVABLES = (qml.Z(0) @ qml.Z(1), qml.X(1))
NETWORK = QNN(2, 1, embedding="angle")
INPUTS = np.linspace(-1.0, 1.0, 16).reshape(8, 2)
LABELS = np.arange(8) % 2
HINTS = np.column_stack([np.sin(INPUTS[:, 0]), np.cos(INPUTS[:, 1])])


def test_it_is_the_mean_squared_difference(rng):
    outputs, hints = rng.uniform(-1, 1, (5, 4)), rng.uniform(-1, 1, (5, 2))
    weights = np.array([0.0, 1.0, 2.0, 1.5, 0.5])
    value, cotangent = Hints(OBSERVABLES)(outputs, Targets(hints=hints, sample_weight=weights))
    expected = (weights[:, None] * (outputs[:, 2:] - hints) ** 2).sum() / 10
    assert value == pytest.approx(expected)
    assert not cotangent[:, :2].any()
    assert_gradient(Hints(OBSERVABLES), outputs, Targets(hints=hints, sample_weight=weights))


def test_missing_hints_do_not_count():
    outputs, hints = np.array([[0.5, 0.1], [0.2, 0.9]]), np.array([[0.4, np.nan], [np.nan, np.nan]])
    value, cotangent = Hints(OBSERVABLES)(outputs, Targets(hints=hints))
    assert value == pytest.approx(0.01)
    np.testing.assert_allclose(cotangent, [[0.2, 0.0], [0.0, 0.0]], atol=1e-12)


@pytest.mark.parametrize("device", ["lightning", "default"])
def test_the_observables_of_the_student_are_measured(device):
    """Against PennyLane's own QNode and autograd, through one step of gradient descent."""
    loss = CrossEntropy(2.0) + 0.7 * Hints(OBSERVABLES)
    trainer = KDTrainer(iterations=1, optimizer="gradient-descent", learning_rate=0.1, device=device)
    start = np.random.default_rng(0).uniform(0, 6, NETWORK.weights_shape)
    model = trainer.fit(NETWORK, (INPUTS, LABELS), loss=loss, hints=HINTS, initial=start)

    @qml.qnode(qml.device("default.qubit", wires=2), interface="autograd")
    def circuit(inputs, weights):
        return [*NETWORK.circuit(inputs, weights), *map(qml.expval, OBSERVABLES)]

    def whole(weights):
        z = qml.math.stack(circuit(INPUTS, weights), axis=1)
        scaled = 2.0 * z[:, :2]
        hard = -(scaled - qml.numpy.log(qml.numpy.sum(qml.numpy.exp(scaled), axis=1, keepdims=True)))
        return qml.numpy.mean(hard[np.arange(8), LABELS]) + 0.7 * qml.numpy.mean((z[:, 2:] - HINTS) ** 2)

    weights = qml.numpy.array(start, requires_grad=True)
    np.testing.assert_allclose(model.weights, start - 0.1 * qml.grad(whole)(weights), atol=1e-9)
    assert model.history[0]["loss"] == pytest.approx(float(whole(weights)))
    assert model.outputs(INPUTS).shape == (8, 2), "extra observables are measured in training only"


@pytest.mark.parametrize("several", [False, True])
def test_hints_are_the_teachers_own_values_by_default(rng, several):
    teacher = KDTrainer(iterations=2, seed=1).fit(NETWORK, (INPUTS, LABELS))

    @qml.qnode(qml.device("default.qubit", wires=2))
    def circuit(inputs, weights):
        qml.AngleEmbedding(inputs, wires=[0, 1])
        NETWORK.ansatz.apply(weights)
        return [qml.expval(each) for each in OBSERVABLES]

    hints = np.stack(circuit(INPUTS, teacher.weights), axis=1)
    trainer = KDTrainer(iterations=2)
    own = Ensemble([teacher, teacher]) if several else teacher
    taught = trainer.fit(NETWORK, (INPUTS, LABELS), teacher=own, loss=CrossEntropy() + Hints(OBSERVABLES))
    given = trainer.fit(NETWORK, (INPUTS, LABELS), hints=hints, loss=CrossEntropy() + Hints(OBSERVABLES))
    np.testing.assert_allclose(taught.weights, given.weights, atol=1e-9)


def test_two_sets_of_hints_have_their_own_columns():
    both = Hints(OBSERVABLES[:1]) + 2.0 * Hints(OBSERVABLES[1:])
    outputs = np.random.default_rng(0).uniform(-1, 1, (8, 4))
    value, _ = both(outputs, Targets(hints=HINTS))
    expected = np.mean((outputs[:, 2] - HINTS[:, 0]) ** 2) + 2 * np.mean((outputs[:, 3] - HINTS[:, 1]) ** 2)
    assert value == pytest.approx(expected)
    assert_gradient(both, outputs, Targets(hints=HINTS))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"loss": Hints(OBSERVABLES)}, "hints are None and there is no teacher"),
        ({"loss": Hints(OBSERVABLES), "hints": HINTS[:, :1]}, r"hints have shape \(8, 1\)"),
        ({"loss": Hints([qml.Z(7)]), "hints": HINTS[:, :1]}, r"is not an observable on the network's wires \[0, 1\]"),
        ({"loss": Hints(["Z"]), "hints": HINTS[:, :1]}, "'Z' is not an observable"),
        ({"hints": HINTS}, "hints are given, and CrossEntropy"),
        ({"loss": Hints(OBSERVABLES), "teacher": HINTS}, "no circuit to measure hints in"),
    ],
)
def test_what_does_not_fit_is_named(given, message):
    with pytest.raises(InvalidInputError, match=message):
        KDTrainer(iterations=1).fit(NETWORK, (INPUTS, LABELS), **given)


@pytest.mark.parametrize("observables", [(), None, "Z"])
def test_there_is_at_least_one(observables):
    with pytest.raises(InvalidInputError, match="at least one observable"):
        Hints(observables)
