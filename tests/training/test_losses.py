"""Losses against mpmath at 60 digits and against central finite differences."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from qkd_pl.training.losses import cross_entropy, distillation, fidelity, infidelity, kl_divergence

TEMPERATURES = [1e-3, 1e-2, 0.1, 0.5, 1.0, 10.0, 1e3]
LABELS = np.array([0, 2, 1, 1])
#: Expectation values, among them the extremes ±1, ties, and values that differ by rounding only.
STUDENT = np.array([[1.0, -1.0, -1.0], [0.3, 0.3, 0.3], [0.2, -0.7, 0.1], [1e-9, 0.0, -1e-9]])
TEACHER = np.array([[-1.0, 1.0, -1.0], [0.3, 0.3, 0.3 + 1e-13], [0.25, -0.6, 0.1], [0.0, 1e-9, 1e-9]])


def mp_log_softmax(row, scale):
    scaled = [mp.mpf(float(z)) * scale for z in row]
    normaliser = mp.log(mp.fsum(mp.exp(z) for z in scaled))
    return [z - normaliser for z in scaled]


def mp_cross_entropy(logits, labels, scale) -> mp.mpf:
    with mp.workdps(60):
        terms = [-mp_log_softmax(row, mp.mpf(scale))[y] for row, y in zip(logits, labels, strict=True)]
        return mp.fsum(terms) / len(terms)


def mp_kl(teacher, student, temperature) -> mp.mpf:
    with mp.workdps(60):
        scale = 1 / mp.mpf(temperature)
        rows = [(mp_log_softmax(t, scale), mp_log_softmax(s, scale)) for t, s in zip(teacher, student, strict=True)]
        return mp.fsum(mp.exp(p) * (p - q) for ps, qs in rows for p, q in zip(ps, qs, strict=True)) / len(rows)


def central_differences(function, point: np.ndarray, step: float) -> np.ndarray:
    gradient = np.empty_like(point)
    for index in np.ndindex(point.shape):
        shift = np.zeros_like(point)
        shift[index] = step
        gradient[index] = (function(point + shift) - function(point - shift)) / (2 * step)
    return gradient


logits = arrays(np.float64, (3, 4), elements=st.floats(-1.0, 1.0))
temperatures = st.floats(-3.0, 3.0).map(lambda exponent: 10.0**exponent)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0, 1e3])
def test_cross_entropy_agrees_with_mpmath(scale):
    value, gradient = cross_entropy(STUDENT, LABELS, scale)
    assert value == pytest.approx(float(mp_cross_entropy(STUDENT, LABELS, scale)), rel=1e-13)
    assert np.isfinite(gradient).all()


def test_golden_numbers_of_cross_entropy():
    """log(1 + e^-1), log(1 + e^2) and log 3, to 16 digits."""
    assert cross_entropy(np.array([[0.5, -0.5]]), np.array([0]))[0] == pytest.approx(0.31326168751822286, rel=1e-15)
    assert cross_entropy(np.array([[1.0, -1.0]]), np.array([1]))[0] == pytest.approx(2.1269280110429727, rel=1e-15)
    assert cross_entropy(np.zeros((1, 3)), np.array([2]))[0] == pytest.approx(1.0986122886681098, rel=1e-15)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_kl_divergence_agrees_with_mpmath(temperature):
    """Also where it is tiny: relative accuracy is lost only where the logits' own rounding is all that is left."""
    for teacher, student in zip(TEACHER, STUDENT, strict=True):
        value, gradient = kl_divergence(teacher[None], student[None], temperature)
        assert value == pytest.approx(float(mp_kl(teacher[None], student[None], temperature)), rel=1e-9, abs=1e-300)
        assert np.isfinite(gradient).all()


def test_golden_numbers_of_the_kl_divergence():
    """Σ p log(p/q) with p = softmax(1, 0) and q = softmax(0, 1) is tanh(1/2); at T = 1/2, 2·tanh(1)."""
    teacher, student = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    assert kl_divergence(teacher, student, 1.0)[0] == pytest.approx(0.46211715726000975, rel=1e-15)
    assert kl_divergence(teacher, student, 0.5)[0] == pytest.approx(1.5231883119115297, rel=1e-15)


