"""A batch of pure-state preparations, and how states and density matrices become one."""

from dataclasses import dataclass

import numpy as np

from qkd_pl.errors import InvalidInputError

# How far from normalised, Hermitian or positive an input state in double precision may be.
_TOLERANCE = 1e-6
# Eigenvalues of a density matrix in double precision below this weight are rounding.
_NEGLIGIBLE = 1e-12


@dataclass(frozen=True, eq=False)
class Preparations:
    """Pure-state preparations of a batch, r per sample, whose results are averaged with weights.

    Attributes:
        rows: circuit inputs, shape ``(n, r, features)``; r = 1 unless the samples are mixed states.
        weights: ``(n, r)`` float64, non-negative, each row summing to one.
    """

    rows: np.ndarray
    weights: np.ndarray

    @classmethod
    def pure(cls, rows: np.ndarray) -> "Preparations":
        """One preparation per sample, from rows of shape ``(n, features)``."""
        return cls(rows[:, None, :], np.ones((len(rows), 1)))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def circuit_inputs(self) -> np.ndarray:
        """All preparations below each other, shape ``(n·r, features)``: the broadcast input of the circuit."""
        return self.rows.reshape(-1, self.rows.shape[-1])

    def take(self, indices: np.ndarray) -> "Preparations":
        """The preparations of some of the samples."""
        return Preparations(self.rows[indices], self.weights[indices])

    def average(self, outputs: np.ndarray) -> np.ndarray:
        """Outputs ``(n·r, K)`` of the circuit → averages ``(n, K)`` per sample."""
        return np.einsum("nr,nrk->nk", self.weights, outputs.reshape(*self.weights.shape, -1))

    def spread(self, cotangent: np.ndarray) -> np.ndarray:
        """The transpose of :meth:`average`: cotangent ``(n, K)`` → ``(n·r, K)``."""
        return (self.weights[:, :, None] * cotangent[:, None, :]).reshape(-1, cotangent.shape[-1])


def pure_states(inputs: np.ndarray) -> Preparations:
    """State vectors ``(n, 2**q)``, normalised to rounding in complex128.

    Raises:
        InvalidInputError: one of them has another norm than 1, by more than its precision explains.
    """
    # One copy, scaled in place: for large registers, fresh memory takes longer than the arithmetic.
    states = np.array(inputs, dtype=np.complex128)
    with np.errstate(over="ignore"):  # an infinite norm is refused like any other
        norms = np.sqrt(np.vecdot(states, states).real)
    if (bad := np.flatnonzero(~(np.abs(norms - 1.0) <= _tolerance(inputs)))).size:
        raise InvalidInputError(f"inputs[{bad[0]}] has norm {norms[bad[0]]:.10g}; state vectors must have norm 1")
    states *= (1.0 / norms)[:, None]
    return Preparations.pure(states)


def eigenstates(inputs: np.ndarray) -> Preparations:
    """Density matrices ``(n, 2**q, 2**q)`` as mixtures of as many eigenstates as the largest rank among them.

    Raises:
        InvalidInputError: one of them is not Hermitian, positive and of trace 1.
    """
    matrices = inputs.astype(np.complex128)
    tolerance = _tolerance(inputs)
    traces = np.trace(matrices, axis1=1, axis2=2)
    asymmetry = np.abs(matrices - matrices.conj().swapaxes(1, 2)).max(axis=(1, 2), initial=0.0)
    weights, vectors = np.linalg.eigh(matrices)
    bad = (np.abs(traces - 1.0) > tolerance) | (asymmetry > tolerance) | (weights.min(axis=1) < -tolerance)
    if bad.any():
        raise InvalidInputError(
            f"inputs[{np.flatnonzero(bad)[0]}] is not a density matrix: it must be Hermitian, positive and of trace 1"
        )
    # Rounding of the entries moves eigenvalues by a few eps, which must not count as rank.
    weights = np.where(weights < max(_NEGLIGIBLE, 10 * _epsilon(inputs)), 0.0, weights)
    used = np.flatnonzero(weights.max(axis=0, initial=0.0) > 0.0) if len(weights) else np.arange(1)
    weights = weights[:, used]
    return Preparations(vectors.swapaxes(1, 2)[:, used], weights / weights.sum(axis=1, keepdims=True))


def _tolerance(inputs: np.ndarray) -> float:
    """What sums over the entries in their own precision may be off by."""
    return max(_TOLERANCE, 100 * _epsilon(inputs))


def _epsilon(inputs: np.ndarray) -> float:
    """Machine epsilon of the numbers, 0 for whole ones and for double precision, which the constants are made for."""
    if inputs.dtype.kind not in "fc" or np.finfo(inputs.dtype).eps <= np.finfo(np.float64).eps:
        return 0.0
    return float(np.finfo(inputs.dtype).eps)
