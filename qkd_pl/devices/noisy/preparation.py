"""The part of a circuit that differs from input to input, run for each input with its noise."""

from collections import OrderedDict
from collections.abc import Collection, Sequence

import numpy as np

from qkd_pl.devices.noisy import transfer
from qkd_pl.devices.noisy.elements import Angle, Element, Fixed, Rotation
from qkd_pl.devices.noisy.states import ProductStates

CACHED_BYTES = 2**28


def split_preparation(elements: Sequence[Element], batched: Collection[int]) -> tuple[list[Element], list[Element]]:
    """What depends on the inputs, with all that comes before it on its qubits, and the rest.

    A rotation whose angle is a sum of both kinds of parameters is taken apart.

    Args:
        elements: in the order of time.
        batched: columns of the parameters that differ between inputs.
    """
    reached: set[int] = set()
    first: list[Element] = []
    second: list[Element] = []
    for element in reversed(elements):
        for part in reversed(_parts(element, batched)):
            if reached & set(part.qubits) or _depends(part, batched):
                reached |= set(part.qubits)
                first.append(part)
            else:
                second.append(part)
    return first[::-1], second[::-1]


def columns_of(elements: Sequence[Element]) -> set[int]:
    """The parameters that ``elements`` depend on."""
    return {column for element in elements if isinstance(element, Rotation) for column in element.angle.columns}


class Preparation:
    """Runs its elements for a batch of inputs and remembers the states, so that an input met again costs nothing.

    Args:
        elements: of :func:`split_preparation`.
    """

    def __init__(self, elements: Sequence[Element]) -> None:
        self._groups = _connected(elements)
        self._known: OrderedDict[tuple[int, bytes], np.ndarray] = OrderedDict()

    @property
    def largest(self) -> int:
        """Qubits of the largest group that becomes entangled."""
        return max((len(qubits) for qubits, _ in self._groups), default=0)

    def states(self, table: np.ndarray) -> ProductStates:
        """The prepared states.

        Args:
            table: parameters of each input, ``(b, n_columns)``.
        """
        groups = [(qubits, self._vectors(index, table)) for index, (qubits, _) in enumerate(self._groups)]
        return ProductStates(groups, len(table))

    def _vectors(self, index: int, table: np.ndarray) -> np.ndarray:
        """Pauli vectors ``(b, 4^g)`` of one group."""
        qubits, elements = self._groups[index]
        if len(qubits) == 1:
            return _run(elements, qubits, table)
        own = np.ascontiguousarray(table[:, sorted(columns_of(elements))])
        keys = [(index, row.tobytes()) for row in own]
        new = {key: row for row, key in enumerate(keys) if key not in self._known}
        found = {key: self._known[key] for key in keys if key not in new}
        if new:
            vectors = _run(elements, qubits, table[list(new.values())])
            found |= zip(new, vectors, strict=True)
        for key in found:
            self._known[key] = found[key]
            self._known.move_to_end(key)
        while len(self._known) > 1 and sum(map(_size, self._known.values())) > CACHED_BYTES:
            self._known.popitem(last=False)
        return np.stack([found[key] for key in keys])


def _run(elements: Sequence[Element], qubits: tuple[int, ...], table: np.ndarray) -> np.ndarray:
    """Pauli vectors ``(b, 4^g)`` of |0…0⟩ after ``elements``, with those of single qubits multiplied up first."""
    batch = len(table)
    pending: dict[int, np.ndarray] = {}
    order = list(qubits)
    vectors = np.broadcast_to(transfer.zero_state(len(qubits)), (batch, 4 ** len(qubits)))
    for element in elements:
        matrix = _matrix(element, table)
        if len(element.qubits) == 1:
            (qubit,) = element.qubits
            pending[qubit] = matrix @ pending[qubit] if qubit in pending else matrix
            continue
        for position, qubit in enumerate(element.qubits):
            if qubit in pending:
                matrix = matrix @ _widened(pending.pop(qubit), position, len(element.qubits))
        vectors, order = _applied(vectors, order, element.qubits, matrix)
    for qubit, matrix in pending.items():
        vectors, order = _applied(vectors, order, (qubit,), matrix)
    return _ordered(vectors, order, qubits)


def _matrix(element: Element, table: np.ndarray) -> np.ndarray:
    """Transfer matrix, or those of each input ``(b, 4^k, 4^k)``."""
    if isinstance(element, Fixed):
        return element.matrix
    still, cosine, sine = transfer.rotation(element.word)
    angle = table[:, list(element.angle.columns)] @ np.array(element.angle.coefficients) + element.angle.constant
    angle = angle[:, None, None]
    return still + np.cos(angle) * cosine + np.sin(angle) * sine


def _widened(matrix: np.ndarray, position: int, count: int) -> np.ndarray:
    """A matrix of one qubit on ``count`` of them."""
    before, after = np.eye(4**position), np.eye(4 ** (count - position - 1))
    whole = np.einsum("ij,...kl,mn->...ikmjln", before, matrix, after)
    return whole.reshape(*matrix.shape[:-2], 4**count, 4**count)


def _applied(
    vectors: np.ndarray, order: list[int], qubits: Sequence[int], matrix: np.ndarray
) -> tuple[np.ndarray, list[int]]:
    """Vectors after a matrix, with its qubits now first."""
    order_after = [*qubits, *(qubit for qubit in order if qubit not in qubits)]
    arranged = _ordered(vectors, order, order_after).reshape(len(vectors), 4 ** len(qubits), -1)
    return (matrix @ arranged).reshape(len(vectors), -1), order_after


def _ordered(vectors: np.ndarray, order: Sequence[int], wanted: Sequence[int]) -> np.ndarray:
    if list(order) == list(wanted):
        return vectors
    axes = [0, *(1 + list(order).index(qubit) for qubit in wanted)]
    return vectors.reshape(len(vectors), *[4] * len(order)).transpose(axes).reshape(len(vectors), -1)


def _parts(element: Element, batched: Collection[int]) -> list[Element]:
    """The dependence on inputs first."""
    if isinstance(element, Fixed):
        return [element]
    terms = list(zip(element.angle.columns, element.angle.coefficients, strict=True))
    inputs = [term for term in terms if term[0] in batched]
    shared = [term for term in terms if term[0] not in batched]
    if not inputs or not shared:
        return [element]
    angles = _angle(inputs, 0.0), _angle(shared, element.angle.constant)
    return [Rotation(element.qubits, element.word, angle) for angle in angles]


def _angle(terms: Sequence[tuple[int, float]], constant: float) -> Angle:
    return Angle(tuple(column for column, _ in terms), tuple(slope for _, slope in terms), constant)


def _depends(element: Element, batched: Collection[int]) -> bool:
    return isinstance(element, Rotation) and any(column in batched for column in element.angle.columns)


def _connected(elements: Sequence[Element]) -> list[tuple[tuple[int, ...], list[Element]]]:
    """Groups of qubits that the elements couple, each with its elements."""
    group_of: dict[int, set[int]] = {}
    for element in elements:
        merged = set(element.qubits).union(*(group_of.get(qubit, set()) for qubit in element.qubits))
        group_of |= dict.fromkeys(merged, merged)
    groups = {min(group): group for group in group_of.values()}
    return [
        (tuple(sorted(group)), [element for element in elements if element.qubits[0] in group])
        for group in groups.values()
    ]


def _size(vector: np.ndarray) -> int:
    return vector.nbytes
