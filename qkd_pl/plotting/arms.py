"""The arms of a comparison side by side."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from qkd_pl.statistics import Estimate

ARM_LABELS = {"no_kd": "no KD", "control": "scaled cross-entropy", "kd": "KD"}
ARM_COLOURS = {"no_kd": "tab:gray", "control": "tab:orange", "kd": "tab:blue"}


def plot_arms(groups: Mapping[str, Mapping[str, Any]], teacher: float | None = None) -> Figure:
    """Accuracy of each arm with its 95 % confidence interval, for several students side by side.

    Args:
        groups: label of a student → its arms, as :func:`qkd_pl.statistics.summarise_arms` returns them.
        teacher: the teacher's accuracy, drawn as a line.

    Example:
        >>> from qkd_pl.statistics import summarise_arms
        >>> arms = summarise_arms({"no_kd": [0.7, 0.8], "kd": [0.9, 0.95], "control": [0.9, 0.92]})
        >>> [label.get_text() for label in plot_arms({"2 qubits": arms}, teacher=0.98).axes[0].get_xticklabels()]
        ['2 qubits']
    """
    figure = Figure(figsize=(2.0 + 2.2 * len(groups), 3.6), layout="constrained")
    axes = figure.subplots()
    for position, (arm, label) in enumerate(ARM_LABELS.items()):
        estimates = [Estimate.from_json(arms[arm]) for arms in groups.values()]
        offsets = [index + 0.25 * (position - 1) for index in range(len(groups))]
        means = [value.mean for value in estimates]
        errors = [value.half_width for value in estimates]
        axes.errorbar(offsets, means, errors, fmt="o", capsize=4, color=ARM_COLOURS[arm], label=label)
    if teacher is not None:
        axes.axhline(teacher, color="black", linestyle=":", linewidth=1, label="teacher")
    axes.set_xticks(range(len(groups)), list(groups))
    axes.set_xlim(-0.6, len(groups) - 0.4)
    axes.set_ylabel("test accuracy (mean, 95 % interval)")
    axes.legend(loc="lower right", fontsize="small")
    return figure
