"""The state of one training run, as callbacks and checkpoints see it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pennylane as qml

from qkd_pl.devices.given import GivenDevice
from qkd_pl.devices.spec import DeviceSpec
from qkd_pl.networks.models import Model, trained
from qkd_pl.networks.networks import QAE
from qkd_pl.networks.protocol import Network

# What a model of each task needs beside its weights.
_OF_TASK = ("logit_scale", "target_scale", "target_offset")


@dataclass
class Run:
    """Everything that changes during training, and what it needs to be continued.

    Attributes:
        network: what is trained.
        device: where its circuits run.
        settings: what the model will say of its training: settings of the trainer, loss, task; JSON-able.
        iterations: how many iterations the run will have, unless it is stopped.
        weights: current weights in radians, float64, of shape ``network.weights_shape``.
        optimizer: PennyLane's, with what it remembers of earlier steps.
        random: a generator for each use of randomness: ``batches``, ``device`` (shots and SPSA directions) and
            ``validation`` (shots).
        fingerprint: names and checksums of all that determines the run; a checkpoint fits only an equal one.
        iteration: iterations done so far.
        history: one JSON-able record per iteration done.
        stopped: whether :meth:`stop` was called.
    """

    network: Network
    device: DeviceSpec | GivenDevice
    settings: Mapping[str, Any]
    iterations: int
    weights: np.ndarray
    optimizer: qml.GradientDescentOptimizer
    random: Mapping[str, np.random.Generator]
    fingerprint: Mapping[str, Any]
    iteration: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    stopped: bool = False

    def stop(self) -> None:
        """End the training after this iteration; a checkpoint remembers it."""
        self.stopped = True

    def model(self) -> Model:
        """The network with its present weights."""
        of_task = {name: self.settings[name] for name in _OF_TASK if name in self.settings}
        task: Any = "compression" if isinstance(self.network, QAE) else self.settings["task"]
        return trained(self.network, self.weights, task, training=self.settings, history=list(self.history), **of_task)
