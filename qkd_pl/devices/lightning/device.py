"""The PennyLane device ``qkd.lightning``."""

import inspect
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from functools import cache, partial
from operator import is_, itemgetter
from typing import Any, NamedTuple, TypeAlias
from weakref import WeakKeyDictionary

import numpy as np
import pennylane as qml
from pennylane.devices import ExecutionConfig
from pennylane.devices.modifiers import simulator_tracking, single_tape_support
from pennylane.math.interface_utils import Interface
from pennylane.tape import QuantumScript, QuantumScriptBatch
from pennylane.transforms.core import CompilePipeline
from pennylane.typing import PostprocessingFn, ResultBatch
from pennylane_lightning.lightning_qubit import LightningQubit

from qkd_pl.checks import check_choice, check_count
from qkd_pl.devices.lightning.gates import Part, parts_of
from qkd_pl.devices.lightning.program import Numbers, Options, Program, program_of
from qkd_pl.devices.lightning.simulator import Simulator
from qkd_pl.errors import DeviceConfigError, InvalidInputError

_Config: TypeAlias = ExecutionConfig | None
_GRADIENTS = ExecutionConfig(gradient_method="adjoint", use_device_gradient=True, use_device_jacobian_product=True)


def _stock(name: str) -> Callable[..., Any]:
    """A method of ``lightning.qubit``; wrapped ones are tracked, and a call that went through two counts twice."""
    return inspect.unwrap(getattr(LightningQubit, name))


class _Known(NamedTuple):
    """What was found out about a tape."""

    trainable: frozenset[int]  # parameters whose gradients were asked for
    options: Options
    parts: Sequence[Part]
    program: Program | None  # that runs the tape by itself; None if it cannot be run natively


