"""What QNN and QAE measure."""

from itertools import product

import numpy as np
import pennylane as qml
from pennylane.measurements import ExpectationMP
from pennylane.operation import Operator


def class_logits(n_classes: int) -> list[ExpectationMP]:
    """⟨Z_k⟩ on wire k for each class k (Eqs. 1–2)."""
    return [qml.expval(qml.Z(wire)) for wire in range(n_classes)]


def latent_expectations(n_qubits: int, n_latent: int) -> list[ExpectationMP]:
    """⟨P⟩ for the 4^k Pauli words P of the first k wires, then ⟨P ⊗ |0⟩⟨0|⟩ with the projector on the other wires.

    The first half is the tomography of the compressed state; with the second it gives the fidelity
    (:func:`qkd_pl.circuits.readout.fidelity`).
    """
    words = latent_pauli_words(n_latent)
    trash = range(n_latent, n_qubits)
    zero = qml.Projector([0] * len(trash), wires=trash)
    return [qml.expval(word) for word in words] + [qml.expval(qml.prod(word, zero)) for word in words]


def latent_pauli_words(n_latent: int) -> list[Operator]:
    """The 4^k Pauli words of the first k wires, in the order II…I, II…X, …, ZZ…Z."""
    return [qml.pauli.string_to_pauli_word("".join(letters)) for letters in product("IXYZ", repeat=n_latent)]


def fidelity(expectations: np.ndarray) -> np.ndarray:
    """Fidelity of the autoencoder's reconstruction with its input, one value per sample (Eq. 10), shape ``(n,)``.

    With ρ_A the compressed state and N_A = ⟨0|_B U|x⟩⟨x|U† |0⟩_B the part that decoding with a fresh |0⟩ keeps,
    ⟨x| U†(ρ_A ⊗ |0⟩⟨0|)U |x⟩ = Tr[ρ_A N_A] = 2^-k Σ_P ⟨P⟩ ⟨P ⊗ |0⟩⟨0|_B⟩ over the 4^k Pauli words P of the k latent
    qubits. So the encoder's expectation values suffice, and no second register is needed.

    Args:
        expectations: shape ``(n, 2·4^k)``: the 4^k values ⟨P⟩, then the 4^k values ⟨P ⊗ |0⟩⟨0|⟩ in the same order.
    """
    compressed, kept = np.split(expectations, 2, axis=1)
    return (compressed * kept).sum(axis=1) / np.sqrt(compressed.shape[1])
