"""Where distillation pays, and where it does not: one table and one figure from the results of several experiments."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scipy.stats import false_discovery_control

from qkd_pl.statistics import Estimate
from reproduction.which_loss import LOSS_ARMS

SIGNIFICANT = 0.05
PAYS, COSTS, EQUAL, OPEN = "pays", "costs", "no significant difference", "cannot be told"

INTRODUCTION = """\
Every row compares distilled students with the same student trained by scaled cross-entropy on the labels (regression:
by the squared error on true targets), from the same initial weights. A data set counts once, with samples, teacher and
weights of its own; in Figures 4 and 5 a seed counts, and data and teacher are shared. With few labels the control has
the logit scale of largest mean *test* accuracy, which flatters it; in Table 1 and the figures one fixed beforehand.
Temperatures are fixed: one for each kind of data. Teachers have *all* labels of the pool, except where they had only
the m labels of the control. Teacher and labels together are one loss without T², whose α = 0.9 was set after a pilot
with 0.5 on two of the data sets of phases; learning rate, iterations and the teacher's depth for MNIST were set after
a pilot on its test images. Where m is all of the pool, rows that differ in the teacher differ in how many candidates
it was chosen from. Data sets of MNIST, breast cancer and wine are draws from the same images or rows, so that their
intervals are somewhat too narrow. Intervals are of 95 %; q is p adjusted for all rows of this table by Benjamini and
Yekutieli. Distillation *pays* or *costs* something where q < 0.05."""

_PROBLEMS = {
    "phases": "phases of the cluster chain",
    "ising": "phases of the Ising chain",
    "cluster-ising": "cluster chain with h2 = 0.5, labels from string order",
    "mnist-1-5": "MNIST 1/5",
    "mnist": "MNIST, ten classes",
    "digits": "scikit-learn digits, ten classes",
    "breast-cancer": "breast cancer",
    "wine": "wine, three classes",
    "file": "a file",
}
#: arm → what its students are distilled from.
WAYS = {
    "same": "teacher of all labels, the same m inputs",
    "pool": "teacher of all labels, all inputs",
    "both": "the same, and the m labels",
    "weak": "teacher of the m labels, all inputs",
}
_FUNCTION = {
    "r2": "R² of the teacher's logits",
    "correlation2": "squared correlation with them",
    "rank": "rank correlation with them",
    "agreement": "agreement with its decisions",
    "transition": "error of the transition's field",
    "ece": "calibration error",
    "covered": "accuracy on the surest 80 %",
}
_LOWER_IS_BETTER = {"rmse", "ece", "transition"}


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        source: the run.
        where: data, and labels, states or layers.
        way: what the distilled student had.
        measure: what is compared.
        control, distilled: means over data sets or seeds.
        gain: paired difference, above zero where distillation is better.
    """

    source: str
    where: str
    way: str
    measure: str
    control: Estimate
    distilled: Estimate
    gain: Estimate


