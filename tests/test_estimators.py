import pickle
import subprocess
import sys

import numpy as np
import pennylane as qml
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris, make_blobs
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from qkd_pl import (
    QNN,
    CrossEntropy,
    Distillation,
    Ensemble,
    Hints,
    Huber,
    KDTrainer,
    QNNClassifier,
    QNNRegressor,
    Relational,
    SquaredError,
)
from qkd_pl.circuits.embeddings import EMBEDDINGS, Embedding
from qkd_pl.errors import DeviceConfigError, InvalidInputError


def quick(**parameters) -> QNNClassifier:
    return QNNClassifier(**{"n_layers": 1, "iterations": 15, "random_state": 0} | parameters)


@pytest.fixture(scope="module")
def blobs() -> tuple[np.ndarray, np.ndarray]:
    """Two well separated classes of angles, with string labels that are not in alphabetical order."""
    features, labels = make_blobs(n_samples=60, centers=[[0.5, 2.5], [2.5, 0.5]], cluster_std=0.3, random_state=0)
    return features, np.array(["paramagnet", "cluster"])[labels]


@pytest.fixture(scope="module")
def fitted(blobs) -> QNNClassifier:
    return quick().fit(*blobs)


# check_array_api_input skips itself unless SCIPY_ARRAY_API is set before SciPy is imported; all others must pass.
@pytest.mark.filterwarnings("ignore:Skipping check check_array_api_input:sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks([QNNClassifier(random_state=0), QNNRegressor(random_state=0)])
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


def test_predictions_are_the_labels_that_were_given(fitted, blobs):
    features, labels = blobs
    assert fitted.classes_.tolist() == ["cluster", "paramagnet"]
    assert fitted.score(features, labels) > 0.95
    assert fitted.predict(features).dtype == labels.dtype


def test_it_is_the_network_that_the_trainer_makes(fitted, blobs):
    features, labels = blobs
    trainer = KDTrainer(iterations=15, seed=0)
    model = trainer.fit(QNN(2, 1, embedding="angle"), (features, (labels == "paramagnet").astype(int)))
    np.testing.assert_array_equal(fitted.model_.weights, model.weights)
    np.testing.assert_array_equal(fitted.logits(features), model.logits(features))
    np.testing.assert_allclose(fitted.predict_proba(features), model.predict_proba(features))


def test_settings_count_when_it_is_fitted_the_next_time(blobs):
    classifier = quick().fit(*blobs)
    before = classifier.predict_proba(blobs[0])
    classifier.set_params(loss=CrossEntropy(1.0))
    np.testing.assert_array_equal(classifier.predict_proba(blobs[0]), before)


def test_an_embedding_of_the_users_own(blobs):
    own = Embedding(EMBEDDINGS["angle"].encode, EMBEDDINGS["angle"].apply)
    features, labels = blobs
    added, angle = quick(embedding=own).fit(features, labels), quick(embedding="angle").fit(features, labels)
    np.testing.assert_array_equal(added.logits(features), angle.logits(features))


def test_decision_function_of_two_classes_is_the_difference_of_the_logits(fitted, blobs):
    logits = fitted.logits(blobs[0])
    np.testing.assert_array_equal(fitted.decision_function(blobs[0]), logits[:, 1] - logits[:, 0])


@pytest.mark.parametrize(
    ("embedding", "n_features", "n_classes", "n_qubits"),
    [("angle", 4, 2, 4), ("angle", 2, 3, 3), ("amplitude", 5, 2, 3), ("amplitude", 8, 2, 3), ("amplitude", 4, 3, 3)],
)
def test_the_number_of_qubits_follows_features_and_classes(embedding, n_features, n_classes, n_qubits, rng):
    features = rng.uniform(0.1, 1.0, (12, n_features))
    classifier = quick(embedding=embedding, iterations=1).fit(features, np.arange(12) % n_classes)
    assert classifier.model_.network.n_qubits == n_qubits
    assert classifier.predict_proba(features).shape == (12, n_classes)


def test_missing_features_count_as_zero(blobs):
    features, labels = blobs
    wide = quick(n_qubits=3).fit(features, labels)
    padded = quick().fit(np.column_stack([features, np.zeros(len(features))]), labels)
    np.testing.assert_array_equal(wide.logits(features), padded.model_.logits(np.pad(features, ((0, 0), (0, 1)))))


def test_bits_through_the_phase_embedding(rng):
    bits = rng.integers(0, 2, (40, 3))
    assert quick(embedding="phase", iterations=30).fit(bits, bits[:, 1]).score(bits, bits[:, 1]) == 1.0


def test_in_a_pipeline_a_grid_search_and_a_cross_validation():
    features, labels = load_iris(return_X_y=True)
    features, labels = features[::3], labels[::3]
    pipeline = make_pipeline(MinMaxScaler((0.0, np.pi)), quick(iterations=25))
    assert cross_val_score(pipeline, features, labels, cv=3).mean() > 0.7
    search = GridSearchCV(pipeline, {"qnnclassifier__n_layers": [1, 2]}, cv=2).fit(features, labels)
    assert search.best_params_["qnnclassifier__n_layers"] in (1, 2)
    assert search.best_score_ > 0.7


def test_clone_keeps_parameters_and_a_fitted_teacher_but_nothing_learned(fitted):
    student = quick(teacher=fitted, loss=Distillation(0.3))
    copy = clone(student.set_params(n_layers=2))
    assert not hasattr(clone(fitted), "classes_")
    assert copy.teacher is fitted
    assert (copy.n_layers, copy.loss) == (2, Distillation(0.3))


@pytest.mark.parametrize("teacher", ["estimator", "model", "logistic regression", "frozen"])
def test_a_teacher_is_imitated_rather_than_the_labels(teacher, fitted, blobs, rng):
    features, labels = blobs
    teachers = {
        "estimator": fitted,
        "model": fitted.model_,
        "logistic regression": LogisticRegression().fit(features, labels),
        "frozen": FrozenEstimator(fitted),
    }
    shuffled = rng.permutation(labels)
    student = quick(teacher=teachers[teacher], iterations=40).fit(features, shuffled)
    assert student.score(features, labels) > 0.9


def test_a_teacher_gives_the_trainers_distilled_model(fitted, blobs):
    features, labels = blobs
    student = quick(teacher=fitted, random_state=5).fit(features, labels)
    trainer = KDTrainer(iterations=15, seed=5)
    model = trainer.fit(QNN(2, 1, embedding="angle"), (features, np.zeros(60, int)), teacher=fitted.logits(features))
    np.testing.assert_array_equal(student.model_.weights, model.weights)


def test_a_teacher_survives_a_cross_validation_and_frozen_a_grid(fitted, blobs):
    assert cross_val_score(quick(teacher=fitted), *blobs, cv=3).mean() > 0.9
    grid = {"teacher": [None, FrozenEstimator(fitted)]}
    search = GridSearchCV(quick(), grid, cv=2, error_score="raise").fit(*blobs)
    assert search.cv_results_["mean_test_score"].min() > 0.9


def test_an_ensemble_with_the_same_class_names_teaches(fitted, blobs):
    features, labels = blobs
    alone, several = (quick(teacher=teacher).fit(features, labels) for teacher in (fitted, Ensemble([fitted, fitted])))
    np.testing.assert_allclose(several.logits(features), alone.logits(features), atol=1e-9)


def test_parameters_of_the_teacher_are_not_those_of_the_student(blobs):
    teacher = LogisticRegression(C=1.0).fit(*blobs)
    student = quick(teacher=teacher)
    assert not any(name.startswith("teacher__") for name in student.get_params())
    with pytest.raises(InvalidInputError, match="teacher__C: a teacher is used as it is"):
        GridSearchCV(student, {"teacher__C": [0.01, 100.0]}, cv=2, error_score="raise").fit(*blobs)
    assert teacher.C == 1.0


def test_seeds(blobs):
    one, same, other = (quick(random_state=np.random.RandomState(seed), iterations=2).fit(*blobs) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.model_.weights, same.model_.weights)
    assert not np.array_equal(one.model_.weights, other.model_.weights)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_qubits": 1}, "n_qubits=1: 2 features need at least 2 qubits"),
        ({"embedding": "state"}, "embedding='state': must be one of .*KDTrainer"),
        ({"iterations": 0}, "iterations=0"),
        ({"network": QNN(2, 1, embedding="angle"), "n_layers": 3}, "network is given, and has its own n_layers"),
        ({"network": "QNN", "n_layers": 2}, "network is a str"),
        ({"loss": SquaredError()}, "is one of regression; QNNClassifier needs one of classification.*CrossEntropy"),
        ({"teacher": "a friend"}, r"teacher is a str; it needs logits\(X\)"),
        ({"teacher": np.zeros((60, 2))}, "Logits computed before belong to fixed rows"),
        ({"teacher": LogisticRegression().fit([[0, 0], [1, 1]], [3, 4])}, r"teacher's classes are \[3 4\]"),
    ],
)
def test_parameters_are_validated_in_fit(parameters, message, blobs):
    classifier = quick(**parameters)
    with pytest.raises(InvalidInputError, match=message):
        classifier.fit(*blobs)


