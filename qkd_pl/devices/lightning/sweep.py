"""Forward and backward sweep of a program over a batch, block by block, on Lightning's kernels and BLAS.

A block is an array ``(2**n, 2**m)``: the sample index stands on m extra wires behind the n of the circuit, so that one
call of a kernel serves ``2**m`` samples and NumPy's innermost loops run over samples. All that is computed is linear in
the samples' density matrices, so blocks need not be normalised: padding samples have cotangent zero.

Backwards, |λ⟩ = Σ_k c_k O_k|ψ⟩ is swept through the inverse gates. The reduced transition matrices Tr_others |ψ⟩⟨λ| of
single wires hold the derivatives of all rotations of a layer; one matrix product finds them for up to five neighbouring
wires. The states |ψ⟩ were kept by the forward sweep or, where they do not fit, are swept back as well.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from qkd_pl.devices.lightning.program import Numbers, Program
from qkd_pl.devices.lightning.schedule import Stage
from qkd_pl.devices.lightning.states import SINGLE_SAMPLE_WIRES, Transitions, amplitudes, padded, product_state
from qkd_pl.upstream.lightning import kernel, matrix_kernel, state_vector

# Registers of up to this size stay in a core's cache, with what is read beside them.
_REGISTER_BYTES = 2**19


def sample_wires(n_wires: int, n_samples: int, c_dtype: Any) -> int:
    """Number m of sample wires: the register stays within the cache and is padded as little as possible."""
    if n_wires >= SINGLE_SAMPLE_WIRES:
        return 0
    fits = (_REGISTER_BYTES // np.dtype(c_dtype).itemsize).bit_length() - 1 - n_wires
    largest = min(max(n_samples - 1, 0).bit_length(), fits)
    return min(range(max(largest - 2, 0), largest + 1), key=lambda m: (-(-n_samples // 2**m) * 2**m, -m))


class Register:
    """A block in Lightning's memory, ``block`` as scratch space beside it, and the gates of a stage bound to it."""

    def __init__(self, stage: Stage, n_samples: int, c_dtype: np.dtype):
        m = sample_wires(stage.n_wires, n_samples, c_dtype)
        self.n_samples = 2**m
        self.block = np.empty((2**stage.n_wires, self.n_samples), dtype=c_dtype)
        vector = state_vector(stage.n_wires + m, c_dtype)
        self._update, self._get, self._apply = vector.updateData, vector.getState, vector.applyMatrix
        self._segments: list[tuple[Any, Any, Any]] = []
        for segment in stage.segments:
            entanglers = []
            for g in segment.entanglers:
                call = kernel(vector, g.kernel) if g.matrix is None else matrix_kernel(vector, g.matrix, c_dtype)
                entanglers.append((call, list(g.wires)))
            shared = [(run.number, [run.wire]) for run in segment.runs if not run.is_batched]
            self._segments.append((entanglers, shared, [run for run in segment.runs if run.is_batched]))

    def load(self, block: np.ndarray) -> None:
        """Set the amplitudes."""
        self._update(block.reshape(-1))

    def read(self, out: np.ndarray | None = None) -> np.ndarray:
        """The amplitudes, in ``out`` or the scratch space."""
        out = self.block if out is None else out
        self._get(out.reshape(-1))
        return out

    def apply(self, segment: int, shared: Sequence[np.ndarray], batched: np.ndarray, inverse: bool = False) -> None:
        """A segment or its inverse, with matrices of shared runs and, ``(2, 2, n_runs, b)``, of batched ones."""
        entanglers, shared_runs, batched_runs = self._segments[segment]
        for (call, extra), wires in () if inverse else entanglers:
            call(wires, False, *extra)
        for number, wire in shared_runs:  # runs are on different wires: their order does not matter
            self._apply(shared[number], wire, inverse)
        if batched_runs:  # Lightning has no kernel that applies another matrix to each sample
            states = self.read()
            for run in batched_runs:
                matrix = batched[:, :, run.number]
                (u00, u01), (u10, u11) = matrix.conj().swapaxes(0, 1) if inverse else matrix
                split = states.reshape(2**run.wire, 2, -1, self.n_samples)
                zero, one = split[:, 0].copy(), split[:, 1].copy()
                split[:, 0] = u00 * zero + u01 * one
                split[:, 1] = u10 * zero + u11 * one
            self.load(states)
        for (call, extra), wires in reversed(entanglers) if inverse else ():
            call(wires, True, *extra)


