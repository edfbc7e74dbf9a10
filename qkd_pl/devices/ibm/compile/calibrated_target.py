"""What a backend says of its qubits, made safe to choose a layout by: no excluded qubits, no missing error rates."""

import math
from collections.abc import Collection
from statistics import median
from typing import Any

from qiskit.circuit import Measure
from qiskit.transpiler import InstructionProperties, Target


def layout_target(backend: Any, excluded: Collection[int] = (), without: Collection[str] = ()) -> Target:
    """The backend's target, or a copy without the excluded qubits and with every error rate a number.

    An error rate that is missing or NaN, where the same instruction has one elsewhere, is taken to be the median of
    those: left alone, it would count as perfect. Calibrations that fail are reported with rate 1 or without any. Where
    measurements are missing, as in the oldest snapshots of devices, every qubit gets one.

    Args:
        backend: Qiskit backend.
        excluded: physical qubits that no circuit may use.
        without: names of instructions that are left out.
    """
    target = backend.target
    properties = {name: target[name] for name in target.operation_names if name not in without}
    measures = "measure" in properties
    if measures and not excluded and not without and not any(_has_gaps(each) for each in properties.values()):
        return target
    copy = Target(
        description=target.description,
        num_qubits=target.num_qubits,
        dt=target.dt,
        granularity=target.granularity,
        min_length=target.min_length,
        pulse_alignment=target.pulse_alignment,
        acquire_alignment=target.acquire_alignment,
        qubit_properties=target.qubit_properties,
        concurrent_measurements=target.concurrent_measurements,
    )
    for name, of_qubits in properties.items():
        operation = target.operation_from_name(name)
        if of_qubits is None or None in of_qubits:
            copy.add_instruction(operation, name=name)
            continue
        kept = {qubits: each for qubits, each in of_qubits.items() if not set(qubits) & set(excluded)}
        copy.add_instruction(operation, _filled(kept), name=name)
    if not measures:
        qubits = range(target.num_qubits or 0)
        copy.add_instruction(Measure(), {(qubit,): None for qubit in qubits if qubit not in excluded})
    return copy


def error_rate(properties: InstructionProperties | None) -> float | None:
    """The error rate, at most 1; None if there is none or it is NaN."""
    error = None if properties is None else properties.error
    return None if error is None or math.isnan(error) else min(error, 1.0)


def _has_gaps(of_qubits: dict | None) -> bool:
    rates = [error_rate(each) for each in (of_qubits or {}).values()]
    return None in rates and any(rate is not None for rate in rates)


def _filled(of_qubits: dict) -> dict:
    known = [rate for each in of_qubits.values() if (rate := error_rate(each)) is not None]
    typical = median(known) if known else None
    return {qubits: _with_error(each, typical) for qubits, each in of_qubits.items()}


def _with_error(properties: InstructionProperties | None, typical: float | None) -> InstructionProperties:
    rate = error_rate(properties)
    duration = None if properties is None else properties.duration
    return InstructionProperties(duration=duration, error=typical if rate is None else rate)