@given(teacher=logits, student=logits, temperature=temperatures)
def test_kl_divergence_is_never_negative_and_agrees_with_mpmath(teacher, student, temperature):
    value = kl_divergence(teacher, student, temperature)[0]
    assert value >= 0.0
    assert value == pytest.approx(float(mp_kl(teacher, student, temperature)), rel=1e-7, abs=1e-30)


@given(teacher=logits, temperature=temperatures)
def test_kl_divergence_is_exactly_zero_at_equality(teacher, temperature):
    value, gradient = kl_divergence(teacher, teacher.copy(), temperature)
    assert value == 0.0
    assert not gradient.any()


@given(teacher=logits, nudge=arrays(np.float64, (3, 4), elements=st.floats(-1e-7, 1e-7)), temperature=temperatures)
def test_kl_divergence_of_near_equals_is_not_negative(teacher, nudge, temperature):
    assert kl_divergence(teacher, teacher + nudge, temperature)[0] >= 0.0


@given(student=logits, scale=st.floats(0.1, 30.0))
def test_gradient_of_cross_entropy(student, scale):
    labels = np.array([0, 3, 1])
    _, gradient = cross_entropy(student, labels, scale)
    expected = central_differences(lambda z: cross_entropy(z, labels, scale)[0], student, 1e-5)
    np.testing.assert_allclose(gradient, expected, atol=1e-6 * scale**2)


@pytest.mark.parametrize("scale_kl", ["T2", "none"])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
@given(teacher=logits, student=logits, temperature=st.floats(0.1, 1e3))
def test_gradient_of_distillation(teacher, student, temperature, alpha, scale_kl):
    labels = np.array([0, 3, 1])

    def loss(z):
        return distillation(
            z, teacher, labels, temperature=temperature, alpha=alpha, logit_scale=3.0, scale_kl=scale_kl
        )

    expected = central_differences(lambda z: loss(z)[0], student, 1e-5)
    np.testing.assert_allclose(loss(student)[1], expected, atol=1e-5)


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_distillation_agrees_with_mpmath(temperature, alpha):
    value, gradient = distillation(STUDENT, TEACHER, LABELS, temperature=temperature, alpha=alpha, logit_scale=10.0)
    kl = mp_kl(TEACHER, STUDENT, temperature)
    expected = alpha * mp.mpf(temperature) ** 2 * kl + (1 - mp.mpf(alpha)) * mp_cross_entropy(STUDENT, LABELS, 10)
    assert value == pytest.approx(float(expected), rel=1e-11)
    assert np.isfinite(gradient).all()


def test_scale_kl_none_leaves_out_the_squared_temperature():
    with_factor = distillation(STUDENT, TEACHER, LABELS, temperature=0.1, alpha=1.0)
    without = distillation(STUDENT, TEACHER, LABELS, temperature=0.1, alpha=1.0, scale_kl="none")
    assert with_factor[0] == pytest.approx(0.01 * without[0])
    np.testing.assert_allclose(with_factor[1], 0.01 * without[1])


def test_distillation_at_alpha_one_ignores_labels_and_vanishes_at_equality():
    value, gradient = distillation(STUDENT, STUDENT, np.array([9, 9, 9, 9]), temperature=0.5, alpha=1.0)
    assert value == 0.0
    assert not gradient.any()


def test_squared_temperature_keeps_the_gradient_of_hot_distillation():
    """For T → ∞ the gradient tends to (z - mean z - teacher + mean teacher) / (K n), the limit of Hinton et al."""
    _, gradient = distillation(STUDENT, TEACHER, LABELS, temperature=1e6, alpha=1.0)
    difference = STUDENT - TEACHER
    np.testing.assert_allclose(gradient, (difference - difference.mean(axis=1, keepdims=True)) / 12, atol=1e-6)


def test_losses_do_not_change_their_arguments():
    student, teacher = STUDENT.copy(), TEACHER.copy()
    distillation(student, teacher, LABELS, temperature=0.5, alpha=0.5)
    np.testing.assert_array_equal(student, STUDENT)
    np.testing.assert_array_equal(teacher, TEACHER)


@given(expectations=arrays(np.float64, (3, 8), elements=st.floats(-1.0, 1.0)))
def test_gradient_of_infidelity(expectations):
    value, gradient = infidelity(expectations)
    assert value == pytest.approx(1.0 - fidelity(expectations).mean())
    expected = central_differences(lambda e: infidelity(e)[0], expectations, 1e-4)
    np.testing.assert_allclose(gradient, expected, atol=1e-9)
