"""Gates on two qubits as CNOTs and single-qubit matrices, in places that do not depend on the gate.

Real gates of determinant 1 take two CNOTs, all others three (Vatan and Williams, Phys. Rev. A 69, 032315, 2004). Both
rest on the magic basis, in which a pair of single-qubit gates is a real matrix.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pennylane as qml
from pennylane.operation import Operation

_S = np.diag([1, 1j])
_H = np.array([[1, 1], [1, -1]]) / np.sqrt(2)
_CNOT_UP = np.array([[1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0]])  # control on the second qubit
#: Columns Φ⁺, iΦ⁻, iΨ⁺, Ψ⁻; as a circuit one CNOT after S ⊗ HS.
_MAGIC = _CNOT_UP @ np.kron(_S, _H @ _S)
# Simultaneous diagonalisation takes random combinations of two matrices until one has no accidental degeneracy.
_ATTEMPTS, _ACCURACY = 20, 1e-9

#: Pairs of matrices on the first and second qubit, in the order in which they act, with a CNOT between each two pairs;
#: None for the identity.
Slots = list[tuple[np.ndarray | None, np.ndarray | None]]


def slots(gates: np.ndarray) -> tuple[Slots, tuple[int, ...]]:
    """Single-qubit matrices around CNOTs that make up ``gates``, each up to a global phase.

    Args:
        gates: (batch, 4, 4) unitaries; orthogonal ones of determinant 1 if real.

    Returns:
        pairs of matrices (batch, 2, 2) or (2, 2), and the control (0 or 1) of the CNOT between each two pairs.
    """
    return _complex(gates) if np.iscomplexobj(gates) else _real(gates)


def state_slots(states: np.ndarray) -> tuple[Slots, tuple[int, ...]]:
    """As :func:`slots`, for any gate that takes |00⟩ to ``states`` (batch, 4): one CNOT, by Schmidt's decomposition."""
    left, singular, right = np.linalg.svd(states.reshape(-1, 2, 2))
    first = _ry(2 * np.arctan2(singular[:, 1], singular[:, 0]))
    return [(first, None), (left, right.swapaxes(1, 2))], (0,)


def merged(
    gates: Sequence[tuple[Slots, tuple[int, ...], tuple[Any, Any]]], untouched: Sequence[Any] = ()
) -> Iterator[Operation]:
    """Operations of several gates, neighbouring single-qubit matrices multiplied: RZ, RY, RZ and CNOT.

    Args:
        gates: slots, controls and the two wires of each gate, in the order in which they act.
        untouched: wires in |0⟩, where a first rotation about z does nothing and is left out.
    """
    waiting: dict[Any, np.ndarray] = {}
    fresh = set(untouched)

    def flush(wire: Any) -> Iterator[Operation]:
        if wire in waiting:
            first, second, third = euler_angles(waiting.pop(wire))
            if wire not in fresh:
                yield qml.RZ(first, wires=wire)
            yield qml.RY(second, wires=wire)
            yield qml.RZ(third, wires=wire)
        fresh.discard(wire)

    for pairs, controls, wires in gates:
        for step, pair in enumerate(pairs):
            if step:
                for wire in wires:
                    yield from flush(wire)
                control = controls[step - 1]
                yield qml.CNOT(wires=[wires[control], wires[1 - control]])
            for wire, matrix in zip(wires, pair, strict=True):
                if matrix is not None:
                    waiting[wire] = matrix @ waiting[wire] if wire in waiting else matrix
    for wire in list(waiting):
        yield from flush(wire)


