"""Observables as the device's detectors see them: noisy changes of basis, and flipped bits."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from qkd_pl.devices.noisy import transfer
from qkd_pl.devices.noisy.elements import Fixed, Noise, elements_of

_CHANGES = {"X": ("h",), "Y": ("sdg", "h"), "Z": ()}


class Detectors:
    """The Pauli vector that a detector measures in place of each letter.

    A letter X or Y is turned to Z first, by H or S†H in the backend's gates, each with its error, as Qiskit's
    estimators do.

    Args:
        noise: of the gates and detectors.
        backend: whose gates change the basis; None for H and S† themselves.
    """

    def __init__(self, noise: Noise, backend: Any = None) -> None:
        self._noise = noise
        self._backend = backend
        self._known: dict[tuple[str, int], np.ndarray] = {}

    def letter(self, letter: str, qubit: int) -> np.ndarray:
        """Pauli vector ``(4,)`` of what is measured on ``qubit`` for a letter of XYZ."""
        if (letter, qubit) not in self._known:
            vector = transfer.of_measurement(*self._noise.flips(qubit))
            for matrix in reversed(self._change_of_basis(letter, qubit)):
                vector = matrix.T @ vector
            self._known[letter, qubit] = vector
        return self._known[letter, qubit]

    def observable(self, words: Sequence[tuple[str, tuple[int, ...], float]], qubits: Sequence[int]) -> np.ndarray:
        """Pauli vector ``(4^m,)`` on ``qubits`` of a sum of words, each letters, their qubits and a weight."""
        total = np.zeros(4 ** len(qubits))
        for letters, places, weight in words:
            letter_of = dict(zip(places, letters, strict=True))
            vector = np.full(1, weight)
            for qubit in qubits:
                letter = letter_of.get(qubit, "I")
                single = np.eye(4)[0] if letter == "I" else self.letter(letter, qubit)
                vector = (vector[:, None] * single).ravel()
            total += vector
        return total

    def _change_of_basis(self, letter: str, qubit: int) -> list[np.ndarray]:
        if not (gates := _CHANGES[letter]):
            return []
        from qiskit import QuantumCircuit

        width = 1 + qubit if self._backend is None else self._backend.num_qubits
        circuit = QuantumCircuit(width)
        for gate in gates:
            getattr(circuit, gate)(qubit)
        if self._backend is not None:
            circuit = _single_qubit_gates(circuit, self._backend)
        return [element.matrix for element in elements_of(circuit, self._noise) if isinstance(element, Fixed)]


def _single_qubit_gates(circuit: Any, backend: Any) -> Any:
    """As :class:`qiskit.primitives.BackendEstimatorV2` makes its changes of basis."""
    from qiskit.transpiler import PassManager
    from qiskit.transpiler.passes import Optimize1qGatesDecomposition

    return PassManager([Optimize1qGatesDecomposition(target=backend.target)]).run(circuit)
