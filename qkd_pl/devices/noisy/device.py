"""``qkd.noisy``: the PennyLane device that simulates a backend's noise exactly."""

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
import pennylane as qml
from pennylane.devices import Device, ExecutionConfig
from pennylane.devices.modifiers import simulator_tracking, single_tape_support
from pennylane.devices.preprocess import decompose, validate_device_wires, validate_measurements
from pennylane.math.interface_utils import Interface
from pennylane.tape import QuantumScript, QuantumScriptBatch
from pennylane.transforms.core import CompilePipeline
from pennylane.typing import PostprocessingFn, ResultBatch

from qkd_pl.checks import check_choice, check_count, check_number
from qkd_pl.devices.ibm.access import Access
from qkd_pl.devices.ibm.compile import tapes as preprocessing
from qkd_pl.devices.ibm.compile.preparer import StatePreparer
from qkd_pl.devices.ibm.compile.transpile import Transpiler
from qkd_pl.devices.ibm.sending import Sending
from qkd_pl.devices.ibm.service.backends import open_backend
from qkd_pl.devices.noisy.circuit import Execution, NoisyCircuit, Setup, is_exact, measures_values
from qkd_pl.devices.noisy.lowering import BackendLowering, Lowering
from qkd_pl.devices.noisy.noise import noise_of_backend, simulator_of
from qkd_pl.devices.noisy.pennylane_noise import PennyLaneLowering
from qkd_pl.devices.noisy.reading import Reading, read
from qkd_pl.devices.noisy.sampling import Outcomes
from qkd_pl.devices.noisy.state_gates import StateGates
from qkd_pl.errors import DeviceConfigError, InvalidInputError

Preparation = Literal["auto", "exact", "staircase", "ideal"]
_CIRCUITS_KEPT = 64
_GIB = 2**30


