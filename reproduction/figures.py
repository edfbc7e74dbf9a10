"""Figures of experiments: the arms of Table 1, against depth, during training, and against the temperature."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from qkd_pl.plotting.arms import ARM_COLOURS, ARM_LABELS, plot_arms
from qkd_pl.statistics import Estimate

TEACHER_COLOURS = {"raw": "tab:gray", "scaled": "tab:blue", "ensemble": "tab:green"}


def plot_table1(summary: Mapping[str, Any]) -> Figure:
    """Test accuracy of both students of Table 1 in all arms.

    Args:
        summary: what :func:`reproduction.data_sets.run_over_data_sets` returned.
    """
    labels = {"few_qubits": "student (1): fewer qubits", "few_layers": "student (2): fewer layers"}
    students = {labels[student]: arms for student, arms in summary["students"].items()}
    return plot_arms(students, summary["teacher"]["test_accuracy"])


def plot_depths(summary: Mapping[str, Any]) -> Figure:
    """Training and test accuracy against the students' number of layers (Figures 4 and 5), with 95 % bands.

    Args:
        summary: what :func:`reproduction.depth.run_depth` returned.
    """
    figure = Figure(figsize=(8.4, 3.6), layout="constrained")
    layers = sorted(int(depth) for depth in summary["students"])
    for axes, split in zip(figure.subplots(1, 2, sharey=True), ("train", "test"), strict=True):
        for arm in ARM_LABELS:
            estimates = [Estimate.from_json(summary["students"][str(depth)][split][arm]) for depth in layers]
            _band(axes, layers, estimates, color=ARM_COLOURS[arm], label=ARM_LABELS[arm], marker="o")
        _teacher_line(axes, summary["teacher"][f"{split}_accuracy"])
        axes.set_xticks(layers)
        axes.set_xlabel("layers of the student")
        axes.set_ylabel(f"{split} accuracy (mean, 95 % interval)")
        axes.tick_params(labelleft=True)
    axes.legend(fontsize="small")
    return figure


def plot_curves(summary: Mapping[str, Any]) -> Figure:
    """Test accuracy during training (Figure 6), and what distillation gains over either other arm, with 95 % bands.

    Args:
        summary: what :func:`reproduction.figure6.run_figure6` returned.
    """
    figure = Figure(figsize=(8.4, 3.6), layout="constrained")
    epochs, points = summary["curves"]["epochs"], summary["curves"]["points"]
    left, right = figure.subplots(1, 2)
    for arm in ARM_LABELS:
        estimates = [Estimate.from_json(point[arm]) for point in points]
        _band(left, epochs, estimates, color=ARM_COLOURS[arm], label=ARM_LABELS[arm])
    _teacher_line(left, summary["teacher"]["test_accuracy"])
    left.set_ylabel("test accuracy (mean, 95 % interval)")
    for other in ("no_kd", "control"):
        estimates = [Estimate.from_json(point[f"kd - {other}"]) for point in points]
        _band(right, epochs, estimates, color=ARM_COLOURS[other], label=f"KD − {ARM_LABELS[other]}")
    right.axhline(0.0, color="black", linewidth=0.8)
    right.set_ylabel("difference of test accuracies")
    for axes in (left, right):
        axes.set_xlabel("epochs")
        axes.legend(fontsize="small")
    return figure


def plot_dark_knowledge(summary: Mapping[str, Any]) -> Figure:
    """Accuracy, and the gain of KD over scaled cross-entropy, against the sharpness of the loss, with 95 % bands.

    Args:
        summary: what :func:`reproduction.dark_knowledge.run_dark_knowledge` returned.
    """
    figure = Figure(figsize=(9.2, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    scales = sorted(summary["control"], key=float)
    estimates = [Estimate.from_json(summary["control"][scale]) for scale in scales]
    _band(left, [float(s) for s in scales], estimates, color="tab:orange", label="scaled CE, no teacher", marker="s")
    _teacher_lines(left, summary, "kd", "KD, teacher")
    _draw_gains(right, summary)
    left.set_xscale("log")
    left.set_xlabel("sharpness: 1/T of KD, s of cross-entropy")
    left.set_ylabel("test accuracy (mean, 95 % interval)")
    left.legend(fontsize="x-small")
    return figure


def plot_dark_knowledge_gains(summaries: Mapping[str, Mapping[str, Any]]) -> Figure:
    """The gain of KD over scaled cross-entropy for several experiments side by side: above zero, distillation adds.

    Args:
        summaries: title → what :func:`reproduction.dark_knowledge.run_dark_knowledge` returned.
    """
    figure = Figure(figsize=(3.6 * len(summaries) + 0.4, 3.6), layout="constrained")
    panels = figure.subplots(1, len(summaries), squeeze=False)[0]
    for axes, (title, summary) in zip(panels, summaries.items(), strict=True):
        _draw_gains(axes, summary)
        axes.set_title(title)
        axes.legend(fontsize="x-small")
    return figure


def _draw_gains(axes: Axes, summary: Mapping[str, Any]) -> None:
    _teacher_lines(axes, summary, "kd - control", "teacher")
    axes.axhline(0.0, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("1/T")
    axes.set_ylabel(f"KD − scaled CE (s = {summary['best_scale']:g}), paired")


def _teacher_lines(axes: Axes, summary: Mapping[str, Any], column: str, label: str) -> None:
    for name, colour in TEACHER_COLOURS.items():
        teacher = summary["teachers"][name]
        temperatures = sorted(teacher[column], key=float)
        values = [Estimate.from_json(teacher[column][temperature]) for temperature in temperatures]
        full_label = f"{label} {name} ({teacher['test_accuracy']:.3f})"
        _band(axes, [1 / float(t) for t in temperatures], values, color=colour, label=full_label, marker="o")


def _band(axes: Axes, positions: Sequence[float], estimates: Sequence[Estimate], **line: Any) -> None:
    """A line through the means, and the intervals as a band around it; of single runs there is no band."""
    axes.plot(positions, [value.mean for value in estimates], **line)
    low, high = ([getattr(value, end) for value in estimates] for end in ("low", "high"))
    axes.fill_between(positions, low, high, color=line["color"], alpha=0.2, linewidth=0)


def _teacher_line(axes: Axes, accuracy: float) -> None:
    axes.axhline(accuracy, color="black", linestyle=":", linewidth=1, label="teacher")
