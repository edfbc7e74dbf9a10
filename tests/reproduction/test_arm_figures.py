import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.container import ErrorbarContainer

from qkd_pl.plotting import ARM_LABELS, plot_arms
from qkd_pl.statistics import summarise_arms
from reproduction.figures import plot_curves, plot_dark_knowledge, plot_dark_knowledge_gains, plot_depths

GROUPS = {
    "student (1)": summarise_arms({"no_kd": [0.5, 0.6], "kd": [0.9, 0.94], "control": [0.8, 0.9]}),
    "student (2)": summarise_arms({"no_kd": [0.7, 0.7], "kd": [0.8, 0.84], "control": [0.6, 0.7]}),
}


def bars(axes) -> dict[str, ErrorbarContainer]:
    return {container.get_label(): container for container in axes.containers}


def test_points_stand_at_the_means_and_bars_span_the_intervals():
    (axes,) = plot_arms(GROUPS).axes
    assert set(bars(axes)) == set(ARM_LABELS.values())
    for arm, label in ARM_LABELS.items():
        points, _, (lines,) = bars(axes)[label]
        estimates = [arms[arm] for arms in GROUPS.values()]
        np.testing.assert_allclose(np.asarray(points.get_ydata(), float), [e["mean"] for e in estimates])
        spans = [segment[:, 1] for segment in lines.get_segments()]
        np.testing.assert_allclose(spans, [[e["low"], e["high"]] for e in estimates])


def test_the_axes_name_students_and_arms():
    (axes,) = plot_arms(GROUPS, teacher=0.98).axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == list(GROUPS)
    assert "accuracy" in axes.get_ylabel()
    assert {text.get_text() for text in axes.get_legend().get_texts()} == {*ARM_LABELS.values(), "teacher"}
    assert any(np.allclose(line.get_ydata(), 0.98) for line in axes.lines)


def test_a_single_run_is_drawn_without_an_interval():
    (axes,) = plot_arms({"one": summarise_arms({"no_kd": [0.5], "kd": [0.9], "control": [0.8]})}).axes
    assert bars(axes)["KD"][0].get_ydata()[0] == pytest.approx(0.9)


def test_a_figure_can_be_saved_and_opens_no_window(tmp_path):
    plot_arms(GROUPS, 0.9).savefig(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert plt.get_fignums() == []


def depth_summary(low=0.7, high=0.9):
    arms = summarise_arms({"no_kd": [0.5, 0.6], "kd": [low, high], "control": [0.8, 0.9]})
    teacher = {"train_accuracy": 0.97, "test_accuracy": 0.95}
    return {"students": {str(depth): {"train": arms, "test": arms} for depth in (10, 9)}, "teacher": teacher}


def test_depths_are_drawn_with_bands_that_span_the_intervals():
    summary = depth_summary()
    for axes, split in zip(plot_depths(summary).axes, ("train", "test"), strict=True):
        lines = {line.get_label(): line for line in axes.lines}
        kd = summary["students"]["9"][split]["kd"]
        np.testing.assert_allclose(lines["KD"].get_xydata(), [[9, kd["mean"]], [10, kd["mean"]]])
        assert set(lines) == {*ARM_LABELS.values(), "teacher"}
        assert lines["teacher"].get_ydata()[0] == summary["teacher"][f"{split}_accuracy"]
        band = axes.collections[list(ARM_LABELS).index("kd")].get_paths()[0].vertices
        assert (band[:, 1].min(), band[:, 1].max()) == pytest.approx((kd["low"], kd["high"]))


def test_curves_show_the_arms_and_what_distillation_gains():
    points = [summarise_arms({"no_kd": [0.1, 0.2], "kd": [0.3, 0.5], "control": [0.3, 0.4]}) for _ in range(3)]
    summary = {"curves": {"epochs": [1, 2, 3], "points": points}, "teacher": {"test_accuracy": 0.7}}
    left, right = plot_curves(summary).axes
    assert {line.get_label() for line in left.lines} == {*ARM_LABELS.values(), "teacher"}
    gain = next(line for line in right.lines if line.get_label() == "KD − no KD")
    np.testing.assert_allclose(gain.get_xydata(), [[1, 0.25], [2, 0.25], [3, 0.25]])


def dark_knowledge_summary():
    value = {"mean": 0.5, "low": 0.4, "high": 0.6, "p_value": 0.1, "n": 3}
    teacher = {"test_accuracy": 0.9, "kd": {"0.1": value, "0.5": value}, "kd - control": {"0.1": value, "0.5": value}}
    teachers = {"raw": teacher, "scaled": teacher, "ensemble": teacher}
    return {"control": {"30.0": value}, "teachers": teachers, "best_scale": 30.0}


def test_dark_knowledge_is_drawn_against_the_sharpness():
    left, right = plot_dark_knowledge(dark_knowledge_summary()).axes
    assert [line.get_xdata()[0] for line in left.lines] == [30.0, 10.0, 10.0, 10.0]
    np.testing.assert_allclose(right.lines[0].get_xydata(), [[10, 0.5], [2, 0.5]])
    assert left.get_xscale() == right.get_xscale() == "log"


def test_gains_of_several_experiments_stand_side_by_side():
    panels = plot_dark_knowledge_gains({"first": dark_knowledge_summary(), "second": dark_knowledge_summary()}).axes
    assert [axes.get_title() for axes in panels] == ["first", "second"]
    for axes in panels:
        np.testing.assert_allclose(axes.lines[2].get_xydata(), [[10, 0.5], [2, 0.5]])


def test_single_runs_are_drawn_as_lines_without_bands():
    arms = summarise_arms({"no_kd": [0.5], "kd": [0.9], "control": [0.8]})
    summary = {"students": {"1": {"train": arms, "test": arms}}, "teacher": {"train_accuracy": 1, "test_accuracy": 1}}
    left, _ = plot_depths(summary).axes
    assert next(line for line in left.lines if line.get_label() == "KD").get_ydata()[0] == 0.9
