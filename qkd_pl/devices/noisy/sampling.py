"""Finite numbers of shots: joint outcomes of everything that one measurement basis measures.

Outputs that share a basis come from the same shots, so that they scatter together: independent draws would get the
variance of a difference of two logits wrong.
"""

from collections.abc import Sequence
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
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


def sampled(circuit: NoisyCircuit, reading: Reading, generator: np.random.Generator) -> Any:
    """PennyLane's results of a tape with shots, or exact probabilities.

    Args:
        circuit: of the tape's structure.
        reading: the tape; its measurements are all estimated, or all sampled in the computational basis.
        generator: draws the outcomes.
    """
    if measures_values(reading.tape):
        values = _estimated(circuit, reading, generator)
    elif not reading.tape.shots:
        values = _exact(circuit, reading)
    else:
        values = _bits(circuit, reading, generator)
    return values[0] if len(values) == 1 else tuple(values)


def probabilities(circuit: NoisyCircuit, reading: Reading, basis: Basis) -> np.ndarray:
    """Exact probability ``(b, 2^w)`` of each outcome of a basis, its first qubit most significant."""
    effects = [circuit.effects(letter, qubit) for letter, qubit in zip(basis.letters, basis.qubits, strict=True)]
    width = len(basis.qubits)
    if width <= _FEW_QUBITS and 2**width <= (reading.batch or 1):
        found = circuit.expectations(reading, reduce(_outer, effects), basis.qubits)
    else:
        ends = circuit.final_states(reading, basis.qubits)
        found = ends.reshape(len(ends), *[4] * width)
        for effect in effects:
            # The axis read now moves to the end, so that all come round in order.
            found = np.tensordot(found, effect, axes=(1, 1))
        found = found.reshape(len(ends), -1)
    found = np.clip(found, 0.0, None)
    return found / found.sum(axis=1, keepdims=True)


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


def _estimated(circuit: NoisyCircuit, reading: Reading, generator: np.random.Generator) -> list[Any]:
    """Expectation values and variances from the frequencies of outcomes."""
    shots = reading.tape.shots.total_shots
    frequencies = {
        basis: generator.multinomial(shots, probabilities(circuit, reading, basis)) / shots
        for basis in bases_of([word for words in circuit.words for word in words], circuit.lowered.n_qubits)
    }
    batch = reading.batch or 1
    values = np.zeros((len(circuit.words), batch))
    for row, words in enumerate(circuit.words):
        for letters, places, weight in words:
            basis = next(each for each in frequencies if _measures(each, letters, places))
            values[row] += weight * frequencies[basis] @ _signs(basis, places)
    found = estimates(circuit.measured, values)
    return found if reading.batch is not None else [each[0] for each in found]


def _exact(circuit: NoisyCircuit, reading: Reading) -> list[Any]:
    """Exact probabilities of bit strings."""
    qubits = circuit.lowered.final
    joint = probabilities(circuit, reading, Basis(qubits, "Z" * len(qubits)))
    values = []
    for measurement in reading.tape.measurements:
        wires = list(measurement.wires) or list(range(len(qubits)))
        axes = [0, *(1 + wire for wire in wires)]
        rest = [1 + wire for wire in range(len(qubits)) if wire not in wires]
        found = (
            joint.reshape(len(joint), *[2] * len(qubits))
            .transpose([*axes, *rest])
            .reshape(len(joint), 2 ** len(wires), -1)
            .sum(axis=2)
        )
        values.append(found if reading.batch is not None else found[0])
    return values


def _bits(circuit: NoisyCircuit, reading: Reading, generator: np.random.Generator) -> list[Any]:
    """Probabilities, counts and samples from bit strings of all wires."""
    tape = reading.tape
    basis = Basis(circuit.lowered.final, "Z" * len(circuit.lowered.final))
    width = len(basis.qubits)
    outcomes = np.stack(
        [
            generator.choice(2**width, size=tape.shots.total_shots, p=row)
            for row in probabilities(circuit, reading, basis)
        ]
    )
    bits = (outcomes[..., None] >> np.arange(width)[::-1]) & 1
    own = bits if reading.batch is not None else bits[0]
    return [each.process_samples(own.astype(np.int64), Wires(range(width))) for each in tape.measurements]


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