def collected(summaries: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """All comparisons that the summaries hold, experiments of few labels first, then those of the paper."""
    rows = [row for name, summary in _few_labels(summaries) for row in _few(name, summary)]
    for name, titles in _PAPER.items():
        students = summaries.get(name, {}).get("students", {})
        for student, title in titles.items():
            if student in students:
                arms = students[student].get("test", students[student])
                values = [Estimate.from_json(arms[key]) for key in ("control", "kd", "kd - control")]
                rows.append(Row(name, title, "teacher and student of all labels' inputs", "accuracy", *values))
    return rows


_PAPER = {
    "table1": {
        "few_qubits": "Table 1, 2 qubits × 2 layers, 500 labels",
        "few_layers": "Table 1, 7 qubits × 1 layer, 500 labels",
    },
    "figure4": {"1": "Figure 4, 15 qubits × 1 layer, 500 labels"},
    "figure5": {"4": "Figure 5, 15 qubits × 4 layers, 12,163 labels"},
}


def _few_labels(summaries: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    """Names and summaries of what has numbers of labels, in the order of the problems, regression last."""
    order = [*_PROBLEMS, None]
    few = [(name, summary) for name, summary in summaries.items() if "labels" in summary]
    return sorted(few, key=lambda item: order.index(item[1]["settings"].get("problem")))


def _few(name: str, summary: Mapping[str, Any]) -> Iterator[Row]:
    settings = summary["settings"]
    is_regression = "target" in settings
    what = f"{settings['target']} of the cluster chain" if is_regression else _PROBLEMS[settings["problem"]]
    measure, control, noun = ("rmse", "targets", "targets") if is_regression else ("accuracy", "ce", "labels")
    for m, found in summary["labels"].items():
        for way in found["differences"]:
            yield _row(name, f"{what}, {m} {noun}", way, found, measure, control)


def function_rows(summaries: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """How the teacher's function is followed, where control and distilled student have all labels or all inputs."""
    rows = []
    for name, summary in _few_labels(summaries):
        if "problem" in summary["settings"]:
            m = max(summary["labels"], key=int)
            found = summary["labels"][m]
            where = f"{_PROBLEMS[summary['settings']['problem']]}, {m} labels"
            measures = [each for each in ("accuracy", *_FUNCTION) if each in found["arms"]["ce"]]
            rows += [_row(name, where, "pool", found, measure, "ce") for measure in measures]
    return rows


def loss_rows(summaries: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """Losses for ten classes, each against KL."""
    rows = []
    for name, summary in summaries.items():
        for m, found in summary.get("inputs", {}).items():
            where = f"{_PROBLEMS[summary['settings']['problem']]}, {m} inputs"
            for arm, gains in found["differences"].items():
                kl, other = (Estimate.from_json(found["arms"][each]["accuracy"]) for each in ("kl", arm))
                gain = Estimate.from_json(gains["accuracy"])
                rows.append(Row(name, where, LOSS_ARMS[arm], "accuracy", kl, other, gain))
    return rows


def _row(name: str, where: str, way: str, found: Mapping[str, Any], measure: str, control: str) -> Row:
    before, after = (Estimate.from_json(found["arms"][arm][measure]) for arm in (control, way))
    gain = Estimate.from_json(found["differences"][way][measure])
    if measure in _LOWER_IS_BETTER:
        gain = gain._replace(mean=-gain.mean, low=-gain.high, high=-gain.low)
    return Row(name, where, WAYS[way], measure, before, after, gain)


def adjusted(rows: Sequence[Row]) -> list[float | None]:
    """q of each row, None where there is no p."""
    known = [row.gain.p_value for row in rows if row.gain.has_interval]
    found = iter(false_discovery_control(known, method="by") if known else ())
    return [float(next(found)) if row.gain.has_interval else None for row in rows]


def verdict(gain: Estimate, q: float | None) -> str:
    """Whether distillation pays."""
    if q is None:
        return OPEN
    return EQUAL if q >= SIGNIFICANT else PAYS if gain.mean > 0 else COSTS


def page_lines(summaries: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The sections of the page, as Markdown; empty without results of few labels."""
    rows, functions = collected(summaries), function_rows(summaries)
    if not functions:
        return []
    return [
        "## Where distillation pays, and where it does not",
        "",
        "![Gains of distillation over scaled cross-entropy](where-it-pays.png)",
        "",
        INTRODUCTION,
        "",
        *_table(rows),
        "",
        "### The teacher's function",
        "",
        "Students of all labels against students of the teacher's outputs for all inputs. *Gain* is signed so that",
        "above zero the distilled student is better. q is adjusted for all rows of this table.",
        "",
        *_table(functions),
        "",
        *_losses_section(loss_rows(summaries)),
    ]


def _losses_section(rows: Sequence[Row]) -> list[str]:
    if not rows:
        return []
    return [
        "### Which loss, for ten classes",
        "",
        "Students of the teacher's outputs alone, without labels: KL without the factor T² against other losses, and",
        "against KL with relations between samples (Relational) or hints (the teacher's ⟨X⟩ on each wire) added with",
        "weight 1. Weights were fixed beforehand. q is adjusted for all rows of this table.",
        "",
        *_table(rows, ("data", "loss", "measure", "KL", "this loss", "gain", "q", "against KL, it")),
        "",
    ]


_COLUMNS = ("data", "distilled from", "measure", "control", "distilled", "gain", "q", "distillation")


def _table(rows: Sequence[Row], columns: Sequence[str] = _COLUMNS) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield "|---" * len(columns) + "|"
    for row, q in zip(rows, adjusted(rows), strict=True):
        gain = f"{row.gain.mean:+.3f} ± {row.gain.half_width:.3f}".replace("-", "−") if q is not None else "–"
        title = _FUNCTION.get(row.measure, {"rmse": "RMSE"}.get(row.measure, row.measure))
        where = f"{row.where} ([{row.gain.n}]({row.source}.jsonl))"
        cells = [where, row.way, title, str(row.control), str(row.distilled), gain]
        yield f"| {' | '.join([*cells, '–' if q is None else f'{q:.1g}', f'**{verdict(row.gain, q)}**'])} |"
