"""Finite numbers of shots: joint outcomes of everything that one measurement basis measures.

Outputs that share a basis come from the same shots, so that they scatter together: independent draws would get the
variance of a difference of two logits wrong.
"""

from collections.abc import Sequence
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from pennylane.tape import QuantumScript
from pennylane.wires import Wires
from qiskit.quantum_info import PauliList

from qkd_pl.devices.ibm.compile.structure import estimates
from qkd_pl.devices.noisy.circuit import NoisyCircuit, measures_values
from qkd_pl.devices.noisy.reading import Reading

# Up to this size all outcomes are observables that can be swept backwards; beyond it their Pauli vectors are too large.
_FEW_QUBITS = 6


class Basis(NamedTuple):
    """One measurement basis: physical qubits that are read, and the letter of each."""

    qubits: tuple[int, ...]
    letters: str


class Outcomes:
    """Exact probabilities of what one tape's measurements find: found once, drawn from as often as wanted.

    Args:
        circuit: of the tape's structure.
        reading: the tape.
    """

    def __init__(self, circuit: NoisyCircuit, reading: Reading) -> None:
        self._circuit, self._fingerprint = circuit, reading.fingerprint()
        self._is_batched, self._n_inputs = reading.batch is not None, reading.batch or 1
        self._of_basis = {basis: _probabilities(circuit, reading, basis) for basis in _bases(circuit, reading)}

    def are_of(self, circuit: NoisyCircuit, reading: Reading) -> bool:
        """Whether a tape has the same outcomes, whatever its shots."""
        return self._circuit is circuit and self._fingerprint == reading.fingerprint()

    def results(self, tape: QuantumScript, generator: np.random.Generator) -> Any:
        """PennyLane's results, drawn anew at each call, or exact probabilities.

        Args:
            tape: one that these are the outcomes of; its measurements are all estimated, or all sampled in the
                computational basis.
            generator: draws the outcomes.
        """
        if measures_values(tape):
            values = self._estimated(tape.shots.total_shots, generator)
        elif not tape.shots:
            values = self._exact(tape)
        else:
            values = self._bits(tape, generator)
        return values[0] if len(values) == 1 else tuple(values)

    def _estimated(self, shots: int, generator: np.random.Generator) -> list[Any]:
        """Expectation values and variances from the frequencies of outcomes."""
        frequencies = {basis: generator.multinomial(shots, joint) / shots for basis, joint in self._of_basis.items()}
        values = np.zeros((len(self._circuit.words), self._n_inputs))
        for row, words in enumerate(self._circuit.words):
            for letters, places, weight in words:
                basis = next(each for each in frequencies if _measures(each, letters, places))
                values[row] += weight * frequencies[basis] @ _signs(basis, places)
        found = estimates(self._circuit.measured, values)
        return found if self._is_batched else [each[0] for each in found]

    def _exact(self, tape: QuantumScript) -> list[Any]:
        """Exact probabilities of bit strings."""
        ((basis, joint),) = self._of_basis.items()
        width = len(basis.qubits)
        values = []
        for measurement in tape.measurements:
            wires = list(measurement.wires) or list(range(width))
            axes = [0, *(1 + wire for wire in wires)]
            rest = [1 + wire for wire in range(width) if wire not in wires]
            found = (
                joint.reshape(len(joint), *[2] * width)
                .transpose([*axes, *rest])
                .reshape(len(joint), 2 ** len(wires), -1)
                .sum(axis=2)
            )
            values.append(found if self._is_batched else found[0])
        return values

    def _bits(self, tape: QuantumScript, generator: np.random.Generator) -> list[Any]:
        """Probabilities, counts and samples from bit strings of all wires."""
        ((basis, joint),) = self._of_basis.items()
        width = len(basis.qubits)
        outcomes = np.stack([generator.choice(2**width, size=tape.shots.total_shots, p=row) for row in joint])
        bits = (outcomes[..., None] >> np.arange(width)[::-1]) & 1
        own = bits if self._is_batched else bits[0]
        return [each.process_samples(own.astype(np.int64), Wires(range(width))) for each in tape.measurements]


def bases_of(words: Sequence[tuple[str, tuple[int, ...], float]], n_qubits: int) -> list[Basis]:
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


def _bases(circuit: NoisyCircuit, reading: Reading) -> list[Basis]:
    """Those in which a tape measures its observables, or all wires for bit strings."""
    if measures_values(reading.tape):
        return bases_of([word for words in circuit.words for word in words], circuit.lowered.n_qubits)
    qubits = circuit.lowered.final
    return [Basis(qubits, "Z" * len(qubits))]


def _probabilities(circuit: NoisyCircuit, reading: Reading, basis: Basis) -> np.ndarray:
    """Of each outcome of a basis, ``(b, 2^w)``, its first qubit most significant."""
    effects = [circuit.effects(letter, qubit) for letter, qubit in zip(basis.letters, basis.qubits, strict=True)]
    width = len(basis.qubits)
    if width <= _FEW_QUBITS and 2**width <= (reading.batch or 1):
        # The last outcome's is what the others leave: for one output that halves the sweep.
        found = circuit.expectations(reading, reduce(_outer, effects)[:-1], basis.qubits)
        found = np.append(found, 1 - found.sum(axis=1, keepdims=True), axis=1)
    else:
        ends = circuit.final_states(reading, basis.qubits)
        found = ends.reshape(len(ends), *[4] * width)
        for effect in effects:
            # The axis read now moves to the end, so that all come round in order.
            found = np.tensordot(found, effect, axes=(1, 1))
        found = found.reshape(len(ends), -1)
    found = np.clip(found, 0.0, None)
    return found / found.sum(axis=1, keepdims=True)


def _signs(basis: Basis, places: Sequence[int]) -> np.ndarray:
    """+1 or −1 for each outcome: the parity of the bits at ``places``."""
    single = [np.array([1.0, -1.0]) if qubit in places else np.ones(2) for qubit in basis.qubits]
    return reduce(np.kron, single)


def _measures(basis: Basis, letters: str, places: Sequence[int]) -> bool:
    letter_of = dict(zip(basis.qubits, basis.letters, strict=True))
    return all(letter_of.get(qubit) == letter for letter, qubit in zip(letters, places, strict=True))


def _label(letters: str, places: Sequence[int], n_qubits: int) -> str:
    """As Qiskit writes a word, the last qubit first."""
    label = ["I"] * n_qubits
    for letter, qubit in zip(letters, places, strict=True):
        label[n_qubits - 1 - qubit] = letter
    return "".join(label)


def _outer(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Effects of more qubits, ``(outcomes, 4^k)``."""
    return np.einsum("ai,bj->abij", left, right).reshape(len(left) * len(right), -1)
