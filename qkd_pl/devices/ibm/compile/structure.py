"""A tape's structure, which is one circuit with parameters, apart from its numbers, which are rows of a table."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from pennylane.measurements import MeasurementProcess, VarianceMP
from pennylane.operation import Operator
from pennylane.tape import QuantumScript
from qiskit import ClassicalRegister, QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import PauliList, SparsePauliOp

from qkd_pl.devices.ibm.compile.observables import pauli_sentence, sparse_pauli_op, split_constant
from qkd_pl.devices.ibm.compile.tapes import is_sampled
from qkd_pl.devices.ibm.payload import REGISTER
from qkd_pl.upstream.plugin import QISKIT_OPERATION_MAP

_SKIPPED = ("GlobalPhase", "Identity")


@dataclass(frozen=True, eq=False)
class Expectation:
    """How to measure one observable: a constant plus, unless it is all, one operator on wires."""

    constant: float
    operator: SparsePauliOp | None

    @cached_property
    def key(self) -> Hashable:
        """Equal for equal observables."""
        if self.operator is None:
            return self.constant
        return self.constant, tuple(self.operator.to_list())


def expectations(measurement: MeasurementProcess, n_wires: int) -> tuple[Expectation, ...]:
    """The observable of an expectation value; the observable and its square for a variance."""
    sentence = pauli_sentence(measurement.obs)
    sentences = (sentence, sentence @ sentence) if isinstance(measurement, VarianceMP) else (sentence,)
    parts = [split_constant(each) for each in sentences]
    return tuple(Expectation(constant, sparse_pauli_op(rest, n_wires) if rest else None) for constant, rest in parts)


def estimates(measured: Sequence[tuple[Expectation, ...]], values: np.ndarray) -> list[np.ndarray]:
    """Expectation values and variances, each (rows,), from the operators' ``values`` (operators, rows)."""
    series = iter(values)
    results = []
    for parts in measured:
        means = [
            np.full(values.shape[1], part.constant) + (0 if part.operator is None else next(series)) for part in parts
        ]
        # Estimates scatter: where the variance is 0, its estimate may fall below.
        results.append(means[0] if len(means) == 1 else np.maximum(means[1] - means[0] ** 2, 0))
    return results


def circuit_key(tape: QuantumScript) -> Hashable:
    """Equal for tapes whose gates differ in angles only."""
    return tuple(
        (operation.name, tuple(operation.wires), *(_literal(value) for value in _literals(operation)))
        for operation in tape.operations
        if operation.name not in _SKIPPED
    )


def angles(tape: QuantumScript) -> np.ndarray:
    """All gate angles of ``tape``, in order: (rows, parameters), one row for each input of its batch."""
    columns = [value for operation in tape.operations for value in _angles(operation)]
    table = np.empty((tape.batch_size or 1, len(columns)))
    for index, column in enumerate(columns):
        table[:, index] = column
    return table


def parameterised_circuit(tape: QuantumScript, n_wires: int) -> QuantumCircuit:
    """``tape``'s gates on ``n_wires`` qubits, every angle a parameter; measured if its measurements are sampled."""
    circuit = QuantumCircuit(n_wires)
    # A vector sorts its parameters by index; single ones sort by name, p10 before p2.
    parameters = iter(ParameterVector("angle", sum(len(_angles(operation)) for operation in tape.operations)))
    for operation in tape.operations:
        if operation.name not in _SKIPPED:
            values = [next(parameters) for _ in _angles(operation)]
            gate = QISKIT_OPERATION_MAP[operation.name](*map(np.asarray, _literals(operation)), *values)
            # Qiskit reads a matrix's first qubit as the least significant, PennyLane as the most.
            circuit.append(gate, list(operation.wires)[:: -1 if operation.name == "QubitUnitary" else 1])
    if any(map(is_sampled, tape.measurements)):
        register = ClassicalRegister(n_wires, REGISTER)
        circuit.add_register(register)
        circuit.measure(range(n_wires), register)
    return circuit


def measured_wires(measured: Sequence[tuple[Expectation, ...]]) -> set[int]:
    """Wires on which some operator is not the identity."""
    operators = [part.operator for parts in measured for part in parts if part.operator is not None]
    words = [pauli for operator in operators for pauli in operator.paulis]
    return {int(wire) for word in words for wire in np.flatnonzero(word.x | word.z)}


def measurement_bases(operators: Sequence[SparsePauliOp]) -> int:
    """Circuits needed to measure ``operators``: groups of Pauli words that commute qubit by qubit."""
    if not operators:
        return 0
    words = sorted({label for operator in operators for label in operator.paulis.to_labels()})
    return len(PauliList(words).group_commuting(qubit_wise=True))


def _angles(operation: Operator) -> list[np.ndarray]:
    if operation.name in _SKIPPED or any(operation.ndim_params):
        return []
    return operation.parameters


def _literals(operation: Operator) -> list[np.ndarray]:
    return operation.parameters if any(operation.ndim_params) else []


def _literal(value: np.ndarray) -> Hashable:
    array = np.ascontiguousarray(value)
    return array.shape, array.dtype.str, array.tobytes()
