"""What can watch a training run, and end it."""

from qkd_pl.training.callbacks.accuracy import Accuracy as Accuracy
from qkd_pl.training.callbacks.base import Callback as Callback
from qkd_pl.training.callbacks.progress import ProgressBar as ProgressBar
from qkd_pl.training.callbacks.stopping import BestWeights as BestWeights
from qkd_pl.training.callbacks.stopping import EarlyStopping as EarlyStopping

__all__ = ["Accuracy", "BestWeights", "Callback", "EarlyStopping", "ProgressBar"]
