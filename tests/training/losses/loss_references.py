"""References for losses: mpmath at 60 digits, and central finite differences."""

import mpmath as mp
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

TEMPERATURES = [1e-3, 1e-2, 0.1, 0.5, 1.0, 10.0, 1e3]
LABELS = np.array([0, 2, 1, 1])
#: Expectation values, among them the extremes ±1, ties, and values that differ by rounding only.
STUDENT = np.array([[1.0, -1.0, -1.0], [0.3, 0.3, 0.3], [0.2, -0.7, 0.1], [1e-9, 0.0, -1e-9]])
TEACHER = np.array([[-1.0, 1.0, -1.0], [0.3, 0.3, 0.3 + 1e-13], [0.25, -0.6, 0.1], [0.0, 1e-9, 1e-9]])

logits = arrays(np.float64, (3, 4), elements=st.floats(-1.0, 1.0))
temperatures = st.floats(-3.0, 3.0).map(lambda exponent: 10.0**exponent)


def mp_log_softmax(row, scale):
    scaled = [mp.mpf(float(z)) * scale for z in row]
    normaliser = mp.log(mp.fsum(mp.exp(z) for z in scaled))
    return [z - normaliser for z in scaled]


def mp_cross_entropies(outputs, labels, scale) -> list[mp.mpf]:
    with mp.workdps(60):
        return [-mp_log_softmax(row, mp.mpf(scale))[y] for row, y in zip(outputs, labels, strict=True)]


def mp_kls(teacher, student, temperature) -> list[mp.mpf]:
    with mp.workdps(60):
        scale = 1 / mp.mpf(temperature)
        rows = [(mp_log_softmax(t, scale), mp_log_softmax(s, scale)) for t, s in zip(teacher, student, strict=True)]
        return [mp.fsum(mp.exp(p) * (p - q) for p, q in zip(ps, qs, strict=True)) for ps, qs in rows]


def mean(values) -> mp.mpf:
    with mp.workdps(60):
        return mp.fsum(values) / len(values)


def central_differences(function, point: np.ndarray, step: float = 1e-5) -> np.ndarray:
    gradient = np.empty_like(point)
    for index in np.ndindex(point.shape):
        shift = np.zeros_like(point)
        shift[index] = step
        gradient[index] = (function(point + shift) - function(point - shift)) / (2 * step)
    return gradient


def assert_gradient(loss, outputs, targets, atol=1e-6) -> None:
    expected = central_differences(lambda z: loss(z, targets)[0], outputs)
    np.testing.assert_allclose(loss(outputs, targets)[1], expected, atol=atol)
