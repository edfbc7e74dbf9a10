"""The states that a circuit starts from: products over groups of wires that are prepared together."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pennylane as qml
from pennylane.operation import Operator, StatePrepBase

from qkd_pl.devices.lightning.gates import Source, resolve
from qkd_pl.devices.lightning.single_qubit import PAULIS, fixed, rotations
from qkd_pl.devices.lightning.templates import FIXED


@dataclass(frozen=True)
class Preparation:
    """A state preparation, a single-qubit gate on the way to the state, or one gate of an embedding.

    Attributes:
        source: the operation.
        name: of the gate.
        entry: which feature of the operation is the angle; None if it has only one, or none.
        broadcast: whether it differs between samples.
    """

    source: Source
    name: str
    entry: int | None
    broadcast: bool

    @property
    def kind(self) -> tuple[str, bool] | None:
        """Equal for gates that can be computed together for many wires; None for those that cannot."""
        return (self.name, self.broadcast) if self.name in PAULIS or self.name in FIXED else None

    def angles(self, operations: Sequence[Operator]) -> np.ndarray:
        """Angles of a rotation in radians, shape ``(batch_size or 1,)``."""
        (features,) = resolve(self.source, operations).data
        return np.reshape(features if self.entry is None else features[..., self.entry], -1)


@dataclass(frozen=True)
class ProductStates:
    """Groups of neighbouring wires, each prepared by some operations in turn; by none: in ``|0⟩``.

    Attributes:
        groups: wires → operations.
    """

    groups: dict[tuple[Any, ...], list[Preparation]] = field(default_factory=dict)

    def factors(self, operations: Sequence[Operator]) -> list[np.ndarray]:
        """Amplitudes of each group, shape ``(batch_size or 1, 2**n_wires_of_group)``."""
        factors: dict[int, np.ndarray] = {}
        for members, steps in self._alike:
            factors |= zip(members, _prepared(steps, len(members), operations), strict=True)
        return [factors[i] for i in range(len(self.groups))]

    @cached_property
    def _alike(self) -> list[tuple[list[int], list[tuple[Preparation, ...]]]]:
        """Groups that are prepared alike, and one preparation per group for each step."""
        groups = list(self.groups.values())
        alike: dict[Any, list[int]] = {}
        for i, group in enumerate(groups):
            kinds = tuple(step.kind for step in group)
            alike.setdefault(i if None in kinds else kinds, []).append(i)
        return [(members, list(zip(*(groups[i] for i in members), strict=True))) for members in alike.values()]


def chosen(factor: np.ndarray, samples: slice, batch_size: int) -> np.ndarray:
    """Some samples of a factor ``(batch_size or 1, 2**k)``."""
    return factor[samples] if len(factor) == batch_size else factor


def product_states(factors: Sequence[np.ndarray], dtype: Any) -> np.ndarray:
    """Tensor products of factors of shape ``(n_samples or 1, 2**k)``, an array ``(n_samples or 1, 2**n)``."""
    *others, state = factors or [np.ones((1, 1))]
    state = state.astype(dtype, copy=False)
    # From the right, so that numpy's innermost loops are long.
    for factor in reversed(others):
        factor = factor.astype(dtype, copy=False)
        state = (factor[:, :, None] * state[:, None, :]).reshape(max(len(factor), len(state)), -1)
    return state


def _prepared(
    steps: Sequence[tuple[Preparation, ...]], n_groups: int, operations: Sequence[Operator]
) -> list[np.ndarray]:
    """Amplitudes of groups that are prepared alike; ``steps`` holds one preparation per group for each step."""
    state = np.zeros((n_groups, 1, 2), dtype=np.complex128)
    state[:, :, 0] = 1
    for step in steps:
        name, first = step[0].name, resolve(step[0].source, operations)
        if isinstance(first, qml.StatePrep):
            state = np.atleast_2d(first.data[0])[None]
            continue
        if isinstance(first, StatePrepBase):
            state = np.reshape(first.state_vector(), (1, 1, -1))
            continue
        if name in PAULIS:
            matrices = rotations(PAULIS[name], np.stack([gate.angles(operations) for gate in step]))
        elif name in FIXED:
            matrices = fixed(name)
        else:
            matrices = np.asarray(first.matrix())
        state = np.einsum("...ij,...j->...i", matrices, state)
    return list(state)
