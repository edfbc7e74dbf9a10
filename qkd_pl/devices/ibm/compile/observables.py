"""PennyLane observables as sums of Pauli words, and those as Qiskit operators."""

from collections.abc import Sequence
from functools import reduce
from operator import matmul

import numpy as np
import pennylane as qml
from pennylane.operation import Operator
from pennylane.ops import Prod, SProd, Sum
from pennylane.pauli import PauliSentence, PauliWord
from qiskit.quantum_info import SparsePauliOp

from qkd_pl.errors import InvalidInputError

_ZERO = 1e-15


def pauli_sentence(observable: Operator) -> PauliSentence:
    """``observable`` as a sum of Pauli words.

    Sums and products are taken apart; a projector on k wires becomes 2^k words of Z, all measured in one basis. Any
    other observable is decomposed through its matrix.

    Raises:
        InvalidInputError: it has no matrix.
    """
    if (known := observable.pauli_rep) is not None:
        return known
    if isinstance(observable, Prod):
        return reduce(matmul, map(pauli_sentence, observable.operands))
    if isinstance(observable, Sum):
        return sum(map(pauli_sentence, observable.operands), PauliSentence())
    if isinstance(observable, SProd):
        return float(observable.scalar) * pauli_sentence(observable.base)
    if observable.name == "Projector" and observable.parameters[0].ndim == 1 and len(observable.wires) > 0:
        return _projector(observable)
    if not observable.has_matrix:
        raise InvalidInputError(f"observable {observable}: neither Pauli words nor a matrix")
    return _from_matrix(qml.matrix(observable, wire_order=observable.wires), observable.wires.tolist())


def sparse_pauli_op(sentence: PauliSentence, n_wires: int) -> SparsePauliOp:
    """``sentence`` on wires 0..n_wires−1 as a Qiskit operator; wire i is qubit i."""
    words = [("".join(word.values()), list(word), np.real(weight)) for word, weight in sentence.items()]
    return SparsePauliOp.from_sparse_list(words, num_qubits=n_wires)


def split_constant(sentence: PauliSentence) -> tuple[float, PauliSentence]:
    """The weight of the identity, which needs no measurement, and the rest, without vanishing words."""
    rest = PauliSentence({word: weight for word, weight in sentence.items() if word and abs(weight) > _ZERO})
    return float(np.real(sentence.get(PauliWord({}), 0.0))), rest


def _projector(observable: Operator) -> PauliSentence:
    """|b⟩⟨b| = ∏ (1 + (−1)^b Z) / 2 for a basis state, else through its matrix."""
    bits = np.asarray(observable.parameters[0])
    if len(bits) != len(observable.wires):
        return _from_matrix(qml.matrix(observable), observable.wires.tolist())
    factors = [
        PauliSentence({PauliWord({}): 0.5, PauliWord({wire: "Z"}): 0.5 - float(bit)})
        for wire, bit in zip(observable.wires, bits, strict=True)
    ]
    return reduce(matmul, factors)


def _from_matrix(matrix: np.ndarray, wires: Sequence[object]) -> PauliSentence:
    if not np.allclose(matrix, np.conj(matrix).T, rtol=0, atol=1e-10):
        raise InvalidInputError(f"observable on wires {wires} is not Hermitian")
    operator = SparsePauliOp.from_operator(matrix, atol=1e-14)
    words = zip(operator.paulis.to_labels(), operator.coeffs, strict=True)
    # The matrix's first wire is the most significant, as is the first letter of Qiskit's labels.
    return PauliSentence({_word(label, wires): float(np.real(weight)) for label, weight in words})


def _word(label: str, wires: Sequence[object]) -> PauliWord:
    return PauliWord({wire: letter for wire, letter in zip(wires, label, strict=True) if letter != "I"})
