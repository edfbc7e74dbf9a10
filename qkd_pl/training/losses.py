"""Losses and their closed-form gradients with respect to what the circuit returns (Eqs. 4, 7 and 10).

Every loss is a function of the circuit's outputs that returns ``(value, cotangent)``: the mean over the batch as a
float, and its derivative with respect to each output, an array of the outputs' shape. The pullback of
:func:`qkd_pl.gradients.vjp` turns the cotangent into the gradient of the weights. No loss knows a circuit.
"""

from typing import Literal

import numpy as np
from scipy.special import log_softmax, softmax

from qkd_pl.circuits.readout import fidelity

KLScale = Literal["T2", "none"]


def cross_entropy(logits: np.ndarray, labels: np.ndarray, logit_scale: float = 1.0) -> tuple[float, np.ndarray]:
    """Mean of -log softmax(s·z)_y over the batch (Eq. 4, with the logit scale s; the paper has s = 1).

    Args:
        logits: raw expectation values z, shape ``(n, K)``.
        labels: class indices y in 0..K-1, shape ``(n,)``.
        logit_scale: s > 0.

    Returns:
        the loss in nats and its gradient with respect to ``logits``, shape ``(n, K)``.

    Example:
        >>> value, gradient = cross_entropy(np.zeros((1, 2)), np.array([1]))
        >>> round(value, 6), gradient.tolist()
        (0.693147, [[0.5, -0.5]])
    """
    rows = np.arange(len(labels))
    scaled = logit_scale * logits
    value = -log_softmax(scaled, axis=1)[rows, labels].mean()
    gradient = softmax(scaled, axis=1)
    gradient[rows, labels] -= 1.0
    return float(value), logit_scale * gradient / len(labels)


def kl_divergence(
    teacher_logits: np.ndarray, student_logits: np.ndarray, temperature: float
) -> tuple[float, np.ndarray]:
    """Mean over the batch of KL( softmax(z_teacher/T) ‖ softmax(z_student/T) ), the teacher's term of Eq. 7.

    Exactly 0 when the two agree, and never negative: with d = log p - log q each class contributes p·(d - 1 + e^-d),
    which sums to the same as p·d because p and q both sum to one, but has no negative terms that could cancel.

    Args:
        teacher_logits, student_logits: raw expectation values, shape ``(n, K)``.
        temperature: T > 0.

    Returns:
        the divergence in nats and its gradient with respect to ``student_logits``, shape ``(n, K)``.
    """
    log_p, log_q = log_softmax(np.stack([teacher_logits, student_logits]) / temperature, axis=2)
    p, q = np.exp(log_p), np.exp(log_q)
    d = _log_ratio(log_p, log_q, (teacher_logits - student_logits) / temperature)
    near = np.abs(d) < 1.0  # beyond, e^-d may overflow where p vanishes, and p·e^-d is simply q
    terms = np.where(near, p * _exp_remainder(np.where(near, d, 0.0)), p * d - p + q)
    return float(terms.sum(axis=1).mean()), (q - p) / (temperature * len(p))


def distillation(
    student_logits: np.ndarray,
    teacher_logits: np.ndarray,
    labels: np.ndarray,
    *,
    temperature: float,
    alpha: float,
    logit_scale: float = 1.0,
    scale_kl: KLScale = "T2",
) -> tuple[float, np.ndarray]:
    """The KD loss α T² KL(teacher ‖ student) + (1 - α) cross-entropy (Eq. 7).

    T² keeps the scale of the gradient independent of T (Hinton, Vinyals and Dean, arXiv 1503.02531). With T far below
    1 it makes the KL term vanish beside the cross-entropy unless α = 1; ``scale_kl="none"`` leaves it out.

    Args:
        student_logits, teacher_logits: raw expectation values, shape ``(n, K)``.
        labels: class indices, shape ``(n,)``; they enter only if α < 1.
        temperature: T > 0.
        alpha: weight of the teacher, 0 to 1.
        logit_scale: scale s of the logits in the cross-entropy.
        scale_kl: ``"T2"`` or ``"none"``.

    Returns:
        the loss and its gradient with respect to ``student_logits``, shape ``(n, K)``.
    """
    factor = alpha * temperature**2 if scale_kl == "T2" else alpha
    value, gradient = kl_divergence(teacher_logits, student_logits, temperature)
    value, gradient = factor * value, factor * gradient
    if alpha < 1.0:
        hard_value, hard_gradient = cross_entropy(student_logits, labels, logit_scale)
        value += (1.0 - alpha) * hard_value
        gradient += (1.0 - alpha) * hard_gradient
    return value, gradient


def infidelity(expectations: np.ndarray) -> tuple[float, np.ndarray]:
    """One minus the mean fidelity (Eq. 10), and its gradient with respect to the expectation values.

    Args:
        expectations: as in :func:`qkd_pl.circuits.readout.fidelity`.
    """
    compressed, kept = np.split(expectations, 2, axis=1)
    gradient = -np.concatenate([kept, compressed], axis=1) / (np.sqrt(compressed.shape[1]) * len(expectations))
    return float(1.0 - fidelity(expectations).mean()), gradient


def _log_ratio(log_p: np.ndarray, log_q: np.ndarray, difference: np.ndarray) -> np.ndarray:
    """log p - log q for distributions p ∝ q·e^difference, without cancellation where they nearly agree."""
    close = np.abs(difference).max(axis=1, keepdims=True) < 1.0
    small = np.where(close, difference, 0.0)
    normaliser = np.log1p((np.exp(log_q) * np.expm1(small)).sum(axis=1, keepdims=True))
    return np.where(close, small - normaliser, log_p - log_q)


def _exp_remainder(d: np.ndarray) -> np.ndarray:
    """d - 1 + e^-d; by its Taylor series near 0, where the direct sum would cancel."""
    series = d * d * (1 / 2 - d * (1 / 6 - d * (1 / 24 - d / 120)))
    return np.where(np.abs(d) < 1e-3, series, d + np.expm1(-d))
