"""Figures of few labels and of where distillation pays."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from qkd_pl.statistics import Estimate
from reproduction.few_labels import ARM_TITLES
from reproduction.function import FUNCTION_ARMS, place_titles
from reproduction.pays import COSTS, EQUAL, OPEN, PAYS, verdict, with_q
from reproduction.regression import REGRESSION_ARMS
from reproduction.rows import Row
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


def plot_function(summary: Mapping[str, Any]) -> Figure:
    """Selective prediction: accuracy on the surest samples against their share, with 95 % intervals, at each place.

    Args:
        summary: what :func:`reproduction.function.run_function` returned.
    """
    figure = Figure(figsize=(0.6 + 3.2 * len(summary["places"]), 3.4), layout="constrained")
    panels = figure.subplots(1, len(summary["places"]), sharey=True, squeeze=False)[0]
    for axes, (place, found) in zip(panels, summary["places"].items(), strict=True):
        for arm, colour in zip(FUNCTION_ARMS, ("black", "tab:orange", "tab:blue"), strict=True):
            curve = [Estimate.from_json(value) for value in found["curves"][arm]]
            means, low = [value.mean for value in curve], [value.low for value in curve]
            axes.plot(summary["coverages"], means, marker="o", markersize=3, color=colour, label=FUNCTION_ARMS[arm])
            high = [min(value.high, 1.0) for value in curve]
            axes.fill_between(summary["coverages"], low, high, color=colour, alpha=0.15, linewidth=0)
        axes.set_title(place_titles(summary)[place], fontsize=9)
        axes.set_xlabel("coverage: share of the surest inputs")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("accuracy (mean, 95 % interval)")
    panels[0].legend(fontsize="x-small")
    return figure


def plot_where_it_pays(rows: Sequence[Row]) -> Figure:
    """What distillation gains in accuracy, one line per comparison, with its 95 % interval.

    Above in exact simulation over scaled cross-entropy, below on noisy devices over what the line names. Left the
    accuracies, their intervals clipped to [0, 1]; right the paired differences, coloured by the verdict after
    adjustment. Comparisons that are no accuracies are left to the table, and so are those that are not to be drawn.

    Args:
        rows: what :func:`reproduction.pays.collected` returned.
    """
    shown = [(row, q) for row, q in with_q(rows) if row.opens]
    blocks = {
        "exact simulation, against scaled cross-entropy": [each for each in shown if not _is_on_device(each[0])],
        "on noisy devices, 4,096 shots unless said": [each for each in shown if _is_on_device(each[0])],
    }
    blocks = {title: lines for title, lines in blocks.items() if lines}
    heights = [len(lines) + 1 for lines in blocks.values()]
    figure = Figure(figsize=(9.6, 0.24 * sum(heights) + 0.9), layout="constrained")
    panels = figure.subplots(len(blocks), 2, sharex="col", squeeze=False, height_ratios=heights)
    for (left, right), (title, lines) in zip(panels, blocks.items(), strict=True):
        _block(left, right, lines)
        left.set_title(title, fontsize=9, fontweight="bold", loc="right")
    panels[-1][0].set_xlabel("test accuracy (mean, 95 % interval)", fontsize=9)
    panels[-1][1].set_xlabel("difference, percentage points", fontsize=9)
    _legend(figure)
    return figure


def _block(left: Axes, right: Axes, lines: Sequence[tuple[Row, float | None]]) -> None:
    for line, (row, q) in enumerate(lines):
        for value, colour, shift in ((row.control, "tab:orange", 0.14), (row.distilled, "tab:blue", -0.14)):
            ends = [max(value.low, 0.0), min(value.high, 1.0)]
            left.plot(ends, [line + shift] * 2, color=colour, linewidth=1.5)
            left.plot([value.mean], [line + shift], "o", color=colour, markersize=4)
        colour = _VERDICT_COLOURS[verdict(row.gain, q)]
        right.plot([100 * row.gain.low, 100 * row.gain.high], [line, line], color=colour, linewidth=2)
        right.plot([100 * row.gain.mean], [line], "o", color=colour, markersize=5)
    left.set_yticks(range(len(lines)), [_label(row) for row, _ in lines], fontsize=8)
    right.set_yticks(range(len(lines)), [""] * len(lines))
    right.axvline(0.0, color="black", linewidth=0.8)
    for axes in (left, right):
        axes.set_ylim(len(lines) - 0.4, -0.6)
        axes.grid(axis="x", alpha=0.3)


def _is_on_device(row: Row) -> bool:
    return row.source.startswith("devices/")


def _label(row: Row) -> str:
    """The line in the figure: as short as it can be."""
    if not _is_on_device(row):
        return f"{row.where}, n = {row.gain.n}"
    against = row.against.replace("scaled cross-entropy", "scaled CE")
    return f"{row.where.replace(', 4,096 shots', '')}, against {against}"


def _legend(figure: Figure) -> None:
    colours = {"control": "tab:orange", "distilled, without labels": "tab:blue"}
    colours |= {each: _VERDICT_COLOURS[each] for each in (PAYS, EQUAL, COSTS)}
    handles = [Line2D([], [], color=colour, marker="o", label=label) for label, colour in colours.items()]
    figure.legend(handles=handles, fontsize=8, loc="outside upper right", ncols=5, handlelength=1.2, frameon=False)


def clipped_errors(estimates: Sequence[Estimate]) -> list[list[float]]:
    """Lengths of the error bars downwards and upwards, of which none passes 1; below 0 they stay where values do."""
    low = [value.mean - value.low for value in estimates]
    return [low, [min(value.high, 1.0) - value.mean for value in estimates]]
