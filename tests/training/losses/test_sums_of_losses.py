from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from loss_references import LABELS, STUDENT, TEACHER, assert_gradient

from qkd_pl import QNN, CrossEntropy, DecoupledDistillation, Distillation, Huber, KDTrainer, Relational, SquaredError
from qkd_pl.errors import InvalidInputError
from qkd_pl.training.losses import Loss, Targets
from qkd_pl.training.losses.base import check_loss
from qkd_pl.training.losses.description import describe_loss
from qkd_pl.training.schedules import Step

TARGETS = Targets(labels=LABELS, teacher=TEACHER)


def half(outputs, targets):
    """A loss of one's own: half the mean square of the outputs."""
    return float(np.mean(outputs**2) / 2), outputs / outputs.size


def test_values_and_cotangents_add_up_with_weights():
    parts = (1.0, Distillation(0.7)), (0.1, Relational()), (2.0, CrossEntropy(3.0))
    total = Distillation(0.7) + 0.1 * Relational() + CrossEntropy(3.0) * 2.0
    assert total.terms == parts
    value, cotangent = total(STUDENT, TARGETS)
    each = [(weight, *loss(STUDENT, TARGETS)) for weight, loss in parts]
    assert value == pytest.approx(sum(weight * term for weight, term, _ in each))
    np.testing.assert_allclose(cotangent, sum(weight * gradient for weight, _, gradient in each))
    away = Targets(labels=LABELS, teacher=TEACHER + 0.1 * np.arange(12).reshape(4, 3))
    assert_gradient(total, STUDENT, away, atol=1e-5)


def test_a_weighted_sum_is_multiplied_term_by_term():
    assert (2.0 * (Distillation() + 0.5 * Relational())).terms == ((2.0, Distillation()), (1.0, Relational()))
    assert 1.0 * Distillation() + Relational() == Distillation() + 1.0 * Relational()


def test_losses_are_divided_and_summed_as_python_does_it():
    assert (SquaredError() + Huber()) / 2 == 0.5 * SquaredError() + 0.5 * Huber()
    assert sum([SquaredError(), Huber()]) == SquaredError() + Huber()
    assert sum([SquaredError()]) == SquaredError()
    assert np.float64(0.5) * SquaredError() == SquaredError() * np.int64(1) / np.float32(2) == 0.5 * SquaredError()


@pytest.mark.parametrize(
    ("make", "kind", "told"),
    [
        (lambda loss: loss / 0, InvalidInputError, "the divisor of a loss=0: must be a finite number above 0"),
        (lambda loss: loss * -1, InvalidInputError, "the weight of a loss=-1: must be a finite number of at least 0"),
        (lambda loss: loss / loss, TypeError, "unsupported operand"),
        (lambda loss: 1 / loss, TypeError, "unsupported operand"),
        (lambda loss: loss * "a", TypeError, "can't multiply|unsupported operand"),
        (lambda loss: np.array([1.0, 2.0]) * loss, TypeError, "unsupported operand"),
        (lambda loss: 3 + loss, TypeError, "unsupported operand"),
        (lambda loss: loss + 3, TypeError, "unsupported operand"),
        (lambda loss: loss - loss, TypeError, "unsupported operand"),
    ],
)
def test_other_arithmetic_with_losses_is_refused_in_one_line(make, kind, told):
    with pytest.raises(kind, match=told):
        make(SquaredError())


def test_functions_add_to_losses_from_either_side():
    left, right = half + CrossEntropy(), CrossEntropy() + half
    assert left(STUDENT, TARGETS)[0] == pytest.approx(right(STUDENT, TARGETS)[0])
    expected = CrossEntropy()(STUDENT, TARGETS)[0] + half(STUDENT, TARGETS)[0]
    assert left(STUDENT, TARGETS)[0] == pytest.approx(expected)


