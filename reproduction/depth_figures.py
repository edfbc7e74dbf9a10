"""The figure of the experiment on depth: accuracy against QPU seconds, and the seconds that 0.95 takes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from qkd_pl.statistics import Estimate
from reproduction.device_depth import LEVEL, MODES
from reproduction.device_figures import TOP, accuracy_axis
from reproduction.device_models import PREPARATIONS, SECONDS_PER_JOB
from reproduction.device_page import arm_title

#: Arm → colour, line, marker and its size: a curve below another shows behind it, as a larger marker or between dashes.
_STYLES = {
    "teacher": ("black", ":", "s", 5),
    "teacher_line": ("tab:gray", ":", "D", 4.5),
    "1-ce": ("tab:orange", "-", "o", 6),
    "1-kd": ("tab:red", "--", "x", 6),
    "2-ce": ("tab:cyan", "-", "o", 6),
    "2-kd": ("tab:blue", "--", "x", 6),
}
_PREPARATIONS = {"ideal": "states free", "staircase": "states prepared by noisy gates"}
_COLOURS = {"ideal": "tab:green", "staircase": "tab:purple"}


def plot_device_depth(summary: Mapping[str, Any]) -> Figure:
    """For each backend, test accuracy against QPU seconds, calibrated, and the seconds for 0.95 in all four conditions.

    Accuracies stand on a logit axis, which keeps apart what is close to 1; intervals end where the axis does.

    Args:
        summary: what :func:`reproduction.device_depth.run_device_depth` returned.
    """
    backends = summary["backends"]
    figure = Figure(figsize=(3.1 * len(backends) + 1.2, 9.6), layout="constrained")
    panels = figure.subplots(3, len(backends), squeeze=False, sharex="row", sharey="row", height_ratios=(1.0, 1.0, 1.1))
    for column, (name, backend) in enumerate(backends.items()):
        for row, preparation in enumerate(PREPARATIONS):
            axes = panels[row][column]
            _curves(axes, summary, backend, preparation)
            axes.set_title(f"{name}, {_PREPARATIONS[preparation]}", fontsize=9)
            axes.set_xlabel(f"QPU seconds for {summary['settings']['n_test']} states", fontsize=9)
        _needed(panels[2][column], summary, backend)
        panels[2][column].set_title(f"{name}, seconds for {LEVEL}", fontsize=9)
        panels[2][column].set_xlabel("QPU seconds", fontsize=9)
    for row in (0, 1):
        panels[row][0].set_ylabel("test accuracy (mean, 95 % interval)", fontsize=9)
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=8, ncols=3, loc="outside upper center", frameon=False)
    figure.legend(handles=_conditions(), fontsize=8, ncols=4, loc="outside lower center", frameon=False)
    return figure


def _curves(axes: Axes, summary: Mapping[str, Any], backend: Mapping[str, Any], preparation: str) -> None:
    by_shots = backend["accuracy"][preparation]
    counts = summary["settings"]["shots"]
    for arm, (colour, line, marker, size) in _STYLES.items():
        if arm not in by_shots["exact"]["raw"]:
            continue
        per_shot = summary["settings"]["n_test"] * backend["price"][arm]["seconds"]
        seconds = [SECONDS_PER_JOB + count * per_shot for count in counts]
        found = [Estimate.from_json(by_shots[str(count)]["calibrated"][arm]) for count in counts]
        means, low, high = (np.clip([getattr(e, end) for e in found], 0.4, TOP) for end in ("mean", "low", "high"))
        axes.plot(
            seconds,
            means,
            color=colour,
            linestyle=line,
            marker=marker,
            markersize=size,
            markerfacecolor="none",
            label=arm_title(arm),
        )
        axes.fill_between(seconds, low, high, color=colour, alpha=0.1, linewidth=0)
    axes.axhline(LEVEL, color="black", linewidth=0.6)
    axes.set_xscale("log")
    accuracy_axis(axes)


def _needed(axes: Axes, summary: Mapping[str, Any], backend: Mapping[str, Any]) -> None:
    """Seconds for the level, with the interval; an arrow at the right where no number of shots that was run has it."""
    settings = summary["settings"]
    arms = ["teacher", "teacher_line", *(f"{n}-{kind}" for n in settings["student_layers"] for kind in ("ce", "kd"))]
    most = SECONDS_PER_JOB + max(settings["shots"]) * settings["n_test"] * backend["price"]["teacher"]["seconds"]
    conditions = [(preparation, mode) for preparation in PREPARATIONS for mode in MODES]
    for line, arm in enumerate(arms):
        for index, (preparation, mode) in enumerate(conditions):
            found = backend["seconds_for"][preparation][mode].get(arm)
            if found is not None:
                _mark(axes, found, most, line + 0.18 * (index - 1.5), _COLOURS[preparation], mode)
    axes.set_xscale("log")
    axes.set_yticks(range(len(arms)), [arm_title(arm) for arm in arms], fontsize=8)
    axes.set_ylim(len(arms) - 0.4, -0.6)
    axes.grid(axis="x", alpha=0.25)


def _mark(axes: Axes, found: Mapping[str, float | None], most: float, height: float, colour: str, mode: str) -> None:
    face = colour if mode == "calibrated" else "none"
    if found["low"] is not None:
        end = most if found["high"] is None else found["high"]
        axes.plot([found["low"], end], [height, height], color=colour, linewidth=1.2)
    mean = most if found["mean"] is None else found["mean"]
    axes.plot([mean], [height], ">" if found["mean"] is None else "o", color=colour, markerfacecolor=face, markersize=4)


def _conditions() -> Sequence[Line2D]:
    return [
        Line2D(
            [],
            [],
            color=_COLOURS[preparation],
            marker="o",
            markerfacecolor=_COLOURS[preparation] if mode == "calibrated" else "none",
            label=f"{_PREPARATIONS[preparation]}, {mode}",
        )
        for preparation in PREPARATIONS
        for mode in MODES
    ]
