"""Forward and backward sweep over many samples, stage by stage and block by block, here or in worker processes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from qkd_pl.lightning.preparation import chosen, product_states
from qkd_pl.lightning.readout import Readout
from qkd_pl.lightning.register import Register, sample_wires
from qkd_pl.lightning.stages import Stage


@dataclass(frozen=True)
class Sweep:
    """What happens to every sample of a batch alike.

    The states after each stage stand beside each other in a trace of shape ``(n_samples, width)``. Factors are the
    amplitudes of the groups of wires in the order in which they enter, each of shape ``(n_samples or 1, 2**k)``.

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

    @property
    def width(self) -> int:
        """Amplitudes per sample of the states after all stages: less than twice those of the last one."""
        return sum(2**stage.kernels.n_wires for stage in self.stages)

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

    def forward(self, trace: np.ndarray, factors: Sequence[np.ndarray]) -> np.ndarray:
        """Fill a trace; return expectation values ``(k, n_samples)``."""
        values = np.empty((self.readout.n_observables, len(trace)))
        states = np.ones((len(trace), 1), dtype=self.c_dtype)
        for stage, register, after, entering in self._walk(trace, factors):
            is_last = stage is self.stages[-1]
            for block in _blocks(register, len(trace)):
                entered = [chosen(factor, block, len(trace)) for factor in entering]
                register.run(product_states([*entered, states[block]], self.c_dtype), out=after[block])
                if is_last:
                    values[:, block] = self.readout.expectations(after[block])
            states = after
        return values

    def backward(self, trace: np.ndarray, factors: Sequence[np.ndarray], coefficients: np.ndarray) -> np.ndarray:
        """Gradient of ``Σ_kb coefficients_kb ⟨O_k⟩_b`` with respect to every angle, from a trace.

        With λ = Σ_k c_k O_k ψ after the last stage, every stage hands U†λ, projected on the states of the wires that
        entered with it, to the one before.
        """
        gradient = np.zeros(len(self.angles))
        cotangent = np.empty((0, 0))
        for stage, register, after, entering in reversed(list(self._walk(trace, factors))):
            is_first, is_last = stage is self.stages[0], stage is self.stages[-1]
            entered = np.ones((1, 1)) if is_first else product_states(entering, self.c_dtype)
            before = np.empty((len(trace), after.shape[1] // entered.shape[1]), dtype=self.c_dtype)
            for block in _blocks(register, len(trace)):
                here = self.readout.apply(after[block], coefficients[:, block]) if is_last else cotangent[block]
                gradient[stage.kernels.angles] += register.pull_back(after[block], here)
                if not is_first:
                    before[block] = _projected(register.undo(here), chosen(entered, block, len(trace)))
            cotangent = before
        return gradient

    def _walk(
        self, trace: np.ndarray, factors: Sequence[np.ndarray]
    ) -> Iterator[tuple[Stage, Register, np.ndarray, Sequence[np.ndarray]]]:
        """Every stage with its register, its part of the trace, and the factors that enter, in the register's order."""
        entered, filled = 0, 0
        for stage, register in zip(self.stages, self.registers, strict=True):
            size = 2**stage.kernels.n_wires
            entering = factors[entered : entered + stage.n_groups][::-1]
            yield stage, register, trace[:, filled : filled + size], entering
            entered, filled = entered + stage.n_groups, filled + size


def _projected(states: np.ndarray, entered: np.ndarray) -> np.ndarray:
    """``(⟨entered| ⊗ 1)|state⟩`` for states ``(n, 2**(k+j))`` and ``(n or 1, 2**k)`` of the wires that entered last."""
    split = states.reshape(len(states), entered.shape[1], -1)
    return (entered.conj()[:, None, :] @ split)[:, 0, :]


def _blocks(register: Register, n_samples: int) -> Iterator[slice]:
    """The samples that go through a register together."""
    size = register.n_samples
    return (slice(start, min(start + size, n_samples)) for start in range(0, n_samples, size))
