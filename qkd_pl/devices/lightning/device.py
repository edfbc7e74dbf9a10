"""The PennyLane device ``qkd.lightning``."""

import inspect
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from operator import is_
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pennylane as qml
from pennylane.devices import ExecutionConfig
from pennylane.devices.modifiers import simulator_tracking, single_tape_support
from pennylane.math.interface_utils import Interface
from pennylane.operation import Operator
from pennylane.tape import QuantumScript, QuantumScriptBatch
from pennylane.transforms.core import CompilePipeline
from pennylane.typing import PostprocessingFn, ResultBatch
from pennylane_lightning.lightning_qubit import LightningQubit

from qkd_pl.checks import check_choice, check_count
from qkd_pl.devices.lightning.gates import Leaf, leaves_of
from qkd_pl.devices.lightning.program import Options, Program, program_of, structure_key
from qkd_pl.devices.lightning.schedule import Price
from qkd_pl.devices.lightning.workers import Execution, Sweepers, Workers
from qkd_pl.errors import DeviceConfigError, InvalidInputError

# The tracking of device calls wraps each method once; delegating to wrapped methods would count a call twice.
_stock = {
    name: inspect.unwrap(getattr(LightningQubit, name))
    for name in (
        "execute",
        "compute_derivatives",
        "execute_and_compute_derivatives",
        "compute_vjp",
        "execute_and_compute_vjp",
    )
}
_PRICES = {"auto": Price(), "always": Price(0.0, 0.0, 0.0), "never": Price(updates=float("inf"))}
_GRADIENTS = ExecutionConfig(gradient_method="adjoint", use_device_gradient=True, use_device_jacobian_product=True)


@dataclass(frozen=True)
class _Known:
    """What was found out about a tape.

    Attributes:
        asked: what was asked for.
        key: equal for tapes that can be stacked; None for broadcast ones.
        leaves: of the tape.
        program: that runs the tape by itself; None if it cannot be run natively.
    """

    asked: Hashable
    key: Hashable | None
    leaves: Sequence[Leaf]
    program: Program | None


