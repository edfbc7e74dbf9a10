"""How far a student's logits are from a teacher's, sample by sample, with the derivative in closed form.

All three compare logits up to a constant per row, as softmax does. For large temperatures T² · KL tends to the squared
distance (Hinton, Vinyals and Dean, arXiv 1503.02531).
"""

import numpy as np

RowsAndGradients = tuple[np.ndarray, np.ndarray]


def kl_rows(teacher: np.ndarray, student: np.ndarray, temperature: float = 1.0) -> RowsAndGradients:
    """KL( softmax(z_teacher/T) ‖ softmax(z_student/T) ) of each sample, in nats (the teacher's term of Eq. 7).

    Exactly 0 when the two agree, and never negative: with d = log p - log q each class contributes p·(d - 1 + e^-d),
    which sums to the same as p·d because p and q both sum to one, but has no negative terms that could cancel.

    Args:
        teacher, student: logits, shape ``(n, K)``.
        temperature: T > 0.

    Returns:
        the divergences ``(n,)`` and their gradients with respect to ``student``, ``(n, K)``.
    """
    scaled = np.array([teacher, student]) / temperature
    scaled -= scaled.max(axis=2, keepdims=True)  # probabilities and their logarithms then come from one exponential
    exponentials = np.exp(scaled)
    sums = exponentials.sum(axis=2, keepdims=True)
    p, q = exponentials / sums
    # With p ∝ q·e^δ, δ the difference of the logits, nothing cancels where δ is small.
    difference = (teacher - student) / temperature
    is_small = np.abs(difference).max(axis=1, keepdims=True) < 1.0
    small = np.where(is_small, difference, 0.0)
    by_small = small - np.log1p((q * np.expm1(small)).sum(axis=1, keepdims=True))
    d = np.where(is_small, by_small, scaled[0] - scaled[1] - np.log(sums[0] / sums[1]))
    # d - 1 + e^-d by its Taylor series near 0, where it would cancel. Far away e^-d may overflow, and p·e^-d is q.
    near = np.clip(d, -1.0, 1.0)
    series = near * near * (1 / 2 - near * (1 / 6 - near * (1 / 24 - near * (1 / 120 - near / 720))))
    remainder = np.where(np.abs(near) < 1e-2, series, near + np.expm1(-near))
    terms = np.where(np.abs(d) < 1.0, p * remainder, p * d - p + q)
    return terms.sum(axis=1), (q - p) / temperature


def squared_rows(teacher: np.ndarray, student: np.ndarray) -> RowsAndGradients:
    """½ mean over classes of the squared difference of the logits, each row less its mean; the limit of T² · KL."""
    return huber_rows(teacher, student, np.inf)


def huber_rows(teacher: np.ndarray, student: np.ndarray, delta: float) -> RowsAndGradients:
    """As :func:`squared_rows`, but linear in differences beyond ``delta``: single noisy teachers pull less."""
    difference = student - teacher
    difference = difference - difference.mean(axis=1, keepdims=True)
    values, slopes = huber(difference, delta)
    gradients = slopes - slopes.mean(axis=1, keepdims=True)
    return values.mean(axis=1), gradients / difference.shape[1]


def huber(difference: np.ndarray, delta: float) -> RowsAndGradients:
    """d²/2, and δ·(|d| − δ/2) where |d| > δ, with its derivative (Huber, Ann. Math. Stat. 35, 73, 1964).

    Example:
        >>> values, slopes = huber(np.array([0.5, -3.0]), 1.0)
        >>> values.tolist(), slopes.tolist()
        ([0.125, 2.5], [0.5, -1.0])
    """
    inside = np.clip(difference, -delta, delta)
    return inside * (difference - inside / 2), inside
