"""Observables as sums of Pauli words: hashable, and plain enough for a manifest."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pennylane as qml
from pennylane.operation import Operator

from qkd_pl.checks import kind_of
from qkd_pl.errors import InvalidInputError

#: Pairs of a word such as ``"Z0 X2"`` (the identity is ``""``) and its real coefficient.
PauliSum = tuple[tuple[str, float], ...]
_NEGLIGIBLE = 1e-14


def pauli_sum(observable: Any, n_qubits: int) -> PauliSum:
    """An observable on wires 0 to ``n_qubits - 1`` as a sum of Pauli words, in the order of the words.

    Args:
        observable: a PennyLane operator, or what this function returned before, also after a way through JSON.

    Raises:
        InvalidInputError: it is neither, not Hermitian, or acts on other wires.

    Example:
        >>> pauli_sum(2.0 * qml.Z(0) @ qml.X(2) + qml.Projector([0], wires=1), 3)
        (('', 0.5), ('Z0 X2', 2.0), ('Z1', 0.5))
    """
    if isinstance(observable, list | tuple):
        observable = operator_of(_words(observable))
    if not isinstance(observable, Operator):
        raise InvalidInputError(
            f"observables: {observable!r} is {kind_of(observable)}; it must be a PennyLane operator"
        )
    if strange := [wire for wire in observable.wires if wire not in range(n_qubits)]:
        raise InvalidInputError(
            f"observables: {observable} acts on wire {strange[0]!r}; the wires are 0 to {n_qubits - 1}"
        )
    sentence = observable.pauli_rep
    if sentence is None:
        try:
            matrix = qml.matrix(observable, wire_order=observable.wires)
            sentence = qml.pauli_decompose(matrix, wire_order=observable.wires, pauli=True, check_hermitian=False)
        except (ValueError, TypeError, qml.operation.MatrixUndefinedError) as error:
            raise InvalidInputError(f"observables: {observable} has no matrix ({error})") from error
    coefficients = {" ".join(f"{word[wire]}{wire}" for wire in sorted(word)): value for word, value in sentence.items()}
    if any(abs(np.imag(value)) > _NEGLIGIBLE for value in coefficients.values()):
        raise InvalidInputError(f"observables: {observable} is not Hermitian")
    kept = {word: float(np.real(value)) for word, value in coefficients.items() if abs(value) > _NEGLIGIBLE}
    return tuple(sorted(kept.items())) or (("", 0.0),)


def operator_of(words: PauliSum) -> Operator:
    """The PennyLane operator of a sum of Pauli words.

    Example:
        >>> operator_of((("Z0", 1.0),))
        Z(0)
    """
    factors = [_word(word) for word, _ in words]
    if len(factors) == 1 and words[0][1] == 1.0:
        return factors[0]
    return qml.dot([coefficient for _, coefficient in words], factors)


def _word(word: str) -> Operator:
    letters = [{"X": qml.X, "Y": qml.Y, "Z": qml.Z}[letter[0]](int(letter[1:])) for letter in word.split()]
    if not letters:
        return qml.Identity(0)
    return letters[0] if len(letters) == 1 else qml.prod(*letters)


def _words(stored: Sequence[Any]) -> PauliSum:
    try:
        return tuple((str(word), float(coefficient)) for word, coefficient in stored)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"observables: {stored!r} must be a list of pairs (Pauli word, coefficient)") from error
