"""Which elements act together: two-qubit gates with the chains before them, in the light cone of what is measured."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from qkd_pl.devices.noisy.elements import Element, Fixed


@dataclass(eq=False)
class Step:
    """A chain on each qubit, then the elements of ``core`` on all of them.

    Attributes:
        chains: for each qubit of the block, its single-qubit elements in the order of time.
        core: elements on the block's qubits, in any order of them.
    """

    chains: list[list[Element]]
    core: list[Element] = field(default_factory=list)


@dataclass(eq=False)
class Block:
    """Steps on the same qubits, one after the other, that become one transfer matrix.

    Attributes:
        qubits: the first is the most significant.
        steps: in the order of time.
    """

    qubits: tuple[int, ...]
    steps: list[Step]


def blocks_of(elements: Iterable[Element]) -> list[Block]:
    """All elements, in blocks, in the order of time; single-qubit ones go into the next block on their qubit."""
    blocks: list[Block] = []
    pending: dict[int, list[Element]] = {}
    latest: dict[int, Block] = {}
    for element in elements:
        if len(element.qubits) == 1:
            pending.setdefault(element.qubits[0], []).append(element)
            continue
        if len(element.qubits) > 2:
            blocks += _closing(pending, element.qubits, latest)
        _join(element, blocks, pending, latest)
    return blocks + _closing(pending, tuple(pending), latest)


def light_cone(blocks: Sequence[Block], measured: Iterable[int]) -> list[Block]:
    """The blocks that ``measured`` qubits depend on; channels keep the trace, so that nothing is lost."""
    reached = set(measured)
    needed = []
    for block in reversed(blocks):
        if reached & set(block.qubits):
            reached |= set(block.qubits)
            needed.append(block)
    return needed[::-1]


def on_qubits(element: Element, qubits: tuple[int, ...], matrix: np.ndarray) -> np.ndarray:
    """``matrix`` ``(…, 4^k, 4^k)`` of an element, with its qubits in the order of ``qubits``."""
    if element.qubits == qubits:
        return matrix
    count = len(qubits)
    order = [element.qubits.index(qubit) for qubit in qubits]
    leading = matrix.shape[:-2]
    axes = [*range(len(leading)), *(len(leading) + i for i in order), *(len(leading) + count + i for i in order)]
    return matrix.reshape(*leading, *[4] * (2 * count)).transpose(axes).reshape(matrix.shape)


def _join(element: Element, blocks: list[Block], pending: dict[int, list[Element]], latest: dict[int, Block]) -> None:
    """Put an element on several qubits into the block that is open on all of them, or into a new one."""
    block = latest.get(element.qubits[0])
    is_open = block is not None and all(latest.get(qubit) is block for qubit in element.qubits)
    if block is None or not is_open or len(block.qubits) != len(element.qubits):
        block = Block(tuple(element.qubits), [])
        blocks.append(block)
        latest.update(dict.fromkeys(element.qubits, block))
    chains = [pending.pop(qubit, []) for qubit in block.qubits]
    if block.steps and not any(chains) and isinstance(element, Fixed):
        block.steps[-1].core.append(element)
    else:
        block.steps.append(Step(chains, [element]))


def _closing(pending: dict[int, list[Element]], qubits: tuple[int, ...], latest: dict[int, Block]) -> list[Block]:
    """Blocks of a single qubit for what is pending on ``qubits``."""
    closing = [Block((qubit,), [Step([pending.pop(qubit)])]) for qubit in qubits if pending.get(qubit)]
    latest.update({block.qubits[0]: block for block in closing})
    return closing
