"""From a job's expectation values to logits: the weighted sum over the circuits of each sample."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qkd_pl.errors import JobResultError


@dataclass(frozen=True, eq=False)
class Recombination:
    """Which circuit belongs to which sample, and with what weight; stored with the job's receipt.

    A pure input is one circuit of weight 1. A mixed one is a circuit for each eigenstate, weighted by its eigenvalue:
    expectation values are linear in the state, so that the weighted mean is exact.

    Attributes:
        n_samples: n.
        sample: int64 (rows,), the sample that each row of circuit inputs belongs to.
        weight: float64 (rows,), summing to 1 for each sample.
    """

    n_samples: int
    sample: np.ndarray
    weight: np.ndarray

    @classmethod
    def of(cls, weights: np.ndarray) -> "Recombination":
        """For weights (n, r) of r circuits for each of n samples, of which those of weight 0 are not run."""
        used = np.flatnonzero(weights)
        return cls(len(weights), used // weights.shape[1], weights.ravel()[used])

    def apply(self, values: Sequence[np.ndarray]) -> np.ndarray:
        """Logits float64 (n, K).

        Args:
            values: of all PUBs, in order; each (K, some rows).

        Raises:
            JobResultError: the values do not have one column for each row of circuit inputs.
        """
        table = np.concatenate(values, axis=-1)
        if table.ndim != 2 or table.shape[1] != len(self.sample):
            raise JobResultError(f"the job returned values {table.shape} for {len(self.sample)} circuit inputs")
        logits = np.zeros((self.n_samples, len(table)))
        np.add.at(logits, self.sample, (table * self.weight).T)
        return logits

    def to_arrays(self) -> dict[str, np.ndarray]:
        """As named arrays, for :meth:`from_arrays`."""
        return {"n_samples": np.array(self.n_samples), "sample": self.sample, "weight": self.weight}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Recombination | None":
        """Read back what :meth:`to_arrays` wrote, None if there is none; other entries are ignored."""
        if "n_samples" not in arrays:
            return None
        return cls(int(arrays["n_samples"]), arrays["sample"], arrays["weight"])