class Sweeper:
    """Registers and memory for so many samples of one program, which stay from step to step.

    ``full`` says that the states after all trainable segments are kept, of which ``numbers`` are those that wait for a
    backward sweep.
    """

    def __init__(self, program: Program, n_samples: int, c_dtype: np.dtype, full: bool):
        self.program, self.n_samples, self.full, self._c_dtype = program, n_samples, full, c_dtype
        self.numbers: Numbers | None = None
        self._registers = [Register(stage, n_samples, c_dtype) for stage in program.stages]
        self._ket_registers: dict[int, Register] = {}
        # Of each stage: segment → the states after it, (n_blocks, 2**n, 2**m).
        self._trace: list[dict[int, np.ndarray]] = []
        for stage, register in zip(program.stages, self._registers, strict=True):
            shape = (-(-n_samples // register.n_samples), *register.block.shape)
            self._trace.append({segment: np.empty(shape, c_dtype) for segment in stage.kept(full)})
        self._finals = [kept[max(kept)] for kept in self._trace]
        self.kept_bytes = sum(states.nbytes for kept in self._trace for states in kept.values())
        self._padded = len(self._finals[0]) * self._registers[0].n_samples
        n_runs = [len(runs) if len(runs.trainable_entries) else 0 for runs in (program.shared, program.batched)]
        self._transitions = Transitions(program.stages, n_runs, self._padded if program.per_sample else None)
        self._first = next((i for i, stage in enumerate(program.stages) if stage.trainable), len(program.stages))

    def forward(self, numbers: Numbers, samples: slice) -> np.ndarray:
        """Sweep some samples, keeping states for :meth:`backward`; return expectation values ``(k, n_samples)``."""
        self._fill(numbers, samples)
        values = np.empty((self.program.readout.n_observables, self._padded))
        for i, (register, kept) in enumerate(zip(self._registers, self._trace, strict=True)):
            for j, block in self._blocks(register):
                register.load(self._entered(i, block))
                for segment in range(max(kept) + 1):
                    register.apply(segment, self._shared, self._batched[..., block])
                    if segment in kept:
                        register.read(kept[segment][j])
                if i == len(self._registers) - 1:
                    values[:, block] = self.program.readout.expectations(self._finals[i][j])
        return values[:, : self._filled]

    def backward(self, coefficients: np.ndarray) -> np.ndarray:
        """Gradient of ``Σ_kb coefficients_kb ⟨O_k⟩_b`` by the entries: ``(n_entries, n_samples)``, or 1 if summed."""
        last, cotangents = len(self._registers) - 1, np.empty(0)
        coefficients = padded(coefficients, self._padded - self._filled)
        for i in range(last, self._first - 1, -1):
            register = self._registers[i]
            before = np.zeros_like(self._finals[i - 1]) if i > self._first else None
            # What the forward sweep kept last is the most likely to be in the cache still.
            for j, block in reversed(self._blocks(register)):
                if i == last:
                    final = self._finals[i][j]
                    register.load(self.program.readout.applied(final, coefficients[:, block], register.block))
                else:
                    register.load(cotangents[j])
                self._back_through(i, j, block, before is not None)
                if before is not None:
                    self._project(i, block, self._of_stage(before, block))
            cotangents = cotangents if before is None else before
        gradient = np.zeros((self._n_entries, self._padded if self.program.per_sample else 1))
        for is_batched, runs in ((False, self.program.shared), (True, self.program.batched)):
            if len(runs.trainable_entries):
                found = self._transitions.matrices(is_batched)[..., : gradient.shape[1]]
                np.add.at(gradient, runs.trainable_entries, runs.gradient(self._after[is_batched], found))
        return gradient[:, : self._filled] if self.program.per_sample else gradient

    def _fill(self, numbers: Numbers, samples: slice) -> None:
        """Matrices of all runs, and for each stage the amplitudes of what enters: two factors for the first stage."""
        program, c_dtype = self.program, self._c_dtype
        self._filled = len(range(program.n_samples)[samples])
        missing = self._padded - self._filled
        entries = padded(program.entries(numbers, samples), missing)  # of those that do not differ column 0 counts
        states = [s.T if len(s) == 1 else padded(s[samples].T, missing) for s in numbers.states]
        self._n_entries = len(entries)
        shared, after = program.shared.matrices(entries[:, :1])
        batched, batched_after = program.batched.matrices(entries)
        self._shared = list(np.ascontiguousarray(shared[..., 0].transpose(2, 0, 1), dtype=c_dtype))
        self._batched, self._after = batched.astype(c_dtype, copy=False), (after, batched_after)
        self._entering = []
        for i, stage in enumerate(program.stages):
            groups = [amplitudes(group, states, shared, batched) for group in reversed(stage.groups)]
            # Two halves of the wires are small, and each block then needs but one product.
            middle = len(groups) // 2 if i == 0 else 0
            halves = [groups[:middle], groups[middle:]] if middle else [groups]
            self._entering.append([half[0] if len(groups) == 1 else product_state(half, c_dtype) for half in halves])

    def _entered(self, i: int, block: slice) -> np.ndarray:
        """The states in which a block of stage i begins, in the scratch space of its register."""
        out = self._registers[i].block
        parts = [part if part.shape[1] == 1 else part[:, block] for part in self._entering[i]]
        parts += [self._of_stage(self._finals[i - 1], block)] if i > 0 else []
        if len(parts) == 1:
            out[:] = parts[0]
        else:
            high, low = parts
            np.multiply(high[:, None], low, out=out.reshape(len(high), len(low), -1), casting="same_kind")
        return out

    def _back_through(self, i: int, j: int, block: slice, hand_on: bool) -> None:
        """Sweep |λ⟩ back through a block of stage i, to its first trainable segment or, to hand it on, to its start."""
        register, stage, batched = self._registers[i], self.program.stages[i], self._batched[..., block]
        lowest, swept = min(stage.trainable, default=len(stage.segments)), [register]
        if not self.full:
            if i not in self._ket_registers:
                self._ket_registers[i] = Register(stage, self.n_samples, self._c_dtype)
            swept.append(self._ket_registers[i])
            swept[1].load(self._finals[i][j])
        for segment in reversed(range(0 if hand_on else lowest, len(stage.segments))):
            if segment in stage.trainable:
                ket = self._trace[i][segment][j] if self.full else swept[1].read()
                self._transitions.add(stage.segments[segment], ket, register.read(), block)
            if hand_on or segment > lowest:
                for each in swept:
                    each.apply(segment, self._shared, batched, inverse=True)

    def _project(self, i: int, block: slice, out: np.ndarray) -> None:
        """``⟨entered|λ⟩`` of the wires that entered with stage i: cotangents of the stage before."""
        (entered,) = self._entering[i]
        bras = (entered if entered.shape[1] == 1 else entered[:, block]).conj()
        states = self._registers[i].read()
        split = states.reshape(len(bras), -1, states.shape[1])
        if states.shape[1] == 1:
            out[:] = (bras.T @ split[:, :, 0]).T
        else:
            np.einsum("eb,ewb->wb", bras, split, out=out, casting="same_kind")

    def _blocks(self, register: Register) -> list[tuple[int, slice]]:
        size = register.n_samples
        return [(j, slice(j * size, (j + 1) * size)) for j in range(-(-self._filled // size))]

    def _of_stage(self, blocks: np.ndarray, block: slice) -> np.ndarray:
        """Some samples of the blocks of a stage, whose blocks are at least as large."""
        number, start = divmod(block.start, blocks.shape[2])
        return blocks[number][:, start : start + block.stop - block.start]
