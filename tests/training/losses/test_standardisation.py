import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LogisticRegression

from qkd_pl import QNN, Distillation, KDTrainer, datasets
from qkd_pl.training.losses import Targets
from qkd_pl.training.losses.standardisation import measure


def test_scale_keeps_decisions_and_ratios_of_margins(rng):
    teacher = log_softmax(rng.normal(0.0, 5.0, (50, 3)), axis=1)
    scaled = measure(teacher, "scale")(teacher)
    np.testing.assert_array_equal(scaled.argmax(axis=1), teacher.argmax(axis=1))
    np.testing.assert_allclose(scaled.mean(axis=1), 0.0, atol=1e-12)
    assert np.sqrt(np.mean(scaled**2)) == pytest.approx(1.0)
    margins = (scaled[:, 0] - scaled[:, 1]) / (teacher[:, 0] - teacher[:, 1])
    np.testing.assert_allclose(margins, margins[0])


def test_affine_gives_zero_mean_and_unit_variance(rng):
    teacher = rng.normal([0.3, -0.1], [0.01, 0.2], (100, 2))
    standardised = measure(teacher, "affine")(teacher)
    np.testing.assert_allclose(standardised.mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(standardised.std(axis=0), 1.0)


def test_the_default_leaves_expectation_values_and_scales_all_else(rng):
    expectations = rng.uniform(-1, 1, (20, 2))
    assert measure(expectations, None) is None
    assert measure(5 * expectations, None) == measure(5 * expectations, "scale")
    probable = np.log([[0.5, 0.5], [0.6, 0.4]])  # within [−1, 1], and yet no expectation values
    assert measure(probable, None) == measure(probable, "scale")
    assert measure(probable, False) is None


@pytest.mark.parametrize("standardise", ["scale", "affine"])
def test_constant_teachers_stay_finite(standardise):
    teacher = np.ones((5, 3))
    np.testing.assert_array_equal(measure(teacher, standardise)(teacher), 0.0)


def test_samples_without_weight_do_not_count(rng):
    teacher = rng.normal(size=(6, 2))
    weights = np.array([0.0, 2.0, 2.0, 0.0, 2.0, 0.0])
    loss = Distillation(standardise="affine")
    weighted = loss.prepare(Targets(teacher=teacher, sample_weight=weights))
    assert weighted == loss.prepare(Targets(teacher=teacher[weights > 0]))


def test_a_teacher_of_log_probabilities_gets_its_own_temperature():
    teacher = np.log([[0.9, 0.1], [0.3, 0.7]])
    assert Distillation().prepare(Targets(teacher=teacher)).temperature == pytest.approx(1 / 30)
    assert Distillation(0.2).prepare(Targets(teacher=teacher)).temperature == 0.2
    assert Distillation().prepare(Targets(teacher=np.array([[0.9, 0.1]]))).temperature == 0.5


def test_a_shrunken_and_shifted_teacher_teaches_after_affine_standardisation():
    """As a noisy device leaves it: without standardising the students learn nothing."""
    train, test = datasets.topological_phases(n_qubits=3, n_train=128, n_test=64, seed=0)
    exact = KDTrainer(seed=0).fit(QNN(3, 2), train).logits(train.inputs)
    weak = 0.05 * exact + np.array([0.2, -0.1])
    scores = {}
    for standardise in (False, "affine"):
        loss = Distillation(standardise=standardise)
        models = [KDTrainer(seed=s).fit(QNN(3, 1), (train.inputs, None), teacher=weak, loss=loss) for s in range(3)]
        scores[standardise] = np.mean([model.score(*test) for model in models])
    assert scores["affine"] > scores[False] + 0.1


def test_a_classical_teacher_works_by_default():
    """Measured probabilities of 5-qubit ground states; with T = 0.5 on raw log p students get about 0.81."""
    train, test = datasets.topological_phases(n_qubits=5, n_train=200, n_test=200, seed=0)
    features = np.abs(train.inputs) ** 2
    teacher = LogisticRegression(C=1e4, max_iter=5000).fit(features, train.labels)
    logits = teacher.predict_log_proba(features)

    def score(**given):
        models = [KDTrainer(seed=s).fit(QNN(5, 1), (train.inputs, None), teacher=logits, **given) for s in range(3)]
        return np.mean([model.score(*test) for model in models])

    assert score() > 0.92
    assert score() > score(loss=Distillation(0.5, standardise=False)) + 0.08


def test_the_statistics_are_stored_with_the_model(phases):
    train, _ = phases
    teacher = np.random.default_rng(0).normal(size=(24, 2))
    loss = Distillation(standardise="affine")
    model = KDTrainer(iterations=1).fit(QNN(3, 1), (train.inputs, None), teacher=teacher, loss=loss)
    stored = model.training["loss"]["statistics"]
    np.testing.assert_allclose(stored["offset"], teacher.mean(axis=0))
    np.testing.assert_allclose(stored["scale"], teacher.std(axis=0))


def test_probabilities_of_a_student_have_the_scale_of_its_teacher(phases):
    """Its logits are the teacher's, and so are then its probabilities; from an array, 1/T."""
    train, _ = phases
    teacher = KDTrainer(seed=0).fit(QNN(3, 2), train)
    student = KDTrainer(iterations=1).fit(QNN(3, 1), train, teacher=teacher)
    assert student.training["logit_scale"] == teacher.training["logit_scale"] == 30.0
    array = KDTrainer(iterations=1).fit(QNN(3, 1), train, teacher=teacher.logits(train.inputs))
    assert array.training["logit_scale"] == 2.0
    z = array.logits(train.inputs)
    np.testing.assert_allclose(array.predict_proba(train.inputs), softmax(2.0 * z, axis=1))
