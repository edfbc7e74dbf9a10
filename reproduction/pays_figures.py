"""Figures of few labels and of where distillation pays."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from qkd_pl.statistics import Estimate
from reproduction.few_labels import ARM_TITLES
from reproduction.regression import REGRESSION_ARMS

_COLOURS = {"ce": "tab:orange", "same": "tab:cyan", "pool": "tab:blue", "both": "tab:green", "weak": "tab:gray"}
_PANELS = {"accuracy": "test accuracy", "r2": "R² of the teacher's logits"}


def plot_few_labels(summary: Mapping[str, Any]) -> Figure:
    """Accuracy, and how well the teacher's logits are followed, against the number of labels, with 95 % intervals.

    Args:
        summary: what :func:`reproduction.few_labels.run_few_labels` returned.
    """
    figure = Figure(figsize=(9.2, 3.8), layout="constrained")
    counts = [int(m) for m in summary["labels"]]
    for axes, (measure, title) in zip(figure.subplots(1, 2), _PANELS.items(), strict=True):
        for arm, label in ARM_TITLES.items():
            found = [Estimate.from_json(each["arms"][arm][measure]) for each in summary["labels"].values()]
            axes.errorbar(
                counts,
                [value.mean for value in found],
                clipped_errors(found),
                marker="o",
                capsize=3,
                color=_COLOURS[arm],
                label=label,
            )
        axes.set_xscale("log")
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.minorticks_off()
        axes.set_xlabel("labelled samples m")
        axes.set_ylabel(f"{title} (mean, 95 % interval)")
    axes.set_ylim(bottom=max(-1.0, axes.get_ylim()[0]))
    axes.legend(fontsize="x-small")
    return figure


def plot_regression(summary: Mapping[str, Any]) -> Figure:
    """Test error against the number of states with targets, with 95 % intervals.

    Args:
        summary: what :func:`reproduction.regression.run_regression` returned.
    """
    figure = Figure(figsize=(5.6, 3.8), layout="constrained")
    axes = figure.subplots()
    counts = [int(m) for m in summary["labels"]]
    for arm, colour in zip(REGRESSION_ARMS, ("tab:orange", "tab:cyan", "tab:blue", "tab:gray"), strict=True):
        found = [Estimate.from_json(each["arms"][arm]["rmse"]) for each in summary["labels"].values()]
        means = [value.mean for value in found]
        errors = [value.half_width for value in found]
        axes.errorbar(counts, means, errors, marker="o", capsize=3, color=colour, label=REGRESSION_ARMS[arm])
    axes.set_xscale("log")
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.minorticks_off()
    axes.set_xlabel("states with targets")
    axes.set_ylabel(f"test RMSE of the {summary['settings']['target']}")
    axes.legend(fontsize="x-small")
    return figure


def clipped_errors(estimates: Sequence[Estimate]) -> list[list[float]]:
    """Lengths of the error bars downwards and upwards, of which none passes 1; below 0 they stay where values do."""
    low = [value.mean - value.low for value in estimates]
    return [low, [min(value.high, 1.0) - value.mean for value in estimates]]
