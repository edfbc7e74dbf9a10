"""Figures of the experiments on noisy devices: accuracy against shots or logit scales, with 95 % intervals."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from qkd_pl.statistics import Estimate

_TICKS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
TOP = 0.995
#: Arm → label, colour and line of the experiment on noisy teachers.
_OF_TEACHER = {
    "teacher": ("noisy teacher", "tab:gray", ":"),
    "teacher_calibrated": ("noisy teacher, calibrated", "black", ":"),
    "teacher_extrapolated": ("noisy teacher, extrapolated to zero noise", "tab:olive", ":"),
    "hard_calibrated": ("student of its decisions, calibrated", "tab:orange", "--"),
    "affine": ("distilled, standardised", "tab:cyan", "-"),
    "calibrated": ("distilled, calibrated", "tab:blue", "-"),
    "labels": ("student of all true labels", "tab:green", "-."),
}


def plot_noisy_teacher(summary: Mapping[str, Any]) -> Figure:
    """Test accuracy of students and of their noisy teacher against the teacher's shots, for both pools of states.

    Args:
        summary: what :func:`reproduction.noisy_teacher.run_noisy_teacher` returned.
    """
    figure = Figure(figsize=(9.2, 4.8), layout="constrained")
    panels = figure.subplots(1, len(summary["pools"]), sharey=True)
    for axes, (pool, by_shots) in zip(panels, summary["pools"].items(), strict=True):
        counts = sorted(by_shots, key=int)
        for arm, style in _OF_TEACHER.items():
            estimates = [Estimate.from_json(by_shots[count][arm]) for count in counts]
            _curve(axes, [int(count) for count in counts], estimates, style)
        axes.set_xscale("log", base=2)
        accuracy_axis(axes)
        axes.set_xlabel("shots of the teacher for each state")
        axes.set_title(f"{pool} states", fontsize=10)
    panels[0].set_ylabel("test accuracy (mean, 95 % interval)")
    handles = panels[0].get_legend_handles_labels()[0]
    figure.legend(handles=handles, fontsize=8, ncols=3, loc="outside upper center", frameon=False)
    return figure


def accuracy_axis(axes: Axes) -> None:
    """A logit axis from chance to 1, which keeps apart what is close to 1; intervals end where it does."""
    axes.set_yscale("logit")
    axes.set_ylim(0.48, TOP)
    axes.set_yticks(_TICKS, [str(tick) for tick in _TICKS], fontsize=8)
    axes.set_yticks([], minor=True)
    axes.grid(alpha=0.25)


def plot_device_images(summary: Mapping[str, Any]) -> Figure:
    """Accuracies of teachers and students without noise and on the device, with the part of the intervals up to 1.

    Args:
        summary: what :func:`reproduction.device_images.run_device_images` returned.
    """
    settings = summary["settings"]
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    arms = {
        "teacher": f"teacher, {settings['teacher_layers']} layers, ring",
        "teacher_line": f"teacher, {settings['teacher_layers']} layers, line",
        "ce": f"{settings['student_layers']} layers, scaled CE",
        "kd": f"{settings['student_layers']} layers, distilled",
    }
    for index, (mode, by_arm) in enumerate(summary["accuracy"].items()):
        found = [Estimate.from_json(by_arm[arm]) for arm in arms]
        means = [each.mean for each in found]
        errors = [[each.mean - each.low for each in found], [min(each.high, 1.0) - each.mean for each in found]]
        places = [position + 0.2 * (index - 1) for position in range(len(arms))]
        axes.errorbar(places, means, errors, fmt="o", capsize=3, label={"exact": "without noise"}.get(mode, mode))
    gates = [summary["price"][arm]["two_qubit_gates"] for arm in arms]
    labels = [f"{title}\n{count} two-qubit gates" for title, count in zip(arms.values(), gates, strict=True)]
    axes.set_xticks(range(len(arms)), labels, fontsize=7)
    axes.set_ylabel("accuracy (mean, 95 % interval)")
    axes.set_title(f"{summary['images']} images, {settings['shots']} shots on {settings['backend']}", fontsize=10)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize=8)
    return figure


def plot_shots_scale(summary: Mapping[str, Any]) -> Figure:
    """Accuracy against the logit scale for each number of shots, with the scales of both rules.

    Args:
        summary: what :func:`reproduction.shots_scale.run_shots_scale` returned.
    """
    problems, scales = summary["problems"], summary["settings"]["scales"]
    figure = Figure(figsize=(2.3 * len(problems) + 0.4, 3.6), layout="constrained")
    panels = figure.subplots(1, len(problems), squeeze=False)[0]
    marks = {"rule": ("o", 9), "half": ("s", 8)}
    for axes, (problem, by_shots) in zip(panels, problems.items(), strict=True):
        for index, (shots, found) in enumerate(by_shots.items()):
            estimates = [Estimate.from_json(found["accuracy"][f"{scale:g}"]) for scale in scales]
            colour = f"C{index}"
            _curve(axes, list(scales), estimates, (f"{int(shots):,} shots", colour, "-"))
            for name, (marker, size) in marks.items():
                place = [found["scales"][name]], [Estimate.from_json(found["accuracy"][name]).mean]
                axes.plot(*place, marker, markersize=size, markerfacecolor="none", color=colour)
        axes.set_xscale("log")
        axes.set_xlabel("logit scale s")
        axes.set_title(problem, fontsize=10)
        axes.tick_params(labelsize=8)
        axes.grid(axis="y", alpha=0.3)
    panels[0].set_ylabel("test accuracy (mean, 95 % interval)")
    handles = panels[0].get_legend_handles_labels()[0]
    titles = {"rule": "s = min(√shots, 30)", "half": "s = min(√shots/2, 16)"}
    handles += [
        Line2D([], [], color="black", linestyle="", marker=marks[name][0], markerfacecolor="none", label=title)
        for name, title in titles.items()
    ]
    figure.legend(handles=handles, fontsize=8, ncols=len(handles), loc="outside upper center", frameon=False)
    return figure


def _curve(axes: Axes, positions: list[float], estimates: list[Estimate], style: tuple[str, str, str]) -> None:
    """A line through the means, and the intervals within 0 and 1 as a band, both excluded as a logit axis needs."""
    label, colour, line = style
    axes.plot(positions, [each.mean for each in estimates], label=label, color=colour, linestyle=line, marker=".")
    low, high = (np.clip([getattr(each, end) for each in estimates], 1e-6, 1 - 1e-6) for end in ("low", "high"))
    axes.fill_between(positions, low, high, color=colour, alpha=0.15, linewidth=0)
