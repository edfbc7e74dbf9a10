"""Forward and backward sweep over many samples, stage by stage and block by block, here or in worker processes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from qkd_pl.devices.lightning.preparation import chosen, product_states
from qkd_pl.devices.lightning.pullback import Pullback
from qkd_pl.devices.lightning.readout import Readout
from qkd_pl.devices.lightning.register import Register, sample_wires
from qkd_pl.devices.lightning.stages import Stage

# For each stage: segment → amplitudes ``(n_samples, 2**n)`` after it, for those segments where they are kept.
After = dict[int, np.ndarray]
Trace = list[After]


@dataclass(frozen=True)
class Sweep:
    """What happens to every sample of a batch alike.

    Factors are the amplitudes of the groups of wires in the order in which they enter, each of shape
    ``(n_samples or 1, 2**k)``.

    Attributes:
        stages: the shared gates, in the order in which they act.
        angles: of all gates, in radians, float64.
        readout: the measured observables.
        c_dtype: complex64 or complex128.
        n_samples: how many are swept at once, at most.
    """

    stages: Sequence[Stage]
    angles: np.ndarray
    readout: Readout
    c_dtype: np.dtype
    n_samples: int

    def width(self, full: bool) -> int:
        """Amplitudes per sample of a trace: after every segment that takes angles, or only what each stage ends in."""
        return sum(2**stage.kernels.n_wires * len(stage.kept(full)) for stage in self.stages)

    def trace(self, memory: np.ndarray, full: bool) -> Trace:
        """An empty trace of n samples in an array ``(n * width,)``."""
        n_samples, filled = len(memory) // self.width(full), 0
        trace: Trace = []
        for stage in self.stages:
            size = n_samples * 2**stage.kernels.n_wires
            starts = {segment: filled + i * size for i, segment in enumerate(stage.kept(full))}
            trace.append({i: memory[start : start + size].reshape(n_samples, -1) for i, start in starts.items()})
            filled += len(starts) * size
        return trace

    @cached_property
    def registers(self) -> list[Register]:
        """Lightning's objects for each stage; they stay in the process that made them."""
        kernels = (stage.kernels for stage in self.stages)
        return [
            Register(
                each, self.angles[each.angles], self.c_dtype, sample_wires(each.n_wires, self.n_samples, self.c_dtype)
            )
            for each in kernels
        ]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "registers"}

    def forward(self, trace: Trace, factors: Sequence[np.ndarray]) -> np.ndarray:
        """Fill a trace; return expectation values ``(k, n_samples)``."""
        n_samples = _length(trace)
        values = np.empty((self.readout.n_observables, n_samples))
        states = np.empty((0, 0))
        for stage, register, after, entering in self._walk(trace, factors):
            is_first, is_last = stage is self.stages[0], stage is self.stages[-1]
            if is_first:
                # Two halves of the wires are small, and each block then needs but one product.
                middle = len(entering) // 2
                states = product_states(entering[middle:], self.c_dtype)
                states, entering = np.broadcast_to(states, (n_samples, states.shape[1])), entering[:middle]
            entered, final = product_states(entering, self.c_dtype), _final(after)
            for block in _blocks(register, n_samples):
                parts = chosen(entered, block, n_samples), states[block]
                register.run(product_states(parts, self.c_dtype), _of(block, after))
                if is_last:
                    values[:, block] = self.readout.expectations(final[block])
            states = final
        return values

    def backward(self, trace: Trace, factors: Sequence[np.ndarray], coefficients: np.ndarray) -> np.ndarray:
        """Gradient of ``Σ_kb coefficients_kb ⟨O_k⟩_b`` with respect to every angle, from a trace, better a full one.

        With ⟨λ| = Σ_k c_k ⟨ψ|O_k after the last stage, every stage hands ⟨λ|U, projected on the states of the wires
        that entered with it, to the one before.
        """
        n_samples = _length(trace)
        gradient = np.zeros(len(self.angles))
        bras = np.empty((0, 0))
        for stage, register, after, entering in reversed(list(self._walk(trace, factors))):
            is_first, is_last = stage is self.stages[0], stage is self.stages[-1]
            entered = product_states([] if is_first else entering, self.c_dtype)
            before = np.empty((0 if is_first else n_samples, _width(after) // entered.shape[1]), dtype=self.c_dtype)
            pullback = Pullback(register)
            # What the forward sweep kept last is the most likely to be in the cache still.
            for block in reversed(list(_blocks(register, n_samples))):
                kets = _of(block, after)
                here = self.readout.bras(_final(kets), coefficients[:, block]) if is_last else bras[block]
                there = pullback.through(kets, here, undo_all=not is_first)
                if not is_first:
                    _project(there, chosen(entered, block, n_samples), out=before[block])
            gradient[stage.kernels.angles] = pullback.gradient()
            bras = before
        return gradient

    def _walk(
        self, trace: Trace, factors: Sequence[np.ndarray]
    ) -> Iterator[tuple[Stage, Register, After, Sequence[np.ndarray]]]:
        """Every stage with its register, its part of the trace, and the factors that enter, in the register's order."""
        entered = 0
        for stage, register, after in zip(self.stages, self.registers, trace, strict=True):
            yield stage, register, after, factors[entered : entered + stage.n_groups][::-1]
            entered += stage.n_groups


def samples_of(trace: Trace, samples: slice) -> Trace:
    """The part of a trace that belongs to some samples."""
    return [_of(samples, after) for after in trace]


def _of(samples: slice, after: After) -> After:
    return {segment: states[samples] for segment, states in after.items()}


def _final(after: After) -> np.ndarray:
    return after[max(after)]


def _length(trace: Trace) -> int:
    """How many samples a trace is for."""
    return len(_final(trace[-1]))


def _width(after: After) -> int:
    """How many amplitudes the states of a stage have."""
    return _final(after).shape[1]


def _project(bras: np.ndarray, entered: np.ndarray, out: np.ndarray) -> None:
    """``⟨bra|(|entered⟩ ⊗ 1)`` for bras ``(n, 2**(k+j))`` and kets ``(n or 1, 2**k)`` of wires that entered last."""
    split = bras.reshape(len(bras), entered.shape[1], -1)
    np.matmul(entered[:, None, :], split, out=out[:, None, :])


def _blocks(register: Register, n_samples: int) -> Iterator[slice]:
    """The samples that go through a register together."""
    size = register.n_samples
    return (slice(start, min(start + size, n_samples)) for start in range(0, n_samples, size))
