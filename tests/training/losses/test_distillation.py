import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from loss_references import (
    LABELS,
    STUDENT,
    TEACHER,
    TEMPERATURES,
    assert_gradient,
    logits,
    mean,
    mp_cross_entropies,
    mp_kls,
    temperatures,
)
from scipy.special import softmax

from qkd_pl import DecoupledDistillation, Distillation
from qkd_pl.errors import InvalidInputError
from qkd_pl.training.losses import Targets
from qkd_pl.training.schedules import Linear

TARGETS = Targets(labels=LABELS, teacher=TEACHER)


def kl(teacher, student, temperature):
    return Distillation(temperature=temperature, scale_kl="none")(student, Targets(teacher=teacher))


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_kl_divergence_agrees_with_mpmath(temperature):
    """Also where it is tiny: relative accuracy is lost only where the logits' own rounding is all that is left."""
    for teacher, student in zip(TEACHER, STUDENT, strict=True):
        value, cotangent = kl(teacher[None], student[None], temperature)
        assert value == pytest.approx(float(mp_kls(teacher[None], student[None], temperature)[0]), rel=1e-9, abs=1e-300)
        assert np.isfinite(cotangent).all()


@pytest.mark.parametrize("difference", [0.009, 0.011, 0.1, 0.9, 1.1, 5.0])
def test_kl_divergence_is_accurate_whatever_branch_it_takes(difference):
    teacher, student = np.array([[0.4 + difference, -0.3, 0.1]]), np.array([[0.4, -0.3, 0.1]])
    assert kl(teacher, student, 1.0)[0] == pytest.approx(float(mp_kls(teacher, student, 1.0)[0]), rel=1e-13)


def test_kl_divergence_of_logits_beyond_all_measure():
    """KL(1, 0 ‖ ½, ½) = log 2, and the difference of the logits where the student is as sure of the other class."""
    assert kl(np.array([[1e53, 0.0]]), np.zeros((1, 2)), 1.0)[0] == pytest.approx(np.log(2))
    assert kl(np.array([[1e53, 0.0]]), np.array([[0.0, 1e53]]), 1.0)[0] == pytest.approx(1e53)
    logits = np.array([[1e9, 1e9 - 0.1, 1e9 + 0.2], [0.3, 0.2, -0.1]])
    for shift in (-1e-4, 1e-7, 1e-3):
        assert kl(logits, logits + np.array([shift, 0.0, -shift]), 1e-3)[0] >= 0.0


def test_golden_numbers_of_the_kl_divergence():
    """Σ p log(p/q) with p = softmax(1, 0) and q = softmax(0, 1) is tanh(1/2); at T = 1/2, 2·tanh(1)."""
    teacher, student = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    assert kl(teacher, student, 1.0)[0] == pytest.approx(0.46211715726000975, rel=1e-15)
    assert kl(teacher, student, 0.5)[0] == pytest.approx(1.5231883119115297, rel=1e-15)


@given(teacher=logits, student=logits, temperature=temperatures)
def test_kl_divergence_is_never_negative_and_agrees_with_mpmath(teacher, student, temperature):
    value = kl(teacher, student, temperature)[0]
    assert value >= 0.0
    assert value == pytest.approx(float(mean(mp_kls(teacher, student, temperature))), rel=1e-7, abs=1e-30)


@pytest.mark.parametrize("divergence", ["kl", "squared", "huber"])
@given(teacher=logits, temperature=temperatures)
def test_it_is_exactly_zero_at_equality(divergence, teacher, temperature):
    loss = Distillation(temperature=temperature, divergence=divergence)
    value, cotangent = loss(teacher.copy(), Targets(teacher=teacher))
    assert value == 0.0
    assert not cotangent.any()


@given(teacher=logits, nudge=arrays(np.float64, (3, 4), elements=st.floats(-1e-7, 1e-7)), temperature=temperatures)
def test_kl_divergence_of_near_equals_is_not_negative(teacher, nudge, temperature):
    assert kl(teacher, teacher + nudge, temperature)[0] >= 0.0