@dataclass(frozen=True, eq=False)
class _Executed:
    """What was executed in one call.

    Attributes:
        circuits: all tapes.
        executions: the native ones, with the indices of the tapes that they run.
        others: indices of the other tapes.
    """

    circuits: tuple[QuantumScript, ...]
    executions: list[tuple[list[int], Execution]]
    others: list[int]

    def equals(self, new: "_Executed") -> bool:
        """Whether new executions would end in the same states."""
        return (
            [indices for indices, _ in self.executions] == [indices for indices, _ in new.executions]
            and len(self.circuits) == len(new.circuits)
            and all(
                old.program is other.program and old.numbers.equal(other.numbers)
                for (_, old), (_, other) in zip(self.executions, new.executions, strict=True)
            )
        )


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
            Where they do not fit, the backward sweep repeats the forward sweep, in portions.
        options: further arguments of ``lightning.qubit``.

    Raises:
        DeviceConfigError: an option is out of its range.
    """

    def __init__(
        self,
        wires: int | Sequence[Any] | None = None,
        *,
        c_dtype: Any = np.complex128,
        causal_cone: bool = True,
        stages: str = "auto",
        workers: int = 1,
        spread_from: int = 2**25,
        kept_bytes: int = 3 * 2**27,
        **options: Any,
    ):
        super().__init__(wires=wires, c_dtype=np.dtype(c_dtype).type, **options)
        try:
            check_count("workers", workers)
            check_count("kept_bytes", kept_bytes, 0)
            check_count("spread_from", spread_from, 0)
            check_choice("stages", stages, _PRICES)
        except InvalidInputError as error:
            raise DeviceConfigError(f"qkd.lightning: {error}") from None
        allowed = None if self.wires is None else frozenset(self.wires)
        self._options = Options(allowed, causal_cone, _PRICES[stages])
        self._workers = Workers(workers, spread_from)
        self._sweepers = Sweepers(np.dtype(c_dtype), kept_bytes)
        # Both depend on nothing but the configuration that was asked for, and cost as much as a sweep of 7 qubits.
        self._config: tuple[ExecutionConfig, ExecutionConfig] | None = None
        self._pipeline: tuple[ExecutionConfig, CompilePipeline] | None = None

    @property
    def name(self) -> str:
        """The name under which PennyLane finds the device."""
        return "qkd.lightning"

    def setup_execution_config(
        self, config: ExecutionConfig | None = None, circuit: QuantumScript | None = None
    ) -> ExecutionConfig:
        """The configuration of ``lightning.qubit``."""
        plain = circuit is not None and not circuit.shots and not any(map(_is_mid_circuit, circuit.operations))
        if config is None or not plain:
            return super().setup_execution_config(config, circuit)
        if self._config is None or self._config[0] is not config:
            self._config = config, super().setup_execution_config(config, circuit)
        return self._config[1]

    def preprocess_transforms(self, execution_config: ExecutionConfig | None = None) -> CompilePipeline:
        """The pipeline of ``lightning.qubit``, which circuits that run natively skip."""
        config = execution_config or ExecutionConfig()
        if qml.capture.enabled():
            return super().preprocess_transforms(config)
        if self._pipeline is not None and self._pipeline[0] is config:
            return self._pipeline[1]
        pipeline = CompilePipeline()
        # The stock pipeline takes longer to build than a small circuit to run, and is seldom needed.
        stock = cache(partial(super().preprocess_transforms, config))
        pipeline.add_transform(_expand_unless_native, device=self, stock=stock, config=config)
        self._pipeline = (config, pipeline)
        return pipeline

    def supports_derivatives(
        self, execution_config: ExecutionConfig | None = None, circuit: QuantumScript | None = None
    ) -> bool:
        """Adjoint differentiation of analytic circuits, broadcast or not."""
        config = execution_config or ExecutionConfig()
        adjoint = config.gradient_method in {"adjoint", "best"} and bool(config.use_device_jacobian_product)
        if circuit is not None and adjoint and self._known(circuit, True).program:
            return True
        return super().supports_derivatives(execution_config, circuit)

    def execute(self, circuits: QuantumScriptBatch, execution_config: ExecutionConfig | None = None) -> ResultBatch:
        """Expectation values; a broadcast circuit gives an array over its samples for each measurement."""
        config = execution_config or ExecutionConfig()
        keep = _differentiable(config)
        self._release()
        executions, others = self._executions(circuits, keep)
        results: dict[int, Any] = {}
        for indices, execution in executions:
            values = execution.run(keep)
            columns = values.T if execution.program.stacked else [values]
            for i, of_tape in zip(indices, columns, strict=True):
                results[i] = of_tape[0] if len(of_tape) == 1 else tuple(of_tape)
        if others:
            results |= zip(others, _stock["execute"](self, [circuits[i] for i in others], config), strict=True)
        if keep:
            self._sweepers.waiting.append(_Executed(tuple(circuits), executions, others))
        return tuple(results[i] for i in range(len(circuits)))

    def compute_vjp(
        self,
        circuits: QuantumScriptBatch,
        cotangents: Sequence[Any],
        execution_config: ExecutionConfig | None = None,
    ) -> tuple[Any, ...]:
        """Gradient of ``cotangents · results`` with respect to each trainable parameter of each circuit."""
        config = execution_config or _GRADIENTS
        executed = self._take_executed(circuits)
        gradients: dict[int, Any] = {}
        for indices, execution in executed.executions:
            coefficients = np.array([cotangents[i] for i in indices], dtype=np.float64)
            n_observables = execution.program.readout.n_observables
            coefficients = coefficients.reshape(len(indices), n_observables, -1)
            stacked = execution.program.stacked
            found = execution.vjp(coefficients[:, :, 0].T if stacked else coefficients[0])
            gradients |= zip(indices, found, strict=True)
        for i in executed.others:
            gradients[i] = _stock["compute_vjp"](self, (circuits[i],), (cotangents[i],), config)[0]
        self._sweepers.waiting.append(executed)
        return tuple(gradients[i] for i in range(len(circuits)))

    def execute_and_compute_vjp(
        self,
        circuits: QuantumScriptBatch,
        cotangents: Sequence[Any],
        execution_config: ExecutionConfig | None = None,
    ) -> tuple[Any, Any]:
        """Results and gradients at once."""
        config = execution_config or _GRADIENTS
        execute, compute_vjp = inspect.unwrap(type(self).execute), inspect.unwrap(type(self).compute_vjp)
        return execute(self, circuits, config), compute_vjp(self, circuits, cotangents, config)

    def compute_derivatives(
        self, circuits: QuantumScriptBatch, execution_config: ExecutionConfig | None = None
    ) -> tuple[Any, ...]:
        """Jacobians, always by the path of ``lightning.qubit``."""
        return _stock["compute_derivatives"](self, circuits, execution_config)

    def execute_and_compute_derivatives(
        self, circuits: QuantumScriptBatch, execution_config: ExecutionConfig | None = None
    ) -> tuple[Any, Any]:
        """Results and Jacobians; with anything to differentiate, by the path of ``lightning.qubit``."""
        config = execution_config or ExecutionConfig(gradient_method="adjoint")
        if not any(circuit.trainable_params for circuit in circuits):
            return inspect.unwrap(type(self).execute)(self, circuits, config), ((),) * len(circuits)
        return _stock["execute_and_compute_derivatives"](self, circuits, execution_config)

    def runs_natively(self, circuit: QuantumScript, differentiable: bool = True) -> bool:
        """Whether a circuit is executed as a batch rather than by the path of ``lightning.qubit``.

        Args:
            circuit: a tape.
            differentiable: whether gradients of its trainable parameters will be asked for.
        """
        return self._known(circuit, differentiable).program is not None

    def _known(self, circuit: QuantumScript, differentiable: bool) -> _Known:
        """What is known of a circuit; PennyLane asks several times on its way to the device."""
        asked = (tuple(circuit.trainable_params), differentiable, self._options)
        known = _known_tapes.get(circuit)
        if known is None or known.asked != asked:
            known = self._find_out(circuit, differentiable, asked)
            if all(leaf.first is not None for leaf in known.leaves):  # the numbers of others are copies
                _known_tapes[circuit] = known
        return known

    def _find_out(self, circuit: QuantumScript, differentiable: bool, asked: Hashable) -> _Known:
        trainable = frozenset(circuit.trainable_params) if differentiable else frozenset()
        unknown = _Known(asked, None, (), None)
        if circuit.shots:
            return unknown
        leaves = leaves_of(circuit, trainable)
        if leaves is None:
            return unknown
        program = program_of([leaves], circuit, trainable, self._options)
        stackable = program is not None and program.stacked
        key = (structure_key(leaves, circuit), trainable) if stackable else None
        return _Known(asked, key, leaves, program)

    def _executions(
        self, circuits: QuantumScriptBatch, differentiable: bool
    ) -> tuple[list[tuple[list[int], Execution]], list[int]]:
        """The native circuits, stacked where they are alike, and the indices of the others."""
        known = [self._known(circuit, differentiable) for circuit in circuits]
        alike: dict[Hashable, list[int]] = defaultdict(list)
        for i, of_circuit in enumerate(known):
            if of_circuit.program is not None:
                alike[i if of_circuit.key is None else of_circuit.key].append(i)
        found = []
        for indices in alike.values():
            stack = [known[i].leaves for i in indices]
            program = known[indices[0]].program
            if len(indices) > 1:
                trainable = frozenset(circuits[indices[0]].trainable_params) if differentiable else frozenset()
                program = program_of(stack, circuits[indices[0]], trainable, self._options)
            assert program is not None, "what runs by itself runs in a stack"
            found.append((indices, Execution(program, program.numbers(stack), self._sweepers, self._workers)))
        return found, [i for i, of_circuit in enumerate(known) if of_circuit.program is None]

    def _take_executed(self, circuits: QuantumScriptBatch) -> _Executed:
        """What :meth:`execute` left for the backward sweep, or new executions; no other thread has them."""
        new: _Executed | None = None
        for executed in tuple(self._sweepers.waiting):
            same = len(executed.circuits) == len(circuits) and all(map(is_, executed.circuits, circuits))
            if not same:  # PennyLane may have copied the circuits in between
                new = new or _Executed(tuple(circuits), *self._executions(circuits, True))
            if same or (new is not None and executed.equals(new)):
                with suppress(ValueError):
                    self._sweepers.waiting.remove(executed)
                    return executed
        return new or _Executed(tuple(circuits), *self._executions(circuits, True))

    def _release(self) -> None:
        """Give back what earlier executions hold, unless another thread has them."""
        with suppress(IndexError):
            while True:
                for _, execution in self._sweepers.waiting.pop().executions:
                    execution.release()


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
        return (tape,), _only_result
    tapes, postprocessing = stock()((tape,))
    return tapes, lambda results: postprocessing(results)[0]


def _differentiable(config: ExecutionConfig) -> bool:
    """Whether the device itself is asked for gradients, rather than for the values that a gradient is made of."""
    return bool(config.use_device_gradient or config.use_device_jacobian_product)


def _is_mid_circuit(op: Operator) -> bool:
    return isinstance(op, qml.ops.MidMeasure | qml.ops.Conditional)


def _only_result(results: ResultBatch) -> Any:
    return results[0]
