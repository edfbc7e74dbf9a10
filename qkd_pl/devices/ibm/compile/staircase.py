"""Short circuits for states of little entanglement: layers of two-qubit gates in a staircase, fitted to a whole batch.

The first layer is that of a matrix product state of bond dimension 2, which one staircase prepares exactly (Schön et
al., Phys. Rev. Lett. 95, 110503, 2005). Further layers start from what the layers before leave over (Ran, Phys. Rev. A
101, 032310, 2020); then each gate in turn is replaced by the best one for all others held fixed: the polar factor of
its environment. Every state has gates of its own, in places that depend on the number of qubits only.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pennylane.operation import Operation

from qkd_pl.devices.ibm.compile.two_qubit_gates import merged, slots, state_slots

# Sweeps end for a state when one of them gains less fidelity than this.
_GAIN = 1e-7
_MAX_SWEEPS = 200
# States fitted together: few enough to stay in the processor's cache.
_BYTES_AT_ONCE = 2**22


@dataclass(frozen=True, eq=False)
class Staircase:
    """Gates that take |0…0⟩ to approximations of a batch of states.

    Attributes:
        gates: (batch, layers, n − 1, 4, 4), the first layer to act first; gate i of a layer acts on qubits i, i + 1
            (qubit i the more significant), after gate i − 1. Float64 of determinant 1 if all states are real, else
            complex128.
        fidelities: float64 (batch,), |⟨state|prepared⟩|².
    """

    gates: np.ndarray
    fidelities: np.ndarray

    def operations(self, wires: Sequence[Any]) -> list[Operation]:
        """RZ, RY and CNOT on ``wires``, each angle of shape (batch,); two or three CNOTs a gate, the first has one."""
        gates = []
        for layer in range(self.gates.shape[1]):
            for position in range(len(wires) - 1):
                gate = self.gates[:, layer, position]
                is_first = layer == position == 0
                parts = state_slots(gate[:, :, 0]) if is_first else slots(gate)
                gates.append((*parts, (wires[position], wires[position + 1])))
        return list(merged(gates, untouched=wires))


def staircase_cnots(n_qubits: int, layers: int, real: bool) -> int:
    """CNOTs of :meth:`Staircase.operations`."""
    per_gate = 2 if real else 3
    return per_gate * (layers * (n_qubits - 1) - 1) + 1


def fit_staircase(states: np.ndarray, layers: int) -> Staircase:
    """Fit ``layers`` staircases of two-qubit gates to each state.

    Args:
        states: (batch, 2^n) normalised amplitudes, n at least 2, qubit 0 most significant. Real ones get real gates.
        layers: at least 1.

    Example:
        >>> ghz = np.array([[1, 0, 0, 0, 0, 0, 0, 1]]) / np.sqrt(2)
        >>> fit_staircase(ghz, layers=1).fidelities.round(9).tolist()
        [1.0]
    """
    chunk = max(1, _BYTES_AT_ONCE // states[0].nbytes)
    parts = [states[start : start + chunk] for start in range(0, len(states), chunk)]
    fitted = [next(growing_staircases(part, layers)) for part in parts]
    return Staircase(*(np.concatenate([getattr(part, name) for part in fitted]) for name in ("gates", "fidelities")))


def growing_staircases(states: np.ndarray, layers: int = 1) -> Iterator[Staircase]:
    """Staircases of ``layers``, ``layers`` + 1, … layers, each grown from the last.

    Layer is put in front of layer, each prepared for what the others leave over, and all of them are refined. The first
    two are refined together only: near a degeneracy, one that was refined by itself leads astray. From the third on,
    refining what is there first leads further.
    """
    n_qubits = int(states.shape[1]).bit_length() - 1
    gates = np.empty((len(states), 0, n_qubits - 1, 4, 4), dtype=states.dtype)
    for count in itertools.count(1):
        rest = states
        for layer, position in reversed(_places(gates)):
            rest = _apply(_adjoint(gates[:, layer, position]), rest, position)
        gates = np.concatenate([_bond_two_gates(rest, n_qubits)[:, np.newaxis], gates], axis=1)
        if count == 1 and layers > 1:
            continue
        refined, fidelities = _refined(states, gates.copy())
        gates = refined if count > 1 else gates
        if count >= layers:
            yield Staircase(refined, fidelities)


def _refined(states: np.ndarray, gates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sweep until nothing is gained, each state for itself."""
    fidelities = np.zeros(len(states))
    active = np.arange(len(states))
    for _ in range(_MAX_SWEEPS):
        gates[active], found = _sweep(states[active], gates[active])
        gained = found - fidelities[active]
        fidelities[active] = found
        active = active[gained > _GAIN]
        if not len(active):
            break
    return gates, fidelities


