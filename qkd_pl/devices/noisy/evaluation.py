"""Expectation values of a batch and their pullback, by whichever sweep is shorter."""

import numpy as np

from qkd_pl.devices.noisy.program import Program
from qkd_pl.devices.noisy.states import States
from qkd_pl.devices.noisy.sweep import Geometry


class Evaluation:
    """One program with its parameters, observables and input states.

    The observables are swept backwards (K vectors, whatever the batch), or the states forwards, if there are fewer of
    them than observables.

    Args:
        program: of the circuit's blocks.
        geometry: of the same blocks.
        parameters: of the circuit, radians, ``(n_columns,)``.
        observables: ``(K, 4^m)`` on ``geometry.measured``.
        states: the inputs.
        keep: whether :meth:`pullback` will be asked for.
        at_once: vectors that may be swept together, if nothing is kept.

    Attributes:
        outputs: ``(b, K)`` float64.
    """

    def __init__(
        self,
        program: Program,
        geometry: Geometry,
        parameters: np.ndarray,
        observables: np.ndarray,
        states: States,
        keep: bool,
        at_once: int,
    ) -> None:
        self._program, self._geometry = program, geometry
        self._observables, self._states = observables, states
        self._numbers = program.numbers(parameters)
        self._is_forwards = states.batch < len(observables) and states.batch <= at_once
        if self._is_forwards:
            ends, self._kept = geometry.forwards(states.vectors(geometry.entered), self._numbers.blocks, keep)
            self.outputs = ends @ observables.T
        else:
            step = len(observables) if keep else at_once
            parts = [self._swept(observables[i : i + step], keep) for i in range(0, len(observables), step)]
            self.outputs = np.concatenate(parts, axis=1)

    def _swept(self, observables: np.ndarray, keep: bool) -> np.ndarray:
        """Expectation values ``(b, k)`` of some of the observables."""
        starts, self._kept = self._geometry.backwards(observables, self._numbers.blocks, keep)
        return self._states.expectations(starts, self._geometry.entered)

    def pullback(self, cotangent: np.ndarray) -> np.ndarray:
        """Gradient of the parameters ``(n_columns,)`` from a cotangent ``(b, K)`` on the outputs."""
        geometry, matrices = self._geometry, self._numbers.blocks
        if self._is_forwards:
            crosses = geometry.crosses_backwards(cotangent @ self._observables, matrices, self._kept)
        else:
            mixture = self._states.mixture(cotangent, geometry.entered)
            crosses = geometry.crosses_forwards(mixture, matrices, self._kept)
        return self._program.pullback(crosses, self._numbers)
