"""Training for the command line: what was trained is not trained again, and the model is saved."""

from pathlib import Path
from typing import Any

from sklearn.pipeline import Pipeline

from qkd_pl.errors import FileFormatError
from qkd_pl.networks.models import TrainedQAE, TrainedQNN
from qkd_pl.networks.protocol import Network
from qkd_pl.training.callbacks import ProgressBar
from qkd_pl.training.trainer import KDTrainer

_LONG_SECONDS = 5.0  # a training that takes longer than this shows its progress


def train_and_save(
    network: Network,
    train: Any,
    path: Path,
    *,
    teacher: Any = None,
    loss: Any = None,
    preprocessing: Pipeline | None = None,
    **settings: Any,
) -> Any:
    """Train, or go on from the checkpoint of an earlier call with the same settings and data, and save the model.

    Args:
        network, train, teacher, loss: see :meth:`KDTrainer.fit`.
        path: of the model, ``<folder>/models/<name>.safetensors``; its checkpoint is
            ``<folder>/checkpoints/<name>.safetensors``.
        preprocessing: what the *saved* model does to its inputs first.
        settings: of :class:`KDTrainer`.

    Returns:
        the model, without preprocessing: a :class:`TrainedQNN` or :class:`TrainedQAE`.

    Raises:
        FileFormatError: the checkpoint belongs to another training.
    """
    checkpoint = path.parent.parent / "checkpoints" / path.name
    try:
        model: TrainedQNN | TrainedQAE = KDTrainer(**settings).fit(
            network,
            train,
            teacher=teacher,
            loss=loss,
            checkpoint=checkpoint,
            callbacks=[ProgressBar(path.stem, delay=_LONG_SECONDS)],
        )
    except FileFormatError as error:
        error.add_note(f"Another folder than --out {path.parent.parent} starts afresh.")
        raise
    (model.with_preprocessing(preprocessing) if isinstance(model, TrainedQNN) else model).save(path)
    return model