def euler_angles(unitary: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Angles (a, b, c) with ``unitary`` (…, 2, 2) = phase · RZ(c) RY(b) RZ(a)."""
    middle = 2 * np.arctan2(np.abs(unitary[..., 1, 0]), np.abs(unitary[..., 0, 0]))
    special = unitary / np.sqrt(np.linalg.det(unitary).astype(complex))[..., np.newaxis, np.newaxis]
    total = 2 * np.angle(special[..., 1, 1])
    difference = 2 * np.angle(special[..., 1, 0])
    return (total - difference) / 2, middle, (total + difference) / 2


def _real(gates: np.ndarray) -> tuple[Slots, tuple[int, ...]]:
    """O = M† (A ⊗ B) M with the magic basis M."""
    first, second = _factors(_MAGIC @ gates @ _MAGIC.conj().T)
    return [(_S, _H @ _S), (first, second), (_S.conj(), _S.conj() @ _H)], (1, 1)


def _complex(gates: np.ndarray) -> tuple[Slots, tuple[int, ...]]:
    """U = (A ⊗ B) exp i(a XX + b YY + c ZZ) (C ⊗ D): Cartan's decomposition, then Fig. 6 of the reference."""
    special = gates / np.linalg.det(gates)[:, np.newaxis, np.newaxis] ** 0.25
    magic = _MAGIC.conj().T @ special @ _MAGIC
    inner = _common_eigenvectors(magic.swapaxes(1, 2) @ magic)
    phases = np.exp(0.5j * np.angle(np.einsum("bji,bjk,bki->bi", inner, magic.swapaxes(1, 2) @ magic, inner)))
    phases[:, 0] /= np.sign(np.prod(phases, axis=1).real)
    outer = np.real(magic @ inner * phases[:, np.newaxis].conj())
    angles = np.angle(phases)
    x = (angles[:, 0] + angles[:, 2] - angles[:, 1] - angles[:, 3]) / 4
    y = (angles[:, 1] + angles[:, 2] - angles[:, 0] - angles[:, 3]) / 4
    z = (angles[:, 0] + angles[:, 1] - angles[:, 2] - angles[:, 3]) / 4
    last = _factors(_MAGIC @ outer @ _MAGIC.conj().T)
    first = _factors(_MAGIC @ inner.swapaxes(1, 2) @ _MAGIC.conj().T)
    quarter = np.pi / 2
    return [
        (first[0], _rz(np.array(-quarter)) @ first[1]),
        (_rz(quarter - 2 * z), _ry(2 * x - quarter)),
        (None, _ry(quarter - 2 * y)),
        (last[0] @ _rz(np.array(quarter)), last[1]),
    ], (1, 0, 1)


def _factors(products: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A and B, each (batch, 2, 2), of A ⊗ B (batch, 4, 4)."""
    matrix = products.reshape(-1, 2, 2, 2, 2).swapaxes(2, 3).reshape(-1, 4, 4)
    left, singular, right = np.linalg.svd(matrix)
    scale = np.sqrt(singular[:, 0])[:, np.newaxis]
    return (left[:, :, 0] * scale).reshape(-1, 2, 2), (right[:, 0] * scale).reshape(-1, 2, 2)


def _common_eigenvectors(matrices: np.ndarray) -> np.ndarray:
    """Real orthogonal (batch, 4, 4) of determinant 1 that diagonalise symmetric unitaries."""
    rng = np.random.default_rng(0)
    vectors = np.empty(matrices.shape)
    left = np.arange(len(matrices))
    for _ in range(_ATTEMPTS):
        weights = rng.normal(size=2)
        vectors[left] = np.linalg.eigh(weights[0] * matrices[left].real + weights[1] * matrices[left].imag)[1]
        diagonal = vectors[left].swapaxes(1, 2) @ matrices[left] @ vectors[left]
        left = left[np.abs(diagonal * (1 - np.eye(4))).max(axis=(1, 2)) > _ACCURACY]
        if not len(left):
            break
    vectors[:, :, 0] *= np.linalg.det(vectors)[:, np.newaxis]
    return vectors


def _rz(angle: np.ndarray) -> np.ndarray:
    phase = np.exp(0.5j * angle)
    return np.stack([np.stack([phase.conj(), 0 * phase], -1), np.stack([0 * phase, phase], -1)], -2)


def _ry(angle: np.ndarray) -> np.ndarray:
    sine, cosine = np.sin(angle / 2), np.cos(angle / 2)
    return np.stack([np.stack([cosine, -sine], -1), np.stack([sine, cosine], -1)], -2)
