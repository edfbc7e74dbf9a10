"""Models that compress states."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pennylane as qml

from qkd_pl.checks import kind_of
from qkd_pl.circuits.embeddings import encode
from qkd_pl.circuits.readout import fidelity, latent_pauli_words
from qkd_pl.devices.registry import AnyDevice
from qkd_pl.errors import InvalidInputError
from qkd_pl.networks.base import TrainedNetwork
from qkd_pl.networks.classification import TrainedQNN
from qkd_pl.networks.composed import EncodedNetwork
from qkd_pl.networks.networks import QAE
from qkd_pl.networks.regression import TrainedRegressor


@dataclass(frozen=True, eq=False)
class TrainedQAE(TrainedNetwork):
    """A trained quantum autoencoder: compresses states to ``n_latent`` qubits.

    Example:
        >>> from qkd_pl import trained
        >>> encoder = QAE(n_qubits=2, n_latent=1, n_layers=1, entangler="cz")
        >>> model = trained(encoder, np.zeros(encoder.weights_shape))  # a CZ gate, which leaves |00⟩ and |10⟩ alone
        >>> states = np.eye(4)[[0, 2, 1]]  # |00⟩, |10⟩, |01⟩: the second qubit is thrown away
        >>> model.fidelity(states).round(6).tolist()
        [1.0, 1.0, 0.0]
        >>> model.compress(states)[1].real.round(6).tolist()
        [[0.0, 0.0], [0.0, 1.0]]
        >>> model.decode(model.compress(states)).shape
        (3, 4, 4)
    """

    task = "compression"

    network: QAE

    def __post_init__(self) -> None:
        if not isinstance(self.network, QAE):
            raise InvalidInputError(f"task='compression': network is {kind_of(self.network)}; it must be a QAE")
        super().__post_init__()

    def compress(self, states: np.ndarray, device: AnyDevice = None) -> np.ndarray:
        """The compressed states ρ_A (Eq. 8), shape ``(n, 2**n_latent, 2**n_latent)`` complex128.

        Reconstructed from the expectation values of all Pauli words on the latent qubits. With a finite number of shots
        or on a noisy device the estimate is replaced by the nearest density matrix in the 2-norm (Smolin, Gambetta and
        Smith, Phys. Rev. Lett. 108, 070502, 2012).
        """
        expectations, _ = np.split(self.outputs(states, device), 2, axis=1)
        n_latent = self.network.n_latent
        words = np.stack([qml.matrix(word, wire_order=range(n_latent)) for word in latent_pauli_words(n_latent)])
        return _nearest_density_matrices(np.tensordot(expectations, words, axes=1) / 2**n_latent)

    def fidelity(self, states: np.ndarray, device: AnyDevice = None) -> np.ndarray:
        """⟨x| U†(ρ_A ⊗ |0⟩⟨0|)U |x⟩ for each state (Eq. 10), shape ``(n,)``.

        From 0 to 1; on a device with shots or noise, its error may carry it beyond.
        """
        return fidelity(self.outputs(states, device))

    def decode(self, compressed: np.ndarray) -> np.ndarray:
        """U†(ρ_A ⊗ |0⟩⟨0|)U (Eq. 9), computed exactly; shape ``(n, 2**n_qubits, 2**n_qubits)`` complex128.

        Args:
            compressed: density matrices ``(n, 2**n_latent, 2**n_latent)``.
        """
        network = self.network
        dimension = 2**network.n_qubits
        if len(compressed) == 0:
            return np.empty((0, dimension, dimension), dtype=np.complex128)
        kept = network.wires[: network.n_latent]
        batch = encode("state", compressed, len(kept))

        @qml.qnode(qml.device("default.qubit", wires=network.wires))
        def decoder(states: np.ndarray) -> Any:
            qml.StatePrep(states, wires=kept)
            qml.adjoint(network.ansatz.apply)(self.weights)
            return qml.density_matrix(network.wires)

        matrices = decoder(batch.circuit_inputs).reshape(*batch.weights.shape, dimension, dimension)
        return np.einsum("nr,nrij->nij", batch.weights, matrices)

    def then(self, student: TrainedQNN | TrainedRegressor) -> TrainedQNN | TrainedRegressor:
        """Encoder and student as one model on all wires, which takes the encoder's states; trainable further.

        Its outputs are those that the student gives for the compressed states, without their tomography in between:
        one circuit instead of one for each eigenstate of a compressed state. Its weights are named ``encoder`` and
        ``student``.

        Args:
            student: a classifier or regressor with ``embedding="state"`` on the ``n_latent`` wires that are kept.

        Raises:
            InvalidInputError: the student takes something else.

        Example:
            >>> from qkd_pl import QNN, trained
            >>> encoder, reader = QAE(n_qubits=3, n_latent=1, n_layers=1), QNN(n_qubits=1, n_layers=1)
            >>> autoencoder = trained(encoder, np.ones(encoder.weights_shape))
            >>> student = trained(reader, np.ones(reader.weights_shape))
            >>> whole, states = autoencoder.then(student), np.eye(8)[:2]
            >>> bool(np.allclose(whole.logits(states), student.logits(autoencoder.compress(states))))
            True
        """
        if not isinstance(student, TrainedQNN | TrainedRegressor):
            raise InvalidInputError(f"student is {kind_of(student)}; it must be a classifier or regressor")
        if self.preprocessing is not None or student.preprocessing is not None:
            raise InvalidInputError(
                "a model with preprocessing cannot be joined; leave it out: with_preprocessing(None)"
            )
        weights = np.concatenate([self.weights.ravel(), student.weights.ravel()])
        return type(student)(EncodedNetwork(self.network, student.network), weights, **student.settings())


def _nearest_density_matrices(matrices: np.ndarray) -> np.ndarray:
    """Project Hermitian matrices of trace 1 onto density matrices: water-filling of their eigenvalues."""
    values, vectors = np.linalg.eigh(matrices)
    descending = values[:, ::-1]
    excess = (np.cumsum(descending, axis=1) - 1.0) / np.arange(1, values.shape[1] + 1)
    last = np.count_nonzero(descending > excess, axis=1) - 1
    values = np.clip(values - np.take_along_axis(excess, last[:, None], axis=1), 0.0, None)
    return np.einsum("nik,nk,njk->nij", vectors, values, vectors.conj())
