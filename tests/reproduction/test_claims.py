"""The page of results: verdicts follow from intervals, and the committed page from the committed results."""

import json
import shutil
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.image import imread
from PIL import Image
from typer.testing import CliRunner

from qkd_pl.errors import FileFormatError, InvalidInputError
from qkd_pl.statistics import Estimate, summarise_arms
from reproduction.__main__ import app
from reproduction.claims import (
    CLAIMS,
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
    read_runs,
    results_page,
    write_page,
)
from reproduction.experiments import StoredRun

RESULTS = Path(__file__).parents[2] / "results"
RAW = [*RESULTS.glob("*.jsonl"), *RESULTS.glob("devices/*.jsonl")]


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
        name: StoredRun(
            "figure4", "", {"seeds": len(values), "teacher": {"test_accuracy": 0.9}, "students": {"one": arms}}
        )
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


@pytest.fixture(scope="module")
def regenerated(tmp_path_factory):
    """The page and figures that the command makes of the committed raw results alone."""
    directory = tmp_path_factory.mktemp("results")
    for file in RAW:
        (directory / file.relative_to(RESULTS)).parent.mkdir(exist_ok=True)
        shutil.copy(file, directory / file.relative_to(RESULTS))
    finished = CliRunner().invoke(app, ["claims", "--results", str(directory)])
    assert finished.exit_code == 0, finished.output
    return directory


def test_the_committed_page_is_what_the_raw_results_give_to_the_last_character(regenerated):
    assert (regenerated / "README.md").read_bytes() == (RESULTS / "README.md").read_bytes()


def test_every_file_in_results_is_raw_or_regenerated(regenerated):
    for folder in (".", "devices"):
        committed = {path.name for path in (RESULTS / folder).iterdir() if path.is_file()}
        assert {path.name for path in (regenerated / folder).iterdir() if path.is_file()} == committed


def test_the_committed_figures_are_those_that_the_raw_results_give(regenerated):
    """Pixel by pixel, where Matplotlib is of the version that drew them."""
    figures = sorted([*RESULTS.glob("*.png"), *RESULTS.glob("devices/*.png")])
    assert len(figures) == len(RAW) + 2
    for committed in figures:
        with Image.open(committed) as image:
            drawn_by = image.info["Software"]
        if f"Matplotlib version{matplotlib.__version__}," in drawn_by:
            np.testing.assert_array_equal(imread(committed), imread(regenerated / committed.relative_to(RESULTS)))
        else:
            assert imread(committed).shape == imread(regenerated / committed.relative_to(RESULTS)).shape


def test_the_page_follows_the_raw_results(tmp_path):
    """Every distilled student of Table 1 a percentage point worse: the page has the smaller gain."""
    gains = []
    for name, change in (("same", 0.0), ("worse", 0.01)):
        (tmp_path / name).mkdir()
        lines = [json.loads(line) for line in (RESULTS / "table1.jsonl").read_text().splitlines()]
        for line in lines:
            if "students/few_layers-kd" in line.get("name", ""):
                line["result"]["test_accuracy"] -= change
        (tmp_path / name / "table1.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        gain = read_runs(tmp_path / name)["table1"].summary["students"]["few_layers"]["kd - no_kd"]["mean"]
        write_page(tmp_path / name)
        assert f"{gain:+.3f}" in (tmp_path / name / "README.md").read_text(encoding="utf-8")
        gains.append(gain)
    assert gains[0] - gains[1] == pytest.approx(0.01)


def test_missing_and_foreign_results_are_named(tmp_path):
    with pytest.raises(InvalidInputError, match=r"no results; expected files such as table1\.jsonl"):
        write_page(tmp_path)
    file = tmp_path / "figure5-mlp.jsonl"
    lines = (RESULTS / file.name).read_text().splitlines(keepends=True)
    file.write_text("".join(line for line in lines if '"students/05-layers-kd-03"' not in line))
    with pytest.raises(InvalidInputError, match="1 results are missing, such as that of students/05-layers-kd-03"):
        write_page(tmp_path)
    file.write_text("".join(lines[1:]))
    with pytest.raises(FileFormatError, match=r"figure5-mlp\.jsonl: the first line must name the experiment"):
        write_page(tmp_path)


def test_every_source_is_there():
    runs = read_runs(RESULTS)
    assert {claim.source for claim in CLAIMS} | DARK_KNOWLEDGE.keys() <= runs.keys()
    assert runs["figure5-mlp"].command == (
        "python -m reproduction figure5 --teacher mlp --student-layers 4,5 --device lightning-complex64 --seeds 5"
    )
