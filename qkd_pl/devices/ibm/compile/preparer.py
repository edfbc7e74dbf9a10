"""How the states of a batch are prepared: exactly, or by short circuits that come close enough."""

import itertools
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from pennylane.operation import Operation

from qkd_pl.checks import check_choice, check_count, check_number
from qkd_pl.devices.ibm.compile.staircase import Staircase, fit_staircase, growing_staircases, staircase_cnots
from qkd_pl.devices.ibm.compile.state_preparation import (
    exact_cnots,
    is_real,
    prepare_state,
    without_global_phase,
)

Method = Literal["exact", "staircase", "auto"]
_DEFAULT_LAYERS = 2
_MAX_LAYERS = 6
_TRIED_FIRST = 16  # states by which auto finds out how many layers a batch needs
_REMEMBERED = 16  # batches; a parameter-shift step prepares the same one over and over


@dataclass(frozen=True, eq=False)
class Preparation:
    """How one batch of states is prepared.

    Attributes:
        method: ``"exact"`` or ``"staircase"``.
        layers: of the staircase; 0 for exact.
        cnots: before routing, and before gates are dropped that nothing measured depends on.
        fidelities: float64 (batch,), |⟨state|prepared⟩|² without noise.
    """

    method: str
    layers: int
    cnots: int
    fidelities: np.ndarray

    def summary(self) -> dict[str, Any]:
        """JSON-able, the fidelities by their mean and minimum."""
        return {
            "method": self.method,
            "layers": self.layers,
            "cnots": self.cnots,
            "mean_fidelity": float(self.fidelities.mean()),
            "min_fidelity": float(self.fidelities.min()),
        }

    def __str__(self) -> str:
        if self.method == "exact":
            return f"exact preparation, {self.cnots} CNOTs"
        return (
            f"staircase preparation of {self.layers} layer{'s' * (self.layers != 1)}, {self.cnots} CNOTs, "
            f"fidelity {self.fidelities.mean():.4f} on average, {self.fidelities.min():.4f} at least"
        )


class StatePreparer:
    """Prepares batches of states by one method, and remembers the last few fits.

    Args:
        method: ``"exact"``; ``"staircase"``, with a fixed number of layers; or ``"auto"``: as few layers as reach
            ``min_fidelity`` for every state of the batch, or exactly, where that takes no more CNOTs or where 6 layers
            do not suffice.
        layers: of ``"staircase"``; None for 2.
        min_fidelity: of ``"auto"``, above 0 and at most 1.

    Raises:
        InvalidInputError: an argument is outside its range.
    """

    def __init__(self, method: Method = "exact", layers: int | None = None, min_fidelity: float = 0.99) -> None:
        check_choice("preparation", method, get_args(Method))
        if layers is not None:
            check_count("preparation_layers", layers)
        check_number("preparation_fidelity", min_fidelity, 0, 1, above=True)
        self.method = method
        self.layers = layers or _DEFAULT_LAYERS
        self.min_fidelity = min_fidelity
        self._known: OrderedDict[Hashable, Staircase | None] = OrderedDict()

    def prepare(
        self, states: np.ndarray, wires: Sequence[Any], from_last: bool = False
    ) -> tuple[list[Operation], Preparation]:
        """Gates that take |0…0⟩ on ``wires`` to ``states``, up to a global phase of each.

        Args:
            states: (2^n,) or (batch, 2^n) normalised amplitudes, first wire most significant.
            wires: n wire labels.
            from_last: whether a staircase starts at the last wire and ends at the first.
        """
        states = np.asarray(states)
        rows = without_global_phase(np.atleast_2d(states))
        rows = rows.real if is_real(rows) else rows
        staircase = self._staircase(rows, from_last) if len(wires) > 1 else None
        if staircase is None:
            cnots = exact_cnots(len(wires), not np.iscomplexobj(rows))
            return prepare_state(states, wires), Preparation("exact", 0, cnots, np.ones(len(rows)))
        layers = staircase.gates.shape[1]
        cnots = staircase_cnots(len(wires), layers, not np.iscomplexobj(rows))
        operations = staircase.operations(list(wires)[:: -1 if from_last else 1])
        if states.ndim == 1:
            operations = [_single(each) for each in operations]
        return operations, Preparation("staircase", layers, cnots, staircase.fidelities)

    def _staircase(self, rows: np.ndarray, from_last: bool) -> Staircase | None:
        """A fit for the batch; None for exact preparation."""
        if self.method == "exact":
            return None
        key = (from_last, rows.shape, rows.dtype.str, rows.tobytes())
        if key not in self._known:
            oriented = _reversed_qubits(rows) if from_last else rows
            self._known[key] = self._fit(oriented)
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return self._known[key]

    def _fit(self, rows: np.ndarray) -> Staircase | None:
        if self.method == "staircase":
            return fit_staircase(rows, self.layers)
        sample = rows[np.unique(np.linspace(0, len(rows) - 1, _TRIED_FIRST).astype(int))]
        for fitted in itertools.islice(growing_staircases(sample), self._most_layers(rows)):
            if not self._suffices(fitted):
                continue
            if len(sample) < len(rows):
                fitted = fit_staircase(rows, fitted.gates.shape[1])
            if self._suffices(fitted):
                return fitted
        return None

    def _most_layers(self, rows: np.ndarray) -> int:
        """Layers that take fewer CNOTs than exact preparation, 6 at most."""
        n_qubits, real = rows.shape[1].bit_length() - 1, not np.iscomplexobj(rows)
        limit = exact_cnots(n_qubits, real)
        return sum(staircase_cnots(n_qubits, each, real) < limit for each in range(1, _MAX_LAYERS + 1))

    def _suffices(self, fitted: Staircase) -> bool:
        return bool(fitted.fidelities.min() >= self.min_fidelity)


def _reversed_qubits(rows: np.ndarray) -> np.ndarray:
    n_qubits = rows.shape[1].bit_length() - 1
    tensor = rows.reshape(len(rows), *[2] * n_qubits)
    return tensor.transpose(0, *range(n_qubits, 0, -1)).reshape(rows.shape)


def _single(operation: Operation) -> Operation:
    """The operation of the only state of a batch, without its dimension."""
    return type(operation)(*(np.reshape(value, ()) for value in operation.data), wires=operation.wires)
