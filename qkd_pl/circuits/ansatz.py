"""The hardware-efficient ansatz of QNN and QAE."""

from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import pennylane as qml
from pennylane.operation import Operation, Operator
from pennylane.wires import Wires

from qkd_pl.checks import check_choice, check_count
from qkd_pl.errors import InvalidInputError

ROTATIONS = {"X": qml.RX, "Y": qml.RY, "Z": qml.RZ}
ENTANGLERS = {"cz": qml.CZ, "cnot": qml.CNOT}
TOPOLOGIES = ("ring", "line")


@dataclass(frozen=True)
class Ansatz:
    """L layers, each a block of rotations on every wire and a block of two-qubit entanglers.

    Attributes:
        n_qubits: number of wires, labelled 0..n_qubits-1.
        n_layers: L.
        rotations: the rotations of one block in the order in which they act, letters of ``"XYZ"``.
        entangler: ``"cz"`` or ``"cnot"``.
        topology: ``"ring"`` couples i with i+1 and closes (two qubits share one coupling); ``"line"`` leaves it open,
            which costs no SWAPs on heavy-hex hardware; or (control, target) pairs of wires, in the order in which the
            entanglers act.
        closing_rotations: one more block of rotations after the last layer. Behind a CZ ring, which commutes with the
            measured Z, the last entanglers have no effect without it.

    Raises:
        InvalidInputError: a setting is outside what is listed here.
    """

    n_qubits: int
    n_layers: int
    rotations: str
    entangler: str
    topology: Any
    closing_rotations: bool

    def __post_init__(self) -> None:
        for name in ("n_qubits", "n_layers"):
            check_count(name, getattr(self, name))
        if not isinstance(self.rotations, str) or not self.rotations or not set(self.rotations) <= set(ROTATIONS):
            raise InvalidInputError(
                f"rotations={self.rotations!r}: must be letters of 'XYZ', for example 'XYZ' or 'YZ'"
            )
        check_choice("entangler", self.entangler, sorted(ENTANGLERS))
        if isinstance(self.topology, str) or not isinstance(self.topology, tuple | list):
            check_choice("topology", self.topology, TOPOLOGIES, also="pairs of wires")
        else:
            object.__setattr__(self, "topology", _pairs(self.topology, self.n_qubits))
        if not isinstance(self.closing_rotations, bool | np.bool_):
            raise InvalidInputError(f"closing_rotations={self.closing_rotations!r}: must be True or False")

    @property
    def weights_shape(self) -> tuple[int, int, int]:
        """(blocks of rotations, qubits, rotations per block)."""
        return (self.n_layers + self.closing_rotations, self.n_qubits, len(self.rotations))

    @property
    def couplings(self) -> tuple[tuple[int, int], ...]:
        """The (control, target) pairs of one block of entanglers, in order."""
        if not isinstance(self.topology, str):
            return self.topology
        line = tuple((wire, wire + 1) for wire in range(self.n_qubits - 1))
        closing = ((self.n_qubits - 1, 0),) if self.topology == "ring" and self.n_qubits > 2 else ()
        return line + closing

    def apply(self, weights: np.ndarray) -> None:
        """Queue the ansatz as one operation; ``weights`` has shape :attr:`weights_shape`, in radians."""
        HardwareEfficientAnsatz(weights, self)


def _pairs(topology: Any, n_qubits: int) -> tuple[tuple[int, int], ...]:
    """Couplings as a hashable value.

    Raises:
        InvalidInputError: one is not a pair of two different wires.
    """
    pairs = tuple(tuple(pair) if isinstance(pair, tuple | list) else pair for pair in topology)
    for pair in pairs:
        is_pair = isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(wire, Integral) for wire in pair)
        if not is_pair or pair[0] == pair[1] or not set(pair) <= set(range(n_qubits)):
            raise InvalidInputError(
                f"topology: {pair!r} is no coupling; each must be a pair of different wires from 0 to {n_qubits - 1}"
            )
    return tuple((int(control), int(target)) for control, target in pairs)


class HardwareEfficientAnsatz(Operation):
    """The layers of an :class:`Ansatz` as one PennyLane template.

    One operation with a tensor of weights, rather than a gate for every angle, so that building and differentiating the
    circuit costs no more for a deep ansatz than for a shallow one on devices that take templates whole.

    Args:
        weights: radians, of shape ``ansatz.weights_shape``.
        ansatz: the layers.
    """

    grad_method = None

    def __init__(self, weights: np.ndarray, ansatz: Ansatz) -> None:
        self._hyperparameters = {"ansatz": ansatz}
        super().__init__(weights, wires=range(ansatz.n_qubits))

    @property
    def num_params(self) -> int:
        """One tensor of weights."""
        return 1

    @property
    def ndim_params(self) -> tuple[int]:
        """The weights have three dimensions, so that they are not taken for a batch."""
        return (3,)

    @staticmethod
    def compute_decomposition(weights: np.ndarray, wires: Wires, ansatz: Ansatz) -> list[Operator]:
        """The gates of all layers, in order."""
        gates: list[Operator] = []
        for block in range(len(weights)):
            for position, wire in enumerate(wires):
                for axis, name in enumerate(ansatz.rotations):
                    gates.append(ROTATIONS[name](weights[block, position, axis], wires=wire))
            if block < ansatz.n_layers:
                entangler = ENTANGLERS[ansatz.entangler]
                gates += [entangler(wires=[wires[i], wires[j]]) for i, j in ansatz.couplings]
        return gates
