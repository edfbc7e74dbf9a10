"""What a search found: the table of its students, their Pareto front, and the best."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from qkd_pl.deployment.planning import plan
from qkd_pl.devices.calibration import FEWEST_INPUTS
from qkd_pl.devices.ibm.compile.plan import Plan
from qkd_pl.devices.spec import DeviceSpec
from qkd_pl.networks.models import load_model
from qkd_pl.search.entrance import Entrance
from qkd_pl.search.evaluation import can_absorb

_COLUMNS = (
    "student",
    "agreement",
    "confirmed",
    "accuracy",
    "two_qubit_gates",
    "depth",
    "qpu_seconds",
    "inputs",
    "setting",
)


@dataclass(frozen=True)
class Row:
    """A student, or the teacher, on the device.

    Attributes:
        name: ``"teacher"``, or the trial's number.
        agreement: with the teacher on the held-out inputs by which students are chosen, at the device's shots and
            calibrated; of the best of many, it is too good.
        confirmed: the same on inputs that no choice depends on.
        accuracy: on the latter, where labels were given, else None.
        calibrated: whether; not where too little signal is left.
        qpu_seconds, two_qubit_gates, depth: see :class:`~qkd_pl.search.evaluation.Price`.
        entrance: from the search's inputs to the model's: ``row.entrance(inputs)``.
        setting: what was drawn.
        path: of the saved model; None for the teacher.
        absorb: whether the last entanglers are part of the observables.
        network: the user's own, which the file cannot hold.
    """

    name: str
    agreement: float
    confirmed: float
    accuracy: float | None
    calibrated: bool
    qpu_seconds: float
    two_qubit_gates: int
    depth: int
    entrance: Entrance
    setting: str
    path: Path | None
    absorb: bool = False
    network: Any = None

    @property
    def model(self) -> Any:
        """The saved student, with the calibration by which it was measured (see ``with_calibration``).

        It takes ``row.entrance(inputs)``.
        """
        return None if self.path is None else load_model(self.path, self.network)


class Table(tuple):
    """Rows, best first; as text, a table."""

    def __str__(self) -> str:
        lines = [_COLUMNS, *(_cells(row) for row in self)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
        )

    __repr__ = __str__


@dataclass(frozen=True, eq=False)
class Found:
    """The result of a search.

    Attributes:
        table: all students that were trained to the end, and the teacher, by agreement.
        front: those that no other beats in agreement, two-qubit gates and QPU seconds at once.
        spec: the device.
        left_out: the trials that are not in the table, by number: ``"infeasible: two_qubit_gates 5 is above 0"``,
            ``"pruned: …"`` (stopped early) or ``"failed: …"``.
    """

    table: Table
    front: Table
    spec: DeviceSpec
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def best(self) -> Any:
        """The student of highest agreement; among equals, of fewest two-qubit gates.

        With the calibration that the simulated noise gives it. What it takes is ``found.best_row.entrance(inputs)``.
        """
        return self.best_row.model

    @property
    def best_row(self) -> Row:
        """Its row."""
        return next(row for row in self.table if row.path is not None)

    def plan(self, inputs: Any, row: Row | None = None, **settings: Any) -> Plan:
        """The job of a student, by default the best, calibrated by itself; sends nothing (:func:`qkd_pl.plan`).

        Fewer than 5 inputs are too few for that: there, the calibration serves that the search has found, if any.
        It runs the circuit that the search has tried, with the last entanglers in the observables or not.
        """
        row = row or self.best_row
        model, entered = row.model, row.entrance(inputs)
        absorb = row.absorb and can_absorb(model, entered[:1])
        calibrate = len(entered) >= FEWEST_INPUTS
        return plan(model, entered, self.spec, **{"calibrate": calibrate, "absorb": absorb, **settings})

    def figure(self) -> Figure:
        """Agreement against two-qubit gates, the front joined by a line."""
        figure = Figure(figsize=(5.0, 3.2), layout="constrained")
        axes = figure.subplots()
        students = [row for row in self.table if row.path is not None]
        axes.plot([row.two_qubit_gates for row in students], [row.agreement for row in students], "o", color="0.7")
        front = sorted((row for row in self.front), key=lambda row: row.two_qubit_gates)
        axes.plot([row.two_qubit_gates for row in front], [row.agreement for row in front], "o-", label="front")
        for row in self.table:
            if row.path is None:
                axes.plot(row.two_qubit_gates, row.agreement, "*", color="black", markersize=10, label="teacher")
        axes.set_xlabel("two-qubit gates")
        axes.set_ylabel(f"agreement with the teacher on {self.spec.name}")
        axes.legend(fontsize="small")
        return figure


def found_of(rows: list[Row], spec: DeviceSpec, left_out: Mapping[str, str]) -> Found:
    """Rows in order, their front, and what is in neither."""
    ordered = sorted(rows, key=lambda row: (-row.agreement, row.two_qubit_gates, row.name))
    front = [row for row in ordered if not any(_beats(other, row) for other in ordered)]
    return Found(Table(ordered), Table(front), spec, left_out)


def _beats(first: Row, second: Row) -> bool:
    mine, others = ((row.agreement, -row.two_qubit_gates, -row.qpu_seconds) for row in (first, second))
    return mine != others and all(a >= b for a, b in zip(mine, others, strict=True))


def _cells(row: Row) -> tuple[str, ...]:
    accuracy = "" if row.accuracy is None else f"{row.accuracy:.3f}"
    gates, depth = str(row.two_qubit_gates), str(row.depth)
    agreements = f"{row.agreement:.3f}", f"{row.confirmed:.3f}"
    return row.name, *agreements, accuracy, gates, depth, f"{row.qpu_seconds:.1f}", str(row.entrance), row.setting
