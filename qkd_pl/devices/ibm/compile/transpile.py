"""Transpilation, once for each circuit structure: several seeds, the best circuit kept."""

import math
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any

from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import generate_preset_pass_manager


@dataclass(frozen=True, eq=False)
class Compiled:
    """A circuit of the backend's instruction set, and what it costs.

    Attributes:
        circuit: ISA circuit; it may have fewer parameters than the circuit it came from.
        columns: index, in the original parameter vector, of each of ``circuit.parameters``.
        layout: physical qubit of each wire at the end of the circuit.
        depth: layers of instructions, measurements included.
        two_qubit_gates: number of gates on two qubits.
        estimated_fidelity: see :func:`estimated_fidelity`; measured on all wires.
    """

    circuit: QuantumCircuit
    columns: tuple[int, ...]
    layout: tuple[int, ...]
    depth: int
    two_qubit_gates: int
    estimated_fidelity: float

    def observable(self, operator: SparsePauliOp) -> SparsePauliOp:
        """``operator`` on wires, moved to the physical qubits that hold them."""
        return operator.apply_layout(list(self.layout), num_qubits=self.circuit.num_qubits)


class Transpiler:
    """Compiles circuits for one backend and remembers every structure it has seen.

    Args:
        backend: Qiskit backend with a target.
        optimization_level: of Qiskit's preset pass managers, 0 to 3.
        attempts: seeds tried for each structure; routing is random, and on heavy-hex hardware a second look is
            cheap compared with a run.

    Attributes:
        count: structures transpiled so far.
    """

    def __init__(self, backend: Any, optimization_level: int = 3, attempts: int = 8) -> None:
        self.backend = backend
        self.optimization_level = optimization_level
        # Without a coupling map there is nothing to route, and every seed gives the same circuit.
        self.attempts = attempts if backend.coupling_map is not None else 1
        self.count = 0
        self._cache: dict[Hashable, Compiled] = {}

    def compile(self, structure: Hashable, circuit: QuantumCircuit) -> Compiled:
        """Compiled ``circuit``; ``structure`` identifies it among all circuits given to this transpiler."""
        if structure not in self._cache:
            self.count += 1
            candidates = (self._attempt(circuit, seed) for seed in range(self.attempts))
            self._cache[structure] = min(candidates, key=_badness)
        return self._cache[structure]

    def _attempt(self, circuit: QuantumCircuit, seed: int) -> Compiled:
        manager = generate_preset_pass_manager(
            optimization_level=self.optimization_level, backend=self.backend, seed_transpiler=seed
        )
        isa = manager.run(circuit)
        wires = isa.layout.final_index_layout() if isa.layout else range(circuit.num_qubits)
        return Compiled(
            circuit=isa,
            columns=tuple(parameter.index for parameter in isa.parameters),
            layout=tuple(wires),
            depth=isa.depth(),
            two_qubit_gates=two_qubit_gates(isa),
            estimated_fidelity=estimated_fidelity(isa, self.backend, wires),
        )


def two_qubit_gates(circuit: QuantumCircuit) -> int:
    """Number of gates on two qubits."""
    return sum(1 for instruction in circuit.data if _is_gate(instruction) and len(instruction.qubits) == 2)


def estimated_fidelity(circuit: QuantumCircuit, backend: Any, measured: Iterable[int] = ()) -> float:
    """Probability that no gate and no read-out errs, from the backend's reported error rates.

    The product over all gates of (1 − error), and over measured qubits of (1 − readout error). It knows neither
    crosstalk, nor idling, nor mitigation: good for comparing circuits, a rough guide to accuracy. 1.0 on a simulator
    without noise.

    Args:
        circuit: ISA circuit, with or without measurements.
        backend: backend whose calibration is used.
        measured: physical qubits that are read out besides those measured in ``circuit``.
    """
    calls = [(instruction.operation.name, _qubits(circuit, instruction)) for instruction in circuit.data]
    readouts = {qubits for name, qubits in calls if name == "measure"} | {(qubit,) for qubit in measured}
    gates = [(name, qubits) for name, qubits in calls if name not in ("measure", "barrier")]
    errors = [_error(backend, name, qubits) for name, qubits in [*gates, *(("measure", qubits) for qubits in readouts)]]
    return math.prod(1 - error for error in errors)


def _error(backend: Any, name: str, qubits: tuple[int, ...]) -> float:
    if name not in backend.target.operation_names:
        return 0.0
    properties = (backend.target[name] or {}).get(qubits)
    return (properties.error or 0.0) if properties else 0.0


def _qubits(circuit: QuantumCircuit, instruction: Any) -> tuple[int, ...]:
    return tuple(circuit.find_bit(qubit).index for qubit in instruction.qubits)


def _is_gate(instruction: Any) -> bool:
    return instruction.operation.name not in ("measure", "barrier", "delay", "reset")


def _badness(compiled: Compiled) -> tuple[int, int, float]:
    return compiled.two_qubit_gates, compiled.depth, -compiled.estimated_fidelity
