"""Observables swept backwards, or states forwards, through the blocks of a circuit.

Both are stacks of Pauli vectors ``(rows, 4^m)`` on m qubits. Going backwards, a qubit joins at the last block that
couples it to something measured; there it carries the identity. Going forwards it is traced out there. So m is never
more than the light cone holds, and one geometry serves both directions.
"""

from collections.abc import Iterable, Sequence
from math import prod
from typing import NamedTuple

import numpy as np


class _Move(NamedTuple):
    """How to bring a block's qubits to the end of a vector; axes that stay together count as one.

    Attributes:
        shape: of the vector on the side of the measurement, without the stack's axis.
        axes: transposition of it, the stack's axis first.
        back: the transposition back.
        moved: the shape after the transposition.
        present: rows of the block's matrix, where qubits that join have the identity.
    """

    shape: tuple[int, ...]
    axes: tuple[int, ...]
    back: tuple[int, ...]
    moved: tuple[int, ...]
    present: np.ndarray | None


class Geometry:
    """The blocks' qubits, and where they stand in the vectors on the way.

    Args:
        blocks: qubits of each block in the order of time; every one in the light cone of ``measured``.
        measured: qubits of the observables, in the order of their vectors.

    Attributes:
        measured: as given.
        entered: qubits of the vectors before the first block, in their order.
        sizes: 4^m behind each block, in the order of time, and before the first: where vectors are kept.
    """

    def __init__(self, blocks: Sequence[tuple[int, ...]], measured: Iterable[int]) -> None:
        self.measured = tuple(measured)
        order = list(self.measured)
        moves: list[_Move] = []
        self.sizes = [4 ** len(order)]
        for qubits in reversed(blocks):
            present = [qubit for qubit in qubits if qubit in order]
            after = [qubit for qubit in order if qubit not in qubits] + present
            moves.append(_move(order, after, _rows(qubits, present)))
            order = [qubit for qubit in order if qubit not in qubits] + list(qubits)
            self.sizes.append(4 ** len(order))
        self.moves = moves[::-1]
        self.sizes.reverse()
        self.entered = tuple(order)

    def backwards(
        self, vectors: np.ndarray, matrices: Sequence[np.ndarray], keep: bool = False
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """Observables ``(K, 4^measured)`` before the first block, ``(K, 4^entered)``, and what was kept."""
        kept = []
        count = len(vectors)
        for move, matrix in zip(reversed(self.moves), reversed(matrices), strict=True):
            arranged = _arranged(vectors, move, count, len(matrix))
            vectors = arranged @ (matrix if move.present is None else matrix[move.present])
            if keep:
                kept.append(arranged)
        return vectors.reshape(count, -1), kept[::-1]

    def forwards(
        self, vectors: np.ndarray, matrices: Sequence[np.ndarray], keep: bool = False
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        """States ``(b, 4^entered)`` at the end, ``(b, 4^measured)``, and what was kept."""
        kept = []
        count = len(vectors)
        for move, matrix in zip(self.moves, matrices, strict=True):
            arranged = vectors.reshape(-1, len(matrix))
            if keep:
                kept.append(arranged)
            vectors = _restored(arranged, move, count, matrix)
        return vectors.reshape(count, -1), kept

    def crosses_forwards(
        self, vectors: np.ndarray, matrices: Sequence[np.ndarray], kept: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        """Cotangent of each block's matrix, from those on the observables before the first block.

        Args:
            vectors: ``(K, 4^entered)``.
            matrices: of the blocks.
            kept: by :meth:`backwards`.
        """
        found = []
        count = len(vectors)
        for position, (move, matrix) in enumerate(zip(self.moves, matrices, strict=True)):
            arranged = vectors.reshape(-1, len(matrix))
            found.append(_filled(kept[position].T @ arranged, move, matrix))
            if position + 1 < len(matrices):
                vectors = _restored(arranged, move, count, matrix)
        return found

    def crosses_backwards(
        self, vectors: np.ndarray, matrices: Sequence[np.ndarray], kept: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        """Cotangent of each block's matrix, from those on the states at the end.

        Args:
            vectors: ``(b, 4^measured)``.
            matrices: of the blocks.
            kept: by :meth:`forwards`.
        """
        found = []
        count = len(vectors)
        for position in range(len(matrices) - 1, -1, -1):
            move, matrix = self.moves[position], matrices[position]
            arranged = _arranged(vectors, move, count, len(matrix))
            found.append(_filled(arranged.T @ kept[position], move, matrix))
            if position:
                vectors = arranged @ (matrix if move.present is None else matrix[move.present])
        return found[::-1]


def _arranged(vectors: np.ndarray, move: _Move, count: int, size: int) -> np.ndarray:
    columns = size if move.present is None else len(move.present)
    if len(move.axes) == 2:  # the qubits stand at the end already
        return vectors.reshape(-1, columns)
    return vectors.reshape(count, *move.shape).transpose(move.axes).reshape(-1, columns)


def _restored(arranged: np.ndarray, move: _Move, count: int, matrix: np.ndarray) -> np.ndarray:
    vectors = arranged @ (matrix if move.present is None else matrix[move.present]).T
    if len(move.axes) == 2:
        return vectors
    return vectors.reshape(count, *move.moved).transpose(move.back)


def _filled(cross: np.ndarray, move: _Move, matrix: np.ndarray) -> np.ndarray:
    if move.present is None:
        return cross
    whole = np.zeros_like(matrix)
    whole[move.present] = cross
    return whole


def _rows(qubits: tuple[int, ...], present: Sequence[int]) -> np.ndarray | None:
    """Rows of a block's matrix in which all qubits but those present have the letter I."""
    if len(present) == len(qubits):
        return None
    numbers = np.arange(4 ** len(qubits)).reshape([4] * len(qubits))
    return numbers[tuple(slice(None) if qubit in present else 0 for qubit in qubits)].ravel()


def _move(order: Sequence[int], after: Sequence[int], present: np.ndarray | None) -> _Move:
    """From one order of qubits to another, with neighbours that stay neighbours joined."""
    groups: list[list[int]] = []
    for qubit in order:
        joined = groups and after.index(qubit) == after.index(groups[-1][-1]) + 1
        groups[-1].append(qubit) if joined else groups.append([qubit])
    moved = sorted(range(len(groups)), key=lambda group: after.index(groups[group][0]))
    shape = tuple(4 ** len(group) for group in groups)
    axes = (0, *(1 + group for group in moved))
    back = tuple(int(axis) for axis in np.argsort(axes))
    assert prod(shape) == 4 ** len(order)
    return _Move(shape, axes, back, tuple(shape[group] for group in moved), present)
