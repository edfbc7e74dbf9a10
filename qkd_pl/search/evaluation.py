"""What a student does on a device, and what it costs there."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pennylane as qml
from pennylane.operation import StatePrepBase

from qkd_pl.circuits.preparations import Preparations
from qkd_pl.deployment.planning import plan
from qkd_pl.devices.calibration import Place
from qkd_pl.devices.ibm.access import Access
from qkd_pl.devices.ibm.compile.absorption import absorbed
from qkd_pl.devices.ibm.compile.cost import SECONDS_PER_JOB
from qkd_pl.devices.ibm.sending import Sending
from qkd_pl.devices.ibm.service.backends import open_backend
from qkd_pl.devices.spec import DeviceSpec
from qkd_pl.errors import InvalidInputError, LowFidelityWarning, TooLargeError
from qkd_pl.gradients import evaluate
from qkd_pl.networks.checking import quantum_function
from qkd_pl.networks.weights import checked_shape, inner_shape

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
# GiB that qkd.noisy may take: about twelve qubits, a Pauli vector of which takes half a GiB with its working copies.
_MEMORY = 2.0


@dataclass(frozen=True)
class Price:
    """What evaluating a student costs on hardware.

    Attributes:
        qpu_seconds: for all inputs.
        two_qubit_gates, depth: of the compiled circuit.
        shots: for each circuit; fewer than the device's where a student is measured in more bases.
        place: where it was compiled to.
    """

    qpu_seconds: float
    two_qubit_gates: int
    depth: int
    shots: int | None
    place: Place

    def told(self) -> dict[str, Any]:
        """What is written down, JSON-able."""
        return {name: getattr(self, name) for name in ("qpu_seconds", "two_qubit_gates", "depth", "shots")}

    def exceeds(self, limits: Mapping[str, float]) -> str | None:
        """The first limit that is not kept, in words."""
        for name, limit in limits.items():
            if getattr(self, name) > limit:
                return f"{name} {getattr(self, name):g} is above {limit:g}"
        return None


def noisy_spec(spec: DeviceSpec, ideal_preparation: bool) -> DeviceSpec:
    """The exact simulation of a device's noise, for the circuits that it would be sent."""
    options = {name: spec.options[name] for name in _SHARED if name in spec.options}
    options.setdefault("backend", spec.backend)
    if ideal_preparation:
        options = {name: value for name, value in options.items() if not name.startswith("preparation")}
        options["preparation"] = "ideal"
    options["memory_limit"] = _MEMORY
    return DeviceSpec(
        name=f"{spec.name}-noise", plugin="qkd.noisy", options=options, causal_cone=spec.causal_cone, shots=None
    )


def price(
    model: Any, inputs: np.ndarray, n_inputs: int, spec: DeviceSpec, *, absorb: bool, ideal_preparation: bool
) -> Price:
    """Compile a model's circuit by a few inputs, and price it for ``n_inputs``.

    Where states enter from outside, the circuit is priced without what would prepare them.
    """
    few = a_few(inputs)
    n_few = len(few)
    if ideal_preparation:
        batch = model.encode(few)
        bare = _Bare(model.network, batch.circuit_inputs[0])
        model, few = (
            type(model)(bare, model.weights, **model.settings()),
            np.zeros((np.count_nonzero(batch.weights), 1)),
        )
    with warnings.catch_warnings():  # a plan tells its user how well it prepares states; here there are many
        warnings.simplefilter("ignore", LowFidelityWarning)
        found = plan(model, few, spec, absorb=absorb if absorb and can_absorb(model, few) else False)
    cost, shots = found.cost, found.payloads[0].shots
    fixed = SECONDS_PER_JOB * cost.jobs
    seconds = fixed + (cost.qpu_seconds - fixed) * n_inputs / n_few
    place = Place.of(found.target["backend"], found.layouts, found.observables)
    return Price(seconds, cost.two_qubit_gates, cost.depth, shots, place)


