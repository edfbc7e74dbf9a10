"""From a tape to elements on physical qubits: compiled for a Qiskit backend, with the backend's noise."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from pennylane.tape import QuantumScript

from qkd_pl.devices.ibm.compile.structure import (
    Expectation,
    angles,
    circuit_key,
    measured_wires,
    parameterised_circuit,
)
from qkd_pl.devices.ibm.compile.transpile import Transpiler
from qkd_pl.devices.noisy.detectors import Detectors
from qkd_pl.devices.noisy.elements import Element, elements_of, remapped
from qkd_pl.devices.noisy.noise import QiskitNoise


@dataclass(frozen=True, eq=False)
class Lowered:
    """A circuit as it is simulated.

    Attributes:
        elements: in the order of time; their columns are those of the tape's angles.
        initial: physical qubit at which each wire enters.
        final: physical qubit at which each wire is measured.
        n_qubits: of the backend.
        circuit: the compiled Qiskit circuit, if there is one.
        columns: of the tape's angles, for each index of the Qiskit circuit's parameters.
    """

    elements: list[Element]
    initial: tuple[int, ...]
    final: tuple[int, ...]
    n_qubits: int
    circuit: Any = None
    columns: tuple[int, ...] = ()


class Lowering(Protocol):
    """Compiles tapes, and knows the detectors.

    Attributes:
        detectors: what they measure in place of each letter.
        is_noiseless: whether there is no error at all.
    """

    detectors: Detectors
    is_noiseless: bool

    def lower(self, tape: QuantumScript, n_wires: int, measured: tuple[tuple[Expectation, ...], ...]) -> Lowered:
        """The circuit of a tape with the number of its column in place of each angle.

        Args:
            tape: on wires 0, 1, …
            n_wires: of the device.
            measured: what is estimated; empty if bit strings of all wires are read.
        """


class BackendLowering:
    """The circuit that ``qkd.ibm`` would send, with the noise of the backend.

    Args:
        transpiler: for the backend.
        noise: of its gates and detectors.
    """

    def __init__(self, transpiler: Transpiler, noise: QiskitNoise) -> None:
        self._transpiler, self._noise = transpiler, noise
        self.detectors = Detectors(noise, transpiler.backend)
        self.is_noiseless = noise.is_noiseless

    def lower(self, tape: QuantumScript, n_wires: int, measured: tuple[tuple[Expectation, ...], ...]) -> Lowered:
        """See :class:`Lowering`."""
        columns = tuple(np.round(angles(tape)[0]).astype(int).tolist())
        circuit = parameterised_circuit(tape, n_wires)
        structure = circuit_key(tape), circuit.num_clbits > 0
        compiled = self._transpiler.compile(structure, circuit, measured_wires(measured))
        final = _read_qubits(compiled.circuit, n_wires) if circuit.num_clbits else compiled.layout
        elements = remapped(list(elements_of(compiled.circuit, self._noise)), columns)
        return Lowered(elements, compiled.initial_layout, final, compiled.circuit.num_qubits, compiled.circuit, columns)


def _read_qubits(circuit: Any, n_wires: int) -> tuple[int, ...]:
    """Physical qubit that is read for each wire, where bit strings are sampled."""
    places = {
        circuit.find_bit(each.clbits[0]).index: circuit.find_bit(each.qubits[0]).index
        for each in circuit.data
        if each.operation.name == "measure"
    }
    return tuple(places[wire] for wire in range(n_wires))
