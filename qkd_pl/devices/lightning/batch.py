"""Execution of one broadcast circuit, and the pullback of its results."""

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from pennylane.tape import QuantumScript
from pennylane.wires import Wires

from qkd_pl.devices.lightning.circuit import BatchedCircuit
from qkd_pl.devices.lightning.layout import Layout, TrainableParameter, layout_of
from qkd_pl.devices.lightning.local import LocalTrace
from qkd_pl.devices.lightning.memory import Workspace
from qkd_pl.devices.lightning.readout import Readout, readout_of
from qkd_pl.devices.lightning.spread import SpreadTrace
from qkd_pl.devices.lightning.sweep import Sweep

# So many amplitudes are prepared at once, or those of one block if that is more.
PORTION = 2**21
# States up to this size wait for the backward sweep; of more, only the final ones do, and beyond that none.
KEPT_BYTES = 3 * 2**27
# Amplitudes times gates from which on spreading a batch over processes pays.
SPREAD_UPDATES = 2**25

Recognised = tuple[BatchedCircuit, Readout] | None
# PennyLane asks about the same tape several times on its way to the device.
_recognised: WeakKeyDictionary[QuantumScript, tuple[Any, tuple[Layout, Readout] | None]] = WeakKeyDictionary()


class BatchedExecution:
    """One broadcast circuit on the simulator.

    States, and the space for them, take up to 384 MiB, and beside them a few times 2**21 amplitudes, or those of one
    sample if that is more.

    Args:
        circuit: amplitudes and shared gates.
        readout: its measurements.
        workspace: where to compute.
    """

    def __init__(self, circuit: BatchedCircuit, readout: Readout, workspace: Workspace):
        self._circuit, self._readout, self._workspace = circuit, readout, workspace
        layout = circuit.layout
        self._n_samples, n_amplitudes = layout.batch_size, 2 ** len(layout.wires)
        portion = min(self._n_samples, max(1, PORTION // n_amplitudes))
        self._sweep = Sweep(layout.stages, circuit.angles, readout, workspace.c_dtype, portion)
        self._is_large = self._n_samples * n_amplitudes * len(layout.gates.names) >= SPREAD_UPDATES
        self._trace: LocalTrace | SpreadTrace | None = None

    def run(self, keep: bool) -> Any:
        """One array ``(batch_size,)`` float64 per measurement; a bare array if there is only one.

        Args:
            keep: whether a backward sweep may follow.
        """
        keep = keep and bool(self._circuit.layout.trainable)
        trace = self._new_trace(keep)
        values = trace.forward()
        if keep:
            self._trace = trace
        return values[0] if len(values) == 1 else tuple(values)

    def vjp(self, cotangent: Any, trainable: Sequence[TrainableParameter]) -> tuple[np.ndarray, ...]:
        """Gradients of the trainable parameters, each float64 of the parameter's shape.

        Args:
            cotangent: of the structure that :meth:`run` returns.
            trainable: parameters of this circuit.
        """
        coefficients = np.array(cotangent, dtype=np.float64).reshape(self._readout.n_observables, -1)
        trace = self._trace or self._new_trace(True)
        gradient = self._circuit.layout.gates.scatter(trace.backward(coefficients))
        return tuple(parameter.gather(gradient) for parameter in trainable)

    def is_of(self, circuit: BatchedCircuit, readout: Readout) -> bool:
        """Whether this execution prepared and measured the same."""
        return self._readout is readout and self._circuit.prepares_same_state_as(circuit)

    def _new_trace(self, differentiable: bool) -> LocalTrace | SpreadTrace:
        sweep, factors, n_samples, workspace = self._sweep, self._circuit.factors, self._n_samples, self._workspace
        full = differentiable and self._fits(n_samples, full=True)
        is_kept = differentiable and self._fits(n_samples, full)
        if not is_kept:
            full = differentiable and self._fits(sweep.n_samples, full=True)
        if self._is_large and workspace.workers > 1:
            workers, memory = workspace.workers, workspace.shared_memory
            return SpreadTrace(sweep, factors, n_samples, full, is_kept, workers, memory)
        return LocalTrace(sweep, factors, n_samples, full, is_kept, workspace.memory)

    def _fits(self, n_samples: int, full: bool) -> bool:
        return n_samples * self._sweep.width(full) * self._workspace.c_dtype.itemsize <= KEPT_BYTES


def recognise(tape: QuantumScript, device_wires: Wires | None, differentiable: bool, causal_cone: bool) -> Recognised:
    """Split and read out a tape that can be executed natively; None for any other.

    Args:
        tape: as PennyLane hands it to the device; its parameters may be tracers.
        device_wires: the only wires allowed, unless None.
        differentiable: whether gradients of the trainable parameters will be asked for.
        causal_cone: whether to drop what no measurement depends on.
    """
    key = (tuple(tape.trainable_params), device_wires, differentiable, causal_cone)
    if (known := _recognised.get(tape)) is None or known[0] != key:
        known = key, _recognise(tape, device_wires, differentiable, causal_cone)
        _recognised[tape] = known
    if known[1] is None:
        return None
    layout, readout = known[1]
    # The numbers are read whenever it is run: they may have changed in place.
    return BatchedCircuit(layout, tape.operations), readout


def _recognise(
    tape: QuantumScript, device_wires: Wires | None, differentiable: bool, causal_cone: bool
) -> tuple[Layout, Readout] | None:
    if tape.shots or (layout := layout_of(tape, differentiable, causal_cone)) is None:
        return None
    if device_wires is not None and not layout.wires.keys() <= device_wires.toset():
        return None
    readout = readout_of(tape.measurements, layout.wires)
    return None if readout is None else (layout, readout)
