"""What a network looks like, without its weights: QNN and QAE.

Both are frozen and hashable, and offer the same four things: ``wires``, ``weights_shape``, ``encode`` for the inputs
and ``circuit``, a PennyLane quantum function that any device can run::

    qnode = qml.QNode(network.circuit, qml.device("default.qubit", wires=network.wires))
    qml.draw(qnode)(network.encode(inputs).circuit_inputs, weights)
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pennylane as qml
from pennylane.measurements import ExpectationMP

from qkd_pl.checks import check_count
from qkd_pl.circuits.ansatz import Ansatz
from qkd_pl.circuits.embeddings import EMBEDDINGS, Preparations, encode
from qkd_pl.circuits.readout import class_logits, latent_expectations
from qkd_pl.errors import InvalidInputError


class _Layered:
    """What follows from the settings of the ansatz, whatever the circuit around it."""

    n_qubits: int
    n_layers: int
    rotations: str
    entangler: str
    topology: str
    closing_rotations: bool

    @property
    def ansatz(self) -> Ansatz:
        """The trainable part of the circuit."""
        return Ansatz(
            self.n_qubits, self.n_layers, self.rotations, self.entangler, self.topology, self.closing_rotations
        )

    @property
    def wires(self) -> range:
        """The wires of the circuit, 0 being the most significant qubit of a state vector."""
        return range(self.n_qubits)

    @property
    def weights_shape(self) -> tuple[int, int, int]:
        """Shape of the weights, in radians: (blocks of rotations, qubits, rotations per block)."""
        return self.ansatz.weights_shape


@dataclass(frozen=True)
class QNN(_Layered):
    """A quantum neural network: embedding, ansatz, and one ⟨Z⟩ per class as logits (Eqs. 1–2).

    Attributes:
        n_qubits, n_layers: size of the ansatz; at least one qubit per class.
        n_classes: K; the logit of class k is ⟨Z⟩ on wire k, in [-1, 1].
        embedding: ``"state"``, ``"amplitude"``, ``"phase"``, ``"angle"`` or ``"basis"``
            (:data:`qkd_pl.circuits.embeddings.EMBEDDINGS`).
        rotations, entangler, topology, closing_rotations: see :class:`qkd_pl.circuits.ansatz.Ansatz`.

    Raises:
        InvalidInputError: a setting is outside its range; the message names it and what is allowed.

    Example:
        >>> QNN(n_qubits=7, n_layers=2).weights_shape
        (3, 7, 3)
    """

    n_qubits: int
    n_layers: int
    n_classes: int = 2
    embedding: str = "state"
    rotations: str = "XYZ"
    entangler: str = "cz"
    topology: str = "ring"
    closing_rotations: bool = True

    def __post_init__(self) -> None:
        if self.embedding not in EMBEDDINGS:
            raise InvalidInputError(f"embedding={self.embedding!r}: must be one of {sorted(EMBEDDINGS)}")
        check_count("n_classes", self.n_classes)
        if self.n_classes > self.ansatz.n_qubits:
            raise InvalidInputError(f"n_qubits={self.n_qubits}: too few for {self.n_classes} classes, one qubit each")

    @property
    def observables(self) -> list[str]:
        """Names of the measured observables, in the order of the outputs."""
        return [str(expectation.obs) for expectation in class_logits(self.n_classes)]

    def encode(self, inputs: np.ndarray) -> Preparations:
        """Check inputs, in the form of the embedding, and turn them into preparations for :meth:`circuit`."""
        return encode(self.embedding, inputs, self.n_qubits)

    def circuit(self, inputs: np.ndarray, weights: np.ndarray) -> list[ExpectationMP]:
        """The quantum function: ``inputs`` is one preparation or a batch ``(n, features)``; returns K expectations."""
        EMBEDDINGS[self.embedding].apply(inputs, qml.wires.Wires(self.wires))
        self.ansatz.apply(weights)
        return class_logits(self.n_classes)


@dataclass(frozen=True)
class QAE(_Layered):
    """A quantum autoencoder that keeps the first ``n_latent`` of ``n_qubits`` qubits (Eqs. 8–10).

    Only the encoder U is run: its expectation values determine the compressed state as well as the fidelity of decoding
    it with U† and fresh |0⟩ (:func:`qkd_pl.circuits.readout.fidelity`).

    Attributes:
        n_qubits, n_latent, n_layers: sizes, with 1 <= n_latent < n_qubits. 2·4^n_latent observables are measured.
        rotations, entangler, topology, closing_rotations: see :class:`qkd_pl.circuits.ansatz.Ansatz`.

    Raises:
        InvalidInputError: a setting is outside its range.

    Example:
        >>> QAE(n_qubits=7, n_latent=2, n_layers=12).weights_shape
        (13, 7, 3)
    """

    n_qubits: int
    n_latent: int
    n_layers: int
    rotations: str = "XYZ"
    entangler: str = "cz"
    topology: str = "ring"
    closing_rotations: bool = True

    def __post_init__(self) -> None:
        check_count("n_latent", self.n_latent, at_least=0)
        if not 1 <= self.n_latent < self.ansatz.n_qubits:
            raise InvalidInputError(f"n_latent={self.n_latent}: must be 1 to n_qubits - 1 = {self.n_qubits - 1}")

    @property
    def observables(self) -> list[str]:
        """Names of the measured observables, in the order of the outputs."""
        return [str(expectation.obs) for expectation in latent_expectations(self.n_qubits, self.n_latent)]

    def encode(self, inputs: np.ndarray) -> Preparations:
        """Check state vectors ``(n, 2**n_qubits)`` and turn them into preparations for :meth:`circuit`."""
        inputs = np.asarray(inputs)
        if inputs.ndim != 2:
            raise InvalidInputError(f"inputs have shape {inputs.shape}; the autoencoder takes (n, {2**self.n_qubits})")
        return encode("state", inputs, self.n_qubits)

    def circuit(self, inputs: np.ndarray, weights: np.ndarray) -> list[ExpectationMP]:
        """The quantum function: the 2·4^k expectations of :func:`~qkd_pl.circuits.readout.latent_expectations`."""
        EMBEDDINGS["state"].apply(inputs, qml.wires.Wires(self.wires))
        self.ansatz.apply(weights)
        return latent_expectations(self.n_qubits, self.n_latent)


Network = QNN | QAE
_KINDS = {"QNN": QNN, "QAE": QAE}


def to_manifest(network: Network) -> dict[str, Any]:
    """The network as a JSON-able dictionary."""
    return {"type": type(network).__name__, **asdict(network)}


def from_manifest(manifest: dict[str, Any]) -> Network:
    """The network that :func:`to_manifest` described."""
    settings = dict(manifest)
    kind = settings.pop("type")
    if kind not in _KINDS:
        raise InvalidInputError(f"network type {kind!r}: must be one of {sorted(_KINDS)}")
    return _KINDS[kind](**settings)
