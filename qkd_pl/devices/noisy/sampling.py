"""Finite numbers of shots, and exact probabilities of bit strings, from the joint distributions of a tape."""

from typing import Any

import numpy as np
from pennylane.tape import QuantumScript
from pennylane.wires import Wires

from qkd_pl.devices.ibm.compile.structure import estimates
from qkd_pl.devices.noisy import joint
from qkd_pl.devices.noisy.circuit import NoisyCircuit, Word, measures_values
from qkd_pl.devices.noisy.joint import Basis, Joint
from qkd_pl.devices.noisy.reading import Reading


class Outcomes:
    """What one tape's measurements find: its probabilities are found once, and drawn from as often as wanted.

    Args:
        circuit: of the tape's structure.
        reading: the tape.
    """

    def __init__(self, circuit: NoisyCircuit, reading: Reading) -> None:
        self._circuit, self._fingerprint = circuit, reading.fingerprint()
        self._is_batched, self._n_inputs = reading.batch is not None, reading.batch or 1
        # Of each word, by the number of its operator, the joint distribution that tells it.
        self._words: list[tuple[int, Word, int]] = []
        self._joints: list[Joint] = []
        if measures_values(reading.tape):
            self._join_words(reading)
        else:
            qubits = circuit.lowered.final
            self._joints.append(joint.of_qubits(circuit, reading, Basis(qubits, "Z" * len(qubits))))

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

    def _join_words(self, reading: Reading) -> None:
        """Each word is told from the first basis that measures it; bases that tell none are not read."""
        words = [(row, word) for row, words in enumerate(self._circuit.words) for word in words]
        bases = joint.bases_of([word for _, word in words], self._circuit.lowered.n_qubits)
        told_by: dict[Basis, list[tuple[int, Word]]] = {basis: [] for basis in bases}
        for row, word in words:
            told_by[next(basis for basis in bases if basis.measures(*word[:2]))].append((row, word))
        for basis, told in told_by.items():
            if told:
                self._words += [(row, word, len(self._joints)) for row, word in told]
                places = list(dict.fromkeys(frozenset(word[1]) for _, word in told))
                self._joints.append(joint.of_words(self._circuit, reading, basis, places))

    def _estimated(self, shots: int, generator: np.random.Generator) -> list[Any]:
        """Expectation values and variances from the frequencies of outcomes."""
        frequencies = [generator.multinomial(shots, each.probabilities) / shots for each in self._joints]
        values = np.zeros((len(self._circuit.words), self._n_inputs))
        for row, (_, places, weight), by in self._words:
            values[row] += weight * frequencies[by] @ self._joints[by].signs(places)
        found = estimates(self._circuit.measured, values)
        return found if self._is_batched else [each[0] for each in found]

    def _exact(self, tape: QuantumScript) -> list[Any]:
        """Exact probabilities of bit strings."""
        (whole,) = self._joints
        width = len(whole.bits)
        values = []
        for measurement in tape.measurements:
            wires = list(measurement.wires) or list(range(width))
            axes = [0, *(1 + wire for wire in wires)]
            rest = [1 + wire for wire in range(width) if wire not in wires]
            found = (
                whole.probabilities.reshape(-1, *[2] * width)
                .transpose([*axes, *rest])
                .reshape(self._n_inputs, 2 ** len(wires), -1)
                .sum(axis=2)
            )
            values.append(found if self._is_batched else found[0])
        return values

    def _bits(self, tape: QuantumScript, generator: np.random.Generator) -> list[Any]:
        """Probabilities, counts and samples from bit strings of all wires."""
        (whole,) = self._joints
        width, shots = len(whole.bits), tape.shots.total_shots
        outcomes = np.stack([generator.choice(2**width, size=shots, p=row) for row in whole.probabilities])
        bits = (outcomes[..., None] >> np.arange(width)[::-1]) & 1
        own = bits if self._is_batched else bits[0]
        return [each.process_samples(own.astype(np.int64), Wires(range(width))) for each in tape.measurements]