@pytest.mark.parametrize("divergence", ["kl", "squared", "huber"])
@pytest.mark.parametrize("scale_kl", ["T2", "none"])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
@given(teacher=logits, student=logits, temperature=st.floats(0.1, 1e3))
def test_cotangent(teacher, student, temperature, alpha, scale_kl, divergence):
    loss = Distillation(temperature, alpha, logit_scale=3.0, scale_kl=scale_kl, divergence=divergence)
    weights = np.array([0.5, 2.0, 0.5])
    targets = Targets(labels=np.array([0, -1, 1]), teacher=teacher, sample_weight=weights)
    # The Huber function's second derivative jumps: a difference quotient across it is off by the step.
    assert_gradient(loss, student, targets, atol=2e-5)


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_it_agrees_with_mpmath(temperature, alpha):
    loss = Distillation(temperature, alpha, logit_scale=10.0)
    value, cotangent = loss(STUDENT, TARGETS)
    soft, hard = mean(mp_kls(TEACHER, STUDENT, temperature)), mean(mp_cross_entropies(STUDENT, LABELS, 10))
    expected = alpha * mp.mpf(temperature) ** 2 * soft + (1 - mp.mpf(alpha)) * hard
    assert value == pytest.approx(float(expected), rel=1e-11)
    assert np.isfinite(cotangent).all()


def test_scale_kl_none_leaves_out_the_squared_temperature():
    with_factor = Distillation(temperature=0.1)(STUDENT, TARGETS)
    without = Distillation(temperature=0.1, scale_kl="none")(STUDENT, TARGETS)
    assert with_factor[0] == pytest.approx(0.01 * without[0])
    np.testing.assert_allclose(with_factor[1], 0.01 * without[1])


def test_at_alpha_one_labels_are_ignored():
    targets = Targets(labels=np.array([9, 9, 9, 9]), teacher=TEACHER)
    assert Distillation()(STUDENT, targets)[0] == Distillation()(STUDENT, Targets(teacher=TEACHER))[0]


def test_of_samples_without_labels_the_teacher_counts_alone():
    loss = Distillation(alpha=0.4, logit_scale=1.0)
    some = Targets(labels=np.array([0, -1, 1, -1]), teacher=TEACHER)
    soft = Distillation(alpha=1.0)(STUDENT, some)
    _, cotangent = loss(STUDENT, some)
    np.testing.assert_allclose(cotangent[[1, 3]], 0.4 * soft[1][[1, 3]])
    for row in (0, 2):
        assert np.abs(cotangent[row] - 0.4 * soft[1][row]).max() > 1e-6


def test_squared_distance_is_the_limit_of_hot_distillation():
    """T² KL → Σ_k (c_k − c'_k)² / 2K with centred logits, its gradient (c − c')/K (Hinton et al.)."""
    difference = STUDENT - TEACHER
    centred = difference - difference.mean(axis=1, keepdims=True)
    squared = Distillation(divergence="squared")(STUDENT, TARGETS)
    assert squared[0] == pytest.approx((centred**2).sum(axis=1).mean() / 6)
    np.testing.assert_allclose(squared[1], centred / 12)
    hot = Distillation(temperature=1e6)(STUDENT, TARGETS)
    np.testing.assert_allclose(hot[1], squared[1], atol=1e-6)
    assert hot[0] == pytest.approx(squared[0], rel=1e-4)


def test_huber_is_the_squared_distance_within_the_temperature_and_linear_beyond():
    far, near = np.array([[3.0, -3.0]]), np.array([[0.05, -0.05]])
    zero = Targets(teacher=np.zeros((1, 2)))
    huber, squared = Distillation(temperature=0.1, divergence="huber"), Distillation(divergence="squared")
    assert huber(near, zero)[0] == pytest.approx(squared(near, zero)[0])
    assert huber(far, zero)[0] == pytest.approx(0.1 * (3.0 - 0.05))
    np.testing.assert_allclose(huber(far, zero)[1], [[0.05, -0.05]])


def test_schedules_follow_the_iteration():
    loss = Distillation(temperature=Linear(1.0, 0.5, 10), alpha=lambda iteration: iteration / 10)
    for iteration, temperature, alpha in ((0, 1.0, 0.0), (5, 0.75, 0.5), (10, 0.5, 1.0)):
        targets = Targets(labels=LABELS, teacher=TEACHER, iteration=iteration)
        fixed = Distillation(temperature, alpha)(STUDENT, targets)
        value, cotangent = loss(STUDENT, targets)
        assert value == pytest.approx(fixed[0])
        np.testing.assert_allclose(cotangent, fixed[1])


