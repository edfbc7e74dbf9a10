"""From a job's expectation values to outputs: the weighted sum over the circuits of each sample, and constants."""

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
        constants: float64 (K,), the multiple of the identity in each observable, which is not measured; None if all
            observables are measured as they are.
        measured: bool (K,), whether there is more to the observable; None with ``constants``.
    """

    n_samples: int
    sample: np.ndarray
    weight: np.ndarray
    constants: np.ndarray | None = None
    measured: np.ndarray | None = None

    @classmethod
    def of(
        cls, weights: np.ndarray, constants: np.ndarray | None = None, measured: np.ndarray | None = None
    ) -> "Recombination":
        """For weights (n, r) of r circuits for each of n samples, of which those of weight 0 are not run."""
        used = np.flatnonzero(weights)
        return cls(len(weights), used // weights.shape[1], weights.ravel()[used], constants, measured)

    def apply(self, values: Sequence[np.ndarray]) -> np.ndarray:
        """Outputs float64 (n, K).

        Args:
            values: of all PUBs, in order; each (measured observables, some rows).

        Raises:
            JobResultError: the values are not one for each measured observable and row of circuit inputs.
        """
        table = np.concatenate(values, axis=-1)
        n_measured = None if self.measured is None else int(self.measured.sum())
        if table.ndim != 2 or table.shape[1] != len(self.sample) or n_measured not in (None, len(table)):
            observables = "" if n_measured is None else f"{n_measured} observables and "
            raise JobResultError(
                f"the job returned values {table.shape} for {observables}{len(self.sample)} circuit inputs"
            )
        sums = np.zeros((self.n_samples, len(table)))
        np.add.at(sums, self.sample, (table * self.weight).T)
        if self.constants is None:
            return sums
        outputs = np.tile(self.constants, (self.n_samples, 1))
        outputs[:, self.measured] += sums
        return outputs

    def to_arrays(self) -> dict[str, np.ndarray]:
        """As named arrays, for :meth:`from_arrays`."""
        arrays = {"n_samples": np.array(self.n_samples), "sample": self.sample, "weight": self.weight}
        if self.constants is not None and self.measured is not None:
            arrays |= {"constants": self.constants, "measured": self.measured}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Recombination | None":
        """Read back what :meth:`to_arrays` wrote, None if there is none; other entries are ignored."""
        if "n_samples" not in arrays:
            return None
        optional = {name: arrays[name] for name in ("constants", "measured") if name in arrays}
        return cls(int(arrays["n_samples"]), arrays["sample"], arrays["weight"], **optional)
