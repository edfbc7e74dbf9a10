"""The last block of entanglers, moved from the circuit into the observables.

Entanglers of the ansatz are Clifford gates: they take a Pauli word to one other. With the rotations that follow them
they need not be run, if the words that they lead to are measured: ⟨Z⟩ behind closing rotations and a CZ becomes a sum
of three words. That is exact, saves the noise of these gates, and costs more measurement bases and more read-outs for
each word; whether it pays depends on device, shots and calibration.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from itertools import product
from typing import Any

import numpy as np
import pennylane as qml
from pennylane.operation import Operator
from pennylane.pauli import PauliSentence, PauliWord
from pennylane.tape import QuantumScript
from qiskit.transpiler import Target

from qkd_pl.devices.ibm.compile.batching import GroupedTapes
from qkd_pl.devices.ibm.compile.observables import pauli_sentence
from qkd_pl.devices.ibm.compile.transpile import estimated_fidelity

_ZERO = 1e-14
_PAULIS = {
    "I": np.eye(2),
    "X": np.array([[0, 1], [1, 0]]),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.diag([1, -1]),
}


@dataclass(frozen=True)
class Absorption:
    """What was expected of moving the last block into the observables, at equal QPU time.

    Attributes:
        chosen: whether it was moved.
        direct, absorbed: root mean square errors of the outputs, predicted without and with it.
    """

    chosen: bool
    direct: float
    absorbed: float

    def summary(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)

    def __str__(self) -> str:
        state = "moved into the observables" if self.chosen else "run"
        return (
            f"last entanglers {state}: predicted error of an output {self.absorbed:.3f} if moved, {self.direct:.3f} "
            "if run"
        )


def absorbed(tape: QuantumScript) -> QuantumScript | None:
    """``tape`` without its last block of entanglers and what follows it; None if there is none that can be moved.

    On each wire the block ends, going backwards, before the first single-qubit gate behind which an entangler was
    moved. Gates whose angles differ from input to input, and entanglers that are not Clifford gates, stay.

    Args:
        tape: gates with a matrix on one or two wires at its end, expectation values.
    """
    moved, kept, entanglers = _split(tape.operations)
    if not entanglers:
        return None
    measurements = []
    for measurement in tape.measurements:
        sentence = pauli_sentence(measurement.obs)
        for gate in moved:
            sentence = _evolved(sentence, gate)
        measurements.append(qml.expval(sentence.operation(wire_order=tape.wires)))
    return tape.copy(operations=kept, measurements=measurements)


def predicted_error(jobs: GroupedTapes, target: Target, mean_square: float, calibrated: bool) -> float:
    """Root mean square error of an output, from the estimated fidelity of each word and the number of shots.

    A word of fidelity f is taken to be f times its exact value: a bias of (1 − f) times the output if nothing corrects
    it, or a variance that grows by 1/f² if calibration does. Words count as independent, with the variance of a value
    near zero.

    Args:
        jobs: Estimator jobs with a number of shots.
        target: of the backend.
        mean_square: of the exact outputs.
        calibrated: whether outputs will be calibrated.
    """
    errors = []
    for payload in jobs.payloads:
        for pub in payload.pubs:
            for observable in pub.observables.ravel().tolist():
                weights = np.array(list(observable.values()))
                fidelities = np.array([_word_fidelity(pub.circuit, target, word) for word in observable])
                shares = weights**2 / np.sum(weights**2)
                signal = float(np.sum(shares * fidelities))
                variance = float(np.sum(weights**2)) / (payload.shots or np.inf)
                bias = 0.0 if calibrated else (1 - signal) ** 2 * mean_square
                errors.append(bias + (variance / signal**2 if calibrated and signal else variance))
    return float(np.sqrt(np.mean(errors)))


def _word_fidelity(circuit: Any, target: Target, word: str) -> float:
    return estimated_fidelity(circuit, target, [i for i, letter in enumerate(reversed(word)) if letter != "I"])


def _split(operations: Sequence[Operator]) -> tuple[list[Operator], list[Operator], int]:
    """Gates that are moved, the last one first; those that stay, in order; how many entanglers are moved."""
    moved: list[Operator] = []
    kept: list[Operator] = []
    closed: set[Any] = set()  # wires on which earlier gates stay
    entangled: set[Any] = set()  # wires on which an entangler was moved
    entanglers = 0
    for gate in reversed(operations):
        wires = set(gate.wires)
        is_entangler = len(wires) == 2
        may_move = not wires & closed and not gate.batch_size and gate.has_matrix and len(wires) in (1, 2)
        if may_move and (_is_clifford(gate) if is_entangler else not wires & entangled):
            moved.append(gate)
            if is_entangler:
                entanglers += 1
                entangled |= wires
        else:
            kept.insert(0, gate)
            closed |= wires
    return moved, kept, entanglers


def _is_clifford(gate: Operator) -> bool:
    images = _images(gate)
    return all(np.count_nonzero(np.abs(row) > _ZERO) == 1 for row in images)


def _evolved(sentence: PauliSentence, gate: Operator) -> PauliSentence:
    """U†OU, in the order of Heisenberg's picture."""
    wires = list(gate.wires)
    letters = list(product("IXYZ", repeat=len(wires)))
    images = _images(gate)
    result: dict[PauliWord, float] = {}
    for word, weight in sentence.items():
        row = letters.index(tuple(word.get(wire, "I") for wire in wires))
        rest = {wire: letter for wire, letter in word.items() if wire not in wires}
        for column in np.flatnonzero(np.abs(images[row]) > _ZERO):
            local = {wire: letter for wire, letter in zip(wires, letters[column], strict=True) if letter != "I"}
            new = PauliWord({**rest, **local})
            result[new] = result.get(new, 0.0) + float(np.real(weight)) * images[row, column]
    return PauliSentence({word: weight for word, weight in result.items() if abs(weight) > _ZERO})


def _images(gate: Operator) -> np.ndarray:
    """(4^k, 4^k): row P holds the Pauli coefficients of U†PU."""
    matrix = np.asarray(qml.matrix(gate, wire_order=gate.wires))
    words = [_kron(_PAULIS[letter] for letter in letters) for letters in product("IXYZ", repeat=len(gate.wires))]
    turned = [matrix.conj().T @ word @ matrix for word in words]
    return np.array([[np.real(np.trace(word @ each)) / len(matrix) for word in words] for each in turned])


def _kron(matrices: Iterable[np.ndarray]) -> np.ndarray:
    return reduce(np.kron, matrices)
