"""How classical and quantum data enter a circuit: from a user's inputs to pure-state preparations.

Each embedding has two halves: ``encode`` checks the inputs and turns them into rows that a circuit can prepare, once
per data set; ``apply`` queues the gates for a (broadcast) row. Mixed states enter as the weighted mixture of their
eigenstates: expectation values are linear in ρ, so that averaging those of the eigenstates is exact, and a 2-qubit
state needs 2 wires on every device.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pennylane as qml
from pennylane.operation import Operation, Operator
from pennylane.wires import Wires

from qkd_pl.errors import InvalidInputError

_TOLERANCE = 1e-6  # how far from normalised, Hermitian or positive an input state may be
_NEGLIGIBLE = 1e-12  # eigenvalues of a density matrix below this weight are rounding


@dataclass(frozen=True, eq=False)
class Preparations:
    """Pure-state preparations of a batch, r per sample, whose results are averaged with weights.

    Attributes:
        rows: circuit inputs, shape ``(n, r, features)``; r = 1 unless the samples are mixed states.
        weights: ``(n, r)`` float64, non-negative, each row summing to one.
    """

    rows: np.ndarray
    weights: np.ndarray

    @classmethod
    def pure(cls, rows: np.ndarray) -> "Preparations":
        """One preparation per sample, from rows of shape ``(n, features)``."""
        return cls(rows[:, None, :], np.ones((len(rows), 1)))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def circuit_inputs(self) -> np.ndarray:
        """All preparations below each other, shape ``(n·r, features)``: the broadcast input of the circuit."""
        return self.rows.reshape(-1, self.rows.shape[-1])

    def take(self, indices: np.ndarray) -> "Preparations":
        """The preparations of some of the samples."""
        return Preparations(self.rows[indices], self.weights[indices])

    def average(self, outputs: np.ndarray) -> np.ndarray:
        """Outputs ``(n·r, K)`` of the circuit → averages ``(n, K)`` per sample."""
        return np.einsum("nr,nrk->nk", self.weights, outputs.reshape(*self.weights.shape, -1))

    def spread(self, cotangent: np.ndarray) -> np.ndarray:
        """The transpose of :meth:`average`: cotangent ``(n, K)`` → ``(n·r, K)``."""
        return (self.weights[:, :, None] * cotangent[:, None, :]).reshape(-1, cotangent.shape[-1])


@dataclass(frozen=True)
class Embedding:
    """One way to load data: ``encode(inputs, n_qubits)`` once per data set, ``apply(rows, wires)`` in the circuit."""

    encode: Callable[[np.ndarray, int], Preparations]
    apply: Callable[[np.ndarray, Wires], None]


def _encode_states(inputs: np.ndarray, n_qubits: int) -> Preparations:
    dimension = 2**n_qubits
    if inputs.ndim == 3 and inputs.shape[1:] == (dimension, dimension):
        return _eigenstates(inputs.astype(np.complex128))
    _check_shape(
        inputs, (dimension,), f"state vectors (n, {dimension}) or density matrices (n, {dimension}, {dimension})"
    )
    states = inputs.astype(np.complex128)
    norms = np.linalg.norm(states, axis=1)
    if (bad := np.flatnonzero(np.abs(norms - 1.0) > _TOLERANCE)).size:
        raise InvalidInputError(f"inputs[{bad[0]}] has norm {norms[bad[0]]:.6g}; state vectors must have norm 1")
    return Preparations.pure(states / norms[:, None])


def _eigenstates(matrices: np.ndarray) -> Preparations:
    traces = np.trace(matrices, axis1=1, axis2=2)
    asymmetry = np.abs(matrices - matrices.conj().swapaxes(1, 2)).max(axis=(1, 2), initial=0.0)
    weights, vectors = np.linalg.eigh(matrices)
    bad = (np.abs(traces - 1.0) > _TOLERANCE) | (asymmetry > _TOLERANCE) | (weights.min(axis=1) < -_TOLERANCE)
    if bad.any():
        raise InvalidInputError(
            f"inputs[{np.flatnonzero(bad)[0]}] is not a density matrix: it must be Hermitian, positive and of trace 1"
        )
    weights = np.where(weights < _NEGLIGIBLE, 0.0, weights)
    used = np.flatnonzero(weights.max(axis=0, initial=0.0) > 0.0) if len(weights) else np.arange(1)
    weights = weights[:, used]
    return Preparations(vectors.swapaxes(1, 2)[:, used], weights / weights.sum(axis=1, keepdims=True))


def _encode_amplitudes(inputs: np.ndarray, n_qubits: int) -> Preparations:
    dimension = 2**n_qubits
    if inputs.ndim != 2 or not 1 <= inputs.shape[1] <= dimension:
        raise InvalidInputError(
            f"inputs have shape {inputs.shape}; the amplitude embedding of {n_qubits} qubits takes (n, 1..{dimension})"
        )
    largest = np.abs(inputs).max(axis=1)
    if (zero := np.flatnonzero(largest == 0.0)).size:
        raise InvalidInputError(f"inputs[{zero[0]}] is all zeros and cannot be normalised to a quantum state")
    # Multiplied by powers of two, which is exact, so that squares neither overflow nor vanish.
    inputs = np.ldexp(inputs, -np.frexp(largest)[1][:, None])
    states = np.zeros((len(inputs), dimension), dtype=np.complex128)
    states[:, : inputs.shape[1]] = inputs / np.linalg.norm(inputs, axis=1, keepdims=True)
    return Preparations.pure(states)


def _encode_bits(inputs: np.ndarray, n_qubits: int) -> Preparations:
    _check_shape(inputs, (n_qubits,), f"bits (n, {n_qubits})")
    if not np.isin(inputs, (0, 1)).all():
        raise InvalidInputError("inputs must be bits, 0 or 1; use embedding='angle' for real numbers")
    return Preparations.pure(np.pi * inputs.astype(np.float64))


def _encode_angles(inputs: np.ndarray, n_qubits: int) -> Preparations:
    _check_shape(inputs, (n_qubits,), f"angles in radians (n, {n_qubits})")
    return Preparations.pure(inputs.astype(np.float64))


def _check_shape(inputs: np.ndarray, sample_shape: tuple[int, ...], expected: str) -> None:
    if inputs.ndim != 1 + len(sample_shape) or inputs.shape[1:] != sample_shape:
        raise InvalidInputError(f"inputs have shape {inputs.shape}; expected {expected}")


def _apply_state(rows: np.ndarray, wires: Wires) -> None:
    qml.StatePrep(rows, wires=wires)


class PhaseEmbedding(Operation):
    """A Hadamard gate and RZ(φ) on every wire: (e^{-iφ/2}|0⟩ + e^{iφ/2}|1⟩)/√2.

    Args:
        phases: radians, shape ``(n_wires,)`` or, for a batch, ``(n, n_wires)``.
        wires: as many as there are phases.
    """

    num_params = 1
    ndim_params = (1,)
    grad_method = None

    @staticmethod
    def compute_decomposition(phases: np.ndarray, wires: Wires) -> list[Operator]:
        """The gates, wire by wire."""
        gates = ((qml.Hadamard(wire), qml.RZ(phases[..., i], wires=wire)) for i, wire in enumerate(wires))
        return [gate for pair in gates for gate in pair]


def _apply_phases(rows: np.ndarray, wires: Wires) -> None:
    PhaseEmbedding(rows, wires=wires)


def _apply_rotations(rows: np.ndarray, wires: Wires) -> None:
    qml.AngleEmbedding(rows, wires=wires, rotation="X")


#: ``state``: amplitudes ``(n, 2**q)`` complex, or density matrices ``(n, 2**q, 2**q)``. ``amplitude``: up to 2**q real
#: features, zero-padded and normalised. ``phase``: bit b as the phase π·b of (|0⟩ + e^{iπb}|1⟩)/√2. ``angle``: RX(x),
#: x in radians. ``basis``: bit b as |b⟩, by RX(πb), so that the circuit's structure does not follow the data.
EMBEDDINGS = {
    "state": Embedding(_encode_states, _apply_state),
    "amplitude": Embedding(_encode_amplitudes, _apply_state),
    "phase": Embedding(_encode_bits, _apply_phases),
    "angle": Embedding(_encode_angles, _apply_rotations),
    "basis": Embedding(_encode_bits, _apply_rotations),
}


def encode(embedding: str, inputs: np.ndarray, n_qubits: int) -> Preparations:
    """Check ``inputs`` and turn them into preparations for the named embedding.

    Raises:
        InvalidInputError: wrong shape, not finite, not numeric, or not what the embedding takes.
    """
    try:
        inputs = np.asarray(inputs)
    except ValueError as error:
        raise InvalidInputError(f"inputs is a {type(inputs).__name__}, not one array of samples ({error})") from error
    if inputs.dtype.kind not in "biufc":
        raise InvalidInputError(f"inputs have dtype {inputs.dtype}; expected numbers")
    if embedding != "state" and inputs.dtype.kind == "c":
        raise InvalidInputError(f"inputs are complex; the {embedding} embedding takes real numbers")
    if not np.isfinite(inputs).all():
        raise InvalidInputError("inputs contain NaN or infinity")
    return EMBEDDINGS[embedding].encode(inputs.astype(np.result_type(inputs, np.float64), copy=False), n_qubits)
