from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import SVC

from qkd_pl import QNN, Ensemble, KDTrainer, QNNClassifier, QNNRegressor
from qkd_pl.errors import InvalidInputError
from qkd_pl.networks.models import trained
from qkd_pl.teachers import ClassifierTeacher, Teacher, teacher_logits, teacher_predictions


def constant(value: float) -> SimpleNamespace:
    return SimpleNamespace(logits=lambda inputs: np.full((len(inputs), 2), value))


def broken(inputs):
    return {}["weights"]


@pytest.fixture
def blobs(rng):
    labels = np.arange(40) % 2
    return rng.normal(size=(40, 3)) + 2.0 * labels[:, None], labels


def test_an_ensemble_averages_logits(rng):
    models = [trained(QNN(2, 1), rng.normal(size=(2, 2, 3))) for _ in range(3)]
    inputs = np.eye(4)
    mean = sum(model.logits(inputs) for model in models) / 3
    np.testing.assert_allclose(Ensemble(models).logits(inputs), mean, atol=1e-14)


def test_classifiers_and_networks_make_an_ensemble_and_others_do_not(blobs, rng):
    inputs, labels = blobs
    classifier, network = LogisticRegression().fit(inputs, labels), QNN(3, 1, embedding="angle")
    model = trained(network, rng.uniform(0, 6, network.weights_shape))
    mean = (classifier.predict_log_proba(inputs) + model.logits(inputs)) / 2
    np.testing.assert_allclose(Ensemble([classifier, model]).logits(inputs), mean, atol=1e-12)
    with pytest.raises(InvalidInputError, match="teacher is an SVC"):
        Ensemble([classifier, SVC()])


def test_a_network_teaches_exactly_whatever_the_default_device_is(rng, tmp_path, monkeypatch):
    model = trained(QNN(2, 1), rng.uniform(0, 6, (2, 2, 3)))
    exact = model.logits(np.eye(4))
    (tmp_path / "devices.yaml").write_text("default: noisy\ndevices:\n  noisy: {plugin: default.qubit, shots: 1}\n")
    monkeypatch.setenv("QKD_PL_DEVICES", str(tmp_path / "devices.yaml"))
    assert np.abs(model.logits(np.eye(4)) - exact).max() > 1e-3
    np.testing.assert_allclose(teacher_logits(model, np.eye(4), 2), exact, atol=1e-12)
    np.testing.assert_allclose(Ensemble([model]).logits(np.eye(4)), exact, atol=1e-12)


def test_an_error_about_the_inputs_says_that_it_comes_from_the_teacher():
    model = trained(QNN(3, 1), np.zeros((2, 3, 3)))
    with pytest.raises(InvalidInputError, match=r"inputs have shape \(4, 4\)") as caught:
        KDTrainer(iterations=1).fit(QNN(2, 1), (np.eye(4), np.zeros(4, dtype=int)), teacher=model)
    assert "array of its outputs" in caught.value.__notes__[0]
    with pytest.raises(InvalidInputError, match="teacher is an SVC") as caught:
        KDTrainer(iterations=1).fit(QNN(2, 1), (np.eye(4), np.zeros(4, dtype=int)), teacher=SVC())
    assert not hasattr(caught.value, "__notes__")


def test_ensembles_nest():
    assert Ensemble([constant(1.0), Ensemble([constant(0.0), constant(0.5)])]).logits([0])[0, 0] == 0.625


def test_an_empty_ensemble_is_refused():
    with pytest.raises(InvalidInputError, match="at least one teacher"):
        Ensemble([])


def test_a_classifiers_log_probabilities_are_its_logits(blobs):
    inputs, labels = blobs
    classifier = LogisticRegression().fit(inputs, labels)
    np.testing.assert_allclose(teacher_logits(classifier, inputs, 2), classifier.predict_log_proba(inputs))


def test_named_classes_are_put_in_the_students_order(blobs):
    inputs, labels = blobs
    classifier = LogisticRegression().fit(inputs, np.array(["b", "a"])[labels])
    logits = ClassifierTeacher(classifier, classes=["b", "a"]).logits(inputs)
    np.testing.assert_allclose(logits, classifier.predict_log_proba(inputs)[:, ::-1])
    assert np.mean(logits.argmax(axis=1) == labels) > 0.8