def test_arguments_are_left_alone():
    student, teacher = STUDENT.copy(), TEACHER.copy()
    Distillation(alpha=0.5)(student, Targets(labels=LABELS, teacher=teacher))
    np.testing.assert_array_equal(student, STUDENT)
    np.testing.assert_array_equal(teacher, TEACHER)


def test_losses_are_hashable_values():
    assert len({Distillation(), Distillation(temperature=None), Distillation(0.4)}) == 2


# -- decoupled distillation ------------------------------------------------------------------------------------------


@given(teacher=logits, student=logits, temperature=st.floats(0.1, 10.0))
def test_the_two_parts_make_the_kl_divergence(teacher, student, temperature):
    """KL(p ‖ q) = KL of (p_y, 1 − p_y), plus (1 − p_y) times that of the other classes (Zhao et al., Eq. 5)."""
    labels = np.array([2, 0, 3])
    for row in range(3):
        targets = Targets(labels=labels[[row]], teacher=teacher[[row]])
        others = 1.0 - softmax(teacher[row] / temperature)[labels[row]]
        loss = DecoupledDistillation(temperature, target_weight=1.0, other_weight=float(others))
        value, cotangent = loss(student[[row]], targets)
        expected = Distillation(temperature)(student[[row]], targets)
        assert value == pytest.approx(expected[0], rel=1e-9, abs=1e-15)
        np.testing.assert_allclose(cotangent, expected[1], atol=1e-12)


@given(teacher=logits, student=logits, temperature=st.floats(0.1, 10.0))
def test_cotangent_of_decoupled_distillation(teacher, student, temperature):
    loss = DecoupledDistillation(temperature, target_weight=0.7, other_weight=2.0)
    targets = Targets(labels=np.array([0, -1, 1]), teacher=teacher, sample_weight=np.array([0.5, 2.0, 0.5]))
    assert_gradient(loss, student, targets, atol=2e-5)


def test_decoupled_parts_vanish_separately_and_stay_finite():
    same_others = Targets(labels=np.array([1]), teacher=np.array([[0.1, 0.9, -0.3]]))
    student = np.array([[0.5, -1.0, 0.1]])
    assert DecoupledDistillation(target_weight=0.0)(student, same_others)[0] < 1e-15
    assert DecoupledDistillation(other_weight=0.0)(student, same_others)[0] > 0.01
    for temperature in TEMPERATURES:
        value, cotangent = DecoupledDistillation(temperature)(STUDENT, TARGETS)
        assert np.isfinite(value)
        assert np.isfinite(cotangent).all()
    equal = DecoupledDistillation()(TEACHER, TARGETS)
    assert equal[0] == 0.0
    assert not equal[1].any()


def test_without_a_label_the_teachers_decision_is_the_target():
    loss = DecoupledDistillation(other_weight=3.0)
    decided = loss(STUDENT, Targets(labels=TEACHER.argmax(axis=1), teacher=TEACHER))
    for labels in (None, np.full(4, -1)):
        assert loss(STUDENT, Targets(labels=labels, teacher=TEACHER))[0] == decided[0]


def test_decoupled_distillation_needs_three_classes():
    with pytest.raises(InvalidInputError, match="at least 3 classes"):
        DecoupledDistillation().prepare(Targets(teacher=np.zeros((4, 2))))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Distillation(temperature=0.0), r"temperature=0\.0.*above 0"),
        (lambda: Distillation(alpha=1.5), r"alpha=1\.5.*from 0 to 1"),
        (lambda: Distillation(temperature="hot"), "temperature='hot': must be a number, a schedule"),
        (lambda: Distillation(logit_scale=0), "logit_scale=0"),
        (lambda: Distillation(scale_kl="T"), "scale_kl='T': must be one of 'T2', 'none'"),
        (lambda: Distillation(divergence="js"), "divergence='js'"),
        (lambda: Distillation(standardise="z"), "standardise='z': must be one of None, False, 'scale', 'affine'"),
        (lambda: Distillation(standardise=True), "standardise=True"),
        (lambda: DecoupledDistillation(target_weight=-1), "target_weight=-1"),
        (lambda: Distillation().prepare(Targets(labels=LABELS)), "teacher is None"),
        (lambda: Distillation(alpha=0.5).prepare(Targets(teacher=TEACHER)), "labels are None"),
        (lambda: Distillation()(STUDENT, Targets(teacher=TEACHER[:, :2])), r"Relational\(\) does not"),
    ],
)
def test_what_does_not_fit_is_named(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()
