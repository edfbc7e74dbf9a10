"""What QNN and QAE measure, and how outputs become logits."""

from functools import cache
from itertools import product

import numpy as np
import pennylane as qml
from pennylane.measurements import ExpectationMP
from pennylane.operation import Operator

from qkd_pl.errors import InvalidInputError


def class_observables(n_classes: int, n_qubits: int) -> list[Operator]:
    """One observable for each class: Z on wire k (Eqs. 1–2), or 2|k⟩⟨k| - I where there are more classes than qubits.

    The projectors act on the first ⌈log₂ K⌉ wires, the class being read as a binary number. They are measured in one
    basis, and have values in [-1, 1] as Z has; for two classes on one qubit they are Z and -Z.

    Raises:
        InvalidInputError: the qubits have fewer than K states.

    Example:
        >>> class_observables(2, n_qubits=3)
        [Z(0), Z(1)]
        >>> [qml.matrix(each, wire_order=[0, 1]).diagonal().real.tolist() for each in class_observables(3, n_qubits=2)]
        [[1.0, -1.0, -1.0, -1.0], [-1.0, 1.0, -1.0, -1.0], [-1.0, -1.0, 1.0, -1.0]]
    """
    return list(_class_observables(n_classes, n_qubits))


@cache
def _class_observables(n_classes: int, n_qubits: int) -> tuple[Operator, ...]:
    """Made once: operators do not change, and a circuit of 7 qubits takes notice of how long they take to make."""
    if n_classes <= n_qubits:
        return tuple(qml.Z(wire) for wire in range(n_classes))
    n_bits = max(1, (n_classes - 1).bit_length())
    if n_bits > n_qubits:
        raise InvalidInputError(f"n_qubits={n_qubits}: too few for {n_classes} classes, which need {n_bits}")
    if n_bits == 1:
        return qml.Z(0), -1.0 * qml.Z(0)
    bits = [[k >> shift & 1 for shift in reversed(range(n_bits))] for k in range(n_classes)]
    return tuple(2.0 * qml.Projector(each, wires=range(n_bits)) - 1.0 * qml.Identity(0) for each in bits)


def logits_of(outputs: np.ndarray) -> np.ndarray:
    """Logits ``(n, K)`` from outputs ``(n, K)``; one output z stands for two classes, with logits (z, -z).

    Example:
        >>> logits_of(np.array([[0.25]])).tolist()
        [[0.25, -0.25]]
    """
    return np.concatenate([outputs, -outputs], axis=1) if outputs.shape[1] == 1 else outputs


def cotangent_of_outputs(cotangent: np.ndarray, n_outputs: int) -> np.ndarray:
    """The transpose of :func:`logits_of`: a cotangent of the logits → one of the outputs, ``(n, n_outputs)``."""
    return cotangent[:, :1] - cotangent[:, 1:] if n_outputs == 1 else cotangent


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