def test_an_unfitted_teacher_is_named(blobs):
    with pytest.raises(NotFittedError, match=r"The teacher, a LogisticRegression, is not fitted.*FrozenEstimator"):
        quick(teacher=LogisticRegression()).fit(*blobs)


def test_an_unknown_device_is_named(blobs):
    with pytest.raises(DeviceConfigError, match="no device 'sycamore'"):
        quick(device="sycamore").fit(*blobs)


def test_a_noisy_device_can_be_chosen(blobs):
    features, labels = blobs
    classifier = quick(device="sampled", iterations=2).fit(features[:8], labels[:8])
    assert classifier.model_.training["device"]["name"] == "sampled"
    assert classifier.predict(features).shape == (60,)


def test_a_pickle_holds_no_device_and_predicts_in_another_process(fitted, blobs, tmp_path):
    stored = pickle.dumps(fitted)
    assert b"Device" not in stored
    assert b"qnode" not in stored.lower()
    (tmp_path / "classifier.pickle").write_bytes(stored)
    np.save(tmp_path / "features.npy", blobs[0])
    program = (
        "import pickle, sys, numpy as np\n"
        "classifier = pickle.load(open(sys.argv[1], 'rb'))\n"
        "np.save(sys.argv[3], classifier.logits(np.load(sys.argv[2])))\n"
    )
    paths = [str(tmp_path / name) for name in ("classifier.pickle", "features.npy", "logits.npy")]
    subprocess.run([sys.executable, "-c", program, *paths], check=True)
    np.testing.assert_array_equal(np.load(paths[2]), fitted.logits(blobs[0]))


