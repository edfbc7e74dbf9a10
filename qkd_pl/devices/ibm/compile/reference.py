"""Inputs by which a job calibrates itself: those whose exact outputs are known."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Reference:
    """Which samples of a job have known outputs; stored with the job's receipt.

    Attributes:
        sample: int64 (m,), indices of the samples.
        exact: float64 (m, K), their outputs without noise.
        extra: how many samples at the end of the job serve calibration only, and are not part of its result.
    """

    sample: np.ndarray
    exact: np.ndarray
    extra: int = 0

    def to_arrays(self) -> dict[str, np.ndarray]:
        """As named arrays, for :meth:`from_arrays`."""
        return {
            "reference_sample": self.sample,
            "reference_exact": self.exact,
            "reference_extra": np.array(self.extra),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "Reference | None":
        """Read back what :meth:`to_arrays` wrote, None if there is none; other entries are ignored."""
        if "reference_sample" not in arrays:
            return None
        return cls(arrays["reference_sample"], arrays["reference_exact"], int(arrays["reference_extra"]))