def test_a_network_with_other_class_names_does_not_teach_as_it_is(blobs):
    """Its logits are in the order of its own classes."""
    inputs, labels = blobs
    teacher = QNNClassifier(n_layers=1, iterations=1, random_state=0).fit(inputs, np.array(["b", "a"])[labels])
    with pytest.raises(InvalidInputError, match=r"classes are \['a', 'b'\], the student's \[0, 1\]"):
        teacher_logits(teacher, inputs, 2)
    with pytest.raises(InvalidInputError, match="the teacher's classes are"):
        teacher_logits(Ensemble([teacher]), inputs, 2)
    np.testing.assert_array_equal(teacher_logits(teacher, inputs, 2, ["a", "b"]), teacher.logits(inputs))
    named = ClassifierTeacher(teacher, classes=["b", "a"])
    np.testing.assert_allclose(named.logits(inputs), np.log(teacher.predict_proba(inputs)[:, ::-1]))


@pytest.mark.parametrize(
    ("teachers", "message"),
    [
        (constant(0.0), "teachers is a SimpleNamespace"),
        ((constant(0.0) for _ in range(2)), "teachers is a generator"),
        ([constant(0.0), np.zeros((4, 2))], r"teachers\[1\] is an ndarray, and outputs belong to fixed inputs"),
        ([[[0.0, 1.0]], constant(0.0)], r"teachers\[0\] is a list, and outputs belong to fixed inputs"),
    ],
)
def test_an_ensemble_takes_a_list(teachers, message):
    with pytest.raises(InvalidInputError, match=message):
        Ensemble(teachers)


def test_members_of_an_ensemble_have_the_same_classes():
    other = SimpleNamespace(logits=lambda inputs: np.zeros((len(inputs), 3)))
    with pytest.raises(InvalidInputError, match=r"different shapes: \(1, 2\), \(1, 3\)"):
        Ensemble([constant(0.0), other]).logits([0])


def test_a_certain_classifier_stays_finite():
    certain = SimpleNamespace(predict_proba=lambda features: np.tile([1.0, 0.0], (len(features), 1)))
    np.testing.assert_allclose(ClassifierTeacher(certain).logits(np.zeros((2, 3))), [[0.0, np.log(1e-12)]] * 2)


def test_samples_of_several_dimensions_are_flattened_for_a_classifier():
    seen = []
    spy = SimpleNamespace(
        predict_proba=lambda features: seen.append(features.shape) or np.full((len(features), 2), 0.5)
    )
    teacher_logits(spy, np.zeros((5, 2, 2)), 2)
    assert seen == [(5, 4)]


def test_an_array_of_logits_is_taken_as_it_is():
    logits = np.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(teacher_logits(logits, np.zeros((3, 1)), 2), logits)


def test_trained_networks_and_ensembles_are_teachers():
    assert isinstance(trained(QNN(2, 1), np.zeros((2, 2, 3))), Teacher)
    assert isinstance(Ensemble([constant(0.0)]), Teacher)


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        (np.zeros((2, 2)), r"shape \(2, 2\); the student needs \(3, 2\)"),
        (np.zeros((3, 4)), r"shape \(3, 4\)"),
        (np.full((3, 2), np.nan), "NaN or infinity"),
        (constant(np.inf), "NaN or infinity"),
        (np.full((3, 2), 1j), "are complex"),
        (
            ClassifierTeacher(LogisticRegression().fit(np.eye(5)[:2], [0, 1]), classes=[1, 0, 0]),
            r"classes are \[0, 1\], the student's \[1, 0, 0\]",
        ),
        ("a name", "teacher is a str"),
        (SVC(), "teacher is an SVC"),
        (LogisticRegression().fit(np.eye(2), [1, 5]), r"classes are \[1, 5\], the student's \[0, 1\]"),
    ],
)
def test_what_cannot_teach_is_refused(teacher, message):
    with pytest.raises(InvalidInputError, match=message):
        teacher_logits(teacher, np.zeros((3, 5)), 2)


def test_a_classical_teacher_distils_into_a_qnn(blobs):
    """End to end: the student imitates a classical classifier without seeing any correct label."""
    inputs, labels = blobs
    teacher = LogisticRegression().fit(inputs, labels)
    trainer = KDTrainer(iterations=40, batch_size=20, device="default")
    student = trainer.fit(QNN(3, 1, embedding="angle"), (inputs, 1 - labels), teacher=teacher)  # alpha=1: labels unused
    assert student.score(inputs, teacher.predict(inputs), "default") > 0.75


def test_a_classical_teacher_does_not_take_quantum_states(blobs):
    teacher = LogisticRegression().fit(*blobs)
    with pytest.raises(InvalidInputError, match="cannot take complex amplitudes; compute its logits"):
        teacher_logits(teacher, np.eye(4, dtype=complex)[:, :3], 2)


