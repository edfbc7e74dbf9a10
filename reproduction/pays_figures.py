"""Figures of few labels and of where distillation pays."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from qkd_pl.statistics import Estimate
from reproduction.few_labels import ARM_TITLES
from reproduction.pays import COSTS, EQUAL, OPEN, PAYS, WAYS, Row, adjusted, verdict
from reproduction.regression import REGRESSION_ARMS
from reproduction.which_loss import LOSS_ARMS

_COLOURS = {"ce": "tab:orange", "same": "tab:cyan", "pool": "tab:blue", "both": "tab:green", "weak": "tab:gray"}
_VERDICT_COLOURS = {PAYS: "tab:green", EQUAL: "tab:gray", COSTS: "tab:red", OPEN: "black"}
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


def plot_which_loss(summary: Mapping[str, Any]) -> Figure:
    """Accuracy that each loss gives beyond KL, with 95 % intervals, for each number of inputs.

    Args:
        summary: what :func:`reproduction.which_loss.run_which_loss` returned.
    """
    figure = Figure(figsize=(7.2, 3.2), layout="constrained")
    panels = figure.subplots(1, len(summary["inputs"]), sharey=True, squeeze=False)[0]
    for axes, (m, found) in zip(panels, summary["inputs"].items(), strict=True):
        gains = [Estimate.from_json(each["accuracy"]) for each in found["differences"].values()]
        axes.errorbar(
            [100 * gain.mean for gain in gains],
            range(len(gains)),
            xerr=[100 * gain.half_width for gain in gains],
            fmt="o",
            capsize=3,
        )
        axes.axvline(0.0, color="black", linewidth=0.8)
        axes.set_yticks(range(len(gains)), [LOSS_ARMS[arm] for arm in found["differences"]])
        axes.set_title(f"{int(m):,} inputs without labels", fontsize=9)
        axes.set_xlabel("accuracy over KL, percentage points")
        axes.grid(axis="x", alpha=0.3)
    return figure


def plot_where_it_pays(rows: Sequence[Row]) -> Figure:
    """What distillation gains in accuracy over scaled cross-entropy, one line per comparison, with its 95 % interval.

    Left the accuracies, their intervals clipped to [0, 1]; right the paired differences, coloured by the verdict after
    adjustment. Comparisons that are no accuracies are left to the table, as are all students but those of
    all inputs and a teacher of all labels.

    Args:
        rows: what :func:`reproduction.pays.collected` returned.
    """
    shown = [(row, q) for row, q in zip(rows, adjusted(rows), strict=True) if _is_shown(row)]
    figure = Figure(figsize=(9.6, 0.27 * len(shown) + 1.3), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1.0, 1.0))
    for line, (row, q) in enumerate(shown):
        for value, colour, shift in ((row.control, "tab:orange", 0.14), (row.distilled, "tab:blue", -0.14)):
            ends = [max(value.low, 0.0), min(value.high, 1.0)]
            left.plot(ends, [line + shift] * 2, color=colour, linewidth=1.5)
            left.plot([value.mean], [line + shift], "o", color=colour, markersize=4)
        colour = _VERDICT_COLOURS[verdict(row.gain, q)]
        right.plot([100 * row.gain.low, 100 * row.gain.high], [line, line], color=colour, linewidth=2)
        right.plot([100 * row.gain.mean], [line], "o", color=colour, markersize=5)
    left.set_yticks(range(len(shown)), [_label(row) for row, _ in shown], fontsize=8)
    left.set_ylim(len(shown) - 0.4, -0.6)
    left.set_xlabel("test accuracy (mean, 95 % interval)")
    right.axvline(0.0, color="black", linewidth=0.8)
    right.set_xlabel("paired difference, percentage points")
    _legends(left, right)
    for axes in (left, right):
        axes.grid(axis="x", alpha=0.3)
    return figure


def _is_shown(row: Row) -> bool:
    return row.measure == "accuracy" and row.way not in (WAYS["same"], WAYS["both"], WAYS["weak"])


def _label(row: Row) -> str:
    return f"{row.where}, n = {row.gain.n}"


def _legends(left: Axes, right: Axes) -> None:
    arms = {"scaled cross-entropy": "tab:orange", "distilled, without labels": "tab:blue"}
    for axes, colours in ((left, arms), (right, {each: _VERDICT_COLOURS[each] for each in (PAYS, EQUAL, COSTS)})):
        handles = [Line2D([], [], color=colour, marker="o", label=label) for label, colour in colours.items()]
        axes.legend(
            handles=handles,
            fontsize=8,
            loc="lower center",
            bbox_to_anchor=(0.5, 1.0),
            ncols=3,
            columnspacing=1.0,
            handlelength=1.2,
            frameon=False,
        )


def clipped_errors(estimates: Sequence[Estimate]) -> list[list[float]]:
    """Lengths of the error bars downwards and upwards, of which none passes 1; below 0 they stay where values do."""
    low = [value.mean - value.low for value in estimates]
    return [low, [min(value.high, 1.0) - value.mean for value in estimates]]
