"""What carries over: every kind of data has its row, and the sentence says what the verdicts of the table say."""

from pathlib import Path

import pytest

from reproduction.carry_over import carry_over_lines
from reproduction.claims import read_runs
from reproduction.pays import PAYS, PROBLEM_TITLES, WAYS, adjusted, collected, verdict

RESULTS = Path(__file__).parents[2] / "results"


@pytest.fixture(scope="module")
def summaries():
    return {name: run.summary for name, run in read_runs(RESULTS).items()}


def test_every_problem_has_its_row(summaries):
    problems = {summary["settings"].get("problem") for summary in summaries.values() if "labels" in summary} - {None}
    lines = carry_over_lines(summaries)
    for problem in problems:
        assert sum(line.startswith(f"| {PROBLEM_TITLES[problem]}, ") for line in lines) == 1


def test_the_sentence_agrees_with_the_table_of_all_rows(summaries):
    *_, holds, fails, _ = carry_over_lines(summaries)
    rows = collected(summaries)
    q = dict(zip(rows, adjusted(rows), strict=True))
    for problem, title in PROBLEM_TITLES.items():
        counts = {
            int(m): name
            for name, summary in summaries.items()
            if summary["settings"].get("problem") == problem
            for m in summary.get("labels", ())
        }
        if counts:
            where = f"{title}, {min(counts)} labels"
            (row,) = (row for row in rows if row.where == where and row.way == WAYS["pool"])
            assert (title in holds) == (verdict(row.gain, q[row]) == PAYS)
            assert (title in fails) != (title in holds)


def test_without_few_labels_there_is_no_section(summaries):
    assert carry_over_lines({"table1": summaries["table1"]}) == []
