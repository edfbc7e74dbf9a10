"""The joint distribution of what one measurement basis reads.

Outputs that share a basis come from the same shots, so that they scatter together: independent draws would get the
variance of a difference of two logits wrong.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product
from operator import xor
from typing import NamedTuple

import numpy as np
from qiskit.quantum_info import PauliList

from qkd_pl.devices.noisy.circuit import NoisyCircuit, Word
from qkd_pl.devices.noisy.reading import Reading

# Up to this number of bits all outcomes are observables that can be swept backwards; more would be too large, together.
_FEW_BITS = 6


class Basis(NamedTuple):
    """One measurement basis: physical qubits that are read, and the letter of each."""

    qubits: tuple[int, ...]
    letters: str

    def measures(self, letters: str, places: Sequence[int]) -> bool:
        """Whether a word can be told from the bits."""
        letter_of = dict(zip(self.qubits, self.letters, strict=True))
        return all(letter_of.get(qubit) == letter for letter, qubit in zip(letters, places, strict=True))


@dataclass(frozen=True, eq=False)
class Joint:
    """Exact probabilities of outcomes.

    Attributes:
        probabilities: ``(b, 2^w)``, the first bit most significant.
        bits: for each bit of an outcome, the qubits whose parity it is: one each, or the words that are asked for.
    """

    probabilities: np.ndarray
    bits: tuple[frozenset[int], ...]

    def signs(self, places: Iterable[int]) -> np.ndarray:
        """+1 or −1 for each outcome: the parity of the qubits ``places``."""
        word = frozenset(places)
        parts = {word} if word in self.bits else {frozenset([qubit]) for qubit in word}
        single = [np.array([1.0, -1.0]) if bit in parts else np.ones(2) for bit in self.bits]
        return reduce(np.kron, single)


def bases_of(words: Iterable[Word], n_qubits: int) -> list[Basis]:
    """The fewest bases found in which all words can be measured, as the Estimator groups them."""
    labels = sorted({_label(letters, places, n_qubits) for letters, places, _ in words})
    bases = []
    for group in PauliList(labels).group_commuting(qubit_wise=True) if labels else ():
        letter_of: dict[int, str] = {}
        for label in group.to_labels():
            letter_of |= {n_qubits - 1 - i: letter for i, letter in enumerate(label) if letter != "I"}
        qubits = tuple(sorted(letter_of))
        bases.append(Basis(qubits, "".join(letter_of[qubit] for qubit in qubits)))
    return bases


def of_words(circuit: NoisyCircuit, reading: Reading, basis: Basis, words: Sequence[frozenset[int]]) -> Joint:
    """Of all qubits of a basis, or, where they are many, of a few words' parities alone.

    Args:
        circuit: of the tape's structure.
        reading: the tape.
        basis: in which they are measured.
        words: qubits of each, different from one another.
    """
    few_inputs = (reading.batch or 1) < 2 ** len(words)  # then it is quicker to sweep them
    if len(basis.qubits) <= _FEW_BITS or len(words) > _FEW_BITS or few_inputs:
        return of_qubits(circuit, reading, basis)
    # P(s) = 2^−K Σ_S Π_{k∈S} s_k ⟨Π_{k∈S} W_k⟩, and a qubit that two words share drops out of their product.
    products = [_product(words, chosen) for chosen in product((False, True), repeat=len(words))]
    different = sorted({each for each in products if each}, key=sorted)
    at_once = circuit.room(reading, len(different), basis.qubits)
    observables = np.stack([circuit.parity(each, basis.letters, basis.qubits) for each in different])
    means = circuit.expectations(reading, observables, basis.qubits, at_once)
    column = dict(zip(different, means.T, strict=True)) | {frozenset(): np.ones(len(means))}
    signs = reduce(np.kron, [np.array([[1.0, 1.0], [1.0, -1.0]])] * len(words))
    found = np.stack([column[each] for each in products], axis=1) @ signs
    return Joint(_normalised(found), tuple(words))


def of_qubits(circuit: NoisyCircuit, reading: Reading, basis: Basis) -> Joint:
    """Of all qubits of a basis."""
    effects = [circuit.effects(letter, qubit) for letter, qubit in zip(basis.letters, basis.qubits, strict=True)]
    width = len(basis.qubits)
    if width <= _FEW_BITS and 2**width <= (reading.batch or 1):
        # The last outcome's is what the others leave: for one output that halves the sweep.
        at_once = circuit.room(reading, 2**width - 1, basis.qubits)
        found = circuit.expectations(reading, reduce(_outer, effects)[:-1], basis.qubits, at_once)
        found = np.append(found, 1 - found.sum(axis=1, keepdims=True), axis=1)
    else:
        ends = circuit.final_states(reading, basis.qubits)
        found = ends.reshape(len(ends), *[4] * width)
        for effect in effects:
            # The axis read now moves to the end, so that all come round in order.
            found = np.tensordot(found, effect, axes=(1, 1))
        found = found.reshape(len(ends), -1)
    return Joint(_normalised(found), tuple(frozenset([qubit]) for qubit in basis.qubits))


def _product(words: Sequence[frozenset[int]], chosen: Sequence[bool]) -> frozenset[int]:
    return reduce(xor, (word for word, taken in zip(words, chosen, strict=True) if taken), frozenset())


def _normalised(found: np.ndarray) -> np.ndarray:
    found = np.clip(found, 0.0, None)
    return found / found.sum(axis=1, keepdims=True)


def _label(letters: str, places: Sequence[int], n_qubits: int) -> str:
    """As Qiskit writes a word, the last qubit first."""
    label = ["I"] * n_qubits
    for letter, qubit in zip(letters, places, strict=True):
        label[n_qubits - 1 - qubit] = letter
    return "".join(label)


def _outer(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Effects of more qubits, ``(outcomes, 4^k)``."""
    return np.einsum("ai,bj->abij", left, right).reshape(len(left) * len(right), -1)
