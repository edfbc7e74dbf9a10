"""What happens to a tape before it is grouped with others: decomposed, measured by one primitive, still a batch."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pennylane as qml
from pennylane.measurements import CountsMP, ExpectationMP, MeasurementProcess, ProbabilityMP, SampleMP, VarianceMP
from pennylane.operation import Operator, StatePrepBase
from pennylane.tape import QuantumScript, QuantumScriptBatch
from pennylane.typing import Result, ResultBatch

from qkd_pl.devices.causal_cone import causal_cone
from qkd_pl.devices.ibm.compile.preparer import Preparation, StatePreparer
from qkd_pl.devices.ibm.compile.state_preparation import prepare_bits
from qkd_pl.errors import InvalidInputError
from qkd_pl.upstream.plugin import QISKIT_OPERATION_MAP

Postprocessing = Callable[[ResultBatch], Result]

# Barrier takes its width where others take angles; StatePrep's circuit would follow the data; Aer 0.17 binds the
# parameters of controlled rotations wrongly (qiskit-aer issues 2391 and 2403).
_EXCLUDED = {"Barrier", "StatePrep", "CRX", "CRY", "CRZ", "CPhase", "Adjoint(GlobalPhase)"}
GATES = frozenset(QISKIT_OPERATION_MAP) - _EXCLUDED | {"GlobalPhase"}


_NORM_TOLERANCE = 1e-6


def is_gate_or_state(operation: Operator) -> bool:
    """Whether decomposition stops at ``operation``."""
    return operation.name in GATES or isinstance(operation, StatePrepBase)


def is_sampled(measurement: MeasurementProcess) -> bool:
    """Whether the Sampler measures it: bit strings, not expectation values."""
    return isinstance(measurement, (ProbabilityMP, CountsMP, SampleMP))


def is_supported(measurement: MeasurementProcess) -> bool:
    """Whether the device can measure it with a number of shots."""
    return is_sampled(measurement) or is_estimated(measurement)


def is_estimated(measurement: MeasurementProcess) -> bool:
    """Whether the Estimator measures it: expectation values, and variances from those of the square."""
    return isinstance(measurement, (ExpectationMP, VarianceMP)) and measurement.obs is not None


@qml.transform
def check_shots(tape: QuantumScript, exact: bool, backend: str) -> tuple[QuantumScriptBatch, Postprocessing]:
    """Refuse what the backend cannot do: exact values with noise, shot vectors, partitioned shots."""
    if tape.shots.has_partitioned_shots:
        raise InvalidInputError(f"{tape.shots}: backend {backend!r} takes one number of shots for a circuit")
    if not tape.shots and not exact:
        raise InvalidInputError(f"shots=None: backend {backend!r} samples; set shots (exact values need backend 'aer')")
    if not tape.shots and not all(map(is_estimated, tape.measurements)):
        raise InvalidInputError("shots=None: only expval and var are exact here; set shots for probs, counts, sample")
    return (tape,), _only


@qml.transform
def deferred_measurements(tape: QuantumScript) -> tuple[QuantumScriptBatch, Postprocessing]:
    """Measurements in the middle of a circuit moved to its end, each onto a wire after those of the circuit.

    Raises:
        InvalidInputError: one of them selects its outcome, which no repetition of the circuit can be made to do.
    """
    measured = [operation for operation in tape.operations if isinstance(operation, qml.ops.MidMeasure)]
    if not measured:
        return (tape,), _only
    if any(operation.postselect is not None for operation in measured):
        raise InvalidInputError("a measurement with postselect cannot be deferred to the end of the circuit")
    tapes, join = qml.defer_measurements(tape)
    return tapes, join


@qml.transform
def standard_wires(tape: QuantumScript, wires: Any) -> tuple[QuantumScriptBatch, Postprocessing]:
    """Relabel the device's wires to 0, 1, …, in the device's order."""
    if list(wires) == list(range(len(wires))):
        return (tape,), _only
    (mapped,), _ = qml.map_wires(tape, {label: index for index, label in enumerate(wires)})
    return (mapped,), _only


@qml.transform
def one_primitive(tape: QuantumScript) -> tuple[QuantumScriptBatch, Postprocessing]:
    """Split into one tape for the Estimator and, for each measurement basis, one for the Sampler."""
    if all(map(is_estimated, tape.measurements)):
        return (tape,), _only
    estimated = [index for index, each in enumerate(tape.measurements) if is_estimated(each)]
    sampled = [index for index, each in enumerate(tape.measurements) if not is_estimated(each)]
    first = [tape.copy(measurements=[tape.measurements[index] for index in estimated])] if estimated else []
    rest, join = qml.transforms.split_non_commuting(
        tape.copy(measurements=[tape.measurements[index] for index in sampled])
    )
    tapes = [*first, *map(_diagonalized, rest)]

    def recombine(results: ResultBatch) -> Result:
        values = _as_tuple(results[0], len(estimated)) if estimated else ()
        bits = _as_tuple(join(results[len(first) :]), len(sampled))
        ordered = dict(zip([*estimated, *sampled], [*values, *bits], strict=True))
        return tuple(ordered[index] for index in sorted(ordered)) if len(ordered) > 1 else ordered[0]

    return tapes, recombine


@qml.transform
def fixed_state_preparation(tape: QuantumScript, preparer: StatePreparer) -> tuple[QuantumScriptBatch, Postprocessing]:
    """Replace states and basis states by gates whose angles, not whose structure, follow the data."""
    return (prepared(tape, preparer)[0],), _only


def prepared(tape: QuantumScript, preparer: StatePreparer) -> tuple[QuantumScript, list[Preparation]]:
    """``tape`` with gates instead of states and basis states, and how its states are prepared, in order."""
    if not any(isinstance(operation, StatePrepBase) for operation in tape.operations):
        return tape, []
    operations: list[Operator] = []
    preparations: list[Preparation] = []
    touched: set[Any] = set()
    for index, operation in enumerate(tape.operations):
        if isinstance(operation, StatePrepBase) and touched & set(operation.wires):
            raise InvalidInputError(f"{operation.name} on wires {operation.wires.tolist()} after gates on them")
        touched |= set(operation.wires)
        if not isinstance(operation, StatePrepBase):
            operations.append(operation)
        elif isinstance(operation, qml.BasisState):
            operations += prepare_bits(operation.parameters[0], operation.wires.tolist())
        else:
            order = starts_at_last(operation, tape, index)
            gates, preparation = preparer.prepare(amplitudes(operation), operation.wires.tolist(), from_last=order)
            operations += gates
            preparations.append(preparation)
    return tape.copy(operations=operations), preparations


@qml.transform
def expand_matrices(tape: QuantumScript) -> tuple[QuantumScriptBatch, Postprocessing]:
    """Take a batch apart where a matrix differs from input to input: matrices cannot be circuit parameters.

    States that enter from outside are no part of the circuit.
    """
    gates = (operation for operation in tape.operations if not isinstance(operation, StatePrepBase))
    if not any(operation.batch_size and any(operation.ndim_params) for operation in gates):
        return (tape,), _only
    tapes, join = qml.transforms.broadcast_expand(tape)
    return tapes, join


def amplitudes(operation: StatePrepBase) -> np.ndarray:
    """The state that an operation prepares, or each state of a batch: ``(2^k,)`` or ``(b, 2^k)``.

    Raises:
        InvalidInputError: one is not normalised.
    """
    data = operation.state_vector()
    states = data.reshape(*data.shape[: data.ndim - len(operation.wires)], -1)
    norms = np.linalg.norm(np.atleast_2d(states), axis=1)
    if (bad := np.flatnonzero(~(np.abs(norms - 1) < _NORM_TOLERANCE))).size:
        raise InvalidInputError(f"{operation.name}: state {bad[0]} has norm {norms[bad[0]]:.6g}; it must be 1")
    return states


def starts_at_last(operation: StatePrepBase, tape: QuantumScript, index: int) -> bool:
    """Whether fewer gates are needed if the staircase for operation ``index`` of a tape starts at its last wire."""
    wires = operation.wires.tolist()
    forwards, backwards = (_needed(order, tape, index) for order in (wires, wires[::-1]))
    return backwards < forwards


def _needed(wires: Sequence[Any], tape: QuantumScript, index: int) -> int:
    """How many gates of two staircases along ``wires``, in place of operation ``index``, the measurements depend on."""
    steps = [qml.CNOT(wires=pair) for pair in pairwise(wires)]
    rest = list(tape.operations[index + 1 :])
    (cone,), _ = causal_cone(tape.copy(operations=[*steps, *steps, *rest]))
    return sum(len(operation.wires) == 2 for operation in cone.operations)


def _diagonalized(tape: QuantumScript) -> QuantumScript:
    return tape.copy(operations=[*tape.operations, *tape.diagonalizing_gates])


def _as_tuple(result: Any, count: int) -> Sequence[Any]:
    return (result,) if count == 1 else result


def _only(results: ResultBatch) -> Result:
    return results[0]
