"""Execution of one broadcast circuit, block by block, and the pullback of its results."""

from collections.abc import Iterator, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from pennylane.tape import QuantumScript
from pennylane.wires import Wires

from qkd_pl.lightning.circuit import BatchedCircuit, TrainableParameter, split
from qkd_pl.lightning.readout import Readout, readout_of
from qkd_pl.lightning.register import Register, sample_wires

# Final states up to this size wait for the backward sweep; larger ones are computed again, block by block.
KEPT_BYTES = 2**28

Recognised = tuple[BatchedCircuit, Readout] | None
# PennyLane asks about the same tape several times on its way to the device.
_recognised: WeakKeyDictionary[QuantumScript, tuple[Any, Recognised]] = WeakKeyDictionary()


class BatchedExecution:
    """One broadcast circuit on the simulator.

    Peak memory is that of the final states, if they are kept, plus a few blocks. A block is one register: 2**13
    amplitudes, or one sample if that is more.

    Args:
        circuit: amplitudes and shared gates.
        readout: its measurements.
        c_dtype: complex64 or complex128.
    """

    def __init__(self, circuit: BatchedCircuit, readout: Readout, c_dtype: Any):
        self.circuit = circuit
        self._readout = readout
        n_sample_wires = sample_wires(len(circuit.wires), circuit.batch_size)
        self._block = 2**n_sample_wires
        self._register = Register(circuit, c_dtype, n_sample_wires)
        self._final: dict[int, np.ndarray] = {}

    def run(self, keep: bool) -> Any:
        """One array ``(batch_size,)`` float64 per measurement; a bare array if there is only one.

        Args:
            keep: whether a backward sweep may follow.
        """
        size = self.circuit.batch_size * 2 ** len(self.circuit.wires) * self._register.itemsize
        values = np.empty((self._readout.n_observables, self.circuit.batch_size))
        for samples in self._blocks():
            final = self._register.run(self.circuit.amplitudes(samples))
            values[:, samples] = self._readout.expectations(final)
            if keep and self.circuit.trainable and size <= KEPT_BYTES:
                self._final[samples.start] = final
        return values[0] if len(values) == 1 else tuple(values)

    def vjp(self, cotangent: Any, trainable: Sequence[TrainableParameter]) -> tuple[np.ndarray, ...]:
        """Gradients of the trainable parameters, each float64 of the parameter's shape.

        Args:
            cotangent: of the structure that :meth:`run` returns.
            trainable: parameters of this circuit.
        """
        coefficients = np.array(cotangent, dtype=np.float64).reshape(self._readout.n_observables, -1)
        gradient = np.zeros(self._register.n_angles)
        for samples in self._blocks():
            final = self._final.get(samples.start)
            if final is None:
                final = self._register.run(self.circuit.amplitudes(samples))
            applied = self._readout.apply(final, coefficients[:, samples])
            gradient += self._register.pull_back(final, applied)
        scattered = self.circuit.gates.scatter(gradient)
        return tuple(parameter.gather(scattered) for parameter in trainable)

    def is_of(self, circuit: BatchedCircuit, readout: Readout) -> bool:
        """Whether this execution prepared and measured the same."""
        return self._readout is readout and self.circuit.prepares_same_state_as(circuit)

    def _blocks(self) -> Iterator[slice]:
        n_samples = self.circuit.batch_size
        return (slice(start, min(start + self._block, n_samples)) for start in range(0, n_samples, self._block))


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
    if device_wires is not None and not circuit.wires.keys() <= device_wires.toset():
        return None
    readout = readout_of(tape.measurements, circuit.wires)
    return None if readout is None else (circuit, readout)
