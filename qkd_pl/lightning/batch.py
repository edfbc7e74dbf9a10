"""Execution of one broadcast circuit, block by block, and the pullback of its results."""

from collections.abc import Iterator, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from pennylane.tape import QuantumScript
from pennylane.wires import Wires

from qkd_pl.lightning.circuit import BatchedCircuit, split
from qkd_pl.lightning.layout import TrainableParameter
from qkd_pl.lightning.memory import Loan, Workspace
from qkd_pl.lightning.preparation import chosen
from qkd_pl.lightning.readout import Readout, readout_of
from qkd_pl.lightning.spread import SharedTrace
from qkd_pl.lightning.sweep import Sweep, Trace

# So many amplitudes are prepared at once, or those of one block if that is more.
PORTION = 2**20
# States up to this size wait for the backward sweep; of more, only the final ones do, and beyond that none.
KEPT_BYTES = 3 * 2**27
# Amplitudes times gates from which on spreading a batch over processes pays.
SPREAD_UPDATES = 2**25

Recognised = tuple[BatchedCircuit, Readout] | None
# PennyLane asks about the same tape several times on its way to the device.
_recognised: WeakKeyDictionary[QuantumScript, tuple[Any, Recognised]] = WeakKeyDictionary()


class BatchedExecution:
    """One broadcast circuit on the simulator.

    States, and the space for them, take up to 384 MiB, and beside them a few times 2**20 amplitudes, or those of one
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
        self._portion = min(self._n_samples, max(1, PORTION // n_amplitudes))
        self._sweep = Sweep(layout.stages, circuit.angles, readout, workspace.c_dtype, self._portion)
        self._is_full = self._fits(self._n_samples, full=True)
        self._is_kept = self._fits(self._n_samples, self._is_full)
        updates = self._n_samples * n_amplitudes * len(layout.gates.names)
        self._workers = workspace.workers if self._is_kept and updates >= SPREAD_UPDATES else 1
        self._loan: Loan | None = None
        self._shared: SharedTrace | None = None
        self._traces: dict[int, Trace] = {}

    def run(self, keep: bool) -> Any:
        """One array ``(batch_size,)`` float64 per measurement; a bare array if there is only one.

        Args:
            keep: whether a backward sweep may follow.
        """
        keep = keep and bool(self._circuit.layout.trainable)
        values = self._run_spread(keep) if self._workers > 1 else self._run_here(keep and self._is_kept)
        return values[0] if len(values) == 1 else tuple(values)

    def vjp(self, cotangent: Any, trainable: Sequence[TrainableParameter]) -> tuple[np.ndarray, ...]:
        """Gradients of the trainable parameters, each float64 of the parameter's shape.

        Args:
            cotangent: of the structure that :meth:`run` returns.
            trainable: parameters of this circuit.
        """
        coefficients = np.array(cotangent, dtype=np.float64).reshape(self._readout.n_observables, -1)
        backward = self._backward_spread if self._workers > 1 else self._backward_here
        gradient = self._circuit.layout.gates.scatter(backward(coefficients))
        return tuple(parameter.gather(gradient) for parameter in trainable)

    def is_of(self, circuit: BatchedCircuit, readout: Readout) -> bool:
        """Whether this execution prepared and measured the same."""
        return self._readout is readout and self._circuit.prepares_same_state_as(circuit)

    def _run_here(self, keep: bool) -> np.ndarray:
        values = np.empty((self._readout.n_observables, self._n_samples))
        full = keep and self._is_full
        loan = self._lend(self._n_samples if keep else self._portion, full)
        traces = {}
        for samples, factors in self._portions():
            trace = self._trace(loan, samples, full, 0 if keep else samples.start)
            values[:, samples] = self._sweep.forward(trace, factors)
            traces[samples.start] = trace
        if keep:
            self._loan, self._traces = loan, traces
        return values

    def _backward_here(self, coefficients: np.ndarray) -> np.ndarray:
        gradient = np.zeros(len(self._sweep.angles))
        full = self._fits(self._portion, full=True)
        loan = None if self._traces else self._lend(self._portion, full)
        for samples, factors in self._portions():
            if loan is None:
                trace = self._traces[samples.start]
            else:
                trace = self._trace(loan, samples, full, samples.start)
                self._sweep.forward(trace, factors)
            gradient += self._sweep.backward(trace, factors, coefficients[:, samples])
        return gradient

    def _fits(self, n_samples: int, full: bool) -> bool:
        return n_samples * self._sweep.width(full) * self._workspace.c_dtype.itemsize <= KEPT_BYTES

    def _lend(self, n_samples: int, full: bool) -> Loan:
        return self._workspace.memory.lend(n_samples * self._sweep.width(full))

    def _trace(self, loan: Loan, samples: slice, full: bool, first: int) -> Trace:
        """Where the states of some samples go, if the loan is for those from the first on."""
        width = self._sweep.width(full)
        return self._sweep.trace(loan.array[(samples.start - first) * width : (samples.stop - first) * width], full)

    def _run_spread(self, keep: bool) -> np.ndarray:
        full = keep and self._is_full
        memory = self._workspace.shared_memory
        shared = SharedTrace(self._sweep, self._circuit.factors, self._n_samples, full, self._workers, memory)
        if keep:
            self._shared = shared
        return shared.forward()

    def _backward_spread(self, coefficients: np.ndarray) -> np.ndarray:
        if self._shared is None:
            self._run_spread(keep=True)
        assert self._shared is not None
        return self._shared.backward(coefficients)

    def _portions(self) -> Iterator[tuple[slice, list[np.ndarray]]]:
        """The samples whose states are held at once, and their factors."""
        for start in range(0, self._n_samples, self._portion or 1):
            samples = slice(start, min(start + self._portion, self._n_samples))
            yield samples, [chosen(factor, samples, self._n_samples) for factor in self._circuit.factors]


def recognise(tape: QuantumScript, device_wires: Wires | None, differentiable: bool, causal_cone: bool) -> Recognised:
    """Split and read out a tape that can be executed natively; None for any other.

    Args:
        tape: as PennyLane hands it to the device; its parameters may be tracers.
        device_wires: the only wires allowed, unless None.
        differentiable: whether gradients of the trainable parameters will be asked for.
        causal_cone: whether to drop what no measurement depends on.
    """
    key = (tuple(tape.trainable_params), device_wires, differentiable, causal_cone)
    if (known := _recognised.get(tape)) and known[0] == key:
        return known[1]
    recognised = _recognise(tape, device_wires, differentiable, causal_cone)
    _recognised[tape] = (key, recognised)
    return recognised


def _recognise(tape: QuantumScript, device_wires: Wires | None, differentiable: bool, causal_cone: bool) -> Recognised:
    if tape.shots or (circuit := split(tape, differentiable, causal_cone)) is None:
        return None
    wires = circuit.layout.wires
    if device_wires is not None and not wires.keys() <= device_wires.toset():
        return None
    readout = readout_of(tape.measurements, wires)
    return None if readout is None else (circuit, readout)
