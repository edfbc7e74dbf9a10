"""The PennyLane device ``qkd.lightning``."""

import inspect
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache, partial
from typing import Any

import numpy as np
import pennylane as qml
from pennylane.devices import ExecutionConfig
from pennylane.devices.modifiers import simulator_tracking, single_tape_support
from pennylane.math.interface_utils import Interface
from pennylane.tape import QuantumScript, QuantumScriptBatch
from pennylane.transforms.core import CompilePipeline
from pennylane.typing import PostprocessingFn, ResultBatch
from pennylane_lightning.lightning_qubit import LightningQubit

from qkd_pl.checks import check_count
from qkd_pl.devices.lightning.batch import BatchedExecution, Recognised, recognise
from qkd_pl.devices.lightning.circuit import BatchedCircuit
from qkd_pl.devices.lightning.memory import Workspace
from qkd_pl.devices.lightning.readout import Readout
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


@simulator_tracking
@single_tape_support
class BatchedLightning(LightningQubit):
    """``lightning.qubit`` that executes a broadcast circuit as a whole rather than one circuit per sample.

    A circuit is executed natively if it is analytic, is broadcast in state preparations or in single-qubit gates
    before all others on their wire, and measures expectation values of products or sums of Pauli operators,
    projectors and small Hermitian matrices. Gradients need ``device_vjp=True`` in the QNode: one forward and one
    backward sweep then serve all samples and all observables. Everything else takes the path of ``lightning.qubit``.

    States between the two sweeps take up to 384 MiB, which stay with the device for the next circuit; larger batches
    are run in portions.

    Args:
        wires: number of wires, their labels, or None to take them from each circuit.
        c_dtype: ``np.complex128`` or ``np.complex64``, or its name. In complex64, expectation values are accurate to
            about 1e-6 and gradients, summed over a batch of 64, to about 1e-5.
        causal_cone: whether to leave out gates and wires of native circuits that no measurement depends on; exact.
        workers: number of processes over which large native batches are spread; results do not depend on it.
        options: further arguments of ``lightning.qubit``.
    """

    def __init__(
        self,
        wires: int | Sequence[Any] | None = None,
        *,
        c_dtype: Any = np.complex128,
        causal_cone: bool = True,
        workers: int = 1,
        **options: Any,
    ):
        super().__init__(wires=wires, c_dtype=np.dtype(c_dtype).type, **options)
        try:
            check_count("workers", workers)
        except InvalidInputError as error:
            raise DeviceConfigError(f"qkd.lightning: {error}") from None
        self._causal_cone = causal_cone
        self._executed: list[BatchedExecution] = []
        self._workspace = Workspace(self._c_dtype, workers)

    @property
    def name(self) -> str:
        """The name under which PennyLane finds the device."""
        return "qkd.lightning"

    def preprocess_transforms(self, execution_config: ExecutionConfig | None = None) -> CompilePipeline:
        """The pipeline of ``lightning.qubit``, which circuits that run natively skip."""
        config = execution_config or ExecutionConfig()
        if qml.capture.enabled():
            return super().preprocess_transforms(config)
        pipeline = CompilePipeline()
        # The stock pipeline takes longer to build than a small circuit to run, and is seldom needed.
        stock = cache(partial(super().preprocess_transforms, config))
        pipeline.add_transform(_expand_unless_native, device=self, stock=stock, config=config)
        return pipeline

    def supports_derivatives(
        self, execution_config: ExecutionConfig | None = None, circuit: QuantumScript | None = None
    ) -> bool:
        """Adjoint differentiation of analytic circuits, broadcast or not."""
        config = execution_config or ExecutionConfig()
        adjoint = config.gradient_method in {"adjoint", "best"} and bool(config.use_device_jacobian_product)
        if circuit is not None and adjoint and self.recognise(circuit, True):
            return True
        return super().supports_derivatives(execution_config, circuit)

    def execute(self, circuits: QuantumScriptBatch, execution_config: ExecutionConfig | None = None) -> ResultBatch:
        """Expectation values; a natively broadcast circuit gives an array over its samples for each measurement."""
        config = execution_config or ExecutionConfig()
        self._executed = []
        native = [self._native(circuit, config) for circuit in circuits]
        others = [circuit for circuit, execution in zip(circuits, native, strict=True) if execution is None]
        stock = iter(_stock["execute"](self, others, config) if others else ())
        keep = _differentiable(config)
        results = tuple(next(stock) if execution is None else execution.run(keep) for execution in native)
        self._executed = [execution for execution in native if keep and execution is not None]
        return results

    def compute_vjp(
        self,
        circuits: QuantumScriptBatch,
        cotangents: Sequence[Any],
        execution_config: ExecutionConfig | None = None,
    ) -> tuple[Any, ...]:
        """Gradient of ``cotangents · results`` with respect to each trainable parameter of each circuit."""
        config = execution_config or ExecutionConfig(gradient_method="adjoint", use_device_jacobian_product=True)
        gradients = []
        for circuit, cotangent in zip(circuits, cotangents, strict=True):
            if (recognised := self.recognise(circuit, True)) is None:
                gradients += _stock["compute_vjp"](self, (circuit,), (cotangent,), config)
            else:
                gradients.append(self._gradient(*recognised, cotangent))
        return tuple(gradients)

    def execute_and_compute_vjp(
        self,
        circuits: QuantumScriptBatch,
        cotangents: Sequence[Any],
        execution_config: ExecutionConfig | None = None,
    ) -> tuple[Any, Any]:
        """Results and gradients at once."""
        config = execution_config or ExecutionConfig(gradient_method="adjoint", use_device_jacobian_product=True)
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

    def recognise(self, circuit: QuantumScript, differentiable: bool) -> Recognised:
        """Amplitudes, shared gates and readout of a circuit that can be executed natively; None for any other."""
        return recognise(circuit, self.wires, differentiable, self._causal_cone)

    def _native(self, circuit: QuantumScript, config: ExecutionConfig) -> BatchedExecution | None:
        recognised = self.recognise(circuit, _differentiable(config))
        return None if recognised is None else self._execution(*recognised)

    def _execution(self, circuit: BatchedCircuit, readout: Readout) -> BatchedExecution:
        return BatchedExecution(circuit, readout, self._workspace)

    def _gradient(self, circuit: BatchedCircuit, readout: Readout, cotangent: Any) -> tuple[np.ndarray, ...]:
        executed = self._take_executed(circuit, readout)
        execution = executed or self._execution(circuit, readout)
        gradient = execution.vjp(cotangent, circuit.layout.trainable)
        if executed:
            self._executed.append(executed)
        return gradient

    def _take_executed(self, circuit: BatchedCircuit, readout: Readout) -> BatchedExecution | None:
        """The execution that :meth:`execute` left for the backward sweep, if there is one; no other thread has it."""
        for execution in tuple(self._executed):
            if execution.is_of(circuit, readout):
                with suppress(ValueError):
                    self._executed.remove(execution)
                    return execution
        return None


@qml.transform
def _expand_unless_native(
    tape: QuantumScript, device: BatchedLightning, stock: Callable[[], CompilePipeline], config: ExecutionConfig
) -> tuple[QuantumScriptBatch, PostprocessingFn]:
    """Leave a natively broadcast circuit as it is, after decomposition if necessary; otherwise apply ``stock()``."""
    # PennyLane asks for whole Jacobians under jax.jit, whatever it has said before.
    asks_for_products = config.use_device_jacobian_product and config.interface is not Interface.JAX_JIT
    whole_jacobian = bool(config.use_device_gradient) and not asks_for_products
    if not (whole_jacobian and tape.trainable_params) and device.recognise(tape, _differentiable(config)):
        return (tape,), _only_result
    tapes, postprocessing = stock()((tape,))
    return tapes, lambda results: postprocessing(results)[0]


def _differentiable(config: ExecutionConfig) -> bool:
    """Whether the device itself is asked for gradients, rather than for the values that a gradient is made of."""
    return bool(config.use_device_gradient or config.use_device_jacobian_product)


def _only_result(results: ResultBatch) -> Any:
    return results[0]
