"""Transpilation, once for each circuit structure: several seeds, the best circuit kept."""

import math
from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from qiskit import ClassicalRegister, QuantumCircuit
from qiskit.circuit import ParameterExpression
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import Target, generate_preset_pass_manager

from qkd_pl.devices.ibm.compile.calibrated_target import error_rate, layout_target
from qkd_pl.errors import InvalidInputError

_READOUT = "read-out"  # label of the barrier before the measurements that are taken away again


@dataclass(frozen=True, eq=False)
class Compiled:
    """A circuit of the backend's instruction set, and what it costs.

    Attributes:
        circuit: ISA circuit; it may have fewer parameters than the circuit it came from.
        columns: index, in the original parameter vector, of each of ``circuit.parameters``.
        initial_layout: physical qubit of each wire at the start of the circuit.
        layout: physical qubit of each wire at its end.
        depth: layers of instructions, measurements included if the circuit has any.
        two_qubit_gates: number of gates on two qubits.
        estimated_fidelity: see :func:`estimated_fidelity`; of the measured wires.
    """

    circuit: QuantumCircuit
    columns: tuple[int, ...]
    initial_layout: tuple[int, ...]
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
        initial_layout: physical qubits of wires 0, 1, …, instead of those that the transpiler would choose.
        excluded_qubits: physical qubits that no circuit may use.

    Attributes:
        count: structures transpiled so far.

    Raises:
        InvalidInputError: the layout names a qubit twice, or one that does not exist or is excluded.
    """

    def __init__(
        self,
        backend: Any,
        optimization_level: int = 3,
        attempts: int = 8,
        initial_layout: Sequence[int] | None = None,
        excluded_qubits: Collection[int] = (),
    ) -> None:
        _check_qubits(backend.num_qubits, initial_layout, excluded_qubits)
        self.backend = backend
        self.optimization_level = optimization_level
        # Without a coupling map there is nothing to route: every seed, and every readout, gives the same circuit.
        self._routes = backend.coupling_map is not None
        self.attempts = attempts if self._routes else 1
        self.initial_layout = initial_layout
        self.target = layout_target(backend, excluded_qubits)
        self._without_rzz: Target | None = None
        if self._routes and _has_other_entangler(self.target):
            self._without_rzz = layout_target(backend, excluded_qubits, without=("rzz",))
        self.count = 0
        self._cache: dict[Hashable, Compiled] = {}

    def compile(self, structure: Hashable, circuit: QuantumCircuit, measured: Iterable[int] = ()) -> Compiled:
        """Compiled ``circuit``, the attempt of the highest estimated fidelity.

        Args:
            structure: identifies ``circuit`` among all those given to this transpiler.
            circuit: on wires, with its measurements if the Sampler runs it.
            measured: wires that the Estimator will read out. The layout is chosen as if they were measured.
        """
        wires = tuple(sorted(measured)) if self._routes else ()
        if (key := (structure, wires)) not in self._cache:
            self.count += 1
            candidates = (self._attempt(circuit, wires, seed) for seed in range(self.attempts))
            self._cache[key] = min(candidates, key=_badness)
        return self._cache[key]

    def _attempt(self, circuit: QuantumCircuit, measured: Sequence[int], seed: int) -> Compiled:
        isa = self._isa(circuit, measured, seed, self.target)
        if self._without_rzz is not None and _has_open_rzz(isa):
            # Hardware runs RZZ from 0 to π/2 only, and what a parameter will be is not known here.
            isa = self._isa(circuit, measured, seed, self._without_rzz)
        straight = tuple(range(circuit.num_qubits))
        initial = tuple(isa.layout.initial_index_layout(filter_ancillas=True)) if isa.layout else straight
        final = tuple(isa.layout.final_index_layout()) if isa.layout else straight
        if measured:
            isa = _without_readout(isa)
        return Compiled(
            circuit=isa,
            columns=tuple(parameter.index for parameter in isa.parameters),
            initial_layout=initial,
            layout=final,
            depth=isa.depth(),
            two_qubit_gates=two_qubit_gates(isa),
            estimated_fidelity=estimated_fidelity(isa, self.target, [final[wire] for wire in measured]),
        )

    def _isa(self, circuit: QuantumCircuit, measured: Sequence[int], seed: int, target: Target) -> QuantumCircuit:
        manager = generate_preset_pass_manager(
            optimization_level=self.optimization_level,
            backend=self.backend,
            target=target,
            initial_layout=self.initial_layout,
            seed_transpiler=seed,
        )
        isa: QuantumCircuit = manager.run(_with_readout(circuit, measured))
        return isa


def _has_other_entangler(target: Target) -> bool:
    """Whether there is an RZZ, and another gate on two qubits that can take its place."""
    entanglers = {name for name in target.operation_names if any(len(each) == 2 for each in target[name] or () if each)}
    return "rzz" in entanglers and len(entanglers) > 1


def _has_open_rzz(isa: QuantumCircuit) -> bool:
    angles = (each.operation.params[0] for each in isa.data if each.operation.name == "rzz")
    return any(isinstance(angle, ParameterExpression) for angle in angles)


def _with_readout(circuit: QuantumCircuit, wires: Sequence[int]) -> QuantumCircuit:
    """``circuit`` with ``wires`` measured, so that the errors of their read-out count in the choice of a layout.

    The barrier keeps the gates before it: what follows will be other measurements than those of Z, before which the
    transpiler may drop a last gate that is diagonal.
    """
    if not wires:
        return circuit
    measured = circuit.copy()
    register = ClassicalRegister(len(wires))
    measured.add_register(register)
    measured.barrier(wires, label=_READOUT)
    measured.measure(wires, register)
    return measured


def _without_readout(isa: QuantumCircuit) -> QuantumCircuit:
    """``isa`` without what :func:`_with_readout` added."""
    plain = QuantumCircuit(*isa.qregs, global_phase=isa.global_phase)
    for instruction in isa.data:
        operation = instruction.operation
        if operation.name != "measure" and not (operation.name == "barrier" and operation.label == _READOUT):
            plain.append(instruction)
    return plain


def two_qubit_gates(circuit: QuantumCircuit) -> int:
    """Number of gates on two qubits."""
    return sum(1 for instruction in circuit.data if _is_gate(instruction) and len(instruction.qubits) == 2)


def estimated_fidelity(circuit: QuantumCircuit, target: Target, measured: Iterable[int] = ()) -> float:
    """Probability that no gate and no read-out errs, from the backend's reported error rates.

    The product over all gates of (1 − error), and over measured qubits of (1 − readout error). It knows neither
    crosstalk, nor idling, nor mitigation: good for comparing circuits, a rough guide to accuracy. 1.0 on a simulator
    without noise.

    Args:
        circuit: ISA circuit, with or without measurements.
        target: of the backend, see :func:`qkd_pl.devices.ibm.compile.calibrated_target.layout_target`.
        measured: physical qubits that are read out besides those measured in ``circuit``.
    """
    calls = [(instruction.operation.name, _qubits(circuit, instruction)) for instruction in circuit.data]
    readouts = {qubits for name, qubits in calls if name == "measure"} | {(qubit,) for qubit in measured}
    gates = [(name, qubits) for name, qubits in calls if name not in ("measure", "barrier")]
    errors = [_error(target, name, qubits) for name, qubits in [*gates, *(("measure", qubits) for qubits in readouts)]]
    return math.prod(1 - error for error in errors)


def _error(target: Target, name: str, qubits: tuple[int, ...]) -> float:
    if name not in target.operation_names:
        return 0.0
    return error_rate((target[name] or {}).get(qubits)) or 0.0


def _check_qubits(n_qubits: int, initial_layout: Sequence[int] | None, excluded: Collection[int]) -> None:
    for name, qubits in (("initial_layout", initial_layout or ()), ("excluded_qubits", excluded)):
        if any(not isinstance(qubit, Integral) or not 0 <= qubit < n_qubits for qubit in qubits):
            raise InvalidInputError(f"{name}={list(qubits)}: the backend's qubits are 0 to {n_qubits - 1}")
        if len(set(qubits)) != len(qubits):
            raise InvalidInputError(f"{name}={list(qubits)}: names a qubit twice")
    if both := sorted(set(initial_layout or ()) & set(excluded)):
        raise InvalidInputError(f"initial_layout={initial_layout}: {both} are excluded_qubits")


def _qubits(circuit: QuantumCircuit, instruction: Any) -> tuple[int, ...]:
    return tuple(circuit.find_bit(qubit).index for qubit in instruction.qubits)


def _is_gate(instruction: Any) -> bool:
    return instruction.operation.name not in ("measure", "barrier", "delay", "reset")


def _badness(compiled: Compiled) -> tuple[float, int, int]:
    return -compiled.estimated_fidelity, compiled.two_qubit_gates, compiled.depth
