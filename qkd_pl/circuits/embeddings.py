"""How classical and quantum data enter a circuit: from a user's inputs to pure-state preparations.

Each embedding has two halves: ``encode`` checks the inputs and turns them into rows that a circuit can prepare, once
per data set; ``apply`` queues the gates for a (broadcast) row. Mixed states enter as the weighted mixture of their
eigenstates: expectation values are linear in ρ, so that averaging those of the eigenstates is exact, and a 2-qubit
state needs 2 wires on every device.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pennylane as qml
from pennylane.operation import Operation, Operator
from pennylane.wires import Wires

from qkd_pl.checks import any_array, check_choice
from qkd_pl.circuits.preparations import Preparations as Preparations
from qkd_pl.circuits.preparations import eigenstates, pure_states
from qkd_pl.errors import InvalidInputError


@dataclass(frozen=True)
class Embedding:
    """One way to load data.

    Attributes:
        encode: ``encode(inputs, n_qubits)`` once per data set; ``inputs`` is a finite array of numbers ``(n, …)``.
        apply: ``apply(rows, wires)`` in the circuit, for one row or a broadcast batch of rows.

    Example:
        >>> def encode_angles(inputs, n_qubits):
        ...     return Preparations.pure(np.pi * inputs)
        >>> def apply_angles(rows, wires):
        ...     qml.AngleEmbedding(rows, wires=wires, rotation="Y")
        >>> encode(Embedding(encode_angles, apply_angles), np.array([[0.0, 1.0]]), n_qubits=2).circuit_inputs.round(3)
        array([[0.   , 3.142]])
    """

    encode: Callable[[np.ndarray, int], Preparations]
    apply: Callable[[np.ndarray, Wires], None]


def _encode_states(inputs: np.ndarray, n_qubits: int) -> Preparations:
    dimension = 2**n_qubits
    if inputs.ndim == 3 and inputs.shape[1:] == (dimension, dimension):
        return eigenstates(inputs)
    _check_shape(
        inputs, (dimension,), f"state vectors (n, {dimension}) or density matrices (n, {dimension}, {dimension})"
    )
    return pure_states(inputs)


def _encode_amplitudes(inputs: np.ndarray, n_qubits: int) -> Preparations:
    dimension = 2**n_qubits
    if inputs.ndim != 2 or not 1 <= inputs.shape[1] <= dimension:
        raise InvalidInputError(
            f"inputs have shape {inputs.shape}; the amplitude embedding of {n_qubits} qubits takes (n, 1..{dimension})"
        )
    inputs = _real(inputs, "amplitude")
    largest = np.abs(inputs).max(axis=1)
    if (zero := np.flatnonzero(largest == 0.0)).size:
        raise InvalidInputError(f"inputs[{zero[0]}] is all zeros and cannot be normalised to a quantum state")
    # Multiplied by powers of two, which is exact, so that squares neither overflow nor vanish.
    inputs = np.ldexp(inputs, -np.frexp(largest)[1][:, None])
    states = np.zeros((len(inputs), dimension), dtype=np.complex128)
    states[:, : inputs.shape[1]] = inputs / np.linalg.norm(inputs, axis=1, keepdims=True)
    return Preparations.pure(states)


def _encode_phases(inputs: np.ndarray, n_qubits: int) -> Preparations:
    return _encode_bits(inputs, n_qubits, "phase")


def _encode_basis(inputs: np.ndarray, n_qubits: int) -> Preparations:
    return _encode_bits(inputs, n_qubits, "basis")


def _encode_bits(inputs: np.ndarray, n_qubits: int, name: str) -> Preparations:
    _check_shape(inputs, (n_qubits,), f"bits (n, {n_qubits})")
    inputs = _real(inputs, name)
    if not ((inputs == 0) | (inputs == 1)).all():
        raise InvalidInputError("inputs must be bits, 0 or 1; use embedding='angle' for real numbers")
    return Preparations.pure(np.pi * inputs)


def _encode_angles(inputs: np.ndarray, n_qubits: int) -> Preparations:
    _check_shape(inputs, (n_qubits,), f"angles in radians (n, {n_qubits})")
    return Preparations.pure(_real(inputs, "angle"))


def _check_shape(inputs: np.ndarray, sample_shape: tuple[int, ...], expected: str) -> None:
    if inputs.ndim != 1 + len(sample_shape) or inputs.shape[1:] != sample_shape:
        raise InvalidInputError(f"inputs have shape {inputs.shape}; expected {expected}")


def _real(inputs: np.ndarray, name: str) -> np.ndarray:
    """Inputs as float64."""
    if inputs.dtype.kind == "c":
        raise InvalidInputError(f"inputs are complex; the {name} embedding takes real numbers")
    return inputs.astype(np.float64, copy=False)


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
EMBEDDINGS = MappingProxyType(
    {
        "state": Embedding(_encode_states, _apply_state),
        "amplitude": Embedding(_encode_amplitudes, _apply_state),
        "phase": Embedding(_encode_phases, _apply_phases),
        "angle": Embedding(_encode_angles, _apply_rotations),
        "basis": Embedding(_encode_basis, _apply_rotations),
    }
)


def embedding_of(name: str | Embedding) -> Embedding:
    """The embedding of that name, or an :class:`Embedding` as it is.

    Raises:
        InvalidInputError: no embedding has that name.
    """
    if isinstance(name, Embedding):
        return name
    if not isinstance(name, str) or name not in EMBEDDINGS:  # every circuit asks, and sorting names takes longer
        check_choice("embedding", name, sorted(EMBEDDINGS), also="a kd.Embedding")
    return EMBEDDINGS[name]


def checked_numbers(inputs: Any) -> np.ndarray:
    """Inputs as one array of finite numbers, not copied.

    Raises:
        InvalidInputError: the inputs are not such an array.
    """
    inputs = any_array("inputs", inputs)
    if inputs.dtype.kind not in "biufc":
        raise InvalidInputError(f"inputs have dtype {inputs.dtype}; expected numbers")
    if not np.isfinite(inputs).all():
        raise InvalidInputError("inputs contain NaN or infinity")
    return inputs


def encode(embedding: str | Embedding, inputs: Any, n_qubits: int) -> Preparations:
    """Check ``inputs`` and turn them into preparations for an embedding.

    Raises:
        InvalidInputError: wrong shape, not finite, not numeric, or not what the embedding takes.
    """
    return embedding_of(embedding).encode(checked_numbers(inputs), n_qubits)
