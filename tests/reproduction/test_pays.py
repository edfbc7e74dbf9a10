"""The table of where distillation pays: verdicts follow from adjusted p-values, signs from what is better."""

from pathlib import Path

import pytest
from scipy.stats import false_discovery_control

from qkd_pl.statistics import Estimate, paired_difference
from reproduction.claims import read_runs
from reproduction.pays import COSTS, EQUAL, OPEN, PAYS, WAYS, adjusted, collected, function_rows, page_lines, verdict
from reproduction.pays_figures import clipped_errors, plot_where_it_pays
from reproduction.rows import SCALED

RESULTS = Path(__file__).parents[2] / "results"


@pytest.fixture(scope="module")
def summaries():
    return {name: run.summary for name, run in read_runs(RESULTS).items()}


def test_verdicts_follow_from_q():
    gain = Estimate(0.1, 0.05, 0.15, 0.001, 10)
    assert verdict(gain, 0.01) == PAYS
    assert verdict(gain._replace(mean=-0.1), 0.01) == COSTS
    assert verdict(gain, 0.06) == EQUAL
    assert verdict(gain, None) == OPEN


def test_rows_are_adjusted_together_and_signed_by_what_is_better(summaries):
    rows = collected(summaries)
    expected = false_discovery_control([row.gain.p_value for row in rows if row.gain.has_interval], method="by")
    assert [q for q in adjusted(rows) if q is not None] == pytest.approx(list(expected))
    for row in [*rows, *function_rows(summaries)]:
        sign = -1 if row.measure in ("rmse", "ece", "transition", "aurc") else 1
        assert row.gain.mean == pytest.approx(sign * (row.distilled.mean - row.control.mean))
        assert row.gain.low <= row.gain.mean <= row.gain.high or not row.gain.has_interval


def test_without_few_labels_there_is_no_section(summaries):
    assert page_lines({"table1": summaries["table1"]}) == []
    assert page_lines(summaries)[0].startswith("## Where distillation pays")


def test_the_page_opens_with_the_rows_of_its_figure_and_has_each_row_once(summaries):
    rows = collected(summaries)
    page = "\n".join(page_lines(summaries))
    before, _, after = page.partition("<details>")
    first, others = (text.count(" ± ") // 3 for text in (before, after.partition("</details>")[0]))
    drawn = sum(len(axes.get_yticks()) for axes in plot_where_it_pays(rows).axes[::2])
    assert first == drawn == sum(row.opens for row in rows)
    assert 0 < others <= len(rows) - first < others + 4  # some values have no interval


def test_intervals_of_accuracies_stay_within_one(summaries):
    values = [Estimate.from_json(paired_difference([0.99, 1.2], [0.0, 0.0]).to_json())._replace(mean=0.99)]
    _, high = clipped_errors(values)
    assert 0.99 + high[0] == pytest.approx(1.0)
    axes = plot_where_it_pays(collected(summaries)).axes
    assert len(axes) == 4
    for left in axes[::2]:
        drawn = [x for line in left.lines for x in line.get_xdata()]
        assert min(drawn) >= 0
        assert max(drawn) <= 1


def test_the_numbers_of_the_first_screen_are_those_of_the_results(summaries):
    readme = " ".join((RESULTS.parent / "README.md").read_text(encoding="utf-8").partition("## Start")[0].split())
    rows = {(row.where, row.way, row.against): row for row in collected(summaries)}
    every = "teacher of all labels, all inputs"
    noisy = ("outputs of the noisy teacher, calibrated", "the noisy teacher, calibrated")
    for place in (
        ("fake_nairobi, 2 layers, 4,096 shots", every, "its teacher, 10 layers, ring"),
        ("noisy teacher, balanced states, 4,096 shots", *noisy),
        ("MNIST 1/5, 10 labels", WAYS["pool"], SCALED),
    ):
        row = rows[place]
        assert f"+{100 * row.gain.mean:.1f} ± {100 * row.gain.half_width:.1f} points" in readme
        assert f"{row.control.mean:.3f}" in readme
        assert f"{row.distilled.mean:.3f}" in readme
        assert verdict(row.gain, adjusted(list(rows.values()))[list(rows).index(place)]) == PAYS
    for place in (
        ("MNIST, ten classes, 10 labels", WAYS["pool"], SCALED),
        ("MNIST, ten classes, 1000 labels", WAYS["pool"], SCALED),
    ):
        assert f"{rows[place].control.mean:.3f} → {rows[place].distilled.mean:.3f}" in readme
    depth = summaries["devices/device-depth"]["backends"]["fake_nairobi"]["seconds_for"]["staircase"]["calibrated"]
    assert f"**{depth['2-kd']['mean']:.0f} QPU seconds**" in readme
    assert depth["teacher"] == {"mean": None, "low": None, "high": None}
    for place, text in (("exact", "from {:.2f} to {:.2f}, on"), ("device", "`fake_nairobi` from {:.2f} to {:.2f};")):
        arms = summaries["function"]["places"][place]["arms"]
        assert text.format(arms["ce"]["r2"]["mean"], arms["pool"]["r2"]["mean"]) in " ".join(readme.split())


def test_a_problem_with_a_run_for_its_function_has_no_row_of_few_labels(summaries):
    assert "function" in summaries
    places = {row.source for row in function_rows(summaries) if row.where.startswith("phases of the cluster chain")}
    assert places == {"function"}
    without = {name: summary for name, summary in summaries.items() if name != "function"}
    assert {row.source for row in function_rows(without) if row.where.startswith("phases of the cluster")} == {
        "few-states"
    }