def wide(n_features: int, n_outputs: int) -> QNN:
    """A network of one's own size."""
    return QNN(n_features, 1, n_outputs, embedding="angle", entangler="cnot")


@pytest.mark.parametrize("network", [wide, wide(2, 2)])
def test_networks_of_ones_own_are_fitted_cloned_searched_and_pickled(network, blobs):
    classifier = QNNClassifier(network=network, iterations=20, random_state=0)
    fitted = clone(classifier).fit(*blobs)
    assert fitted.score(*blobs) > 0.9
    assert fitted.model_.network == wide(2, 2)
    again = pickle.loads(pickle.dumps(fitted))  # noqa: S301
    np.testing.assert_array_equal(again.logits(blobs[0]), fitted.logits(blobs[0]))
    search = GridSearchCV(classifier, {"network": [network, wide(2, 2)]}, cv=2, error_score="raise").fit(*blobs)
    assert search.best_score_ > 0.85


def test_a_grid_takes_losses(fitted, blobs):
    losses = [None, Distillation(0.2), Distillation() + 0.1 * Relational(), CrossEntropy(5.0)]
    search = GridSearchCV(quick(teacher=fitted), {"loss": losses}, cv=2, error_score="raise").fit(*blobs)
    assert search.cv_results_["mean_test_score"].min() > 0.85
    assert search.best_params_["loss"] in losses


