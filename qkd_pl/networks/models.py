"""Models: networks with weights, from a training, from anywhere, or from a file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from sklearn.pipeline import Pipeline

from qkd_pl.checks import check_choice
from qkd_pl.errors import FileFormatError, InvalidInputError
from qkd_pl.networks.base import TrainedNetwork as TrainedNetwork
from qkd_pl.networks.classification import TrainedQNN as TrainedQNN
from qkd_pl.networks.compression import TrainedQAE as TrainedQAE
from qkd_pl.networks.files import read_model
from qkd_pl.networks.networks import QAE
from qkd_pl.networks.protocol import Network
from qkd_pl.networks.regression import TrainedRegressor as TrainedRegressor

Task = Literal["classification", "regression", "compression"]
Model = TrainedQNN | TrainedRegressor | TrainedQAE
_MODELS: dict[str, type[TrainedNetwork]] = {each.task: each for each in (TrainedQNN, TrainedRegressor, TrainedQAE)}


def trained(
    network: Network,
    weights: Any,
    task: Task | None = None,
    *,
    training: Mapping[str, Any] | None = None,
    history: Sequence[Mapping[str, Any]] = (),
    preprocessing: Pipeline | None = None,
    **settings: Any,
) -> Any:
    """A model from a network and weights, wherever they come from.

    Args:
        network: a QNN, QAE, CircuitNetwork, or anything that has what a
            :class:`~qkd_pl.networks.protocol.Network` needs; it is checked here.
        weights: radians, an array of shape ``network.weights_shape``, or a dictionary of the named arrays.
        task: ``"classification"`` → :class:`~qkd_pl.networks.classification.TrainedQNN`, ``"regression"`` →
            :class:`~qkd_pl.networks.regression.TrainedRegressor`, ``"compression"`` →
            :class:`~qkd_pl.networks.compression.TrainedQAE`; by default the last for a QAE, else the first.
        training, history: how the weights were found, JSON-able.
        preprocessing: see :meth:`~qkd_pl.networks.base.TrainedNetwork.with_preprocessing`.
        settings: of the task: ``logit_scale``; ``target_scale`` and ``target_offset``.

    Raises:
        InvalidInputError: the network cannot be used, or the weights or settings do not fit.

    Example:
        >>> from qkd_pl import QNN
        >>> trained(QNN(n_qubits=2, n_layers=1), [[[0.1, 0.2, 0.3]] * 2] * 2, logit_scale=10.0).task
        'classification'
    """
    default = "compression" if isinstance(network, QAE) else "classification"
    chosen = default if task is None else task
    check_choice("task", chosen, sorted(_MODELS))
    try:
        return _MODELS[chosen](network, weights, training or {}, history, preprocessing=preprocessing, **settings)
    except TypeError as error:
        if "unexpected keyword" not in str(error):
            raise
        raise InvalidInputError(f"task={chosen!r} has no setting {sorted(settings)} ({error})") from error


def load_model(path: str | Path, network: Network | None = None) -> Any:
    """Read a model that ``model.save`` wrote.

    Args:
        path: of the file.
        network: the network of the user's own that was saved; files hold no code. It must give the stored outputs for
            the stored inputs.

    Returns:
        a model of the task that was saved: see :func:`trained`.

    Raises:
        FileNotFoundError: there is no such file.
        FileFormatError: the file is truncated, altered, of another kind, from another format, or of another network.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> import numpy as np
        >>> from qkd_pl import QNN
        >>> network = QNN(n_qubits=2, n_layers=1)
        >>> with TemporaryDirectory() as directory:
        ...     trained(network, np.zeros(network.weights_shape)).save(Path(directory) / "model.safetensors")
        ...     load_model(Path(directory) / "model.safetensors").network == network
        True
    """
    task, found, weights, keywords = read_model(Path(path), network)
    try:
        return _MODELS[task](found, weights, **keywords)
    except InvalidInputError as error:
        raise FileFormatError(f"{path}: {error}") from error