@simulator_tracking
@single_tape_support
class NoisyDevice(Device):
    """Exact expectation values under a backend's noise, and their exact gradients.

    The circuit is the one that ``qkd.ibm`` would send to the backend, the noise that of its calibration: errors behind
    gates and at the detectors. Idle qubits have no errors, and neither dynamical decoupling, nor twirling, nor the
    service's error mitigation are part of it.

    The observables are carried backwards through circuit and noise, so that the cost of a step hardly depends on the
    number of inputs; it grows as 4^n with the qubits in their light cone. Gradients need ``device_vjp=True`` in the
    QNode, as ``devices.yaml`` sets it. With shots, outcomes are drawn from the exact joint distribution of each
    measurement basis; run again at once, the same circuit with the same numbers draws without a sweep.

    Args:
        wires: number of wires, or their labels.
        backend: a name as for ``qkd.ibm`` (``"fake_…"``, or hardware, whose current calibration is read), a Qiskit
            backend, ``"aer"`` for no noise, a Qiskit Aer ``NoiseModel``, or a PennyLane one; noise models have no
            couplings, so that nothing is routed, and PennyLane's follows the gates that templates decompose into.
        preparation: how states enter: ``"auto"``, ``"exact"`` or ``"staircase"``, by noisy gates as ``qkd.ibm``
            prepares them by these methods, or ``"ideal"``, from outside, without noise.
        preparation_layers: of ``"staircase"``; ``None`` for 2.
        preparation_fidelity: that ``"auto"`` reaches for every state, without noise.
        seed: of the sampling, a number or a generator.
        causal_cone: whether to leave out gates that no measurement depends on, as ``qkd.ibm`` does.
        token_env, account, instance, url, proxies, use_fractional_gates: as of ``qkd.ibm``, to read the calibration of
            hardware.
        optimization_level: of Qiskit's transpiler, 0 to 3.
        transpile_attempts: seeds that the transpiler tries for each structure.
        initial_layout: physical qubits of the wires, instead of those that the transpiler would choose.
        excluded_qubits: physical qubits that no circuit may use.
        memory_limit: GiB that a run may take; ``None`` for what is free.
        shots: of QNodes that set none; PennyLane advises against it, its own suite of tests uses it.

    Raises:
        DeviceConfigError: an option is not one of those listed.
        InvalidInputError: a circuit cannot be simulated, or not in this memory.
        BackendError, CredentialsError: the backend cannot be opened.
    """

    def __init__(
        self,
        wires: int | Iterable[Any],
        backend: Any = "aer",
        *,
        preparation: Preparation = "auto",
        preparation_layers: int | None = None,
        preparation_fidelity: float = 0.99,
        seed: int | np.random.Generator | None = None,
        causal_cone: bool = True,
        token_env: str | None = None,
        account: str | None = None,
        instance: str | None = None,
        url: str | None = None,
        proxies: Mapping[str, Any] | None = None,
        use_fractional_gates: bool = False,
        optimization_level: int = 3,
        transpile_attempts: int = 8,
        initial_layout: Sequence[int] | None = None,
        excluded_qubits: Sequence[int] = (),
        memory_limit: float | None = None,
        shots: int | None = None,
    ) -> None:
        super().__init__(wires=wires, shots=shots)
        access = _access(token_env, account, instance, url, proxies)
        _check_options(optimization_level, transpile_attempts, memory_limit)
        if isinstance(backend, str):
            backend = open_backend(backend, len(self.wires), access, Sending(use_fractional_gates=use_fractional_gates))
        lowering: Lowering
        if isinstance(backend, qml.NoiseModel):
            lowering = PennyLaneLowering(backend)
        else:
            backend = simulator_of(backend, len(self.wires))
            transpiler = Transpiler(backend, optimization_level, transpile_attempts, initial_layout, excluded_qubits)
            lowering = BackendLowering(transpiler, noise_of_backend(backend))
        self.backend = backend
        limit = None if memory_limit is None else int(memory_limit * _GIB)
        self._setup = Setup(lowering, len(self.wires), causal_cone, limit)
        if preparation == "auto" and lowering.is_noiseless:
            preparation = "exact"
        self._state_gates: StateGates | None = None
        if preparation != "ideal":
            preparer = _preparer(preparation, preparation_layers, preparation_fidelity)
            self._state_gates = StateGates(preparer)
        self._generator = np.random.default_rng(seed)
        self._circuits: OrderedDict[Hashable, NoisyCircuit] = OrderedDict()
        self._executed: list[Execution] = []
        self._outcomes: Outcomes | None = None
        self._readings: deque[tuple[QuantumScript, Reading | None]] = deque(maxlen=4)

    @property
    def name(self) -> str:
        """Name under which the device is registered."""
        return "qkd.noisy"

    def setup_execution_config(
        self, config: ExecutionConfig | None = None, circuit: QuantumScript | None = None
    ) -> ExecutionConfig:
        """Adjoint differentiation by the device itself, as vector-Jacobian products unless those are refused."""
        config = config or ExecutionConfig()
        if config.gradient_method not in ("adjoint", "best") or not self.supports_derivatives(config, circuit):
            return config
        products = config.use_device_jacobian_product
        return replace(
            config,
            gradient_method="adjoint",
            use_device_gradient=True,
            grad_on_execution=False,
            use_device_jacobian_product=True if products is None else products,
        )

    def supports_derivatives(
        self, execution_config: ExecutionConfig | None = None, circuit: QuantumScript | None = None
    ) -> bool:
        """Exact expectation values and variances."""
        config = execution_config or ExecutionConfig()
        if config.gradient_method not in ("adjoint", "best"):
            return False
        return circuit is None or (not circuit.shots and measures_values(circuit))

    def supports_vjp(
        self, execution_config: ExecutionConfig | None = None, circuit: QuantumScript | None = None
    ) -> bool:
        """As :meth:`supports_derivatives`."""
        return self.supports_derivatives(execution_config, circuit)

    def preprocess_transforms(self, execution_config: ExecutionConfig | None = None) -> CompilePipeline:
        """The pipeline of ``qkd.ibm``, which circuits that run as they are skip."""
        config = execution_config or ExecutionConfig()
        pipeline = CompilePipeline()
        # PennyLane multiplies Jacobians only of parameters that are numbers, and asks for them under jax.jit.
        by_products = config.use_device_jacobian_product and config.interface is not Interface.JAX_JIT
        differentiable = bool(config.use_device_gradient)
        whole_jacobian = differentiable and not by_products
        pipeline.add_transform(
            _expand_unless_native, device=self, differentiable=differentiable, whole_jacobian=whole_jacobian
        )
        return pipeline

    def is_native(self, tape: QuantumScript, differentiable: bool) -> bool:
        """Whether a tape runs as it is, as a whole batch, with the gradient of all its trainable parameters."""
        if tape.shots or not measures_values(tape) or not self.wires.contains_wires(tape.wires):
            return False
        reading = self._read(tape)
        return reading is not None and self._circuit(reading).is_native(
            reading, tape.trainable_params if differentiable else ()
        )

    def execute(self, circuits: QuantumScriptBatch, execution_config: ExecutionConfig | None = None) -> ResultBatch:
        """Exact or sampled results of preprocessed circuits."""
        keep = bool(execution_config and execution_config.use_device_gradient)
        self._executed = []
        return tuple(self._run(circuit, keep) for circuit in circuits)

    def compute_vjp(
        self,
        circuits: QuantumScriptBatch,
        cotangents: Sequence[Any],
        execution_config: ExecutionConfig | None = None,
    ) -> tuple[Any, ...]:
        """Gradient of ``cotangents · results`` with respect to each trainable parameter of each circuit."""
        return tuple(
            self._execution(circuit).gradient(cotangent)
            for circuit, cotangent in zip(circuits, cotangents, strict=True)
        )

    def execute_and_compute_vjp(
        self,
        circuits: QuantumScriptBatch,
        cotangents: Sequence[Any],
        execution_config: ExecutionConfig | None = None,
    ) -> tuple[Any, Any]:
        """Results and gradients at once."""
        executions = [self._execution(circuit) for circuit in circuits]
        gradients = [execution.gradient(each) for execution, each in zip(executions, cotangents, strict=True)]
        return tuple(execution.results() for execution in executions), tuple(gradients)

    def compute_derivatives(
        self, circuits: QuantumScriptBatch, execution_config: ExecutionConfig | None = None
    ) -> tuple[Any, ...]:
        """Jacobians, by one pullback for each number that a circuit returns."""
        return tuple(self._execution(circuit).jacobian() for circuit in circuits)

    def execute_and_compute_derivatives(
        self, circuits: QuantumScriptBatch, execution_config: ExecutionConfig | None = None
    ) -> tuple[Any, Any]:
        """Results and Jacobians at once."""
        executions = [self._execution(circuit) for circuit in circuits]
        return (
            tuple(execution.results() for execution in executions),
            tuple(execution.jacobian() for execution in executions),
        )

    def _run(self, tape: QuantumScript, keep: bool) -> Any:
        if tape.shots or not measures_values(tape):
            reading = self._checked(tape)
            return self._outcomes_of(reading).results(tape, self._generator)
        execution = self._new(tape, keep)
        if keep:
            self._executed.append(execution)
        return execution.results()

    def _outcomes_of(self, reading: Reading) -> Outcomes:
        """Those of the tape before, if it is the same: drawing again costs no sweep."""
        circuit, outcomes = self._circuit(reading), self._outcomes
        if outcomes is None or not outcomes.are_of(circuit, reading):
            outcomes = self._outcomes = Outcomes(circuit, reading)
        return outcomes  # another thread may have replaced what is kept

    def _execution(self, tape: QuantumScript) -> Execution:
        """The run that :meth:`execute` left for the gradient, or a new one."""
        reading = self._checked(tape)
        circuit = self._circuit(reading)
        for execution in self._executed:
            if execution.is_of(circuit, reading):
                return execution.of(reading)
        return circuit.run(reading, keep=True)

    def _new(self, tape: QuantumScript, keep: bool) -> Execution:
        reading = self._checked(tape)
        return self._circuit(reading).run(reading, keep)

    def _checked(self, tape: QuantumScript) -> Reading:
        if (reading := self._read(tape)) is None:
            raise InvalidInputError(f"{tape}: qkd.noisy runs circuits that went through its preprocessing only")
        return reading

    def _read(self, tape: QuantumScript) -> Reading | None:
        """The tape taken apart; preprocessing, execution and gradient ask for the same one."""
        for known, reading in tuple(self._readings):  # another thread may append in between
            if known is tape:
                return reading
        reading = self._new_reading(tape)
        self._readings.append((tape, reading))
        return reading

    def _new_reading(self, tape: QuantumScript) -> Reading | None:
        if list(self.wires) != list(range(len(self.wires))):
            trainable = tape.trainable_params
            (tape,), _ = qml.map_wires(tape, {label: index for index, label in enumerate(self.wires)})
            tape.trainable_params = trainable
        return read(tape, self._state_gates)

    def _circuit(self, reading: Reading) -> NoisyCircuit:
        circuit = self._circuits.pop(reading.key, None) or NoisyCircuit(reading, self._setup)
        self._circuits[reading.key] = circuit  # the last one to be forgotten
        while len(self._circuits) > _CIRCUITS_KEPT:
            self._circuits.popitem(last=False)
        return circuit


