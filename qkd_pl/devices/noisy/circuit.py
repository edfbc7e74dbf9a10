"""A tape's structure, compiled for a backend and made ready for simulation."""

from collections.abc import Container, Sequence
from typing import Any, NamedTuple

import numpy as np
from pennylane.measurements import MeasurementProcess, ProbabilityMP
from pennylane.tape import QuantumScript

from qkd_pl.devices.causal_cone import causal_cone
from qkd_pl.devices.ibm.compile.structure import Expectation, estimates, expectations
from qkd_pl.devices.ibm.compile.tapes import is_estimated
from qkd_pl.devices.noisy import memory, transfer
from qkd_pl.devices.noisy.blocks import blocks_of, light_cone
from qkd_pl.devices.noisy.evaluation import Evaluation
from qkd_pl.devices.noisy.lowering import Lowering
from qkd_pl.devices.noisy.preparation import Preparation, columns_of, split_preparation
from qkd_pl.devices.noisy.program import Program
from qkd_pl.devices.noisy.reading import Reading
from qkd_pl.devices.noisy.states import ProductStates, PureStates, States
from qkd_pl.devices.noisy.sweep import Geometry

Word = tuple[str, tuple[int, ...], float]


class Setup(NamedTuple):
    """What all circuits of a device share.

    Attributes:
        lowering: compiles them, and knows the noise.
        n_wires: wires of the device.
        cone: whether to drop gates that nothing measured depends on.
        memory_limit: bytes; None for what is free.
    """

    lowering: Lowering
    n_wires: int
    cone: bool
    memory_limit: int | None = None