@pytest.mark.parametrize("as_estimator", [True, False])
def test_hints_are_taken_from_the_teachers_circuit(as_estimator, fitted, blobs):
    features, labels = blobs
    loss = Distillation() + 0.5 * Hints([qml.X(0), qml.X(1)])
    teacher = fitted if as_estimator else fitted.model_
    student = quick(teacher=teacher, loss=loss).fit(features, labels)
    model = KDTrainer(iterations=15, seed=0).fit(
        QNN(2, 1, embedding="angle"), (features, (labels == "paramagnet").astype(int)), teacher=fitted.model_, loss=loss
    )
    np.testing.assert_array_equal(student.model_.weights, model.weights)
    with pytest.raises(InvalidInputError, match="LogisticRegression, which has no circuit to measure hints in"):
        quick(teacher=LogisticRegression().fit(features, labels), loss=loss).fit(features, labels)


def test_weights_of_samples_and_classes(blobs):
    """Twice as many samples of one class, or twice the weight: the same model, up to rounding."""
    features, labels = blobs
    rare = labels == "paramagnet"
    more = np.concatenate([features, features[rare]]), np.concatenate([labels, labels[rare]])
    parameters = {"iterations": 5, "batch_size": 200}
    repeated = quick(**parameters).fit(*more)
    weighted = quick(**parameters).fit(features, labels, sample_weight=1.0 + rare)
    by_class = quick(**parameters, class_weight={"paramagnet": 2.0, "cluster": 1.0}).fit(features, labels)
    for other in (weighted, by_class):
        np.testing.assert_allclose(other.model_.weights, repeated.model_.weights, atol=1e-7)
    balanced = quick(**parameters, class_weight="balanced").fit(*more)
    np.testing.assert_allclose(balanced.model_.weights, quick(**parameters).fit(*blobs).model_.weights, atol=1e-7)


def test_minus_one_is_a_class_unless_it_is_said_to_be_none(blobs):
    features, names = blobs
    labels = (names == "paramagnet").astype(int)
    some = np.where(np.arange(len(labels)) % 3 == 0, labels, -1)
    assert quick(iterations=1).fit(features, some).classes_.tolist() == [-1, 0, 1]
    fitted = quick(unlabelled=-1, iterations=30).fit(features, some)
    assert fitted.classes_.tolist() == [0, 1]
    model = KDTrainer(iterations=30, seed=0).fit(QNN(2, 1, embedding="angle"), (features, some))
    np.testing.assert_array_equal(fitted.model_.weights, model.weights)
    named = np.where(some == -1, "?", names)
    np.testing.assert_array_equal(
        quick(unlabelled="?", iterations=30).fit(features, named).model_.weights, model.weights
    )
    assert clone(fitted).unlabelled == -1


def test_labels_that_are_objects_are_of_one_type(blobs):
    features, _ = blobs
    labels = np.resize(np.array([3, 5], dtype=object), len(features))
    assert quick(iterations=1).fit(features, labels).predict(features).dtype == np.int64
    labels[0] = "three"
    with pytest.raises(InvalidInputError, match="y has labels of different types, int and str"):
        quick(iterations=1).fit(features, labels)


def test_class_weights_are_those_of_the_samples_that_have_a_label(blobs):
    features, labels = blobs
    some = np.where(np.arange(len(labels)) % 4 == 1, "?", labels)
    weights = {"cluster": 0.7, "paramagnet": 2.0}
    one = quick(unlabelled="?", class_weight=weights).fit(features, some)
    by_hand = np.array([weights.get(label, 1.0) for label in some])
    other = quick(unlabelled="?").fit(features, some, sample_weight=by_hand)
    np.testing.assert_array_equal(one.model_.weights, other.model_.weights)


