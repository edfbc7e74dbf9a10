"""Sound model files and checkpoints of every kind, and how they are read."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pennylane as qml
from own_circuits import own_network

import qkd_pl as kd
from qkd_pl.errors import QKDError
from qkd_pl.training.callbacks import BestWeights, EarlyStopping

_ANGLES = kd.QNN(2, 1, embedding="angle")
_DATA = np.linspace(0.0, 3.0, 8).reshape(4, 2), np.array([0, 1, 1, 0])
_OWN = {name: own_network(name) for name in ("StronglyEntanglingLayers", "named arrays")}
_OPTIMIZERS = ("adam", "momentum", "gradient-descent")
_MOST_WIRES = 6  # of a circuit that is run


def _weights(network: Any, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.0, 6.0, network.weights_shape)


def sound_models(folder: Path) -> Mapping[str, bytes]:
    """A classifier with history, one of raw images, a regressor, an autoencoder, both in one, circuits of one's own."""
    encoder, reader = kd.QAE(3, 1, 1), kd.QNN(1, 1)
    several = kd.QNN(2, 1, embedding="basis", observables=[qml.Z(0) @ qml.X(1), qml.Y(0) + 0.5 * qml.Z(1)])
    autoencoder = kd.trained(encoder, _weights(encoder))
    images = np.random.default_rng(0).integers(0, 256, (20, 4, 4))
    phases = kd.QNN(2, 1, embedding="phase")
    models = {
        "classifier": kd.KDTrainer(iterations=3, batch_size=4).fit(_ANGLES, _DATA),
        "images": kd.trained(phases, _weights(phases), preprocessing=kd.datasets.fit_pipeline(images, "phase", 2)),
        "regressor": kd.trained(several, _weights(several), "regression", target_scale=[1.0, 2.0]),
        "autoencoder": autoencoder,
        "encoded": autoencoder.then(kd.trained(reader, _weights(reader), logit_scale=3.0)),
        "StronglyEntanglingLayers": kd.trained(_OWN["StronglyEntanglingLayers"], np.ones((2, 3, 3))),
        "named arrays": kd.trained(_OWN["named arrays"], {"layers": np.ones((2, 2)), "phase": 0.5}),
    }
    found = {}
    for name, model in models.items():
        model.save(folder / "it.safetensors")
        found[name] = (folder / "it.safetensors").read_bytes()
    return found


def read_model(path: Path, source: str) -> None:
    """Load it; what is loaded can be run, and saved again."""
    model = kd.load_model(path, network=_OWN.get(source))
    assert np.isfinite(model.weights).all()
    model.save(path)
    if len(model.network.wires) > _MOST_WIRES:
        return
    for width in (2, 3, 2 ** len(model.network.wires)):
        with suppress(QKDError):  # inputs of another width, or not bits
            model.outputs(np.eye(width)[:2], "lightning")
    with suppress(QKDError):
        model.outputs(np.zeros((2, 4, 4)), "lightning")


def _resumed(path: Path, optimizer: str, iterations: int) -> None:
    trainer = kd.KDTrainer(iterations=iterations, batch_size=2, optimizer=optimizer, device="lightning")
    watchers = [EarlyStopping("loss", patience=5), BestWeights("loss")]
    trainer.fit(_ANGLES, _DATA, checkpoint=path, callbacks=watchers)


def sound_checkpoints(folder: Path) -> Mapping[str, bytes]:
    """After two iterations, with callbacks that have a state."""
    found = {}
    for name in _OPTIMIZERS:
        _resumed(folder / name, name, iterations=2)
        found[name] = (folder / name).read_bytes()
    return found


def read_checkpoint(path: Path, source: str) -> None:
    """Go on with the run for one more iteration."""
    _resumed(path, source, iterations=3)
