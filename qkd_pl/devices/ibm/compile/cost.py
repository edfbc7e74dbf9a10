"""What jobs will cost, before anything is sent."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import PauliList
from qiskit.transpiler import Target

from qkd_pl.devices.ibm.compile.durations import REPETITION_DELAY, shot_seconds
from qkd_pl.devices.ibm.compile.transpile import estimated_fidelity, two_qubit_gates
from qkd_pl.devices.ibm.payload import Payload
from qkd_pl.devices.ibm.service import executor
from qkd_pl.upstream.runtime import Generation

SECONDS_PER_JOB = 2.0
SECONDS_PER_EXECUTION = 0.00035
_DEFAULT_NOISE_FACTORS = (1, 3, 5)
_DEFAULT_PEC_OVERHEAD = 100
# Learning the noise of a layer of two-qubit gates: measurement bases, and the client's defaults.
_LEARNING_BASES, _LEARNING_DEPTHS, _LEARNING_RANDOMIZATIONS, _LEARNING_SHOTS, _LEARNING_LAYERS = 9, 6, 32, 128, 4


@dataclass(frozen=True)
class Cost:
    """Size and price of one or more jobs.

    Attributes:
        jobs: number of jobs.
        circuits: bound circuits: rows of parameters × measurement bases × noise factors of the mitigation.
        shots: executions in all, circuits × shots; 0 for exact simulation.
        qpu_seconds: what the jobs take on hardware, also where they are simulated, with what error mitigation executes
            to learn the noise: the larger of the next two.
        quick_seconds: by IBM's quick formula, see :func:`qpu_seconds`.
        timed_seconds: by the durations of the compiled circuits, reset, read-out and repetition delay included, see
            :func:`qkd_pl.devices.ibm.compile.durations.shot_seconds`, and 2 s for each job; None where the backend does
            not tell its durations.
        depth: of the deepest circuit.
        two_qubit_gates: of the circuit that has most.
        estimated_fidelity: of the worst circuit, see :func:`qkd_pl.devices.ibm.compile.transpile.estimated_fidelity`.
        part_seconds: the share of each job in ``qpu_seconds``, by its own circuits.
    """

    jobs: int
    circuits: int
    shots: int
    qpu_seconds: float
    quick_seconds: float
    timed_seconds: float | None
    depth: int
    two_qubit_gates: int
    estimated_fidelity: float
    part_seconds: tuple[float, ...] = ()

    def __str__(self) -> str:
        return (
            f"{self.jobs} job{'s' * (self.jobs != 1)}, {self.circuits:,} circuits, {self.shots:,} shots, "
            f"about {self.qpu_seconds:,.0f} QPU seconds{self._source}; depth {self.depth}, "
            f"{self.two_qubit_gates} two-qubit gates, estimated fidelity {self.estimated_fidelity:.3f}"
        )

    @property
    def _source(self) -> str:
        if self.timed_seconds is None or not self.jobs:
            return ""
        if self.timed_seconds > self.quick_seconds:
            return f" by the circuits' durations ({self.quick_seconds:,.0f} by IBM's quick formula)"
        return f" by IBM's quick formula ({self.timed_seconds:,.0f} by the circuits' durations)"


def qpu_seconds(executions: Sequence[int], repetition_delay: float | None = None) -> float:
    """QPU time, in seconds, of jobs with these numbers of executions (circuits × shots).

    2 + 0.00035 × executions for each job: the quick estimate in IBM's guide "Estimate job run time", which assumes
    short circuits and no error mitigation beyond the executions counted here; longer for a repetition delay, in
    seconds, above the default of 0.00025, which is part of the 0.00035.
    """
    further_delay = max(0.0, (repetition_delay or 0.0) - REPETITION_DELAY)
    return sum(SECONDS_PER_JOB + (SECONDS_PER_EXECUTION + further_delay) * each for each in executions)


def price(payloads: Sequence[Payload], target: Target) -> Cost:
    """Cost of running ``payloads`` on a backend with this target, whose error rates give the estimated fidelity."""
    circuits = [sum(map(_bound_circuits, payload.pubs)) * repetitions(payload.options) for payload in payloads]
    shots = [count * (payload.shots or 0) for count, payload in zip(circuits, payloads, strict=True)]
    executions = [_executions(payload, count) for payload, count in zip(payloads, circuits, strict=True)]
    quick_parts = [
        qpu_seconds([count], payload.options.get("execution", {}).get("rep_delay"))
        for payload, count in zip(payloads, executions, strict=True)
    ]
    timed_parts = _timed_seconds(payloads, executions, target)
    quick, timed = sum(quick_parts), None if timed_parts is None else sum(timed_parts)
    distinct = {id(pub.circuit): pub for payload in payloads for pub in payload.pubs}.values()
    return Cost(
        jobs=len(payloads),
        circuits=sum(circuits),
        shots=sum(shots),
        qpu_seconds=max(quick, timed or 0.0),
        quick_seconds=quick,
        timed_seconds=timed,
        depth=max((pub.circuit.depth() for pub in distinct), default=0),
        two_qubit_gates=max((two_qubit_gates(pub.circuit) for pub in distinct), default=0),
        estimated_fidelity=min((_fidelity(pub, target) for pub in distinct), default=1.0),
        part_seconds=tuple(timed_parts if timed_parts is not None and sum(timed_parts) > quick else quick_parts),
    )


def _timed_seconds(payloads: Sequence[Payload], executions: Sequence[int], target: Target) -> list[float] | None:
    """Of each job, by the durations of the circuits; executions to learn the noise count as the average circuit."""
    seconds = []
    for payload, count in zip(payloads, executions, strict=True):
        known: dict[int, float | None] = {}
        total = circuits = 0.0
        for pub in payload.pubs:
            if id(pub.circuit) not in known:
                known[id(pub.circuit)] = shot_seconds(pub.circuit, target, _measured(pub), payload.options)
            if (shot := known[id(pub.circuit)]) is None:
                return None
            bound = _bound_circuits(pub)
            total, circuits = total + bound * shot, circuits + bound
        seconds.append(SECONDS_PER_JOB + count * total / circuits)
    return seconds


def repetitions(options: Mapping[str, Any]) -> int:
    """How many times error mitigation repeats every circuit.

    Zero-noise extrapolation (part of resilience level 2) runs each noise factor, (1, 3, 5) unless chosen.
    Probabilistic error cancellation is counted with its largest allowed overhead, 100 unless chosen; without a bound,
    which hardware is not used with, as with 100.
    """
    resilience = options.get("resilience", {})
    if resilience.get("pec_mitigation"):
        return max(1, math.ceil(resilience.get("pec", {}).get("max_overhead") or _DEFAULT_PEC_OVERHEAD))
    if resilience.get("zne_mitigation", options.get("resilience_level") == 2):
        factors = resilience.get("zne", {}).get("noise_factors")
        return len(_DEFAULT_NOISE_FACTORS if factors in (None, "auto") else factors)
    return 1


def learning_executions(payload: Payload) -> int:
    """Executions (circuits × shots) by which error mitigation learns the noise, at most.

    Probabilistic error cancellation and amplification learn layers of two-qubit gates (qiskit-ibm-runtime's
    ``LayerNoiseLearningOptions``: each in 9 bases, at several depths), of which there are no more than the circuits
    have. The newer client's jobs learn the read-out only (:mod:`qkd_pl.devices.ibm.service.executor`). Otherwise
    learning of the read-out is counted if its number of shots is chosen; IBM's estimate includes the default.
    """
    if payload.generation is Generation.EXECUTOR:
        return executor.learning_executions(payload.options, payload.primitive, payload.shots or 0)
    resilience = payload.options.get("resilience", {})
    readout = resilience.get("measure_noise_learning", {})
    shots, executions = readout.get("shots_per_randomization"), 0
    if isinstance(shots, int):
        executions = readout.get("num_randomizations", _LEARNING_RANDOMIZATIONS) * shots
    amplified = resilience.get("zne", {}).get("amplifier") == "pea"
    zne = resilience.get("zne_mitigation", payload.options.get("resilience_level") == 2)
    if not (resilience.get("pec_mitigation") or (zne and amplified)):
        return executions
    learning = resilience.get("layer_noise_learning", {})
    depths = learning.get("layer_pair_depths")
    configurations = _LEARNING_BASES * (_LEARNING_DEPTHS if depths is None else len(depths))
    randomizations = learning.get("num_randomizations", _LEARNING_RANDOMIZATIONS)
    per_layer = configurations * randomizations * learning.get("shots_per_randomization", _LEARNING_SHOTS)
    limit = learning.get("max_layers_to_learn", _LEARNING_LAYERS)
    layers = sum(
        circuit.depth(_is_on_two_qubits) for circuit in {id(p.circuit): p.circuit for p in payload.pubs}.values()
    )
    return executions + per_layer * (layers if limit is None else min(layers, limit))


def _executions(payload: Payload, circuits: int) -> int:
    """Circuits × shots as hardware runs them, with what error mitigation needs to learn."""
    shots = payload.shots or 0
    if shots and payload.generation is Generation.EXECUTOR:
        shots = executor.shots_per_circuit(payload.options, payload.primitive, shots)
    return circuits * shots + learning_executions(payload)


def _is_on_two_qubits(instruction: Any) -> bool:
    return len(instruction.qubits) == 2


def _bound_circuits(pub: EstimatorPub | SamplerPub) -> int:
    rows = pub.parameter_values.size
    if isinstance(pub, SamplerPub):
        return rows
    words = sorted({word for observable in pub.observables.ravel().tolist() for word in observable})
    return rows * len(PauliList(words).group_commuting(qubit_wise=True))


def _fidelity(pub: EstimatorPub | SamplerPub, target: Target) -> float:
    return estimated_fidelity(pub.circuit, target, _measured(pub))


def _measured(pub: EstimatorPub | SamplerPub) -> set[int]:
    """Physical qubits that an Estimator PUB reads out; a Sampler's circuit says so itself."""
    if isinstance(pub, SamplerPub):
        return set()
    words = {word for observable in pub.observables.ravel().tolist() for word in observable}
    # Qiskit writes qubit 0 last.
    return {index for word in words for index, letter in enumerate(reversed(word)) if letter != "I"}