class NoisyCircuit:
    """A circuit structure with its layout, noise and observables; angles and states come with each run.

    Args:
        reading: any tape of this structure.
        setup: of the device.

    Attributes:
        lowered: the circuit that is simulated.
        measured: constants and operators of each estimated measurement.
        words: Pauli words of each operator, on physical qubits.
        inseparable: columns of angles that the inputs share but that act before an input enters.
    """

    def __init__(self, reading: Reading, setup: Setup) -> None:
        self._setup = setup
        tape = QuantumScript(list(reading.operations()), reading.tape.measurements)
        if setup.cone:
            (tape,), _ = causal_cone(tape)
        estimated = [each for each in tape.measurements if is_estimated(each)]
        self.measured = tuple(expectations(each, setup.n_wires) for each in estimated)
        self.lowered = setup.lowering.lower(tape, setup.n_wires, self.measured)
        first, rest = split_preparation(self.lowered.elements, reading.batched)
        self.inseparable = columns_of(first) - reading.batched
        self._preparation = Preparation(first)
        self._prepared_qubits = {qubit for element in first for qubit in element.qubits}
        self._n_columns = reading.n_columns
        self._blocks = blocks_of(rest)
        self._cones: dict[tuple[int, ...], tuple[Program, Geometry]] = {}
        final = self.lowered.final
        self.words = [_words(part, final) for parts in self.measured for part in parts if part.operator]
        self._qubits = tuple(sorted({qubit for words in self.words for _, places, _ in words for qubit in places}))
        self._observables: np.ndarray | None = None

    def is_native(self, reading: Reading, trained: Sequence[int]) -> bool:
        """Whether a batch runs as a whole, with a gradient of the parameters ``trained``."""
        if any(set(self._wires(state)) & self._prepared_qubits for state in reading.states):
            return False
        for parameter in trained:
            pairs = reading.columns_of_parameter(parameter)
            if pairs is None or any(column in self.inseparable for column, *_ in pairs):
                return False
        return True

    def run(self, reading: Reading, keep: bool) -> "Execution":
        """Expectation values of a tape."""
        return Execution(self, reading, keep)

    def evaluate(self, reading: Reading, keep: bool) -> Evaluation | None:
        """Of all operators that are measured; None if all are constant."""
        if not self.words:
            return None
        at_once = self.room(reading, len(self.words), self._qubits, keep)
        if self._observables is None:
            detectors = self._setup.lowering.detectors
            self._observables = np.stack([detectors.observable(words, self._qubits) for words in self.words])
        return self._evaluation(reading, self._observables, self._qubits, keep, at_once)

    def expectations(
        self, reading: Reading, observables: np.ndarray, qubits: tuple[int, ...], at_once: int
    ) -> np.ndarray:
        """Of other observables ``(K, 4^m)`` on physical ``qubits``, detectors included: ``(b, K)``.

        Args:
            reading: the tape.
            observables: made after :meth:`room` was asked for.
            qubits: of theirs.
            at_once: what it said.
        """
        return self._evaluation(reading, observables, qubits, False, at_once).outputs

    def room(self, reading: Reading, count: int, qubits: tuple[int, ...], keep: bool = False) -> int:
        """How many vectors may be swept at once for ``count`` observables on physical ``qubits``.

        Raises:
            TooLargeError: these observables do not fit beside one vector, or beside all that are to be kept.
        """
        _, geometry = self._cone(qubits)
        vectors = min(count, reading.batch or 1)
        if not keep:  # then they can be swept one after the other
            limit = self._setup.memory_limit
            free = memory.free_bytes() if limit is None else limit
            free -= memory.size(count, qubits)
            vectors = max(1, min(vectors, free // memory.estimate(1, geometry.sizes, False)))
        self._check_memory(reading, vectors, count, qubits, keep)
        return vectors

    def final_states(self, reading: Reading, qubits: tuple[int, ...]) -> np.ndarray:
        """Pauli vectors ``(b, 4^m)`` of the states before the detectors of physical ``qubits``."""
        program, geometry = self._cone(qubits)
        batch = reading.batch or 1
        self._check_memory(reading, batch, batch, qubits, keep=False)
        matrices = program.numbers(reading.shared_angles()).blocks
        return geometry.forwards(self.states(reading).vectors(geometry.entered), matrices)[0]

    def effects(self, letter: str, qubit: int) -> np.ndarray:
        """Observables ``(2, 4)`` whose expectation values are the probabilities to read 0 and 1."""
        half = self._setup.lowering.detectors.letter(letter, qubit) / 2
        identity = np.array([0.5, 0.0, 0.0, 0.0])
        return np.stack([identity + half, identity - half])

    def parity(self, places: Container[int], letters: str, qubits: tuple[int, ...]) -> np.ndarray:
        """Observable ``(4^m,)`` on ``qubits``, read in ``letters``: the parity of the bits of ``places``."""
        word = [(letter, qubit) for letter, qubit in zip(letters, qubits, strict=True) if qubit in places]
        read = "".join(letter for letter, _ in word), tuple(qubit for _, qubit in word), 1.0
        return self._setup.lowering.detectors.observable([read], qubits)

    def _evaluation(
        self, reading: Reading, observables: np.ndarray, qubits: tuple[int, ...], keep: bool, at_once: int
    ) -> Evaluation:
        program, geometry = self._cone(qubits)
        return Evaluation(program, geometry, reading.shared_angles(), observables, self.states(reading), keep, at_once)

    def _cone(self, qubits: tuple[int, ...]) -> tuple[Program, Geometry]:
        """The blocks that physical ``qubits`` depend on at the end."""
        if qubits not in self._cones:
            program = Program(light_cone(self._blocks, qubits), self._n_columns)
            self._cones[qubits] = program, Geometry(program.qubits, qubits)
        return self._cones[qubits]

    def states(self, reading: Reading) -> States:
        """The inputs, after what of the circuit depends on them."""
        batch = reading.batch or 1
        outside = [(self._wires(state), reading.amplitudes(index)) for index, state in enumerate(reading.states)]
        if len(outside) == 1 and not self._prepared_qubits:
            return PureStates(*outside[0])
        prepared = self._preparation.states(reading.table()) if self._prepared_qubits else ProductStates([], batch)
        return ProductStates([*prepared.groups, *((qubits, transfer.of_states(psi)) for qubits, psi in outside)], batch)

    def _check_memory(
        self, reading: Reading, vectors: int, n_observables: int, qubits: tuple[int, ...], keep: bool
    ) -> None:
        _, geometry = self._cone(qubits)
        limit, batch = self._setup.memory_limit, reading.batch or 1
        what = f"{vectors} Pauli vectors and those kept for the gradient" if keep else f"{vectors} Pauli vectors"
        needed = memory.estimate(vectors, geometry.sizes, keep) + memory.size(n_observables, qubits)
        memory.check(needed, len(geometry.entered), what, limit)
        largest = self._preparation.largest
        memory.check(memory.estimate(batch, [4**largest], False), largest, f"{batch} noisily prepared states", limit)

    def _wires(self, state: Any) -> tuple[int, ...]:
        return tuple(self.lowered.initial[wire] for wire in state.wires)


class Execution:
    """One run of a circuit, kept for its gradient.

    Attributes:
        values: one array ``(b,)`` for each measurement.
    """

    def __init__(self, circuit: NoisyCircuit, reading: Reading, keep: bool) -> None:
        self._circuit, self._reading = circuit, reading
        self._evaluation = circuit.evaluate(reading, keep)
        batch = reading.batch or 1
        self._outputs = np.empty((batch, 0)) if self._evaluation is None else self._evaluation.outputs
        self.values = estimates(circuit.measured, self._outputs.T)

    def results(self) -> Any:
        """As PennyLane expects them."""
        values = self.values if self._reading.batch is not None else [value[0] for value in self.values]
        return values[0] if len(values) == 1 else tuple(values)

    def is_of(self, circuit: NoisyCircuit, reading: Reading) -> bool:
        """Whether this run is one of the same tape."""
        known = self._reading
        return self._circuit is circuit and (
            known.tape is reading.tape
            or all(
                np.array_equal(one, other)
                for first, second in zip(known.tape.operations, reading.tape.operations, strict=True)
                for one, other in zip(first.data, second.data, strict=True)
            )
        )

    def gradient(self, cotangent: Any) -> tuple[np.ndarray, ...]:
        """Gradient of each trainable parameter of the tape, of the parameter's shape."""
        of_values = np.reshape(np.asarray(cotangent, dtype=np.float64), (len(self.values), -1))
        if self._evaluation is None:
            columns = np.zeros(self._reading.n_columns)
        else:
            columns = self._evaluation.pullback(self._of_operators(of_values).T)
        return tuple(self._of_parameter(parameter, columns) for parameter in self._reading.tape.trainable_params)

    def jacobian(self) -> Any:
        """Derivatives of each measurement with respect to each trainable parameter, one pullback for each number."""
        batch, count = self._outputs.shape[0], len(self.values)
        rows = []
        for measurement in range(count):
            of_samples = []
            for sample in range(batch):
                cotangent = np.zeros((count, batch))
                cotangent[measurement, sample] = 1.0
                of_samples.append(self.gradient(cotangent))
            stacked = tuple(np.stack(each) for each in zip(*of_samples, strict=True))
            own = stacked if self._reading.batch is not None else tuple(each[0] for each in stacked)
            rows.append(own[0] if len(own) == 1 else own)
        return rows[0] if count == 1 else tuple(rows)

    def of(self, reading: Reading) -> "Execution":
        """The same run for a tape that equals this one but may train other parameters."""
        self._reading = reading
        return self

    def _of_operators(self, cotangent: np.ndarray) -> np.ndarray:
        """From measurements to operators: ⟨O²⟩ − ⟨O⟩² for a variance."""
        found: list[np.ndarray] = []
        row = 0
        for parts, of_value in zip(self._circuit.measured, cotangent, strict=True):
            if len(parts) == 1:
                found += [of_value] if parts[0].operator else []
            elif parts[0].operator:
                mean = parts[0].constant + self._outputs[:, row]
                found.append(-2 * mean * of_value)
            if len(parts) == 2 and parts[1].operator:
                found.append(of_value)
            row += sum(part.operator is not None for part in parts)
        return np.array(found).reshape(-1, cotangent.shape[1])

    def _of_parameter(self, parameter: int, columns: np.ndarray) -> np.ndarray:
        shape = np.shape(self._reading.tape.get_parameters(trainable_only=False)[parameter])
        gradient = np.zeros(int(np.prod(shape, dtype=int)))
        for column, entry, scale in self._reading.columns_of_parameter(parameter) or ():
            gradient[entry] += scale * columns[column]
        return gradient.reshape(shape)


def is_exact(measurement: MeasurementProcess) -> bool:
    """Whether the device gives its value without shots."""
    return is_estimated(measurement) or isinstance(measurement, ProbabilityMP)


def measures_values(tape: QuantumScript) -> bool:
    """Whether all measurements are expectation values or variances of observables."""
    return all(map(is_estimated, tape.measurements)) and bool(tape.measurements)


def _words(part: Expectation, layout: Sequence[int]) -> list[Word]:
    assert part.operator is not None
    return [
        (letters, tuple(layout[wire] for wire in wires), float(np.real(weight)))
        for letters, wires, weight in part.operator.to_sparse_list()
    ]
