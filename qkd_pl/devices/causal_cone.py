"""Dropping the gates that cannot influence any measured observable."""

from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from typing import Any

import pennylane as qml
from pennylane.measurements import CountsMP, ExpectationMP, MeasurementProcess, ProbabilityMP, SampleMP, VarianceMP
from pennylane.operation import Operator, StatePrepBase
from pennylane.ops import Adjoint, CompositeOp, Pow, SProd
from pennylane.ops.qubit import BasisStateProjector
from pennylane.tape import QuantumScript, QuantumScriptBatch
from pennylane.typing import PostprocessingFn, ResultBatch

DIAGONAL_GATES = frozenset(qml.ops.qubit.attributes.diagonal_in_z_basis) | {"Identity", "GlobalPhase"}
_DIAGONAL_OBSERVABLES = (qml.Z, qml.Identity, BasisStateProjector)
_NOT_A_GATE = (qml.ops.MidMeasure, qml.ops.Conditional, qml.Snapshot)
_MEASUREMENTS = (ExpectationMP, VarianceMP, ProbabilityMP, SampleMP, CountsMP)


class Reach(IntEnum):
    """How what is measured later depends on a wire: through Z only, or in any way."""

    DIAGONAL = 1
    ANY = 2


def needed_gates(gates: Sequence[tuple[Iterable[Any], bool]], reached: dict[Any, Reach]) -> list[bool]:
    """Which gates can influence what is measured.

    Going backwards, a gate is needed if it shares a wire with a measured observable or a later needed gate and does
    not commute with it. Two operators on a common wire count as commuting only if both are diagonal in Z, so that no
    needed gate is ever dropped.

    Args:
        gates: wires of each gate, and whether it is diagonal in Z.
        reached: wire → how the measured observables act on it; extended by the wires of needed gates.
    """
    needed = [False] * len(gates)
    for i in range(len(gates) - 1, -1, -1):
        wires, diagonal = gates[i]
        least = Reach.ANY if diagonal else Reach.DIAGONAL
        if any(reached.get(wire, 0) >= least for wire in wires):
            needed[i] = True
            for wire in wires:
                reached[wire] = max(reached.get(wire, Reach.DIAGONAL), Reach.DIAGONAL if diagonal else Reach.ANY)
    return needed


def measured_reach(measurements: Sequence[MeasurementProcess], all_wires: Iterable[Any]) -> dict[Any, Reach] | None:
    """How measurements depend on each wire; None if they involve more than the outcomes on their wires."""
    reached: dict[Any, Reach] = {}
    for measurement in measurements:
        if not isinstance(measurement, _MEASUREMENTS) or measurement.mv is not None:
            return None
        if measurement.obs is None:
            found: Iterable[tuple[Any, Reach]] = ((wire, Reach.DIAGONAL) for wire in measurement.wires or all_wires)
        else:
            found = _observed(measurement.obs)
        for wire, reach in found:
            reached[wire] = max(reach, reached.get(wire, reach))
    return reached


@qml.transform
def causal_cone(tape: QuantumScript) -> tuple[QuantumScriptBatch, PostprocessingFn]:
    """Drop the operations that cannot influence the measurements; results and gradients stay exact.

    Wires that nothing measured depends on disappear with them, except those of a state preparation on several wires.
    Templates are decomposed, so that their gates can be dropped one by one. Circuits with mid-circuit measurements, or
    which return states, are left alone. Parameters of dropped gates have gradient zero.
    """
    reached = measured_reach(tape.measurements, tape.wires)
    if reached is None or any(isinstance(op, _NOT_A_GATE) for op in tape.operations):
        return (tape,), _only_result
    gates = list(_gates(tape))
    needed = needed_gates([(op.wires.labels, _is_diagonal(op)) for op, _ in gates], reached)
    kept = [gate for gate, is_needed in zip(gates, needed, strict=True) if is_needed]
    if not any(_is_broadcast(op) for op, _ in kept):
        # Results must keep the dimension of the batch even if they do not depend on it.
        broadcast = [gate for gate in gates if _is_broadcast(gate[0])]
        kept = [*broadcast[:1], *kept]
    flags = [flag for _, of_gate in kept for flag in of_gate]
    first_measured = sum(len(op.data) for op in tape.operations)
    trainable = [i for i, flag in enumerate(flags) if flag]
    trainable += [i - first_measured + len(flags) for i in tape.trainable_params if i >= first_measured]
    return (tape.copy(operations=[op for op, _ in kept], trainable_params=trainable),), _only_result


def _observed(observable: Operator) -> Iterator[tuple[Any, Reach]]:
    if isinstance(observable, CompositeOp):
        for operand in observable.operands:
            yield from _observed(operand)
    elif isinstance(observable, SProd | Pow | Adjoint):  # on their base's wires alone; a controlled one is on more
        yield from _observed(observable.base)
    else:
        diagonal = isinstance(observable, _DIAGONAL_OBSERVABLES)
        yield from ((wire, Reach.DIAGONAL if diagonal else Reach.ANY) for wire in observable.wires)


def _gates(tape: QuantumScript) -> Iterator[tuple[Operator, list[bool]]]:
    """Operations with templates decomposed, and whether each of their parameters is trainable."""
    trainable, first = frozenset(tape.trainable_params), 0
    for op in tape.operations:
        flags = [first + i in trainable for i in range(len(op.data))]
        first += len(flags)
        if _is_template(op):
            yield from ((part, [any(flags)] * len(part.data)) for part in _decomposed(op))
        else:
            yield op, flags


def _is_template(op: Operator) -> bool:
    base = op.base if isinstance(op, Adjoint) else op
    return not base.has_matrix and not isinstance(base, StatePrepBase) and op.has_decomposition


def _decomposed(op: Operator) -> Iterator[Operator]:
    with qml.QueuingManager.stop_recording():
        parts = op.decomposition()
    for part in parts:
        yield from _decomposed(part) if _is_template(part) else [part]


def _is_broadcast(op: Operator) -> bool:
    return any(getattr(data, "shape", ()) != () for data in op.data) and op.batch_size is not None


def _is_diagonal(op: Operator) -> bool:
    return (op.base.name if isinstance(op, Adjoint) else op.name) in DIAGONAL_GATES


def _only_result(results: ResultBatch) -> Any:
    return results[0]