@qml.transform
def _expand_unless_native(
    tape: QuantumScript, device: NoisyDevice, differentiable: bool, whole_jacobian: bool
) -> tuple[QuantumScriptBatch, PostprocessingFn]:
    """Leave a tape that runs natively as it is; decompose any other, and take its batch apart if it must be."""
    is_taken_apart = whole_jacobian and any(
        np.ndim(tape.get_parameters(trainable_only=False)[index]) for index in tape.trainable_params
    )
    if not is_taken_apart and device.is_native(tape, differentiable):
        return (tape,), _only
    pipeline = CompilePipeline()
    pipeline.add_transform(validate_device_wires, device.wires, name=device.name)
    pipeline.add_transform(
        validate_measurements,
        analytic_measurements=is_exact,
        sample_measurements=preprocessing.is_supported,
        name=device.name,
    )
    pipeline.add_transform(_check_shots)
    pipeline.add_transform(preprocessing.one_primitive)
    pipeline.add_transform(
        decompose,
        target_gates=set(preprocessing.GATES),
        stopping_condition=preprocessing.is_gate_or_state,
        skip_initial_state_prep=True,
        name=device.name,
    )
    pipeline.add_transform(preprocessing.expand_matrices)
    pipeline.add_transform(_one_by_one, device=device, differentiable=differentiable)
    tapes, postprocessing = pipeline((tape,))
    return tapes, lambda results: postprocessing(results)[0]