@pytest.mark.parametrize(
    ("parameters", "labels", "told"),
    [
        ({"unlabelled": 1}, [0, 1], "y has one class, 0"),
        ({"teacher": True}, [-1, 0, 1], r"classes are \[0 1\], but y has \[-1  0  1\]; unlabelled=-1 says"),
    ],
)
def test_labels_that_leave_no_classes_are_refused(parameters, labels, told, rng):
    features = rng.uniform(0.0, 3.0, (12, 2))
    if "teacher" in parameters:
        parameters = {"teacher": LogisticRegression().fit(features, np.arange(12) % 2)}
    with pytest.raises(InvalidInputError, match=told):
        quick(**parameters).fit(features, np.resize(labels, 12))


def test_probabilities_of_a_student_are_as_sure_as_its_teachers(fitted, blobs):
    student = quick(teacher=fitted, iterations=40).fit(*blobs)
    difference = np.abs(student.predict_proba(blobs[0]) - fitted.predict_proba(blobs[0]))
    assert difference.mean() < 0.1
    assert student.predict_proba(blobs[0]).max(axis=1).mean() > 0.9


# -- regression -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def curve() -> tuple[np.ndarray, np.ndarray]:
    """A smooth function of two angles, in units far from [−1, 1]."""
    angles = np.random.default_rng(0).uniform(0.0, np.pi, (60, 2))
    return angles, 300.0 + 40.0 * np.cos(angles[:, 0]) * np.cos(angles[:, 1])


def regressor(**parameters) -> QNNRegressor:
    return QNNRegressor(**{"random_state": 0, "iterations": 100} | parameters)


@pytest.mark.parametrize("loss", [None, Huber(0.2)])
def test_a_function_of_angles_is_learnt_in_its_own_units(loss, curve):
    model = regressor(loss=loss).fit(*curve)
    assert model.score(*curve) > 0.9
    assert model.model_.score(*curve) == pytest.approx(model.score(*curve))
    assert model.model_.training["task"] == "regression"


def test_several_numbers_are_predicted_together(curve):
    angles, values = curve
    both = np.column_stack([values, -2.0 * values + 5.0])
    model = regressor().fit(angles, both)
    assert model.predict(angles).shape == (60, 2)
    assert model.score(angles, both) > 0.6


def test_a_regressor_teaches(curve):
    """The student never sees the values: with the teacher's predictions it follows the teacher."""
    angles, values = curve
    teacher = regressor(iterations=150).fit(angles, values)
    for given in (teacher, teacher.model_, FrozenEstimator(teacher)):
        student = regressor(teacher=given, n_layers=1).fit(angles, np.random.default_rng(1).permutation(values))
        assert student.score(angles, teacher.predict(angles)) > 0.9
    classical = LinearRegression().fit(angles, values)
    student = regressor(teacher=classical).fit(angles, np.zeros(60))
    assert student.score(angles, classical.predict(angles)) > 0.8


def test_a_regressor_in_a_grid_and_a_pickle(curve):
    search = GridSearchCV(regressor(iterations=30), {"loss": [SquaredError(), Huber(0.1)]}, cv=2, error_score="raise")
    best = search.fit(*curve).best_estimator_
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(best)).predict(curve[0]), best.predict(curve[0]))  # noqa: S301


@pytest.mark.parametrize("loss", [CrossEntropy(), lambda outputs, targets: (0.0, outputs)])
def test_a_classifiers_loss_is_no_regression(curve, loss):
    message = "is one of classification; QNNRegressor needs one of regression.*SquaredError.*task = 'regression'"
    with pytest.raises(InvalidInputError, match=message):
        QNNRegressor(loss=loss).fit(*curve)
