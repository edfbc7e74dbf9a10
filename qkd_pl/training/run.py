"""The state of one training run, as callbacks and checkpoints see it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pennylane as qml

from qkd_pl.devices.given import GivenDevice
from qkd_pl.devices.spec import DeviceSpec
from qkd_pl.networks.models import TrainedNetwork, trained
from qkd_pl.networks.networks import QAE
from qkd_pl.networks.protocol import Network


@dataclass
class Run:
    """Everything that changes during training, and what it needs to be continued.

    Attributes:
        network: what is trained.
        device: where its circuits run.
        settings: the trainer's settings and the name of the loss, JSON-able.
        iterations: how many iterations the run will have.
        weights: current weights in radians, float64, of the shape that holds the network's weights.
        optimizer: PennyLane's Adam with its moments.
        random: a generator for each use of randomness: ``batches`` and ``device`` (shots and SPSA directions).
        fingerprint: names and checksums of all that determines the run; a checkpoint fits only an equal one.
        iteration: iterations done so far.
        history: one JSON-able record per iteration done.
    """

    network: Network
    device: DeviceSpec | GivenDevice
    settings: Mapping[str, Any]
    iterations: int
    weights: np.ndarray
    optimizer: qml.AdamOptimizer
    random: Mapping[str, np.random.Generator]
    fingerprint: Mapping[str, Any]
    iteration: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)

    def model(self) -> TrainedNetwork:
        """The network with its present weights."""
        own = {} if isinstance(self.network, QAE) else {"logit_scale": self.settings["logit_scale"]}
        return trained(self.network, self.weights, training=self.settings, history=list(self.history), **own)
