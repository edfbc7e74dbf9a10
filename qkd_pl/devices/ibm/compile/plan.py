"""Jobs that are ready to be sent: compiled and priced."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import reduce
from operator import or_
from typing import Any

import numpy as np

from qkd_pl.checks import check_number
from qkd_pl.devices.calibration import Calibration
from qkd_pl.devices.ibm.compile.absorption import Absorption
from qkd_pl.devices.ibm.compile.cost import Cost
from qkd_pl.devices.ibm.compile.preparer import Preparation
from qkd_pl.devices.ibm.compile.recombination import Recombination
from qkd_pl.devices.ibm.compile.reference import Reference
from qkd_pl.devices.ibm.payload import Payload
from qkd_pl.errors import CostLimitError


@dataclass(frozen=True, eq=False)
class Plan:
    """Jobs that are ready to be sent.

    Attributes:
        payloads: the jobs.
        target: JSON-able; where they go, and the entry of the device registry that said so.
        cost: size and price.
        layouts: physical qubits of wires 0, 1, …, for each distinct circuit.
        recombination: from the jobs' values to logits; ``None`` where the values themselves are wanted.
        max_qpu_seconds: the device's limit, ``None`` for none.
        labels: int (n,), if they were given.
        exact_logits: float64 (n, K), what the model gives without noise.
        preparations: how the states of the inputs are prepared, in the order of the circuit; empty where inputs enter
            as angles. Fidelities are those of rows of circuit inputs, of which a mixed input has several.
        observables: names of the outputs.
        reference: samples by which the job calibrates itself, if any.
        calibration: the model's own, used if there is no reference.
        absorption: whether the last entanglers are part of the circuit or of the observables; None where there was no
            choice.
    """

    payloads: tuple[Payload, ...]
    target: Mapping[str, Any]
    cost: Cost
    layouts: tuple[tuple[int, ...], ...]
    recombination: Recombination | None = None
    max_qpu_seconds: float | None = None
    labels: np.ndarray | None = None
    exact_logits: np.ndarray | None = None
    preparations: tuple[Preparation, ...] = ()
    observables: tuple[str, ...] = ()
    reference: Reference | None = None
    calibration: Calibration | None = None
    absorption: Absorption | None = None

    def check_limit(self) -> None:
        """Refuse to cost more than the device allows.

        Raises:
            CostLimitError: names both figures and what would help.
        """
        if self.max_qpu_seconds is None:
            return
        check_number("max_qpu_seconds", self.max_qpu_seconds, 0, above=True)
        if not self.cost.qpu_seconds <= self.max_qpu_seconds:
            raise CostLimitError(
                f"about {self.cost.qpu_seconds:,.0f} QPU seconds ({self.cost}), above max_qpu_seconds: "
                f"{self.max_qpu_seconds:g}; take fewer inputs or shots, or raise the limit in devices.yaml"
            )

    def summary(self) -> dict[str, Any]:
        """Cost, layouts and state preparation, JSON-able."""
        return {
            **asdict(self.cost),
            "layouts": [list(layout) for layout in self.layouts],
            "preparations": [preparation.summary() for preparation in self.preparations],
            "observables": list(self.observables),
            "shots_per_circuit": self.payloads[0].shots if self.payloads else None,
            "absorption": None if self.absorption is None else self.absorption.summary(),
            "calibration": None if self.calibration is None else self.calibration.to_json(),
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """What the receipt has to hold besides the circuits."""
        optional = {"labels": self.labels, "exact_logits": self.exact_logits}
        parts = [part.to_arrays() for part in (self.recombination, self.reference) if part is not None]
        return reduce(or_, parts, {}) | {name: value for name, value in optional.items() if value is not None}
