"""What a student does on a device, and what it costs there."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pennylane as qml
from pennylane.operation import StatePrepBase

from qkd_pl.circuits.preparations import Preparations
from qkd_pl.deployment.planning import plan
from qkd_pl.devices.ibm.compile.absorption import absorbed
from qkd_pl.devices.ibm.compile.cost import SECONDS_PER_JOB
from qkd_pl.devices.spec import DeviceSpec
from qkd_pl.errors import InvalidInputError
from qkd_pl.gradients import evaluate
from qkd_pl.networks.checking import quantum_function

#: Options that decide which circuit is sent, and that qkd.noisy therefore shares with qkd.ibm.
_SHARED = [
    "backend",
    "token_env",
    "account",
    "instance",
    "url",
    "proxies",
    "use_fractional_gates",
    "optimization_level",
    "transpile_attempts",
    "initial_layout",
    "excluded_qubits",
    "preparation",
    "preparation_layers",
    "preparation_fidelity",
]
# Inputs by which a circuit is compiled and priced: its structure does not depend on them.
_PRICED_BY = 16


@dataclass(frozen=True)
class Price:
    """What evaluating a student costs on hardware.

    Attributes:
        qpu_seconds: for all inputs.
        two_qubit_gates, depth: of the compiled circuit.
        shots: for each circuit; fewer than the device's where a student is measured in more bases.
    """

    qpu_seconds: float
    two_qubit_gates: int
    depth: int
    shots: int | None


def noisy_spec(spec: DeviceSpec, ideal_preparation: bool) -> DeviceSpec:
    """The exact simulation of a device's noise, for the circuits that it would be sent."""
    options = {name: spec.options[name] for name in _SHARED if name in spec.options}
    options.setdefault("backend", spec.backend)
    if ideal_preparation:
        options = {name: value for name, value in options.items() if not name.startswith("preparation")}
        options["preparation"] = "ideal"
    return DeviceSpec(
        name=f"{spec.name}-noise", plugin="qkd.noisy", options=options, causal_cone=spec.causal_cone, shots=None
    )


def price(
    model: Any, inputs: np.ndarray, n_inputs: int, spec: DeviceSpec, *, absorb: bool, ideal_preparation: bool
) -> Price:
    """Compile a model's circuit by a few inputs, and price it for ``n_inputs``.

    Where states enter from outside, the circuit is priced without what would prepare them.
    """
    few = inputs[np.linspace(0, len(inputs) - 1, min(_PRICED_BY, len(inputs))).astype(int)]
    if ideal_preparation:
        bare = _Bare(model.network, model.encode(few).circuit_inputs[0])
        model, few = type(model)(bare, model.weights, **model.settings()), np.zeros((len(few), 1))
    found = plan(model, few, spec, absorb=absorb if absorb and can_absorb(model, few) else False)
    cost, shots = found.cost, found.payloads[0].shots
    fixed = SECONDS_PER_JOB * cost.jobs
    seconds = fixed + (cost.qpu_seconds - fixed) * n_inputs / len(few)
    return Price(seconds, cost.two_qubit_gates, cost.depth, shots)


class _Bare:
    """A network whose inputs enter from outside, so that its circuit begins behind them."""

    def __init__(self, network: Any, row: np.ndarray) -> None:
        self._network, self._row = network, row
        self.wires, self.weights_shape, self.n_outputs = network.wires, network.weights_shape, network.n_outputs

    def encode(self, inputs: np.ndarray) -> Preparations:
        return Preparations.pure(np.asarray(inputs, dtype=np.float64))

    def circuit(self, inputs: np.ndarray, weights: Any) -> Any:
        with qml.queuing.AnnotatedQueue() as queue:
            measured = self._network.circuit(self._row, weights)
        tape = qml.tape.QuantumScript.from_queue(queue)
        # Something must tell one input from another; on |0⟩ a phase does nothing.
        qml.RZ(inputs[..., 0], wires=self.wires[0])
        for operation in tape.operations:
            if not isinstance(operation, StatePrepBase):
                qml.apply(operation)
        del measured
        return [qml.apply(each) for each in tape.measurements]


class Evaluator:
    """The outputs of one network on a device at its shots, for any weights; the circuit is compiled once.

    Args:
        network: of the student.
        spec: of ``qkd.noisy``, or of the device itself, whose Aer simulation takes wider circuits.
        shots: for each circuit; None for exact values.
        seed: of the shots.
        absorb: whether the last entanglers are part of the observables.
    """

    def __init__(
        self, network: Any, spec: DeviceSpec, n_features: int, shots: int | None, seed: int, absorb: bool
    ) -> None:
        function = quantum_function(network, n_features)
        circuit = _absorbing(function) if absorb else function
        self._qnode = spec.changed(shots=shots, diff_method="parameter-shift" if shots else spec.diff_method).qnode(
            circuit, network.wires, np.random.default_rng(seed)
        )

    def outputs(self, weights: np.ndarray, batch: Preparations) -> np.ndarray:
        """Expectation values ``(n, K)``."""
        return evaluate(self._qnode, weights, batch)


def _flat(tape: qml.tape.QuantumScript) -> qml.tape.QuantumScript:
    """Templates replaced by their gates."""
    (flat,), _ = qml.transforms.decompose(tape, stopping_condition=_is_plain)
    return flat


def _is_plain(operation: Any) -> bool:
    return isinstance(operation, StatePrepBase) or (operation.has_matrix and len(operation.wires) <= 2)


def _absorbing(function: Callable) -> Callable:
    def circuit(inputs: np.ndarray, weights: Any) -> Any:
        with qml.QueuingManager.stop_recording():  # what is taken apart here is not what the QNode runs
            tape = _flat(qml.tape.make_qscript(function)(inputs, weights))
            short = absorbed(tape) or tape
        for operation in short.operations:
            qml.apply(operation)
        return [qml.apply(each) for each in short.measurements]

    return circuit


def can_absorb(model: Any, inputs: np.ndarray) -> bool:
    """Whether a circuit ends in entanglers that can be moved into its observables."""
    batch = model.encode(inputs)
    function = quantum_function(model.network, batch.rows.shape[-1])
    return absorbed(_flat(qml.tape.make_qscript(function)(batch.circuit_inputs, model.weights))) is not None


def agreement(task: str, taught: np.ndarray, outputs: np.ndarray, settings: Sequence[Any] = ()) -> float:
    """Equal argmax, from 0 to 1; R² for regression, whose ``settings`` are scale and offset of the targets."""
    if task == "classification":
        logits = np.concatenate([outputs, -outputs], axis=1) if outputs.shape[1] == 1 else outputs
        return float(np.mean(logits.argmax(axis=1) == taught.argmax(axis=1)))
    scale, offset = settings
    predicted = np.asarray(scale) * outputs + np.asarray(offset)
    centred = taught - taught.mean(axis=0)
    if not (centred**2).sum(axis=0).all():
        raise InvalidInputError("the teacher predicts the same number for all held-out inputs, so that R² has no value")
    return float(np.mean(1 - ((taught - predicted) ** 2).sum(axis=0) / (centred**2).sum(axis=0)))
