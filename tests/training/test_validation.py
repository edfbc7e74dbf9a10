import numpy as np
import pytest

from qkd_pl import QAE, QNN, CrossEntropy, Distillation, KDTrainer, SquaredError
from qkd_pl.errors import InvalidInputError
from qkd_pl.training.losses import Targets

NETWORK = QNN(2, 1, embedding="angle")
INPUTS, LABELS = np.linspace(-1, 1, 16).reshape(8, 2), np.arange(8) % 2
TRAIN, HELD = (INPUTS[:5], LABELS[:5]), (INPUTS[5:], LABELS[5:])
TRAINER = KDTrainer(iterations=3, device="default")


def last(model) -> dict:
    return dict(model.history[-1])


def test_loss_and_score_are_those_of_the_model_after_the_iteration():
    model = TRAINER.fit(NETWORK, TRAIN, loss=CrossEntropy(4.0), validation=HELD)
    expected, _ = CrossEntropy(4.0)(model.logits(HELD[0], "default"), Targets(labels=HELD[1]))
    assert last(model)["validation_loss"] == pytest.approx(expected)
    assert last(model)["validation_score"] == model.score(*HELD, "default")
    assert all("validation_loss" in record for record in model.history)


def test_it_does_not_change_the_training():
    plain, watched = TRAINER.fit(NETWORK, TRAIN), TRAINER.fit(NETWORK, TRAIN, validation=HELD)
    assert plain.weights.tobytes() == watched.weights.tobytes()


def test_the_teacher_is_asked_about_the_validation_data():
    teacher = TRAINER.fit(NETWORK, TRAIN)
    student = TRAINER.fit(NETWORK, (TRAIN[0], None), teacher=teacher, validation=(HELD[0], None))
    z = student.logits(HELD[0], "default")
    expected, _ = Distillation()(z, Targets(teacher=teacher.logits(HELD[0])))
    assert last(student)["validation_loss"] == pytest.approx(expected)
    assert "validation_score" not in last(student)


def test_a_teachers_statistics_are_those_of_the_training():
    def probable(inputs):
        return np.log(np.column_stack([0.5 + inputs[:, 0] / 3, 0.5 - inputs[:, 0] / 3]))

    student = TRAINER.fit(NETWORK, (TRAIN[0], None), teacher=probable, validation=(HELD[0], None))
    prepared = Distillation().prepare(Targets(teacher=probable(TRAIN[0])))
    expected, _ = prepared(student.logits(HELD[0], "default"), Targets(teacher=probable(HELD[0])))
    assert last(student)["validation_loss"] == pytest.approx(expected)


def test_an_array_of_the_teachers_outputs_leaves_the_score():
    student = TRAINER.fit(NETWORK, TRAIN, teacher=np.zeros((5, 2)), validation=HELD)
    assert "validation_loss" not in last(student)
    assert last(student)["validation_score"] == student.score(*HELD, "default")
    with pytest.raises(InvalidInputError, match="without labels there is no score"):
        TRAINER.fit(NETWORK, TRAIN, teacher=np.zeros((5, 2)), validation=(HELD[0], None))


def test_regression_is_validated_in_the_units_of_the_training():
    network = QNN(2, 1, n_classes=1, embedding="angle")
    train, held = (TRAIN[0], 5.0 + TRAIN[0][:, 0]), (HELD[0], 5.0 + HELD[0][:, 0])
    model = TRAINER.fit(network, train, loss=SquaredError(), validation=held)
    assert last(model)["validation_score"] == pytest.approx(model.score(*held, "default"))
    scale = model.training["target_scale"][0]
    error = np.mean((model.predict(held[0], "default") - held[1]) ** 2) / scale**2
    assert last(model)["validation_loss"] == pytest.approx(error)


def test_an_autoencoder_has_a_loss():
    model = TRAINER.fit(QAE(2, 1, 1), (np.eye(4)[:3], None), validation=(np.eye(4)[3:], None))
    assert last(model)["validation_loss"] == pytest.approx(1 - model.fidelity(np.eye(4)[3:], "default").mean())


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        (HELD[0], r"validation: must be a pair"),
        ((HELD[0], LABELS), "labels have shape"),
        ((INPUTS[:, :1], LABELS), "inputs"),
    ],
)
def test_what_does_not_fit_is_named(validation, message):
    with pytest.raises(InvalidInputError, match=message):
        TRAINER.fit(NETWORK, TRAIN, validation=validation)
