"""An autoencoder's encoder and a student in one circuit."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from qkd_pl.checks import kind_of
from qkd_pl.circuits.embeddings import embedding_of
from qkd_pl.circuits.preparations import Preparations
from qkd_pl.errors import InvalidInputError
from qkd_pl.networks.networks import QAE
from qkd_pl.networks.protocol import WeightsShape
from qkd_pl.networks.weights import checked_shape, inner_shape, split_weights


@dataclass(frozen=True)
class EncodedNetwork:
    """A student that acts on what an encoder keeps, without leaving the circuit in between.

    The student's observables act on the latent wires only. Their expectation values are those of the compressed states
    ρ_A = Tr_B[U|x⟩⟨x|U†], because nothing acts on the other wires any more.

    Attributes:
        encoder: a :class:`~qkd_pl.networks.networks.QAE`.
        student: a QNN or CircuitNetwork with ``embedding="state"`` on wires 0 to ``n_latent - 1``.

    Raises:
        InvalidInputError: the student takes something else than states of the latent qubits.
    """

    encoder: QAE
    student: Any

    def __post_init__(self) -> None:
        if not isinstance(self.encoder, QAE):
            raise InvalidInputError(f"encoder is {kind_of(self.encoder)}; it must be a QAE")
        n_latent = self.encoder.n_latent
        if getattr(self.student, "embedding", None) != "state" or not hasattr(self.student, "after_embedding"):
            raise InvalidInputError("student: must be a QNN or CircuitNetwork with embedding='state'")
        if list(self.student.wires) != list(range(n_latent)):
            raise InvalidInputError(
                f"student: has wires {list(self.student.wires)}; the autoencoder keeps {list(range(n_latent))}"
            )

    @property
    def wires(self) -> range:
        """The encoder's wires."""
        return self.encoder.wires

    @property
    def weights_shape(self) -> WeightsShape:
        """The arrays ``encoder`` and ``student``; the latter flat if the student's weights are named themselves."""
        return {
            "encoder": self.encoder.weights_shape,
            "student": inner_shape(checked_shape(self.student.weights_shape)),
        }

    @property
    def n_outputs(self) -> int:
        """The student's."""
        return self.student.n_outputs

    def encode(self, inputs: np.ndarray) -> Preparations:
        """Check state vectors ``(n, 2**n_qubits)`` and turn them into preparations."""
        return self.encoder.encode(inputs)

    def circuit(self, inputs: np.ndarray, weights: Any) -> Any:
        """The quantum function: state preparation, encoder, student."""
        embedding_of("state").apply(inputs, self.wires)
        self.encoder.ansatz.apply(weights["encoder"])
        return self.student.after_embedding(
            split_weights(weights["student"], checked_shape(self.student.weights_shape))
        )
