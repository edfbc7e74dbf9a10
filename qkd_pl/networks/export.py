"""A model's circuit outside of this library: as a QNode, for Qiskit, and as OpenQASM.

Qiskit takes seconds to import, and is imported only when something is exported to it.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pennylane as qml
from pennylane.operation import StatePrepBase
from pennylane.tape import QuantumScript, make_qscript

from qkd_pl.errors import InvalidInputError

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.quantum_info import SparsePauliOp

_SEED = 20260321
_TOLERANCE = 1e-10


def bound_circuits(
    circuit: Callable, rows: np.ndarray, weights: np.ndarray, wires: Any
) -> "tuple[list[QuantumCircuit], list[SparsePauliOp]]":
    """A Qiskit circuit for each row of inputs, and the observables of its outputs; wire i is qubit i.

    Args:
        circuit: takes a row ``(features,)`` and weights.
        rows: shape ``(n, features)``.
        weights: as the circuit takes them.
        wires: of the network, in order.
    """
    from qkd_pl.devices.ibm.compile.structure import angles, parameterised_circuit

    tapes = [_tape(circuit, row, weights, wires) for row in rows]
    circuits = [parameterised_circuit(tape, len(wires)).assign_parameters(angles(tape)[0]) for tape in tapes]
    return circuits, _observables(tapes[0], len(wires))


def parameterised(
    circuit: Callable, row: np.ndarray, weights: np.ndarray, wires: Any
) -> "tuple[QuantumCircuit, list[SparsePauliOp]]":
    """One Qiskit circuit whose parameters ``inputs[i]`` are the features of a row, and the observables of its outputs.

    Every angle of the circuit must be a linear function of the features, plus a constant, as it is for angles, phases
    and bits, also scaled by weights. The functions are found from their values, and confirmed at one more place.

    Raises:
        InvalidInputError: an angle is another function of the inputs, or the circuit prepares a state.
    """
    from qiskit.circuit import ParameterVector

    from qkd_pl.devices.ibm.compile.structure import angles, circuit_key, parameterised_circuit

    if any(isinstance(op, StatePrepBase) for op in make_qscript(circuit)(row, weights).operations):
        raise InvalidInputError(
            "the circuit prepares a state, which has no parameters for its inputs; give one sample: to_qiskit(inputs)"
        )
    n = len(row)
    start, confirmation = np.random.default_rng(_SEED).uniform(0.1, 1.0, (2, n))
    tapes = [_tape(circuit, each, weights, wires) for each in (start, *(start + np.eye(n)), confirmation)]
    if any(circuit_key(tape) != circuit_key(tapes[0]) for tape in tapes):
        raise InvalidInputError("the circuit's gates depend on its inputs; give one sample: to_qiskit(inputs)")
    table = np.concatenate([angles(tape) for tape in tapes])
    slopes = table[1:-1] - table[0]
    constants = table[0] - start @ slopes
    if not np.allclose(constants + confirmation @ slopes, table[-1], rtol=0.0, atol=_TOLERANCE):
        raise InvalidInputError("an angle is not a linear function of the inputs; give one sample: to_qiskit(inputs)")
    slopes[np.abs(slopes) < _TOLERANCE] = 0.0
    features = ParameterVector("inputs", n)
    values = [
        sum((float(slopes[i, j]) * features[i] for i in np.flatnonzero(slopes[:, j])), start=float(constants[j]))
        for j in range(table.shape[1])
    ]
    exported = parameterised_circuit(tapes[0], len(wires)).assign_parameters(values)
    return exported, _observables(tapes[0], len(wires))


def _tape(circuit: Callable, row: np.ndarray, weights: np.ndarray, wires: Any) -> QuantumScript:
    """The circuit in Qiskit's gates, on wires 0, 1, …"""
    from pennylane.devices.preprocess import decompose

    from qkd_pl.devices.ibm.compile import tapes as preprocessing
    from qkd_pl.devices.ibm.compile.preparer import StatePreparer

    tape = make_qscript(circuit)(row, weights)
    (tape,), _ = preprocessing.standard_wires(tape, qml.wires.Wires(wires))
    (tape,), _ = decompose(
        tape,
        target_gates=set(preprocessing.GATES),
        stopping_condition=preprocessing.is_gate_or_state,
        skip_initial_state_prep=True,
        name="qiskit",
    )
    tape, _ = preprocessing.prepared(tape, StatePreparer("exact"))
    return tape


def _observables(tape: QuantumScript, n_wires: int) -> "list[SparsePauliOp]":
    from qkd_pl.devices.ibm.compile.observables import pauli_sentence, sparse_pauli_op

    return [sparse_pauli_op(pauli_sentence(measurement.obs), n_wires) for measurement in tape.measurements]
