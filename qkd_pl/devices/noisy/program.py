"""A circuit's blocks as numbers: from angles to one transfer matrix for each block, and the pullback."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from qkd_pl.devices.noisy import transfer
from qkd_pl.devices.noisy.blocks import Block, Step, on_qubits
from qkd_pl.devices.noisy.chains import Angles, Chains
from qkd_pl.devices.noisy.elements import Element, Fixed


class Numbers(NamedTuple):
    """Transfer matrices for some angles, and what the pullback needs.

    Attributes:
        blocks: one matrix ``(4^k, 4^k)`` for each block.
    """

    blocks: list[np.ndarray]
    chains: np.ndarray
    kept: tuple[np.ndarray, ...]
    cores: np.ndarray
    products: np.ndarray
    steps: np.ndarray
    angles: np.ndarray


class _Core:
    """A + B·cos θ + C·sin θ of a step's elements on several qubits; ``row`` is −1 without an angle."""

    def __init__(self, step: Step, qubits: tuple[int, ...], angles: Angles) -> None:
        self.row = -1
        self.basis = np.zeros((3, 4 ** len(qubits), 4 ** len(qubits)))
        self.basis[0] = np.eye(len(self.basis[0]))
        for element in step.core:
            if isinstance(element, Fixed):
                self.basis = on_qubits(element, qubits, element.matrix) @ self.basis
            else:
                self.basis = on_qubits(element, qubits, transfer.rotation(element.word)) @ self.basis[0]
                self.row = angles.add(element.angle)

    def matrix(self, angles: np.ndarray) -> np.ndarray:
        if self.row < 0:
            return self.basis[0]
        return self.basis[0] + np.cos(angles[self.row]) * self.basis[1] + np.sin(angles[self.row]) * self.basis[2]

    def add_gradient(self, cotangent: np.ndarray, angles: np.ndarray, gradient: np.ndarray) -> None:
        slope = np.cos(angles[self.row]) * self.basis[2] - np.sin(angles[self.row]) * self.basis[1]
        gradient[self.row] += np.vdot(slope, cotangent)


class Program:
    """Blocks whose matrices are computed together: chains in one stack, two-qubit steps in another.

    Args:
        blocks: in the order of time.
        n_columns: number of parameters of the circuit.

    Attributes:
        qubits: those of each block.
    """

    def __init__(self, blocks: Sequence[Block], n_columns: int) -> None:
        self.qubits = [block.qubits for block in blocks]
        self._angles = Angles()
        chains: list[list[Element]] = []
        self._singles: list[tuple[int, int]] = []  # block, chain
        self._pairs: list[tuple[int, list[int]]] = []  # block, steps
        self._wide: list[tuple[int, list[_Core]]] = []
        pairs: list[tuple[int, int]] = []
        cores: list[_Core] = []
        for index, block in enumerate(blocks):
            if len(block.qubits) == 1:
                self._singles.append((index, len(chains)))
                chains += block.steps[0].chains
            elif len(block.qubits) == 2:
                self._pairs.append((index, list(range(len(pairs), len(pairs) + len(block.steps)))))
                for step in block.steps:
                    first, second = (_entered(chain, chains) for chain in step.chains)
                    pairs.append((first, second))
                    cores.append(_Core(step, block.qubits, self._angles))
            else:
                self._wide.append((index, [_Core(step, block.qubits, self._angles) for step in block.steps]))
        self._chains = Chains(chains, self._angles)
        self._ends = np.array(pairs, dtype=np.intp).reshape(-1, 2)
        self._cores = np.array([core.basis[0] for core in cores]).reshape(-1, 16, 16)
        self._turning = [(position, core) for position, core in enumerate(cores) if core.row >= 0]
        self._angles.freeze(n_columns)

    def numbers(self, parameters: np.ndarray) -> Numbers:
        """Matrices of all blocks.

        Args:
            parameters: of the circuit, ``(n_columns,)``.
        """
        angles = self._angles.values(parameters)
        chains, kept = self._chains.matrices(angles)
        chains = np.concatenate([chains, np.eye(4)[None]])
        products = _kron(chains[self._ends[:, 0]], chains[self._ends[:, 1]])
        cores = self._cores
        if self._turning:
            cores = cores.copy()
            for position, core in self._turning:
                cores[position] = core.matrix(angles)
        steps = cores @ products
        blocks: list[np.ndarray] = [np.empty(0)] * len(self.qubits)
        for index, chain in self._singles:
            blocks[index] = chains[chain]
        for index, members in self._pairs:
            blocks[index] = _product([steps[member] for member in members])
        for index, wide in self._wide:
            blocks[index] = _product([core.matrix(angles) for core in wide])
        return Numbers(blocks, chains, kept, cores, products, steps, angles)

    def pullback(self, crosses: Sequence[np.ndarray], numbers: Numbers) -> np.ndarray:
        """Gradient of the parameters ``(n_columns,)`` from a cotangent on the matrix of each block."""
        gradient = np.zeros(len(numbers.angles))
        of_chains = np.zeros_like(numbers.chains)
        of_steps = np.zeros_like(numbers.steps)
        for index, chain in self._singles:
            of_chains[chain] = crosses[index]
        for index, members in self._pairs:
            _distribute(crosses[index], [numbers.steps[member] for member in members], of_steps, members)
        for index, wide in self._wide:
            matrices = [core.matrix(numbers.angles) for core in wide]
            parts = np.empty((len(wide), *crosses[index].shape))
            _distribute(crosses[index], matrices, parts, range(len(wide)))
            for core, part in zip(wide, parts, strict=True):
                if core.row >= 0:
                    core.add_gradient(part, numbers.angles, gradient)
        for position, core in self._turning:
            core.add_gradient(of_steps[position] @ numbers.products[position].T, numbers.angles, gradient)
        self._split(numbers.cores.swapaxes(1, 2) @ of_steps, numbers.chains, of_chains)
        self._chains.pullback(of_chains[:-1], numbers.kept, gradient)
        return self._angles.pullback(gradient)

    def _split(self, of_products: np.ndarray, chains: np.ndarray, of_chains: np.ndarray) -> None:
        """Cotangents on the two factors of Kronecker products."""
        parts = of_products.reshape(-1, 4, 4, 4, 4)
        first, second = self._ends.T
        of_chains[first] = np.einsum("nijkl,njl->nik", parts, chains[second], optimize=True)
        of_chains[second] = np.einsum("nijkl,nik->njl", parts, chains[first], optimize=True)


def _entered(chain: list[Element], chains: list[list[Element]]) -> int:
    """Index of a chain, or −1, where the identity stands, for an empty one."""
    if not chain:
        return -1
    chains.append(chain)
    return len(chains) - 1


def _kron(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return (left[:, :, None, :, None] * right[:, None, :, None, :]).reshape(-1, 16, 16)


def _product(matrices: Sequence[np.ndarray]) -> np.ndarray:
    product = matrices[0]
    for matrix in matrices[1:]:
        product = matrix @ product
    return product


def _distribute(cotangent: np.ndarray, matrices: Sequence[np.ndarray], out: np.ndarray, rows: Sequence[int]) -> None:
    """From a cotangent on the product of ``matrices`` to those on each of them, into ``out[rows]``."""
    before = [np.eye(len(matrices[0]))]
    for matrix in matrices[:-1]:
        before.append(matrix @ before[-1])
    for position in range(len(matrices) - 1, -1, -1):
        out[rows[position]] = cotangent @ before[position].T if position else cotangent
        cotangent = matrices[position].T @ cotangent
