"""Training one QNN of the experiments on devices, and choosing the best of several."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from qkd_pl import CrossEntropy, KDTrainer
from qkd_pl.datasets import Dataset
from qkd_pl.networks.models import TrainedQNN
from qkd_pl.networks.networks import QNN
from qkd_pl.training.losses.base import Loss
from qkd_pl.training.schedules import Step

_DECAY, _EVERY = 0.9, 10  # of the learning rate, as in the other experiments


def train_model(
    network: QNN,
    train: Dataset,
    training: Mapping[str, Any],
    *,
    loss: Loss | None = None,
    teacher: np.ndarray | None = None,
) -> TrainedQNN:
    """A model of ``network``, by scaled cross-entropy unless there is another loss.

    Args:
        network: of the model.
        train: states and labels; with a teacher the labels are not used.
        training: JSON-able: ``iterations``, ``learning_rate``, ``logit_scale``, ``device`` and ``seed``.
        loss: other than cross-entropy.
        teacher: outputs of a teacher for the states.
    """
    trainer = KDTrainer(
        iterations=training["iterations"],
        learning_rate=Step(training["learning_rate"], _DECAY, _EVERY),
        seed=training["seed"],
        device=training["device"],
    )
    labels = train.labels if teacher is None else None
    loss = loss or CrossEntropy(logit_scale=training["logit_scale"])
    return trainer.fit(network, (train.inputs, labels), teacher=teacher, loss=loss)


def best_of(network: QNN, train: Dataset, training: Mapping[str, Any], candidates: int) -> TrainedQNN:
    """Of models with seeds 0, 1, …, trained by scaled cross-entropy, the one of largest training accuracy."""
    models = [train_model(network, train, {**training, "seed": seed}) for seed in range(candidates)]
    return max(models, key=lambda model: model.score(*train))
