"""How inputs enter a student that is narrower than they are."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from qkd_pl.networks.models import load_model


@dataclass(frozen=True)
class Entrance:
    """From the inputs of a search to those that a student's model takes.

    Attributes:
        features: how many leading ones the student takes; None for all.
        encoder_layers: of the autoencoder in front of the student; None without one.
        autoencoder: file of one that compresses the inputs classically, before the student's circuit; None if there is
            none, or if it is part of the circuit.
    """

    features: int | None = None
    encoder_layers: int | None = None
    autoencoder: Path | None = None

    def __call__(self, inputs: Any) -> np.ndarray:
        """Inputs for the student, ``(n, …)``: as they are, fewer features, or compressed states."""
        return self.by(None if self.autoencoder is None else load_model(self.autoencoder).compress)(inputs)

    def by(self, compress: Callable[[np.ndarray], np.ndarray] | None) -> Callable[[Any], np.ndarray]:
        """The same with an autoencoder that is at hand."""

        def entered(inputs: Any) -> np.ndarray:
            given = np.asarray(inputs)
            if self.features is not None:
                return given[:, : self.features]
            return given if compress is None else compress(given)

        return entered

    def __str__(self) -> str:
        if self.features is not None:
            return f"{self.features} leading features"
        if self.encoder_layers is None:
            return "whole"
        where = "in the circuit" if self.autoencoder is None else "classical"
        return f"autoencoder {where}"