LOGITS = [[0.5, -0.5], [0.25, 1.0], [0.0, 0.0]]


def torch_tensor(**options):
    return pytest.importorskip("torch").tensor(LOGITS, **options)


@pytest.mark.parametrize(
    "make",
    [
        lambda: LOGITS,
        lambda: tuple(map(tuple, LOGITS)),
        lambda: np.array(LOGITS, dtype=np.float32),
        lambda: pytest.importorskip("jax.numpy").asarray(LOGITS),
        torch_tensor,
        lambda: torch_tensor(requires_grad=True),
    ],
    ids=["lists", "tuples", "float32", "jax", "torch", "torch with gradient"],
)
@pytest.mark.parametrize("as_function", [False, True])
def test_logits_come_from_any_library_of_arrays(make, as_function):
    logits = make()
    teacher = (lambda inputs: logits) if as_function else logits
    np.testing.assert_array_equal(teacher_logits(teacher, np.zeros((3, 2)), 2), np.array(LOGITS))


def test_a_function_teaches_alone_and_in_an_ensemble(rng):
    weights = rng.normal(size=(3, 2))

    def linear(inputs):
        return inputs @ weights

    inputs = rng.normal(size=(5, 3))
    np.testing.assert_allclose(teacher_logits(linear, inputs, 2), inputs @ weights)
    np.testing.assert_allclose(Ensemble([linear, linear]).logits(inputs), inputs @ weights)


@pytest.mark.parametrize(
    ("teacher", "named"),
    [
        ("a friend", "teacher is a str; it must be a model, a fitted classifier, a function"),
        (QNN, "teacher is the class QNN; it must be a fitted object"),
        ([[1.0, 2.0], [3.0]], "teacher is a list; it must be an array of numbers"),
        (lambda inputs: "yes", "what the teacher <lambda> returns is a str; it must be an array"),
        (lambda inputs: None, "what the teacher <lambda> returns is None; it must be an array"),
    ],
)
def test_what_gives_no_logits_is_refused(teacher, named):
    with pytest.raises(InvalidInputError, match=named):
        teacher_logits(teacher, np.zeros((2, 2)), 2)


def test_a_class_in_place_of_a_fitted_object_is_refused():
    with pytest.raises(InvalidInputError, match="the class LogisticRegression"):
        teacher_logits(LogisticRegression, np.zeros((2, 2)), 2)


@pytest.mark.parametrize(
    ("teacher", "told"),
    [
        (LogisticRegression(), "teacher is a LogisticRegression that is not fitted"),
        (QNNClassifier(), "teacher is a QNNClassifier that is not fitted"),
        (make_pipeline(MinMaxScaler(), LogisticRegression()), "teacher is a Pipeline that is not fitted"),
        (Ensemble([constant(0.0), LogisticRegression()]), "teacher is a LogisticRegression that is not fitted"),
        (broken, "the teacher, broken, raised KeyError: 'weights'; it is given the student's inputs"),
        (Ensemble([constant(0.0), broken]), "the teacher, broken, raised KeyError"),
        (
            LogisticRegression().fit(np.eye(3), [0, 1, 1]),
            "the teacher, a LogisticRegression, raised ValueError: X has 2",
        ),
    ],
    ids=["estimator", "ours", "pipeline", "member", "function", "function in an ensemble", "features"],
)
def test_what_a_teacher_raises_is_told_as_the_teachers(teacher, told):
    with pytest.raises(InvalidInputError, match=told) as caught:
        teacher_logits(teacher, np.zeros((4, 2)), 2)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    ("teacher", "told"),
    [
        (LinearRegression(), "teacher is a LinearRegression that is not fitted"),
        (QNNRegressor(), "teacher is a QNNRegressor that is not fitted"),
        (broken, "the teacher, broken, raised KeyError"),
        (
            Ensemble(
                [LinearRegression().fit(np.eye(2), [0.0, 1.0]), LinearRegression().fit(np.eye(3), [0.0, 1.0, 2.0])]
            ),
            "the teacher, a LinearRegression, raised ValueError: X has 2 features",
        ),
    ],
    ids=["estimator", "ours", "function", "features of a member"],
)
def test_what_a_teacher_of_numbers_raises_is_told_as_the_teachers(teacher, told):
    with pytest.raises(InvalidInputError, match=told):
        teacher_predictions(teacher, np.zeros((4, 2)))
