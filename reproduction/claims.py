"""The page of results: the paper's claims beside what the experiments found, every number from the raw results."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy.stats import false_discovery_control

from qkd_pl.errors import InvalidInputError
from qkd_pl.statistics import COLUMNS, Estimate
from qkd_pl.storage import atomic_path
from reproduction.carry_over import carry_over_lines
from reproduction.device_page import device_lines
from reproduction.experiments import EXPERIMENTS, StoredRun, save, save_figure, stored_run
from reproduction.figures import plot_dark_knowledge_gains
from reproduction.pays import collected, page_lines
from reproduction.pays_figures import plot_where_it_pays

Summary = Mapping[str, Any]
Verdict = Callable[[Sequence[Estimate], Summary], str]
HOLDS, UNSURE, FAILS, UNKNOWN = "holds", "not significant", "does not hold", "cannot be told"
_FIRST_BIT = 0.9196  # test accuracy of MNIST's first principal component alone, as a bit, on digits 1 and 5
_NEAR = 0.01
_LABELS = COLUMNS | {"kd - teacher": "KD − teacher"}

_INTRODUCTION = """\
Test accuracies and differences are means with 95 % confidence intervals (Student's t): for Table 1 over data sets, each
with a teacher of its own, elsewhere over seeds, which share data and teacher. p is that of the two-sided paired t-test:
the arms of a seed share initial weights and batches. *Scaled CE* is the control: the same student, trained by
cross-entropy on scaled logits, without a teacher. A claim *holds* if the whole interval says so, and is *not
significant* if only the mean does; it *cannot be told* where a figure or its spread is missing. That there is no
difference holds if the whole interval is within one percentage point of zero. This page and
the figures are written from the raw results by `python -m reproduction claims`. Raw results are a file for each run:
its first line says which run it is, and every other line has the arguments, result and seconds of one training."""

_CONTROL_INTRODUCTION = """\
q is p adjusted for the number of rows by Benjamini and Yekutieli, whose bound on false discoveries holds for dependent
rows too: some share a teacher, a control or runs. Distillation *adds* or *costs* something where q < 0.05. Of several
temperatures and scales the best by test accuracy stands here, which flatters both sides."""
_SIGNIFICANT = 0.05

#: run that looked for dark knowledge → title of its panel in the figure that shows them together.
DARK_KNOWLEDGE = {
    "dark-knowledge": "Table 1, student (2)",
    "dark-knowledge-figure4": "Figure 4, 1 layer",
    "dark-knowledge-figure5": "Figure 5, 4 layers",
    "dark-knowledge-figure6": "Figure 6, short run",
}


@dataclass(frozen=True)
class Claim:
    """Something the paper says, and where the figures are that tell whether it holds.

    Attributes:
        text: the claim.
        source: the run.
        figures: label → keys in the summary that lead to an estimate.
        verdict: judges the estimates.
    """

    text: str
    source: str
    figures: Mapping[str, tuple[str, ...]]
    verdict: Verdict


def positive(estimates: Sequence[Estimate], summary: Summary) -> str:
    """All differences are above zero: with their whole intervals, or at least on average."""
    if all(estimate.low > 0 for estimate in estimates):
        return HOLDS
    return UNSURE if all(estimate.mean > 0 for estimate in estimates) else FAILS


def negative(estimates: Sequence[Estimate], summary: Summary) -> str:
    """All differences are below zero."""
    return positive([Estimate(-e.mean, -e.high, -e.low, e.p_value, e.n) for e in estimates], summary)


def nothing(estimates: Sequence[Estimate], summary: Summary) -> str:
    """All differences are within one percentage point of zero."""
    if all(estimate.low > -_NEAR and estimate.high < _NEAR for estimate in estimates):
        return HOLDS
    return UNSURE if all(abs(estimate.mean) < _NEAR for estimate in estimates) else FAILS


def above_teacher(estimates: Sequence[Estimate], summary: Summary) -> str:
    """All accuracies are above the teacher's on the test data."""
    return positive(_less(estimates, summary["teacher"]["test_accuracy"]), summary)


def plateau(estimates: Sequence[Estimate], summary: Summary) -> str:
    """All accuracies are that of the first bit alone, up to one percentage point."""
    return nothing(_less(estimates, _FIRST_BIT), summary)


def above_plateau(estimates: Sequence[Estimate], summary: Summary) -> str:
    """All accuracies exceed that of the first bit alone by more than one percentage point."""
    return positive(_less(estimates, _FIRST_BIT + _NEAR), summary)


def _less(estimates: Sequence[Estimate], by: float) -> list[Estimate]:
    return [e._replace(mean=e.mean - by, low=e.low - by, high=e.high - by) for e in estimates]


def _student(name: str, column: str) -> dict[str, tuple[str, ...]]:
    return {_LABELS[column]: ("students", name, column)}


def _depths(layers: Sequence[int], column: str) -> dict[str, tuple[str, ...]]:
    return {_layers(depth): ("students", str(depth), "test", column) for depth in layers}


def _layers(depth: int) -> str:
    return f"{depth} layer" if depth == 1 else f"{depth} layers"


_ITERATIONS_TO = {f"iterations to {level}": ("iterations_to", level, "kd - no_kd") for level in ("0.5", "0.6")}

CLAIMS = [
    Claim(
        "Table 1, student (1): KD raises 52.3 to 81.7 %",
        "table1",
        _student("few_qubits", "kd - no_kd"),
        positive,
    ),
    Claim("Table 1, student (2): KD raises 86.0 to 99.8 %", "table1", _student("few_layers", "kd - no_kd"), positive),
    Claim("Table 1, student (2) ends above its teacher", "table1", _student("few_layers", "kd - teacher"), positive),
    Claim("Figure 4: a gain at one layer", "figure4", _depths([1], "kd - no_kd"), positive),
    Claim("Figure 4: above the teacher at two layers", "figure4", _depths([2], "kd"), above_teacher),
    Claim("Figure 4: no gain at three layers", "figure4", _depths([3], "kd - no_kd"), nothing),
    Claim("Figure 5: without KD flat at 0.92 below seven layers", "figure5", _depths([4, 5, 6], "no_kd"), plateau),
    Claim("Figure 5: without KD recovery at eight layers", "figure5", _depths([8], "no_kd"), above_plateau),
    Claim("Figure 5: KD is better at every depth", "figure5", _depths([4, 5, 6, 7, 8], "kd - no_kd"), positive),
    *(
        Claim(f"Figure 6{scope}: {text}", source, figures, verdict)
        for source, scope in (("figure6", ""), ("figure6-short", ", 4 epochs of 20,000 images"))
        for text, figures, verdict in (
            ("self-distillation converges faster", _ITERATIONS_TO, negative),
            ("and ends higher", {COLUMNS["kd - no_kd"]: ("final", "test", "kd - no_kd")}, positive),
        )
    ),
]


def write_page(results: Path) -> int:
    """Write ``README.md`` and all figures to the folder of the raw results, and return the number of runs.

    Raises:
        InvalidInputError: there are no results, or some are missing.
        FileFormatError: a file holds something else.
    """
    runs = read_runs(results)
    if not runs:
        raise InvalidInputError(f"{results}: no results; expected files such as table1.jsonl")
    for name, run in runs.items():
        save_figure(run.experiment, run.summary, results / name)
    dark_knowledge = {title: runs[name].summary for name, title in DARK_KNOWLEDGE.items() if name in runs}
    if dark_knowledge:
        save(plot_dark_knowledge_gains(dark_knowledge), results / "dark-knowledge-gains")
    summaries = {name: run.summary for name, run in runs.items()}
    if page_lines(summaries):
        save(plot_where_it_pays(collected(summaries)), results / "where-it-pays", kinds=("png", "pdf", "svg"))
    with atomic_path(results / "README.md") as temporary:
        temporary.write_text(results_page(runs), encoding="utf-8")
    return len(runs)


def read_runs(results: Path) -> dict[str, StoredRun]:
    """The runs whose raw results are in a folder, by name, in the order of the experiments."""
    files = sorted([*results.glob("*.jsonl"), *results.glob("devices/*.jsonl")], key=lambda file: file.stem)
    runs = {file.relative_to(results).with_suffix("").as_posix(): stored_run(file) for file in files}
    order = list(EXPERIMENTS)
    return dict(sorted(runs.items(), key=lambda item: order.index(item[1].experiment)))


def results_page(runs: Mapping[str, StoredRun]) -> str:
    """The page as Markdown."""
    summaries = {name: run.summary for name, run in runs.items()}
    return "\n".join(
        [
            "# Results",
            "",
            *page_lines(summaries),
            *carry_over_lines(summaries),
            *device_lines(summaries),
            "## The paper",
            "",
            _INTRODUCTION,
            "",
            "### The paper's claims",
            "",
            "| the paper | here | verdict | from |",
            "|---|---|---|---|",
            *(_claim_row(claim, summaries.get(claim.source)) for claim in CLAIMS),
            "",
            "### What distillation adds to a good logit scale",
            "",
            _CONTROL_INTRODUCTION,
            "",
            "| experiment | teacher | student | no KD | KD | scaled CE | KD − scaled CE | q | distillation |",
            "|---|---|---|---|---|---|---|---|---|",
            *_control_table(summaries),
            "",
            "Against the temperature, for teachers of different quality:",
            "",
            "![KD − scaled CE against 1/T](dark-knowledge-gains.png)",
            "",
            "## Commands",
            "",
            "| raw results | figure | command |",
            "|---|---|---|",
            *(
                f"| {_link(name)} | [{name}.png]({name}.png) | `{run.command} --out results/{name}` |"
                for name, run in runs.items()
            ),
            "",
        ]
    )


def _claim_row(claim: Claim, summary: Summary | None) -> str:
    if summary is None:
        return f"| {claim.text} | not run | – | {claim.source} |"
    found = {label: _find(summary, keys) for label, keys in claim.figures.items()}
    figures = "; ".join(f"{label}: {_figure(summary, claim.figures[label])}" for label in found)
    if claim.verdict is above_teacher:
        figures += f" (teacher {summary['teacher']['test_accuracy']:.3f})"
    estimates = [Estimate.from_json(value) for value in found.values() if value is not None]
    is_known = len(estimates) == len(found) and all(estimate.has_interval for estimate in estimates)
    verdict = claim.verdict(estimates, summary) if is_known else UNKNOWN
    return f"| {claim.text} | {figures} | **{verdict}** | {_link(claim.source)}, {_runs(summary)} |"


def _runs(summary: Summary) -> str:
    seeds = f"{summary['seeds']} seeds"
    return f"{summary['data_sets']} data sets × {seeds}" if "data_sets" in summary else seeds


def _find(summary: Summary, keys: Sequence[str]) -> Any:
    value: Any = summary
    for key in keys:
        value = None if value is None else value.get(key)
    return value


def _figure(summary: Summary, keys: Sequence[str]) -> str:
    """An accuracy, or a gain with the two accuracies it is made of."""
    value = _find(summary, keys)
    if value is None:
        return "not reached by all runs"
    estimate = Estimate.from_json(value)
    if " - " not in keys[-1]:
        return str(estimate)
    if keys[-1] != "kd - no_kd":
        return _signed(estimate)
    if "iterations_to" in keys:
        return _signed(estimate, digits=0)
    before, after = (_find(summary, (*keys[:-1], arm))["mean"] for arm in ("no_kd", "kd"))
    return f"{before:.3f} → {after:.3f}, {_signed(estimate)}"


def _signed(estimate: Estimate, digits: int = 3) -> str:
    """A difference with its interval and the p-value of its paired test."""
    text = f"{estimate.mean:+.{digits}f} ± {estimate.half_width:.{digits}f}"
    return f"{text.replace('-', '−')}, p = {estimate.p_value:.1g}" if estimate.has_interval else text.split(" ")[0]


def _control_table(summaries: Mapping[str, Summary]) -> Iterator[str]:
    """One row per student of an experiment with three arms, and per teacher of ``dark-knowledge``."""
    rows = [
        (name, *row)
        for name, summary in summaries.items()
        if {"control", "students", "final"} & summary.keys()  # others have tables of their own
        for row in _control_rows(summary)
    ]
    gains = [Estimate.from_json(arms["kd - control"]) for *_, arms in rows]
    known = [gain.p_value for gain in gains if gain.has_interval]
    adjusted = iter(false_discovery_control(known, method="by") if known else ())
    for (name, teacher, student, arms), gain in zip(rows, gains, strict=True):
        columns = [str(Estimate.from_json(arms[arm])) if arm in arms else "–" for arm in ("no_kd", "kd", "control")]
        q = float(next(adjusted)) if gain.has_interval else None
        cells = [_link(name), teacher, student, *columns, _signed(gain), "–" if q is None else f"{q:.1g}"]
        yield f"| {' | '.join([*cells, _effect(gain.mean, q)])} |"


def _effect(gain: float, q: float | None) -> str:
    if q is None:
        return UNKNOWN
    return "no significant difference" if q >= _SIGNIFICANT else "adds" if gain > 0 else "costs"


def _control_rows(summary: Summary) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Teacher, student, and arms with the difference between KD and the control."""
    if "control" in summary:
        control = summary["control"][str(summary["best_scale"])]
        for kind, teacher in summary["teachers"].items():
            temperature = max(teacher["kd"], key=lambda key: teacher["kd"][key]["mean"])
            arms = {column: teacher[column][temperature] for column in ("kd", "kd - control")}
            label = f"best T = {float(temperature):.3g}"
            yield f"{kind}, {teacher['test_accuracy']:.3f}", label, {"control": control, **arms}
        return
    students = summary.get("students", {"self": summary.get("final")})
    teacher = f"{summary['teacher'].get('kind', 'qnn')}, {summary['teacher']['test_accuracy']:.3f}"
    for student, arms in students.items():
        label = _layers(int(student)) if student.isdigit() else student.replace("_", " ")
        yield teacher, label, arms.get("test", arms)


def _link(name: str) -> str:
    return f"[{name}]({name}.jsonl)"
