"""Gates for input states as ``qkd.ibm`` makes them, remembered for each state: training meets the same ones again."""

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
from pennylane.operation import Operation, StatePrepBase
from pennylane.ops.functions import bind_new_parameters
from pennylane.tape import QuantumScript

from qkd_pl.devices.ibm.compile.preparer import StatePreparer
from qkd_pl.devices.ibm.compile.state_preparation import prepare_bits
from qkd_pl.devices.ibm.compile.tapes import amplitudes, starts_at_last

_REMEMBERED = 2**16  # states; their angles take some hundred bytes for each
_REMEMBERED_TAPES = 256


class _Known(NamedTuple):
    """How one state is prepared: the gates, which others share, and its own angles in order."""

    gates: tuple[Operation, ...]
    key: Hashable
    angles: np.ndarray


class StateGates:
    """Prepares batches of states by one method; a fit of a state is made once.

    Args:
        preparer: makes the gates, for a batch that is all of one structure.
    """

    def __init__(self, preparer: StatePreparer) -> None:
        self._preparer = preparer
        self._known: OrderedDict[Hashable, _Known] = OrderedDict()
        self._orders: dict[Hashable, bool] = {}

    def gates(self, operation: StatePrepBase, tape: QuantumScript, index: int) -> list[Operation]:
        """Gates in place of operation ``index`` of a tape, broadcast if it is."""
        if operation.name == "BasisState":
            return prepare_bits(operation.parameters[0], operation.wires.tolist())
        states = amplitudes(operation)
        wires = operation.wires.tolist()
        from_last = self._starts_at_last(operation, tape, index)
        if self._preparer.method == "exact" or states.ndim == 1:
            return self._preparer.prepare(states, wires, from_last)[0]
        found = self._remembered(states, wires, from_last)
        if len({each.key for each in found}) == 1:
            return _assembled(found)
        # The states need different structures, of which a batch has one: what they all have together.
        return self._preparer.prepare(states, wires, from_last)[0]

    def _remembered(self, states: np.ndarray, wires: Sequence[Any], from_last: bool) -> list[_Known]:
        names = tuple(wires), from_last
        keys = [(*names, row.tobytes()) for row in states]
        rows = {key: row for row, key in enumerate(keys) if key not in self._known}
        if rows:
            gates = self._preparer.prepare(states[list(rows.values())], wires, from_last)[0]
            structure = tuple((gate.name, gate.wires.labels) for gate in gates)
            columns = [np.broadcast_to(value, (len(rows),)) for gate in gates for value in gate.data]
            angles = np.stack(columns, axis=1) if columns else np.zeros((len(rows), 0))
            self._known |= {key: _Known(tuple(gates), structure, own) for key, own in zip(rows, angles, strict=True)}
        found = [self._known[key] for key in keys]
        for key in keys:
            self._known.move_to_end(key)
        while len(self._known) > max(_REMEMBERED, len(keys)):
            self._known.popitem(last=False)
        return found

    def _starts_at_last(self, operation: StatePrepBase, tape: QuantumScript, index: int) -> bool:
        if self._preparer.method == "exact":
            return False
        gates = tuple((each.name, each.wires.labels, each.batch_size is None) for each in tape.operations)
        key = index, gates, tuple((each.wires.labels, repr(each.obs)) for each in tape.measurements)
        if key not in self._orders:
            if len(self._orders) >= _REMEMBERED_TAPES:
                self._orders.clear()
            self._orders[key] = starts_at_last(operation, tape, index)
        return self._orders[key]


def _assembled(found: Sequence[_Known]) -> list[Operation]:
    """The batch's gates."""
    table = np.stack([each.angles for each in found])
    gates: list[Operation] = []
    column = 0
    for gate in found[0].gates:
        count = len(gate.data)
        own = [np.ascontiguousarray(table[:, column + i]) for i in range(count)]
        gates.append(bind_new_parameters(gate, own) if count else gate)
        column += count
    return gates