@qml.transform
def _check_shots(tape: QuantumScript) -> tuple[QuantumScriptBatch, PostprocessingFn]:
    """Refuse several numbers of shots at once."""
    if tape.shots.has_partitioned_shots:
        raise InvalidInputError(f"{tape.shots}: qkd.noisy takes one number of shots for a circuit")
    return (tape,), _only


@qml.transform
def _one_by_one(
    tape: QuantumScript, device: NoisyDevice, differentiable: bool
) -> tuple[QuantumScriptBatch, PostprocessingFn]:
    """Take a batch apart whose gradient cannot be found as a whole: inputs that are trained, or after weights."""
    if tape.batch_size is None or not differentiable or device.is_native(tape, differentiable):
        return (tape,), _only
    return qml.transforms.broadcast_expand(tape)


def _only(results: ResultBatch) -> Any:
    return results[0]


def _preparer(method: Any, layers: int | None, fidelity: float) -> StatePreparer:
    try:
        check_choice("preparation", method, get_args(Preparation))
        return StatePreparer(method, layers, fidelity)
    except InvalidInputError as error:
        raise DeviceConfigError(f"qkd.noisy: {error}") from None


def _access(token_env: Any, account: Any, instance: Any, url: Any, proxies: Any) -> Access:
    settings = {"token_env": token_env, "account": account, "instance": instance, "url": url, "proxies": proxies}
    try:
        return Access.of(settings)
    except InvalidInputError as error:
        raise DeviceConfigError(f"qkd.noisy: {error}") from None


def _check_options(optimization_level: Any, transpile_attempts: Any, memory_limit: Any) -> None:
    checks: list[Callable[[], None]] = [lambda: check_count("transpile_attempts", transpile_attempts)]
    if memory_limit is not None:
        checks.append(lambda: check_number("memory_limit", memory_limit, 0, above=True))
    try:
        for check in checks:
            check()
    except InvalidInputError as error:
        raise DeviceConfigError(f"qkd.noisy: {error}") from None
    if optimization_level not in range(4):
        raise DeviceConfigError(f"qkd.noisy: optimization_level={optimization_level!r}: must be 0, 1, 2 or 3")
