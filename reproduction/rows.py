"""A row of the table "Where distillation pays, and where it does not"."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from qkd_pl.statistics import Estimate, estimate, paired_difference


class Row(NamedTuple):
    """One comparison, over data sets.

    Attributes:
        title: the task, and what is compared.
        control: test accuracy of the best that does without distillation.
        distilled: test accuracy of the distilled student.
        difference: distilled − control, paired, with its interval and p-value.
    """

    title: str
    control: Estimate
    distilled: Estimate
    difference: Estimate


def row(title: str, arms: Mapping[str, Any], distilled: str, control: str) -> Row:
    """The row that compares two arms of what :func:`compared` returned."""
    keys = (control, distilled, f"{distilled} - {control}")
    return Row(title, *(Estimate.from_json(arms[key]) for key in keys))


def compared(values: Mapping[str, list[float]], pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """Estimates of all arms over data sets, and the paired differences ``first - second`` of some; JSON-able."""
    found = {arm: estimate(each) for arm, each in values.items()}
    found |= {f"{first} - {second}": paired_difference(values[first], values[second]) for first, second in pairs}
    return {name: each.to_json() for name, each in found.items()}
