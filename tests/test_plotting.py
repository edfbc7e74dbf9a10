import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.container import ErrorbarContainer

from qkd_pl.experiments.arms import summarise_arms
from qkd_pl.plotting import ARM_LABELS, plot_arms

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