def test_each_term_is_prepared():
    teacher = np.log([[0.9, 0.1], [0.3, 0.7]])
    prepared = (Distillation() + 0.1 * Relational()).prepare(Targets(teacher=teacher))
    (_, first), (weight, second) = prepared.terms
    assert first == Distillation().prepare(Targets(teacher=teacher))
    assert (weight, second) == (0.1, Relational())
    with pytest.raises(InvalidInputError, match="teacher is None"):
        (CrossEntropy() + Relational()).prepare(Targets(labels=LABELS))


def test_what_cannot_be_added_is_refused():
    with pytest.raises(InvalidInputError, match="losses of classification and regression cannot be added"):
        CrossEntropy() + SquaredError()
    with pytest.raises(InvalidInputError, match="weight of a loss=-1"):
        -1 * CrossEntropy()
    for wrong in (lambda: CrossEntropy() + 1, lambda: "a" * CrossEntropy()):
        with pytest.raises(TypeError):
            wrong()


def test_a_sum_trains_like_its_terms():
    inputs, labels = np.linspace(-1, 1, 16).reshape(8, 2), np.arange(8) % 2
    teacher = np.column_stack([np.sin(inputs[:, 0]), np.cos(inputs[:, 0])])
    trainer = KDTrainer(iterations=3, device="default")
    network = QNN(2, 1, embedding="angle")
    mixed = Distillation(0.8, scale_kl="none") * 0.3 + 0.7 * CrossEntropy(4.0)
    summed = trainer.fit(network, (inputs, labels), teacher=teacher, loss=mixed)
    one = Distillation(0.8, alpha=0.3, scale_kl="none", logit_scale=4.0)
    single = trainer.fit(network, (inputs, labels), teacher=teacher, loss=one)
    np.testing.assert_allclose(summed.weights, single.weights)


@dataclass(frozen=True)
class Pulled(Loss):
    """A loss of one's own with a schedule."""

    strength: float = 1.0
    scheduled: ClassVar = {"strength": (0.0, 1.0, False)}

    def __call__(self, outputs, targets):
        return half(outputs, targets)


class Plain:
    """A loss without the base class."""

    def __init__(self):
        self.table = np.arange(3.0)

    def __call__(self, outputs, targets):
        return half(outputs, targets)


def test_a_description_holds_all_that_determines_a_loss():
    described = describe_loss(CrossEntropy(2.0) + 0.5 * Pulled(Step(0.9)), iterations=4)
    described["terms"][1].pop("code")
    assert described == {
        "type": "Sum",
        "terms": [
            {"weight": 1.0, "type": "CrossEntropy", "logit_scale": 2.0},
            {"weight": 0.5, "type": "Pulled", "strength": {"type": "Step", "start": 0.9, "factor": 0.9, "every": 10}},
        ],
    }
    values = describe_loss(Pulled(lambda iteration: iteration / 4), iterations=4)["strength"]
    assert values == {"type": "function", "values": [0.0, 0.25, 0.5, 0.75]}
    assert describe_loss(half, 4)["name"].endswith(".half")
    one, other = Plain(), Plain()
    other.table[0] = 1.0
    assert describe_loss(one, 4) == describe_loss(Plain(), 4) != describe_loss(other, 4)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (CrossEntropy, r"must be a loss, or a function \(outputs, targets\); CrossEntropy\(\)"),
        ("kl", "loss='kl': must be a loss"),
        (Pulled(lambda iteration: iteration), "strength in iteration 2=2.0: must be a finite number from 0"),
        (Pulled(lambda iteration: [0.1, 0.2][iteration]), "strength: the schedule fails at iteration 2: IndexError"),
        (Distillation(temperature=lambda i: 1.0 - i), "temperature in iteration 1=0.0"),
        (DecoupledDistillation(lambda i: None), "temperature: the schedule fails at iteration 0"),
    ],
)
def test_what_is_no_loss_or_leaves_its_range_is_refused(loss, message):
    with pytest.raises(InvalidInputError, match=message):
        check_loss(loss, iterations=4)