def a_few(inputs: np.ndarray) -> np.ndarray:
    """The inputs by which circuits are compiled."""
    return inputs[np.linspace(0, len(inputs) - 1, min(_PRICED_BY, len(inputs))).astype(int)]


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
    """The outputs of one network on a device, for any weights; the circuit is compiled once.

    ``qkd.noisy`` gives them exactly and with shots. Circuits that are too wide for it run on Aer, at the device's shots
    only, by the path that jobs take.

    Args:
        network: of the student.
        noise: the spec of ``qkd.noisy``.
        spec: the device.
        shots: for each circuit.
        seed: of the shots.
        absorb: whether the last entanglers are part of the observables.
    """

    def __init__(
        self, network: Any, noise: DeviceSpec, spec: DeviceSpec, shots: int | None, seed: int, absorb: bool
    ) -> None:
        self._network, self._noise, self._spec = network, noise, spec
        self._shots, self._absorb = shots, absorb
        self._random = np.random.default_rng(seed)
        self._nodes: dict[bool, qml.QNode] = {}
        self._aer: qml.QNode | None = None

    @property
    def is_exact(self) -> bool:
        """Whether outputs without shot noise can be had, and many draws cost little."""
        return self._aer is None

    @property
    def simulator(self) -> str:
        """What gave the outputs."""
        return "qkd.noisy" if self._aer is None else "aer"

    def outputs(self, weights: np.ndarray, batch: Preparations) -> np.ndarray:
        """Expectation values ``(n, K)`` at the device's shots, drawn anew at each call.

        Raises:
            InvalidInputError: the circuit is too wide for ``qkd.noisy``, and its states are to enter from outside.
        """
        found = self._by_noisy(weights, batch, exact=False)
        if found is None:
            assert self._aer is not None
            found = evaluate(self._aer, weights, batch)
        return found

    def exact(self, weights: np.ndarray, batch: Preparations) -> np.ndarray | None:
        """Expectation values ``(n, K)`` without shot noise; None where only Aer simulates the circuit."""
        return self._by_noisy(weights, batch, exact=True)

    def _by_noisy(self, weights: np.ndarray, batch: Preparations, exact: bool) -> np.ndarray | None:
        features = batch.rows.shape[-1]
        if self._aer is None:
            try:
                return evaluate(self._node(features, exact), weights, batch)
            except TooLargeError:
                self._aer = self._on_aer(features)
        return None

    def _node(self, features: int, exact: bool) -> qml.QNode:
        if not self._nodes:
            device = self._noise.create(self._network.wires, self._random)
            # One device, so that the circuit is transpiled once; without gradients, for which it would keep its sweep.
            node = qml.QNode(self._circuit(features), device, interface="autograd", diff_method=None)
            self._nodes = {True: node, False: qml.set_shots(node, shots=self._shots)}
        return self._nodes[exact]

    def _on_aer(self, features: int) -> qml.QNode:
        if self._noise.options.get("preparation") == "ideal" and self._has_states(features):
            raise InvalidInputError(
                f"{len(self._network.wires)} qubits are too many for qkd.noisy, and Aer prepares states by gates: give "
                "preparation='device'"
            )
        of_service = {*Access.model_fields, *Sending.model_fields}
        options = {name: value for name, value in self._spec.options.items() if name not in of_service}
        options["backend"] = simulated(self._spec)
        spec = self._spec.changed(options=options, shots=self._shots)
        return spec.qnode(self._circuit(features), self._network.wires, self._random)

    def _circuit(self, features: int) -> Callable:
        function = quantum_function(self._network, features)
        return _absorbing(function) if self._absorb else function

    def _has_states(self, features: int) -> bool:
        weights = np.zeros(inner_shape(checked_shape(self._network.weights_shape)))
        row = np.eye(features)[0]
        tape = qml.tape.make_qscript(quantum_function(self._network, features))(row, weights)
        return any(isinstance(each, StatePrepBase) for each in tape.operations)


def simulated(spec: DeviceSpec) -> Any:
    """The device's backend as Aer simulates it; nothing is sent."""
    from qiskit_aer import AerSimulator

    options = {"backend": spec.backend} | spec.options
    backend = open_backend(spec.backend, 1, Access.of(options), Sending.of(options))
    return backend if isinstance(backend, AerSimulator) else AerSimulator.from_backend(backend)


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


def logits_of(outputs: np.ndarray) -> np.ndarray:
    """One logit for each class; a single output z stands for (z, −z)."""
    return np.concatenate([outputs, -outputs], axis=1) if outputs.shape[1] == 1 else outputs


def agreement(task: str, taught: np.ndarray, outputs: np.ndarray, settings: Sequence[Any] = ()) -> float:
    """Equal argmax, from 0 to 1; R² for regression, whose ``settings`` are scale and offset of the targets."""
    if task == "classification":
        return float(np.mean(logits_of(outputs).argmax(axis=1) == taught.argmax(axis=1)))
    scale, offset = settings
    predicted = np.asarray(scale) * outputs + np.asarray(offset)
    centred = taught - taught.mean(axis=0)
    return float(np.mean(1 - ((taught - predicted) ** 2).sum(axis=0) / (centred**2).sum(axis=0)))
