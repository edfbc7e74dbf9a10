"""Which claims about few labels carry over from one kind of data to the next: a small table, and what it says."""

from collections.abc import Iterator, Mapping
from typing import Any

from reproduction.pays import (
    COSTS,
    PAYS,
    PROBLEM_TITLES,
    WAYS,
    collected,
    few_labels_of,
    few_rows,
    function_rows,
    verdict,
    with_q,
)
from reproduction.rows import Row

_CLAIMS = {
    "pool": "teacher's outputs for all inputs",
    "same": "its outputs for the same m inputs",
    "weak": "teacher of the same m labels, all inputs",
}
_FOLLOWED = "correlation2"


def carry_over_lines(summaries: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The section of the page, as Markdown; empty without results of few labels."""
    first = _fewest(summaries)
    if not first:
        return []
    every = dict([*with_q(collected(summaries)), *with_q(function_rows(summaries))])
    cells = {problem: list(_cells(problem, item, summaries, every)) for problem, item in first.items()}
    holds = [PROBLEM_TITLES[problem] for problem, found in cells.items() if found[0].endswith(f"**{PAYS}**")]
    fails = [PROBLEM_TITLES[problem] for problem in cells if PROBLEM_TITLES[problem] not in holds]
    return [
        "### What carries over to other data",
        "",
        "Gains in accuracy over scaled cross-entropy at the fewest labels that were tried, and in squared correlation",
        "with the teacher's logits at the most; q as in the tables above.",
        "",
        f"| data, fewest labels | {' | '.join(_CLAIMS.values())} | squared correlation with its logits |",
        "|---" * (len(_CLAIMS) + 2) + "|",
        *(
            f"| {PROBLEM_TITLES[problem]}, {first[problem][2]} | {' | '.join(found)} |"
            for problem, found in cells.items()
        ),
        "",
        f"Where labels are few, a teacher's outputs for all inputs pay significantly with {_listed(holds)}.",
        f"It does not carry over, or cannot be told from so many data sets, with {_listed(fails)}.",
        "",
    ]


def _fewest(summaries: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[str, Mapping[str, Any], str]]:
    """Problem → the run, its summary and the smallest m; no regression."""
    found: dict[str, tuple[str, Mapping[str, Any], str]] = {}
    for item in few_labels_of(summaries):
        if "problem" in item[1]["settings"]:
            found.setdefault(item[1]["settings"]["problem"], item)
    return found


def _cells(
    problem: str,
    item: tuple[str, Mapping[str, Any], str],
    summaries: Mapping[str, Mapping[str, Any]],
    every: Mapping[Row, float | None],
) -> Iterator[str]:
    by_way = {row.way: row for row in few_rows(*item)}
    for arm in _CLAIMS:
        yield _cell(by_way[WAYS[arm]], every)
    own = {name for name, summary in summaries.items() if summary["settings"].get("problem") == problem}
    yield _cell(next(row for row in every if row.measure == _FOLLOWED and row.source in own), every)


def _cell(row: Row, every: Mapping[Row, float | None]) -> str:
    found = verdict(row.gain, every[row])
    mark = f"**{found}**" if found in (PAYS, COSTS) else found
    return f"{row.gain.mean:+.3f} {mark}".replace("-", "−")


def _listed(names: list[str]) -> str:
    return "; ".join(names) if names else "none of them"
