"""What a loss compares a network's outputs with."""

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, eq=False)
class Targets:
    """The targets of n samples; a field that a training does not have is None.

    Attributes:
        labels: class indices ``(n,)`` int64, −1 where there is none; in regression what each output should be, ``(n,
            K)`` float64 in units of the outputs, NaN where there is none.
        teacher: the teacher's outputs, ``(n, K′)`` float64; in regression its predictions in units of the outputs.
        hints: values of the loss's extra observables, ``(n, m)`` float64, NaN where there is none.
        sample_weight: ``(n,)`` float64, not negative, with mean 1 over all samples of the training.
        iteration: the number of iterations done so far.
        teacher_scale: s for which softmax(s · teacher) are the teacher's probabilities; None if it does not say.
        labelled: the share of all the training's weight that is labelled; None for that of these samples.

    Example:
        >>> everything = Targets(labels=np.array([0, 1, -1]))
        >>> everything.take(np.array([2, 0]), iteration=5).labels.tolist()
        [-1, 0]
    """

    labels: np.ndarray | None = None
    teacher: np.ndarray | None = None
    hints: np.ndarray | None = None
    sample_weight: np.ndarray | None = None
    iteration: int = 0
    teacher_scale: float | None = None
    labelled: float | None = None

    def take(self, indices: np.ndarray, iteration: int) -> "Targets":
        """The targets of some of the samples, in an iteration."""
        fields = {name: getattr(self, name) for name in ("labels", "teacher", "hints", "sample_weight")}
        chosen = {name: None if value is None else value[indices] for name, value in fields.items()}
        return replace(self, iteration=iteration, **chosen)

    def weights(self, n_samples: int) -> np.ndarray:
        """The samples' weights, ``(n,)``; 1 without weights."""
        return np.ones(n_samples) if self.sample_weight is None else self.sample_weight


def labelled_share(has_label: np.ndarray, weights: np.ndarray) -> float:
    """The share of the weight that has a label; 0 if there is no weight."""
    total = float(weights.sum())
    return float(weights[has_label].sum()) / total if total > 0 else 0.0


def weighted_mean(rows: np.ndarray, gradients: np.ndarray, weights: np.ndarray) -> tuple[float, np.ndarray]:
    """Σ w·row / n and the cotangent that belongs to it: one value and one gradient ``(K,)`` for each sample."""
    share = weights / max(len(rows), 1)
    return float(share @ rows), share[:, None] * gradients