@simulator_tracking
@single_tape_support
class BatchedLightning(LightningQubit):
    """``lightning.qubit`` that executes a batch of inputs as a whole rather than one circuit per sample.

    A batch is a broadcast circuit, or circuits of equal structure in one call. It is executed natively if the circuits
    are analytic, consist of what PennyLane decomposes into single-qubit rotations by an affine function of a parameter
    and constant gates, and measure expectation values of sums and products of Pauli operators, projectors and small
    Hermitian matrices. Broadcast parameters may stand anywhere, states at the beginning. Gradients need
    ``device_vjp=True`` in the QNode: one forward and one backward sweep then serve all samples, observables and
    parameters. Everything else takes the path of ``lightning.qubit``.

    Args:
        wires: number of wires, their labels, or None to take them from each circuit.
        c_dtype: ``np.complex128`` or ``np.complex64``, or its name. In complex64, expectation values are accurate to
            about 1e-6 and gradients, summed over a batch of 64, to about 1e-5.
        causal_cone: whether to leave out gates and wires of native circuits that no measurement depends on; exact.
        stages: when the wires of product states enter the register: late where that pays, ``"auto"``, as late as
            possible, ``"always"``, or all at the beginning, ``"never"``. Results do not depend on it.
        workers: number of processes over which large native batches are spread; results do not depend on it.
        spread_from: amplitudes times gates from which on a batch is large.
        kept_bytes: what the states between the two sweeps may take; they stay with the device for the next circuit.
            Where they do not fit, the backward sweep repeats the forward sweep, in portions that do if they can.
        options: further arguments of ``lightning.qubit``.

    Raises:
        DeviceConfigError: an option is out of its range.
    """

    name = "qkd.lightning"

    def __init__(
        self,
        wires: int | Sequence[Any] | None = None,
        *,
        c_dtype: Any = np.complex128,
        causal_cone: bool = True,
        stages: str = "auto",
        workers: int = 1,
        spread_from: int = 2**25,
        kept_bytes: int = 2**29,
        **options: Any,
    ):
        super().__init__(wires=wires, c_dtype=np.dtype(c_dtype).type, **options)
        try:
            check_count("workers", workers)
            check_count("kept_bytes", kept_bytes, 0)
            check_count("spread_from", spread_from, 0)
            check_choice("stages", stages, ("auto", "always", "never"))
        except InvalidInputError as error:
            raise DeviceConfigError(f"qkd.lightning: {error}") from None
        allowed = None if self.wires is None else frozenset(self.wires)
        self._options = Options(allowed, causal_cone, stages)
        self._simulator = Simulator(c_dtype, kept_bytes, workers, spread_from)
        # Both depend on nothing but the configuration that was asked for, and cost as much as a sweep of 7 qubits.
        self._config: tuple[ExecutionConfig, ExecutionConfig] | None = None
        self._pipeline: tuple[ExecutionConfig, CompilePipeline] | None = None

    def setup_execution_config(self, config: _Config = None, circuit: QuantumScript | None = None) -> ExecutionConfig:
        """The configuration of ``lightning.qubit``."""
        mid_circuit = (qml.ops.MidMeasure, qml.ops.Conditional)
        if config is None or circuit is None or circuit.shots or any(isinstance(op, mid_circuit) for op in circuit):
            return super().setup_execution_config(config, circuit)
        known = self._config  # once: another thread may replace it
        if known is None or known[0] is not config:
            self._config = known = config, super().setup_execution_config(config, circuit)
        return known[1]

    def preprocess_transforms(self, execution_config: _Config = None) -> CompilePipeline:
        """The pipeline of ``lightning.qubit``, which circuits that run natively skip."""
        config = execution_config or ExecutionConfig()
        if qml.capture.enabled():
            return super().preprocess_transforms(config)
        known = self._pipeline
        if known is None or known[0] is not config:
            # The stock pipeline takes longer to build than a small circuit to run, and is seldom needed.
            stock = cache(partial(super().preprocess_transforms, config))
            pipeline = _expand_unless_native(CompilePipeline(), device=self, stock=stock, config=config)
            self._pipeline = known = config, pipeline
        return known[1]

    def supports_derivatives(self, execution_config: _Config = None, circuit: QuantumScript | None = None) -> bool:
        """Adjoint differentiation of analytic circuits, broadcast or not."""
        config = execution_config or ExecutionConfig()
        adjoint = config.gradient_method in {"adjoint", "best"} and bool(config.use_device_jacobian_product)
        is_native = circuit is not None and adjoint and self.runs_natively(circuit)
        return is_native or super().supports_derivatives(execution_config, circuit)

    def execute(self, circuits: QuantumScriptBatch, execution_config: _Config = None) -> ResultBatch:
        """Expectation values; a broadcast circuit gives an array over its samples for each measurement."""
        config = execution_config or ExecutionConfig()
        keep = _differentiable(config)
        self._simulator.forget()
        native = self._native(circuits, keep)
        results: dict[int, Any] = {}
        for indices, program, numbers in native:
            values = self._simulator.run(program, numbers, keep)
            for i, of_tape in zip(indices, values.T if program.stacked else [values], strict=True):
                results[i] = of_tape[0] if len(of_tape) == 1 else tuple(of_tape)
        if others := [i for i in range(len(circuits)) if i not in results]:
            results |= zip(others, _stock("execute")(self, [circuits[i] for i in others], config), strict=True)
        self._simulator.waiting = (circuits, native) if keep else ((), ())
        return tuple(results[i] for i in range(len(circuits)))

    def compute_vjp(self, circuits: QuantumScriptBatch, cotangents: tuple, execution_config: _Config = None) -> tuple:
        """Gradient of ``cotangents · results`` with respect to each trainable parameter of each circuit."""
        config = execution_config or _GRADIENTS
        gradients: dict[int, Any] = {}
        waiting, native = self._simulator.waiting
        if len(waiting) != len(circuits) or not all(map(is_, waiting, circuits)):  # PennyLane may have copied them
            native = self._native(circuits, True)
        for indices, program, numbers in native:
            coefficients = np.array([cotangents[i] for i in indices], dtype=np.float64)
            coefficients = coefficients.reshape(len(indices), program.readout.n_observables, -1)
            coefficients = coefficients[:, :, 0].T if program.stacked else coefficients[0]
            gradients |= zip(indices, self._simulator.vjp(program, numbers, coefficients), strict=True)
        for i in set(range(len(circuits))) - gradients.keys():
            gradients[i] = _stock("compute_vjp")(self, (circuits[i],), (cotangents[i],), config)[0]
        return tuple(gradients[i] for i in range(len(circuits)))

    def execute_and_compute_vjp(
        self, circuits: QuantumScriptBatch, cotangents: tuple, execution_config: _Config = None
    ) -> tuple[Any, Any]:
        """Results and gradients at once."""
        config = execution_config or _GRADIENTS
        execute, compute_vjp = inspect.unwrap(type(self).execute), inspect.unwrap(type(self).compute_vjp)
        return execute(self, circuits, config), compute_vjp(self, circuits, cotangents, config)

    compute_derivatives = _stock("compute_derivatives")

    def execute_and_compute_derivatives(
        self, circuits: QuantumScriptBatch, execution_config: _Config = None
    ) -> tuple[Any, Any]:
        """Results and Jacobians; with anything to differentiate, by the path of ``lightning.qubit``."""
        config = execution_config or ExecutionConfig(gradient_method="adjoint")
        if not any(circuit.trainable_params for circuit in circuits):
            return inspect.unwrap(type(self).execute)(self, circuits, config), ((),) * len(circuits)
        return _stock("execute_and_compute_derivatives")(self, circuits, execution_config)

    def runs_natively(self, circuit: QuantumScript, differentiable: bool = True) -> bool:
        """Whether a circuit takes no path of ``lightning.qubit``, also if gradients will be asked for."""
        return self._known(circuit, differentiable).program is not None

    def _known(self, circuit: QuantumScript, differentiable: bool) -> _Known:
        """What is known of a circuit; PennyLane asks several times on its way to the device."""
        trainable = frozenset(circuit.trainable_params if differentiable else ())
        known = _known_tapes.get(circuit)
        if known is None or (known.trainable, known.options) != (trainable, self._options):
            parts = None if circuit.shots else parts_of(circuit, trainable)
            program = None if parts is None else program_of([parts], circuit, trainable, self._options)
            known = _Known(trainable, self._options, parts or (), program)
            if all(part.first is not None for part in known.parts):  # the numbers of others are copies
                _known_tapes[circuit] = known
        return known

    def _native(self, circuits: QuantumScriptBatch, differentiable: bool) -> list[tuple[list[int], Program, Numbers]]:
        """The circuits that run natively, stacked where they are alike: their indices, program and numbers."""
        known = [self._known(circuit, differentiable) for circuit in circuits]
        alike: dict[Hashable, list[int]] = defaultdict(list)
        for i, (*_, program) in enumerate(known):
            if program is not None:
                alike[program if program.stacked else i].append(i)
        found = []
        for indices in alike.values():
            stack = [known[i].parts for i in indices]
            first = known[indices[0]]
            program = first.program
            if len(indices) > 1:
                program = program_of(stack, circuits[indices[0]], first.trainable, self._options)
            assert program is not None, "what runs by itself runs in a stack"
            found.append((indices, program, program.numbers(stack)))
        return found


# By identity: tapes compare equal by their operations, which costs more than to look them up.
_known_tapes: WeakKeyDictionary[QuantumScript, _Known] = WeakKeyDictionary()


@qml.transform
def _expand_unless_native(
    tape: QuantumScript, device: BatchedLightning, stock: Callable[[], CompilePipeline], config: ExecutionConfig
) -> tuple[QuantumScriptBatch, PostprocessingFn]:
    """Leave a circuit that runs natively as it is; otherwise apply ``stock()``."""
    # PennyLane asks for whole Jacobians under jax.jit, whatever it has said before.
    asks_for_products = config.use_device_jacobian_product and config.interface is not Interface.JAX_JIT
    whole_jacobian = bool(config.use_device_gradient) and not asks_for_products
    if not (whole_jacobian and tape.trainable_params) and device.runs_natively(tape, _differentiable(config)):
        return (tape,), itemgetter(0)
    tapes, postprocessing = stock()((tape,))
    return tapes, lambda results: postprocessing(results)[0]


def _differentiable(config: ExecutionConfig) -> bool:
    """Whether the device itself is asked for gradients, rather than for the values that a gradient is made of."""
    return bool(config.use_device_gradient or config.use_device_jacobian_product)
