"""The page of results: verdicts follow from intervals, and the committed page from the committed results."""

import shutil
from pathlib import Path

import pytest
from matplotlib.image import imread
from typer.testing import CliRunner

from qkd_pl.cli.app import app
from qkd_pl.statistics import Estimate, summarise_arms
from reproduction.claims import (
    CLAIMS,
    COMMANDS,
    DARK_KNOWLEDGE,
    FAILS,
    HOLDS,
    UNKNOWN,
    UNSURE,
    _claim_row,
    above_plateau,
    above_teacher,
    negative,
    nothing,
    plateau,
    positive,
    read_summaries,
    results_page,
)

RESULTS = Path(__file__).parents[2] / "results"


def interval(mean, half_width=0.0):
    return Estimate(mean, mean - half_width, mean + half_width, 0.5, 10)


@pytest.mark.parametrize(
    ("verdict", "estimates", "expected"),
    [
        (positive, [interval(0.2, 0.1)], HOLDS),
        (positive, [interval(0.2, 0.1), interval(0.2, 0.3)], UNSURE),
        (positive, [interval(0.2, 0.1), interval(-0.1, 0.3)], FAILS),
        (negative, [interval(-200, 100)], HOLDS),
        (negative, [interval(-200, 300)], UNSURE),
        (negative, [interval(200, 300)], FAILS),
        (nothing, [interval(0.002, 0.005)], HOLDS),
        (nothing, [interval(0.002, 0.3)], UNSURE),
        (nothing, [interval(0.2, 0.3)], FAILS),
        (nothing, [interval(-0.2, 0.1)], FAILS),
        (above_teacher, [interval(0.95, 0.01)], HOLDS),
        (above_teacher, [interval(0.95, 0.1)], UNSURE),
        (above_teacher, [interval(0.85, 0.1)], FAILS),
        (plateau, [interval(0.92), interval(0.915)], HOLDS),
        (plateau, [interval(0.92), interval(0.94)], FAILS),
        (plateau, [interval(0.92, 0.08)], UNSURE),
        (above_plateau, [interval(0.95, 0.01)], HOLDS),
        (above_plateau, [interval(0.92, 0.01)], FAILS),
    ],
)
def test_verdicts(verdict, estimates, expected):
    assert verdict(estimates, {"teacher": {"test_accuracy": 0.9}}) == expected


def test_claims_without_results_are_listed_as_not_run():
    page = results_page({})
    assert page.count("not run") == len(CLAIMS)


def effects(gains):
    """Last cells of the control table, by experiment, for gains of KD over a control of accuracy 0."""
    summaries = {
        name: {"seeds": len(values), "teacher": {"test_accuracy": 0.9}, "students": {"one": arms}}
        for name, values in gains.items()
        for arms in [summarise_arms({"no_kd": values, "kd": values, "control": [0.0] * len(values)})]
    }
    lines = results_page(summaries).split("## Commands")[0].splitlines()
    return {name: line.split(" | ")[-2:] for name in gains for line in lines if line.startswith(f"| [{name}]")}


def test_effects_are_judged_together():
    """p = 0.030 is significant alone; of two rows, the other with p = 1, it counts 2 · (1 + 1/2) times as much."""
    weak, none = [0.03, 0.02, 0.04, 0.01], [0.01, -0.01]
    assert effects({"figure4": weak}) == {"figure4": ["0.03", "adds |"]}
    assert effects({"figure4": [-gain for gain in weak]}) == {"figure4": ["0.03", "costs |"]}
    together = effects({"figure4": weak, "figure5": none})
    assert together == {
        "figure4": ["0.09", "no significant difference |"],
        "figure5": ["1", "no significant difference |"],
    }


@pytest.mark.parametrize("gain", [[0.002], [0.002, 0.002]])
def test_gains_without_a_spread_cannot_be_judged(gain):
    assert effects({"figure4": gain}) == {"figure4": ["–", f"{UNKNOWN} |"]}


@pytest.mark.parametrize("missing", ["figure", "spread"])
def test_what_is_missing_leaves_a_claim_open(missing):
    """A single run, or a figure that some runs did not reach, is no evidence for the rest of the claim."""
    known = interval(200.0, 10.0)
    other = None if missing == "figure" else known._replace(low=float("nan"), high=float("nan"), n=1).to_json()
    iterations = {"0.5": {"kd - no_kd": known.to_json()}, "0.6": {"kd - no_kd": other}}
    summary = {"seeds": 1, "iterations_to": iterations, "teacher": {"test_accuracy": 0.9}, "final": {}}
    claim = next(claim for claim in CLAIMS if "0.6" in str(claim.figures))
    assert f"**{UNKNOWN}**" in _claim_row(claim, summary)


def test_the_committed_page_says_what_the_committed_results_say():
    if not RESULTS.is_dir():
        pytest.skip("results/ is not part of an installed package")
    summaries = read_summaries(RESULTS)
    assert (RESULTS / "README.md").read_text(encoding="utf-8") == results_page(summaries)
    mean = summaries["table1"]["students"]["few_layers"]["kd - no_kd"]["mean"]
    assert f"+{mean:.3f}" in results_page(summaries)


def test_the_command_writes_page_and_figure(tmp_path):
    if not RESULTS.is_dir():
        pytest.skip("results/ is not part of an installed package")
    for name in ("table1", "dark-knowledge"):
        (tmp_path / name).mkdir()
        shutil.copy(RESULTS / name / "summary.json", tmp_path / name)
    finished = CliRunner().invoke(app, ["reproduce", "claims", "--results", str(tmp_path)])
    assert finished.exit_code == 0, finished.output
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == results_page(read_summaries(tmp_path))
    assert imread(tmp_path / "dark-knowledge.png").ndim == 3


def test_every_source_has_a_command():
    assert {claim.source for claim in CLAIMS} | DARK_KNOWLEDGE.keys() <= COMMANDS.keys()
