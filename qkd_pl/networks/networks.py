"""The networks of our ansatz, without their weights: QNN and QAE.

Both are frozen and hashable :class:`~qkd_pl.networks.protocol.Network` s, whose ``circuit`` is a PennyLane quantum
function that any device can run::

    qnode = qml.QNode(network.circuit, qml.device("default.qubit", wires=network.wires))
    qml.draw(qnode)(network.encode(inputs).circuit_inputs, weights)
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pennylane as qml
from pennylane.measurements import ExpectationMP
from pennylane.operation import Operator

from qkd_pl.checks import any_array, check_count
from qkd_pl.circuits.ansatz import Ansatz
from qkd_pl.circuits.embeddings import Embedding, embedding_of, encode
from qkd_pl.circuits.observables import operator_of, pauli_sum
from qkd_pl.circuits.preparations import Preparations
from qkd_pl.circuits.readout import class_observables, latent_expectations
from qkd_pl.errors import InvalidInputError


class _Layered:
    """What follows from the settings of the ansatz, whatever the circuit around it."""

    n_qubits: int
    n_layers: int
    rotations: str
    entangler: str
    topology: Any
    closing_rotations: bool

    @cached_property
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
    """A quantum neural network: embedding, ansatz, and one expectation value per output (Eqs. 1–2).

    Attributes:
        n_qubits, n_layers: size of the ansatz.
        n_classes: K; by default 2, or as many as there are ``observables``. The logit of class k is ⟨Z⟩ on wire k; with
            more classes than qubits ⟨2|k⟩⟨k| - I⟩ on the first ⌈log₂ K⌉ wires. All are in [-1, 1]. 1 is a single
            output: a number, or two classes with logits (z, -z).
        embedding: ``"state"``, ``"amplitude"``, ``"phase"``, ``"angle"`` or ``"basis"``
            (:data:`qkd_pl.circuits.embeddings.EMBEDDINGS`), or a :class:`~qkd_pl.circuits.embeddings.Embedding`.
        rotations, entangler, topology, closing_rotations: see :class:`qkd_pl.circuits.ansatz.Ansatz`.
        observables: PennyLane observables to measure instead, stored as sums of Pauli words; None for the above. A
            single one z tells two classes apart, with logits (z, -z).

    Raises:
        InvalidInputError: a setting is outside its range; the message names it and what is allowed.

    Example:
        >>> QNN(n_qubits=7, n_layers=2).weights_shape
        (3, 7, 3)
        >>> QNN(n_qubits=2, n_layers=1, n_classes=4).n_outputs
        4
        >>> parity = QNN(n_qubits=2, n_layers=1, observables=[qml.Z(0) @ qml.Z(1)])
        >>> parity.observables, parity.n_outputs, parity.n_classes
        (((('Z0 Z1', 1.0),),), 1, 2)
    """

    n_qubits: int
    n_layers: int
    n_classes: int | None = None
    embedding: str | Embedding = "state"
    rotations: str = "XYZ"
    entangler: str = "cz"
    topology: Any = "ring"
    closing_rotations: bool = True
    observables: Any = None

    def __post_init__(self) -> None:
        embedding_of(self.embedding)
        n_qubits = self.ansatz.n_qubits
        object.__setattr__(self, "topology", self.ansatz.topology)
        if self.observables is not None:
            object.__setattr__(self, "observables", _stored(self.observables, n_qubits))
        default = 2 if self.observables is None else max(2, len(self.observables))
        if self.n_classes is None:
            object.__setattr__(self, "n_classes", default)
        check_count("n_classes", self.n_classes)
        if self.observables is None:
            class_observables(self.n_classes, n_qubits)  # type: ignore[arg-type]
        elif self.n_classes != default:
            raise InvalidInputError(
                f"n_classes={self.n_classes}: must be {default}, with {len(self.observables)} in observables"
            )

    @property
    def n_outputs(self) -> int:
        """How many expectation values the circuit returns."""
        return self.n_classes if self.observables is None else len(self.observables)  # type: ignore[return-value]

    @property
    def readout(self) -> list[Operator]:
        """The measured observables, in the order of the outputs."""
        if self.observables is None:
            return class_observables(self.n_classes, self.n_qubits)  # type: ignore[arg-type]
        return [operator_of(words) for words in self.observables]

    def encode(self, inputs: np.ndarray) -> Preparations:
        """Check inputs, in the form of the embedding, and turn them into preparations for :meth:`circuit`."""
        return encode(self.embedding, inputs, self.n_qubits)

    def circuit(self, inputs: np.ndarray, weights: np.ndarray) -> list[ExpectationMP]:
        """The quantum function: ``inputs`` is one preparation or a batch ``(n, features)``; returns K expectations."""
        embedding_of(self.embedding).apply(inputs, qml.wires.Wires(self.wires))
        return self.after_embedding(weights)

    def after_embedding(self, weights: np.ndarray) -> list[ExpectationMP]:
        """The circuit behind the embedding: ansatz and readout."""
        self.ansatz.apply(weights)
        return [qml.expval(observable) for observable in self.readout]


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
    topology: Any = "ring"
    closing_rotations: bool = True

    def __post_init__(self) -> None:
        check_count("n_latent", self.n_latent, at_least=0)
        object.__setattr__(self, "topology", self.ansatz.topology)
        if not 1 <= self.n_latent < self.n_qubits:
            raise InvalidInputError(f"n_latent={self.n_latent}: must be 1 to n_qubits - 1 = {self.n_qubits - 1}")

    @property
    def n_outputs(self) -> int:
        """How many expectation values the circuit returns: 2·4^k."""
        return 2 * 4**self.n_latent

    @property
    def readout(self) -> list[Operator]:
        """The measured observables, in the order of the outputs."""
        return [expectation.obs for expectation in latent_expectations(self.n_qubits, self.n_latent)]

    def encode(self, inputs: np.ndarray) -> Preparations:
        """Check state vectors ``(n, 2**n_qubits)`` and turn them into preparations for :meth:`circuit`."""
        inputs = any_array("inputs", inputs)
        if inputs.ndim != 2:
            raise InvalidInputError(f"inputs have shape {inputs.shape}; the autoencoder takes (n, {2**self.n_qubits})")
        return encode("state", inputs, self.n_qubits)

    def circuit(self, inputs: np.ndarray, weights: np.ndarray) -> list[ExpectationMP]:
        """The quantum function: the 2·4^k expectations of :func:`~qkd_pl.circuits.readout.latent_expectations`."""
        embedding_of("state").apply(inputs, qml.wires.Wires(self.wires))
        self.ansatz.apply(weights)
        return latent_expectations(self.n_qubits, self.n_latent)


def _stored(observables: Any, n_qubits: int) -> tuple:
    if isinstance(observables, Operator) or not isinstance(observables, list | tuple) or not observables:
        raise InvalidInputError(f"observables={observables!r}: must be a list of at least one PennyLane observable")
    return tuple(pauli_sum(each, n_qubits) for each in observables)
