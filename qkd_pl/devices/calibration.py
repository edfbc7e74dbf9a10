"""Undoing what a device's noise does to expectation values: two numbers per output.

Noise maps exact outputs nearly affinely to measured ones: measured ≈ slope · exact + intercept. Global depolarising
noise and errors of the read-out do so exactly, others nearly. Fitted on a few inputs whose exact outputs a simulator
knows, the line is turned round.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import chi2
from scipy.stats import t as student_t

from qkd_pl.errors import CalibrationError, FileFormatError, MisfitWarning
from qkd_pl.warning import warn

#: A slope whose 95 % interval reaches this is refused: turned round, it would multiply errors twentyfold.
SMALLEST_SLOPE = 0.05
#: A line through fewer inputs has no error worth the name.
FEWEST_INPUTS = 5
# Of the spread of the exact outputs; beyond it the outputs do not lie on a line, whatever the number of shots.
_LARGEST_MISFIT = 0.3


@dataclass(frozen=True)
class Place:
    """Where outputs were measured: a calibration is valid for equal places.

    Attributes:
        backend: its name.
        layouts: physical qubits of the wires, for each distinct circuit; empty if they are not known.
        observables: names of the outputs, in order.
    """

    backend: str
    layouts: tuple[tuple[int, ...], ...]
    observables: tuple[str, ...]

    @classmethod
    def of(cls, backend: str, layouts: Sequence[Sequence[int]], observables: Sequence[str]) -> "Place":
        """From any sequences."""
        return cls(backend, tuple(tuple(map(int, layout)) for layout in layouts), tuple(observables))

    def difference(self, other: "Place") -> str | None:
        """What differs, in words; None if nothing does."""
        for name in ("backend", "observables", "layouts"):
            mine, others = getattr(self, name), getattr(other, name)
            if mine != others and (name != "layouts" or (mine and others)):
                return f"{name}: {mine} there, {others} here"
        return None


@dataclass(frozen=True)
class Calibration:
    """measured ≈ slope · exact + intercept, for each of K outputs.

    Attributes:
        slope, intercept: of each output.
        interval: half the width of the 95 % confidence interval of each slope.
        residual: root mean square of measured − (slope · exact + intercept), for each output; it holds the shot noise.
        misfit: the part of the residual beyond what shot noise explains (at 99 %), as a fraction of the spread
            (standard deviation) that the outputs have on the device.
        n_inputs: inputs it was fitted on.
        shots: for each input; None for exact expectation values.
        place: where it is valid.
        created: ISO 8601, UTC.
    """

    slope: tuple[float, ...]
    intercept: tuple[float, ...]
    interval: tuple[float, ...]
    residual: tuple[float, ...]
    misfit: tuple[float, ...]
    n_inputs: int
    shots: int | None
    place: Place
    created: str

    def __str__(self) -> str:
        lines = "; ".join(
            f"{name}: {slope:.3f} ± {interval:.3f} · exact {intercept:+.3f}, residual {residual:.3f}"
            for name, slope, interval, intercept, residual in zip(
                self.place.observables, self.slope, self.interval, self.intercept, self.residual, strict=True
            )
        )
        return f"calibration on {self.n_inputs} inputs on {self.place.backend}: {lines}"

    def apply(self, measured: np.ndarray) -> np.ndarray:
        """Corrected outputs, float64 (n, K): (measured − intercept) / slope. Shot noise may carry them beyond ±1."""
        return (np.asarray(measured) - np.array(self.intercept)) / np.array(self.slope)

    def to_json(self) -> dict[str, Any]:
        """JSON-able, for :meth:`from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Calibration":
        """Read back what :meth:`to_json` wrote.

        Raises:
            FileFormatError: it is something else.
        """
        try:
            place = Place.of(**document["place"])
            rest = {name: document[name] for name in ("n_inputs", "shots", "created")}
            numbers: dict[str, Any] = {
                name: tuple(map(float, document[name]))
                for name in ("slope", "intercept", "interval", "residual", "misfit")
            }
            return cls(**numbers, **rest, place=place)
        except (KeyError, TypeError, ValueError) as error:
            raise FileFormatError(f"not a calibration ({type(error).__name__}: {error})") from error


def fit_calibration(
    exact: np.ndarray, measured: np.ndarray, place: Place, *, shots: int | None, created: str
) -> Calibration:
    """Least-squares lines through (exact, measured), one for each output.

    Args:
        exact, measured: float64 (m, K), outputs for the same m inputs, at least 5.
        place: where they were measured.
        shots: for each input; what shot noise explains of the residuals is not held against the fit.
        created: ISO 8601.

    Raises:
        CalibrationError: too few inputs, equal exact outputs, or so little signal that the interval of a slope reaches
            0.05.

    Warns:
        MisfitWarning: an output is far from a line, so that the correction is a rough one.
    """
    n_inputs = len(exact)
    if n_inputs < FEWEST_INPUTS:
        raise CalibrationError(f"a calibration needs at least {FEWEST_INPUTS} inputs, not {n_inputs}")
    spread = exact.std(axis=0)
    if (flat := np.flatnonzero(spread < 1e-6)).size:
        raise CalibrationError(f"output {flat[0]}: the calibration inputs all have the same exact value; take others")
    deviation = exact - exact.mean(axis=0)
    slope = (deviation * measured).sum(axis=0) / (deviation**2).sum(axis=0)
    intercept = measured.mean(axis=0) - slope * exact.mean(axis=0)
    squares = ((measured - slope * exact - intercept) ** 2).sum(axis=0)
    error = np.sqrt(squares / (n_inputs - 2) / (deviation**2).sum(axis=0))
    interval = student_t.ppf(0.975, n_inputs - 2) * error
    _refuse_small(slope, interval, place)
    noise = 0.0 if shots is None else np.mean(1 - np.clip(measured, -1, 1) ** 2, axis=0) / shots
    unexplained = np.maximum(squares - noise * chi2.ppf(0.99, n_inputs - 2), 0) / (n_inputs - 2)
    misfit = np.sqrt(unexplained) / (slope * spread)
    _warn_of_misfit(misfit, place)
    return Calibration(
        slope=tuple(slope.tolist()),
        intercept=tuple(intercept.tolist()),
        interval=tuple(interval.tolist()),
        residual=tuple(np.sqrt(squares / n_inputs).tolist()),
        misfit=tuple(misfit.tolist()),
        n_inputs=n_inputs,
        shots=shots,
        place=place,
        created=created,
    )


def _refuse_small(slope: np.ndarray, interval: np.ndarray, place: Place) -> None:
    for index in np.flatnonzero(~(slope - interval > SMALLEST_SLOPE)):
        raise CalibrationError(
            f"output {place.observables[index]} on {place.backend}: slope {slope[index]:.3f} ± {interval[index]:.3f} "
            f"reaches {SMALLEST_SLOPE}; the device leaves too little signal, or more inputs or shots are needed"
        )


def _warn_of_misfit(misfit: np.ndarray, place: Place) -> None:
    for index in np.flatnonzero(misfit > _LARGEST_MISFIT):
        warn(
            f"output {place.observables[index]} on {place.backend}: beyond shot noise, measured values deviate from a "
            f"line by {misfit[index]:.0%} of their spread; the calibration corrects them only roughly",
            MisfitWarning,
        )


def spread_out(exact: np.ndarray, count: int) -> np.ndarray:
    """Indices of ``count`` inputs, in order, whose exact outputs (n, K) cover the range of each output evenly.

    Each output in turn takes the input next to one of its evenly spaced values that is not taken yet.
    """
    n_inputs, n_outputs = exact.shape
    if count >= n_inputs:
        return np.arange(n_inputs)
    per_output = -(-count // n_outputs)
    chosen: list[int] = []
    for step in range(per_output):
        for output in range(n_outputs):
            low, high = exact[:, output].min(), exact[:, output].max()
            wanted = low + (high - low) * step / max(1, per_output - 1)
            distance = np.abs(exact[:, output] - wanted)
            distance[chosen] = np.inf
            chosen.append(int(distance.argmin()))
    return np.sort(chosen[:count])