def _places(gates: np.ndarray) -> list[tuple[int, int]]:
    """(layer, position) of each gate in the order in which they act."""
    return [(layer, position) for layer in range(gates.shape[1]) for position in range(gates.shape[2])]


def _bond_two_gates(states: np.ndarray, n_qubits: int) -> np.ndarray:
    """(batch, n − 1, 4, 4): gates that prepare the states, truncated to two Schmidt vectors at every cut.

    In right-canonical form the gate on qubits i, i + 1 takes |b⟩|0⟩ to Σ B_b[s, c] |s⟩|c⟩, where b and c number the
    Schmidt vectors on the right of the cuts before and after qubit i.
    """
    gates = np.empty((len(states), n_qubits - 1, 4, 4), dtype=states.dtype)
    rest = states
    for position in reversed(range(1, n_qubits - 1)):
        left, singular, right = np.linalg.svd(rest.reshape(len(states), 2**position, 4), full_matrices=False)
        gates[:, position] = _completed(right[:, :2])
        rest = left[:, :, :2] * singular[:, np.newaxis, :2]
    rest = rest.reshape(len(states), 1, 4)
    gates[:, 0] = _completed(rest / np.linalg.norm(rest, axis=-1, keepdims=True))
    return gates


def _completed(rows: np.ndarray) -> np.ndarray:
    """Unitary (batch, 4, 4) of determinant 1 that takes |b⟩|0⟩ to row b of ``rows`` (batch, 1 or 2, 4)."""
    columns = rows.swapaxes(1, 2)
    complement = np.linalg.qr(columns, mode="complete")[0][:, :, columns.shape[2] :]
    images = np.concatenate([columns, complement], axis=2)
    order = [0, 2, 1, 3] if columns.shape[2] == 2 else [0, 1, 2, 3]
    gates = images[:, :, order]
    gates[:, :, 3] /= np.linalg.det(gates)[:, np.newaxis]
    return gates


def _sweep(states: np.ndarray, gates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One pass over all gates from the last to the first and back; returns them and the fidelities."""
    places = _places(gates)
    before = np.zeros_like(states)
    before[:, 0] = 1
    for place in places:
        before = _apply(gates[:, *place], before, place[1])
    after = states
    for place in reversed(places):
        before = _apply(_adjoint(gates[:, *place]), before, place[1])
        gates[:, *place] = _best(_environment(after, before, place[1]))
        after = _apply(_adjoint(gates[:, *place]), after, place[1])
    for place in places:
        after = _apply(gates[:, *place], after, place[1])
        gates[:, *place] = _best(_environment(after, before, place[1]))
        before = _apply(gates[:, *place], before, place[1])
    return gates, np.abs(np.einsum("bi,bi->b", states.conj(), before)) ** 2


def _environment(after: np.ndarray, before: np.ndarray, position: int) -> np.ndarray:
    """(batch, 4, 4) E with ⟨after|G|before⟩ = Σ G∘E."""
    return _pair_first(after, position).conj() @ _pair_first(before, position).swapaxes(1, 2)


def _best(environment: np.ndarray) -> np.ndarray:
    """The gate G of determinant 1 if real, which maximises the real part of Σ G∘E."""
    left, _, right = np.linalg.svd(environment.conj())
    if not np.iscomplexobj(environment):
        # The smallest singular value bears the change of sign at the least cost.
        left[:, :, 3] *= np.linalg.det(left @ right)[:, np.newaxis]
    return left @ right


def _apply(gates: np.ndarray, states: np.ndarray, position: int) -> np.ndarray:
    """``gates`` (batch, 4, 4) on qubits ``position`` and ``position + 1`` of ``states`` (batch, 2^n)."""
    turned = gates @ _pair_first(states, position)
    return turned.reshape(len(states), 4, 2**position, -1).swapaxes(1, 2).reshape(states.shape)


def _pair_first(states: np.ndarray, position: int) -> np.ndarray:
    """(batch, 4, 2^n / 4)."""
    return states.reshape(len(states), 2**position, 4, -1).swapaxes(1, 2).reshape(len(states), 4, -1)


def _adjoint(gates: np.ndarray) -> np.ndarray:
    return gates.conj().swapaxes(1, 2)
