"""State preparation whose circuit depends on the number of qubits only, so that a whole batch is one structure.

Amplitudes become rotation angles, computed for all states of a batch at once; the gates stay the same.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pennylane as qml
from pennylane.operation import Operation

from qkd_pl.devices.ibm.compile.two_qubit_gates import euler_angles

_REAL_TOLERANCE = 1e-13


def prepare_state(states: np.ndarray, wires: Sequence[Any]) -> list[Operation]:
    """Gates that take |0…0⟩ on ``wires`` to ``states``, up to a global phase of each.

    One qubit takes RY, RZ. Two qubits take one CNOT, through the Schmidt decomposition. More take multiplexed
    rotations (Möttönen et al., quant-ph/0407010): 2^n − 2 CNOTs if every state of the batch is real up to its global
    phase, otherwise 2^(n+1) − 2n − 2.

    Args:
        states: (2^n,) or (batch, 2^n) normalised amplitudes, first wire most significant.
        wires: n wire labels.

    Returns:
        RY, RZ and CNOT; each angle is of shape () or (batch,).
    """
    states = without_global_phase(np.asarray(states))
    if len(wires) == 2:
        return _schmidt(states, wires)
    if len(wires) > 2 and is_real(states):
        return _real(states.real, wires)
    return _complex(states, wires)


def exact_cnots(n_wires: int, real: bool) -> int:
    """CNOTs of :func:`prepare_state`."""
    if n_wires < 3:
        return n_wires - 1
    return 2**n_wires - 2 if real else 2 ** (n_wires + 1) - 2 * n_wires - 2


def is_real(states: np.ndarray) -> bool:
    """Whether all amplitudes are real, up to rounding."""
    return bool(np.abs(states.imag).max() < _REAL_TOLERANCE)


def prepare_bits(bits: np.ndarray, wires: Sequence[Any]) -> list[Operation]:
    """RX(π·bit) on every wire, so that the bits are parameters; ``bits`` is (n,) or (batch, n)."""
    return [qml.RX(np.pi * np.asarray(bits)[..., index], wires=wire) for index, wire in enumerate(wires)]


def without_global_phase(states: np.ndarray) -> np.ndarray:
    """The same states, each with its largest amplitude real and positive."""
    largest = np.take_along_axis(states, np.abs(states).argmax(axis=-1)[..., np.newaxis], axis=-1)
    return states * (np.abs(largest) / largest)


def _schmidt(states: np.ndarray, wires: Sequence[Any]) -> list[Operation]:
    """|ψ⟩ = (U ⊗ V) CNOT (RY ⊗ 1) |00⟩ with the singular value decomposition ψ = U diag(s) Vᵀ."""
    left, singular, right = np.linalg.svd(states.reshape(*states.shape[:-1], 2, 2))
    first = euler_angles(left)
    second = euler_angles(np.swapaxes(right, -1, -2))
    return [
        qml.RY(2 * np.arctan2(singular[..., 1], singular[..., 0]), wires=wires[0]),
        qml.CNOT(wires=wires[:2]),
        # On the correlated state |ii⟩, both first rotations about z are one.
        qml.RZ(first[0] + second[0], wires=wires[0]),
        qml.RY(first[1], wires=wires[0]),
        qml.RZ(first[2], wires=wires[0]),
        qml.RY(second[1], wires=wires[1]),
        qml.RZ(second[2], wires=wires[1]),
    ]


def _real(states: np.ndarray, wires: Sequence[Any]) -> list[Operation]:
    operations: list[Operation] = []
    for target in range(len(wires)):
        operations += _rotations(qml.RY, _ry_angles(states, target), wires, target)
    return operations


def _complex(states: np.ndarray, wires: Sequence[Any]) -> list[Operation]:
    phases = _rz_angles(states)
    operations: list[Operation] = []
    for target in range(len(wires)):
        magnitudes = _rotations(qml.RY, _ry_angles(np.abs(states), target), wires, target)
        # A multiplexed rotation read backwards is the same operator; the CNOTs where the two meet cancel.
        turns = _rotations(qml.RZ, phases[target], wires, target)[::-1]
        operations += magnitudes[:-1] + turns[1:] if target else magnitudes + turns
    return operations


def _ry_angles(states: np.ndarray, target: int) -> np.ndarray:
    """(…, 2^target) angles that split the weight of each prefix between the next bit's 0 and 1; ``states`` real."""
    blocks = states.reshape(*states.shape[:-1], 2**target, 2, -1)
    # The last qubit's rotation also carries the signs of real amplitudes.
    split = blocks[..., 0] if blocks.shape[-1] == 1 else np.linalg.norm(blocks, axis=-1)
    return 2 * np.arctan2(split[..., 1], split[..., 0])


def _rz_angles(states: np.ndarray) -> list[np.ndarray]:
    """For each target, (…, 2^target) angles that give the amplitudes their phases."""
    phases = np.angle(states)
    angles: list[np.ndarray] = []
    while phases.shape[-1] > 1:
        pairs = phases.reshape(*phases.shape[:-1], -1, 2)
        angles.insert(0, pairs[..., 1] - pairs[..., 0])
        phases = pairs.mean(axis=-1)
    return angles


def _rotations(gate: Any, angles: np.ndarray, wires: Sequence[Any], target: int) -> list[Operation]:
    """Rotation of ``wires[target]`` by ``angles[…, k]`` where the wires before it hold the number k."""
    if target == 0:
        return [gate(angles[..., 0], wires=wires[0])]
    signs, controls = _gray_code(target)
    mixed = angles @ signs
    operations: list[Operation] = []
    for step, control in enumerate(controls):
        operations += [gate(mixed[..., step], wires=wires[target]), qml.CNOT(wires=[wires[control], wires[target]])]
    return operations


@cache
def _gray_code(n_controls: int) -> tuple[np.ndarray, tuple[int, ...]]:
    """Matrix from multiplexed angles to those of the gates, and the control of the CNOT after each gate."""
    numbers = np.arange(2**n_controls)
    code = numbers ^ (numbers >> 1)
    parity = np.bitwise_count(numbers[:, np.newaxis] & code) % 2
    changed = code ^ np.roll(code, -1)
    controls = tuple(n_controls - int(bit).bit_length() for bit in changed)
    return (1.0 - 2.0 * parity) / 2**n_controls, controls
