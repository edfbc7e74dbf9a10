"""A row of the table "Where distillation pays, and where it does not"."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qkd_pl.statistics import Estimate, estimate, paired_difference

SCALED = "scaled cross-entropy"


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        source: the run.
        where: data, and labels, states, shots or layers.
        way: what the distilled student had.
        measure: what is compared.
        control, distilled: means over data sets, seeds or images.
        gain: paired difference, above zero where distillation is better.
        against: what the control is.
        is_drawn: whether it is among the main comparisons, if it is one of accuracies.
    """

    source: str
    where: str
    way: str
    measure: str
    control: Estimate
    distilled: Estimate
    gain: Estimate
    against: str = SCALED
    is_drawn: bool = True

    @property
    def opens(self) -> bool:
        """Whether the figure and the table that open the page have it; another table has the rest."""
        return self.is_drawn and self.measure == "accuracy"


def accuracy_row(
    source: str, where: str, way: str, arms: Mapping[str, Any], distilled: str, control: str, **more: Any
) -> Row:
    """The row that compares two arms of what :func:`compared` returned."""
    before, after, gain = (Estimate.from_json(arms[key]) for key in (control, distilled, f"{distilled} - {control}"))
    return Row(source, where, way, "accuracy", before, after, gain, **more)


def against_control(values: Mapping[str, Mapping[str, Sequence[float]]], control: str) -> dict[str, Any]:
    """Arms by their measures: ``arms`` → arm → measure → estimate, ``differences`` → arm → measure → from the control.

    Args:
        values: arm → measure → one number for each data set.
        control: the arm that the others are compared with.
    """
    return {
        "arms": {
            arm: {name: estimate(each).to_json() for name, each in found.items()} for arm, found in values.items()
        },
        "differences": {
            arm: {name: paired_difference(each, values[control][name]).to_json() for name, each in found.items()}
            for arm, found in values.items()
            if arm != control
        },
    }


def compared(values: Mapping[str, list[float]], pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """Estimates of all arms over data sets, and the paired differences ``first - second`` of some; JSON-able."""
    found = {arm: estimate(each) for arm, each in values.items()}
    found |= {f"{first} - {second}": paired_difference(values[first], values[second]) for first, second in pairs}
    return {name: each.to_json() for name, each in found.items()}
