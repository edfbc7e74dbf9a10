"""Forward and backward sweep of a program over a batch, block by block, on Lightning's kernels and BLAS.

A block is an array ``(2**n, 2**m)``: the sample index stands on m extra wires behind the n of the circuit, so that one
call of a kernel serves ``2**m`` samples and NumPy's innermost loops run over samples. All that is computed is linear in
the samples' density matrices, so blocks need not be normalised: padding samples have cotangent zero.

Backwards, |λ⟩ = Σ_k c_k O_k|ψ⟩ is swept through the inverse gates. The reduced cross matrices C = Tr_others |ψ⟩⟨λ| of
single wires hold the derivatives of all rotations of a layer; one matrix product finds them for up to four neighbouring
wires. The states |ψ⟩ were kept by the forward sweep or, where they do not fit, are swept back as well.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from qkd_pl.devices.lightning.program import Numbers, Program
from qkd_pl.devices.lightning.schedule import Run, Stage
from qkd_pl.devices.lightning.states import Crosses, merged, padded, product_state
from qkd_pl.upstream.lightning import kernel, state_vector

# Registers of up to this size stay in a core's cache, with what is read beside them.
_REGISTER_BYTES = 2**19
# From here on a sample by itself fills a kernel call, and blocks of few samples would make matrix products slow.
_SINGLE_SAMPLE_WIRES = 12
# So many amplitudes are prepared at once, or those of one block if that is more.
PORTION = 2**21


def sample_wires(n_wires: int, n_samples: int, c_dtype: Any) -> int:
    """Number m of sample wires: the register stays within the cache and is padded as little as possible."""
    if n_wires >= _SINGLE_SAMPLE_WIRES:
        return 0
    fits = (_REGISTER_BYTES // np.dtype(c_dtype).itemsize).bit_length() - 1 - n_wires
    largest = min(max(n_samples - 1, 0).bit_length(), fits)
    return min(range(max(largest - 2, 0), largest + 1), key=lambda m: (-(-n_samples // 2**m) * 2**m, -m))


@lru_cache(maxsize=256)
def trace_bytes(program: Program, n_samples: int, c_dtype: Any, full: bool) -> int:
    """Size of the states that a forward sweep keeps; without ``full`` only those that each stage ends in."""
    size = 0
    for stage in program.stages:
        block = 2 ** sample_wires(stage.n_wires, n_samples, c_dtype)
        size += len(stage.kept(full)) * -(-n_samples // block) * block * 2**stage.n_wires
    return size * np.dtype(c_dtype).itemsize


class Filled:
    """A program with its numbers: matrices of all runs and amplitudes of all groups of wires.

    Args:
        program: the circuit.
        numbers: of all samples.
        samples: which of them.
        c_dtype: complex64 or complex128.
    """

    def __init__(self, program: Program, numbers: Numbers, samples: slice, c_dtype: np.dtype):
        self.program, self.n_samples = program, len(range(program.n_samples)[samples])
        shared, self.shared_after = merged(program.shared.factors(numbers.shared[:, None]))
        self.shared = list(np.ascontiguousarray(shared[..., 0].transpose(2, 0, 1), dtype=c_dtype))
        batched, self.batched_after, self.batched = None, np.empty(0), np.empty((0, 2, 2, 0))
        if len(program.batched):
            own = numbers.batched[:, samples]
            entries = np.concatenate([np.broadcast_to(numbers.shared[:, None], (program.n_shared, own.shape[1])), own])
            batched, self.batched_after = merged(program.batched.factors(entries))
            self.batched = batched.astype(c_dtype, copy=False).transpose(2, 0, 1, 3)
        states = [state if len(state) == 1 else state[samples] for state in numbers.states]
        self.groups = [group.amplitudes(states, shared, batched) for group in program.groups]
        self.entering: list[list[np.ndarray]] = []


class Register:
    """The gates of a stage, ready to act on blocks.

    Args:
        stage: the gates.
        n_sample_wires: m.
        c_dtype: complex64 or complex128.

    Attributes:
        n_samples: ``2**m``.
        block: scratch space, shape ``(2**n, 2**m)``.
    """

    def __init__(self, stage: Stage, n_sample_wires: int, c_dtype: np.dtype):
        self.stage, self.n_samples = stage, 2**n_sample_wires
        self.block = np.empty((2**stage.n_wires, self.n_samples), dtype=c_dtype)
        vector = state_vector(stage.n_wires + n_sample_wires, c_dtype)
        self._update, self._get, self._apply = vector.updateData, vector.getState, vector.applyMatrix
        self._entanglers = []
        for segment in stage.segments:
            calls = []
            for gate in segment.entanglers:
                function, extra = (
                    kernel(vector, gate.kernel) if gate.kernel else (_constant(vector, gate.matrix, c_dtype), ())
                )
                calls.append((function, list(gate.wires), extra))
            self._entanglers.append(calls)
        self._shared = [[(run.number, [run.wire]) for run in s.runs if not run.is_batched] for s in stage.segments]
        self._batched = [[run for run in segment.runs if run.is_batched] for segment in stage.segments]

    def load(self, block: np.ndarray) -> None:
        """Set the amplitudes."""
        self._update(block.reshape(-1))

    def read(self, out: np.ndarray | None = None) -> np.ndarray:
        """The amplitudes, in ``out`` or the scratch space."""
        out = self.block if out is None else out
        self._get(out.reshape(-1))
        return out

    def act(self, segment: int, filled: Filled, samples: slice) -> None:
        """All gates of a segment."""
        for call, wires, extra in self._entanglers[segment]:
            call(wires, False, *extra)
        for number, wires in self._shared[segment]:
            self._apply(filled.shared[number], wires, False)
        if self._batched[segment]:
            self._act_batched(self._batched[segment], filled.batched[..., samples])

    def undo(self, segment: int, filled: Filled, samples: slice) -> None:
        """Their inverse."""
        if self._batched[segment]:
            self._act_batched(self._batched[segment], filled.batched[..., samples].conj().swapaxes(1, 2))
        for number, wires in self._shared[segment]:
            self._apply(filled.shared[number], wires, True)
        for call, wires, extra in reversed(self._entanglers[segment]):
            call(wires, True, *extra)

    def _act_batched(self, runs: Sequence[Run], matrices: np.ndarray) -> None:
        """Matrices ``(n_runs, 2, 2, b)`` of their own for the samples of a block; Lightning has no such kernel."""
        states = self.read()
        b = matrices.shape[-1]
        for run in runs:
            split = states.reshape(2**run.wire, 2, -1, self.n_samples)[..., :b]
            zero, one = split[:, 0].copy(), split[:, 1].copy()
            (u00, u01), (u10, u11) = matrices[run.number]
            split[:, 0] = u00 * zero + u01 * one
            split[:, 1] = u10 * zero + u11 * one
        self.load(states)


def _constant(vector: Any, matrix: np.ndarray | None, c_dtype: np.dtype) -> Any:
    matrix = np.ascontiguousarray(matrix, dtype=c_dtype)
    return lambda wires, inverse: vector.applyMatrix(matrix, wires, inverse)


# For each stage: segment → blocks of states after it, shape ``(n_blocks, 2**n, 2**m)``.
Trace = list[dict[int, np.ndarray]]


class Sweeper:
    """Registers and memory for one program, which stay from step to step.

    Args:
        program: the circuit.
        n_samples: how many are swept at once.
        c_dtype: complex64 or complex128.
        full: whether the states after all trainable segments are kept.

    Attributes:
        trace_bytes: what the kept states take.
    """

    def __init__(self, program: Program, n_samples: int, c_dtype: np.dtype, full: bool):
        self.program, self.n_samples, self.c_dtype, self.full = program, n_samples, c_dtype, full
        self.registers = [
            Register(stage, sample_wires(stage.n_wires, n_samples, c_dtype), c_dtype) for stage in program.stages
        ]
        self._trace: Trace = [
            {
                segment: np.empty((-(-n_samples // register.n_samples), *register.block.shape), c_dtype)
                for segment in stage.kept(full)
            }
            for stage, register in zip(program.stages, self.registers, strict=True)
        ]
        self.trace_bytes = sum(states.nbytes for kept in self._trace for states in kept.values())
        self._ket_registers: dict[int, Register] = {}
        is_trainable = [any(segment.is_trainable for segment in stage.segments) for stage in program.stages]
        self._first_trainable = is_trainable.index(True) if any(is_trainable) else None
        self._n_entries = program.n_shared + sum(slot.stop - slot.start for slot in program.slots if slot.batched)
        self._padded = -(-n_samples // self.registers[0].n_samples) * self.registers[0].n_samples
        self._crosses = [Crosses(stage, self._padded if program.per_sample else 0) for stage in program.stages]

    def forward(self, filled: Filled) -> np.ndarray:
        """Fill the trace; return expectation values ``(k, n_samples)``."""
        values = np.empty((self.program.readout.n_observables, self._padded))
        for i, (register, entering) in enumerate(zip(self.registers, self._entering(filled), strict=True)):
            kept = self._trace[i]
            for j, samples in self._blocks(register, filled):
                register.load(self._entered(i, register, entering, samples))
                for segment in range(len(register.stage.segments)):
                    register.act(segment, filled, samples)
                    if segment in kept:
                        register.read(kept[segment][j])
                if i == len(self.registers) - 1:
                    values[:, samples] = self.program.readout.expectations(kept[segment][j])
        return values[:, : filled.n_samples]

    def backward(self, filled: Filled, coefficients: np.ndarray) -> np.ndarray:
        """Gradient of ``Σ_kb coefficients_kb ⟨O_k⟩_b`` with respect to the entries, after :meth:`forward`.

        Returns:
            shape ``(n_entries, n_samples)``, or ``(n_entries, 1)`` of the sum over samples.
        """
        program = self.program
        missing = self._padded - coefficients.shape[1]
        coefficients = np.pad(coefficients, [(0, 0), (0, missing)]) if missing else coefficients
        first = self._first_trainable
        if first is not None:
            entering = self._entering(filled)
            cotangents = np.empty(0)
            for i in reversed(range(first, len(program.stages))):
                cotangents = self._back_through(i, filled, cotangents, coefficients, entering[i], i > first)
        return self._gradient(filled)

    def _back_through(
        self,
        i: int,
        filled: Filled,
        cotangents: np.ndarray,
        coefficients: np.ndarray,
        entering: Sequence[np.ndarray],
        hand_on: bool,
    ) -> np.ndarray:
        """One stage; returns what cotangents the stage before ends in, if they are needed."""
        register, stage, crosses = self.registers[i], self.program.stages[i], self._crosses[i]
        crosses.clear()
        before = np.zeros_like(self._final(i - 1)) if hand_on else np.empty(0)
        lowest = min(
            (s for s, segment in enumerate(stage.segments) if segment.is_trainable), default=len(stage.segments)
        )
        # What the forward sweep kept last is the most likely to be in the cache still.
        for j, samples in reversed(list(self._blocks(register, filled))):
            if i == len(self.registers) - 1:
                final = self._final(i)[j]
                register.load(self.program.readout.applied(final, coefficients[:, samples], register.block))
            else:
                register.load(cotangents[j])
            kets = self._kets(i, j, filled, samples)
            for segment in reversed(range(0 if hand_on else lowest, len(stage.segments))):
                ket = next(kets)
                if stage.segments[segment].is_trainable:
                    crosses.add(segment, ket, register.read(), samples)
                if hand_on or segment > lowest:
                    register.undo(segment, filled, samples)
            if hand_on:
                self._project(register.read(), entering, i, samples, before)
        return before

    def _kets(self, i: int, j: int, filled: Filled, samples: slice) -> Iterator[np.ndarray]:
        """States of a block after each segment, from the last one back; those that are not used may be anything."""
        kept, stage = self._trace[i], self.program.stages[i]
        last = len(stage.segments) - 1
        if self.full:
            yield from (kept[min(s for s in kept if s >= segment)][j] for segment in reversed(range(last + 1)))
            return
        if i not in self._ket_registers:
            m = self.registers[i].n_samples.bit_length() - 1
            self._ket_registers[i] = Register(stage, m, self.c_dtype)
        register = self._ket_registers[i]
        register.load(kept[last][j])
        for segment in reversed(range(last + 1)):
            yield register.read()
            register.undo(segment, filled, samples)

    def _gradient(self, filled: Filled) -> np.ndarray:
        program = self.program
        n = filled.n_samples if program.per_sample else 1
        gradient = np.zeros((self._n_entries, n))
        found = [crosses.matrices()[..., :n] for crosses in self._crosses]
        for runs, after, batched in (
            (program.shared, filled.shared_after, False),
            (program.batched, filled.batched_after, True),
        ):
            if len(runs.trainable_entries):
                of_runs = np.zeros((2, 2, len(runs), n), complex)
                for crosses, matrices in zip(self._crosses, found, strict=True):
                    numbers, where = crosses.runs[batched]
                    of_runs[:, :, numbers] = matrices[:, :, where]
                np.add.at(gradient, runs.trainable_entries, runs.gradient(after, of_runs))
        return gradient

    def _final(self, i: int) -> np.ndarray:
        kept = self._trace[i]
        return kept[max(kept)]

    def _blocks(self, register: Register, filled: Filled) -> list[tuple[int, slice]]:
        size = register.n_samples
        return [(j, slice(j * size, (j + 1) * size)) for j in range(-(-filled.n_samples // size))]

    def _entering(self, filled: Filled) -> list[list[np.ndarray]]:
        """For each stage the amplitudes of what enters, as two factors for the first stage and one for the others."""
        if filled.entering:
            return filled.entering
        start = 0
        for i, stage in enumerate(self.program.stages):
            groups = [padded(group, self._padded) for group in filled.groups[start : start + stage.n_groups]][::-1]
            start += stage.n_groups
            # Two halves of the wires are small, and each block then needs but one product.
            middle = len(groups) // 2 if i == 0 else 0
            halves = [groups[:middle], groups[middle:]] if middle else [groups]
            given = len(groups) == 1
            filled.entering.append([half[0] if given else product_state(half, self.c_dtype) for half in halves])
        return filled.entering

    def _entered(self, i: int, register: Register, entering: Sequence[np.ndarray], samples: slice) -> np.ndarray:
        """The states in which a block of stage i begins, in the scratch space of its register."""
        parts = [part if part.shape[1] == 1 else part[:, samples] for part in entering]
        if i > 0:
            parts.append(self._of_stage(self._final(i - 1), samples))
        if len(parts) == 1:
            register.block[:] = parts[0]
        else:
            high, low = parts
            np.multiply(high[:, None], low, out=register.block.reshape(len(high), len(low), -1), casting="same_kind")
        return register.block

    def _of_stage(self, blocks: np.ndarray, samples: slice) -> np.ndarray:
        """Some samples of the blocks of a stage, whose blocks are at least as large."""
        block, start = divmod(samples.start, blocks.shape[2])
        return blocks[block][:, start : start + samples.stop - samples.start]

    def _project(
        self, block: np.ndarray, entering: Sequence[np.ndarray], i: int, samples: slice, before: np.ndarray
    ) -> None:
        """``⟨entered|λ⟩`` of the wires that entered with stage i, into the cotangents of the stage before."""
        (entered,) = entering
        bras = (entered if entered.shape[1] == 1 else entered[:, samples]).conj()
        split = block.reshape(len(bras), -1, block.shape[1])
        out = self._of_stage(before, samples)
        if block.shape[1] == 1:
            out[:] = (bras.T @ split[:, :, 0]).T
        else:
            np.einsum("eb,ewb->wb", bras, split, out=out, casting="same_kind")
