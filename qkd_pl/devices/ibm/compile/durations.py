"""How long one shot of a compiled circuit takes on hardware."""

from collections.abc import Iterable, Mapping
from typing import Any

from qiskit import ClassicalRegister, QuantumCircuit
from qiskit.exceptions import QiskitError
from qiskit.transpiler import Target

#: Default pause between shots on IBM's backends, in seconds.
REPETITION_DELAY = 0.00025


def shot_seconds(
    circuit: QuantumCircuit, target: Target, measured: Iterable[int] = (), options: Mapping[str, Any] | None = None
) -> float | None:
    """Seconds of one shot: reset, gates, read-out, and the pause before the next; None if durations are not known.

    Gates on different qubits run side by side, as early as they can. The rotations before measurements of X and Y, a
    few tens of nanoseconds, are not counted, nor is what the service does before and after.

    Args:
        circuit: ISA circuit, with or without measurements.
        target: of the backend; says how long each instruction takes.
        measured: physical qubits that are read out besides those measured in ``circuit``.
        options: of the payload; ``execution.rep_delay`` (seconds) and ``execution.init_qubits`` count.
    """
    execution = (options or {}).get("execution", {})
    timed = _with_measurements(circuit, sorted(measured))
    try:
        running = timed.estimate_duration(target, unit="s")
    except QiskitError:
        return None
    pause = execution.get("rep_delay")
    resets = execution.get("init_qubits") in (None, True)
    return running + (_reset_seconds(target) if resets else 0.0) + (REPETITION_DELAY if pause is None else pause)


def _with_measurements(circuit: QuantumCircuit, qubits: list[int]) -> QuantumCircuit:
    if not qubits:
        return circuit
    timed = QuantumCircuit(*circuit.qregs, *circuit.cregs)
    for instruction in circuit.data:
        timed.append(instruction)
    register = ClassicalRegister(len(qubits))
    timed.add_register(register)
    timed.barrier(qubits)
    timed.measure(qubits, register)
    return timed


def _reset_seconds(target: Target) -> float:
    """Of the slowest qubit: all are reset at once."""
    if "reset" not in target.operation_names:
        return 0.0
    resets = (target["reset"] or {}).values()
    return max((each.duration for each in resets if each is not None and each.duration), default=0.0)
