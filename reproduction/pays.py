"""Where distillation pays, and where it does not: one table and one figure from the results of several experiments."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scipy.stats import false_discovery_control

from qkd_pl.statistics import Estimate
from reproduction.device_depth import device_depth_rows
from reproduction.device_images import device_images_rows
from reproduction.function import place_titles
from reproduction.noisy_teacher import noisy_teacher_rows
from reproduction.rows import SCALED, Row, accuracy_row
from reproduction.which_loss import LOSS_ARMS

SIGNIFICANT = 0.05
PAYS, COSTS, EQUAL, OPEN = "pays", "costs", "no significant difference", "cannot be told"

INTRODUCTION = """\
Every row compares distilled students with what stands under *against*: mostly the same student trained by scaled
cross-entropy on the labels, from the same initial weights. A data set counts once, with samples, teacher and weights of
its own; in Figures 4 and 5 a seed counts, and data and teacher are shared, and with MNIST on a device an image counts,
of one teacher. Models on a backend are calibrated, and noisy gates prepare the states; a noisy teacher's states enter
without noise, and its students run without noise ([on noisy devices](#on-noisy-devices)). With few labels the control
has the logit scale of largest mean *test* accuracy, which flatters it; elsewhere one fixed beforehand. Temperatures are
fixed: one for each kind of data. Teachers have *all* labels of the pool, except where they had only the m labels of the
control. Teacher and labels together are one loss without T², whose α = 0.9 was set after a pilot with 0.5 on two of the
data sets of phases; learning rate, iterations and the teacher's depth for MNIST 1/5 were set after a pilot on its test
images, the learning rate for ten digits after one by cross-entropy on training images. Where m is all of the pool, rows
that differ in the teacher differ in how many candidates it was chosen from. Data sets of images and tables are draws
from the same images or rows, so that their intervals are somewhat too narrow. The field of the ANNNI chain's transition
is that of perturbation theory. Intervals are of 95 %; q is p adjusted for all rows of these two tables by Benjamini and
Yekutieli. Distillation *pays* or *costs* something where q < 0.05."""

PROBLEM_TITLES = {
    "phases": "phases of the cluster chain",
    "ising": "phases of the Ising chain",
    "annni": "phases of the ANNNI chain, κ = 0.25",
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
    "aurc": "error over all coverages",
}
_LOWER_IS_BETTER = {"rmse", "ece", "transition", "aurc"}


def collected(summaries: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """All comparisons that the summaries hold: of few labels, of the paper, on devices."""
    rows = [row for item in few_labels_of(summaries) for row in few_rows(*item)]
    for name, titles in _PAPER.items():
        students = summaries.get(name, {}).get("students", {})
        for student, title in titles.items():
            if student in students:
                arms = students[student].get("test", students[student])
                rows.append(accuracy_row(name, title, _PAPERS_WAY, arms, "kd", "control"))
    for name, summary in summaries.items():
        for key, found in _ON_DEVICES.items():
            rows += found(name, summary) if key in summary else []
    return rows


#: What only the summary of an experiment on devices has → its rows.
_ON_DEVICES = {"pools": noisy_teacher_rows, "backends": device_depth_rows, "images": device_images_rows}


_PAPERS_WAY = "teacher and student of all labels' inputs"
_PAPER = {
    "table1": {
        "few_qubits": "Table 1, 2 qubits × 2 layers, 500 labels",
        "few_layers": "Table 1, 7 qubits × 1 layer, 500 labels",
    },
    "figure4": {"1": "Figure 4, 15 qubits × 1 layer, 500 labels"},
    "figure5": {"4": "Figure 5, 15 qubits × 4 layers, 12,163 labels"},
}


def few_labels_of(summaries: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any], str]]:
    """Name, summary and m of each number of labels, in the order of the problems and of m, regression last."""
    order = [*PROBLEM_TITLES, None]
    few = [(name, summary, m) for name, summary in summaries.items() for m in summary.get("labels", ())]

    def place(item: tuple[str, Mapping[str, Any], str]) -> tuple[int, str, int]:
        settings = item[1]["settings"]
        return order.index(settings.get("problem")), settings.get("target", ""), int(item[2])

    return sorted(few, key=place)


def few_rows(name: str, summary: Mapping[str, Any], m: str) -> Iterator[Row]:
    settings, found = summary["settings"], summary["labels"][m]
    is_regression = "target" in settings
    what = f"{settings['target']} of the cluster chain" if is_regression else _problem(summary)
    measure, control, noun = ("rmse", "targets", "targets") if is_regression else ("accuracy", "ce", "labels")
    for way in found["differences"]:
        yield _row(name, f"{what}, {m} {noun}", way, found, measure, control)


def _problem(summary: Mapping[str, Any]) -> str:
    return PROBLEM_TITLES[summary["settings"]["problem"]]


def function_rows(summaries: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """How the teacher's function is followed by students of the most labels, and of all of the teacher's outputs.

    A problem that has a run of its own for this, where the scale is fixed beforehand, has no row of few labels.
    """
    own = {name: summary for name, summary in summaries.items() if "places" in summary}
    known = {_problem(summary) for summary in own.values()}
    few = [item for item in few_labels_of(summaries) if "problem" in item[1]["settings"]]
    most = {_problem(summary): (name, summary["labels"][m], m) for name, summary, m in few}  # the last stays
    rows = [
        row
        for problem, (name, found, m) in most.items()
        if problem not in known
        for row in _followed(name, f"{problem}, {m} labels", found)
    ]
    for name, summary in own.items():
        for place, found in summary["places"].items():
            rows += _followed(name, f"{_problem(summary)}, all labels, {place_titles(summary)[place]}", found)
    return rows


def _followed(name: str, where: str, found: Mapping[str, Any]) -> Iterator[Row]:
    for measure in ("accuracy", *_FUNCTION):
        if measure in found["arms"]["ce"]:
            yield _row(name, where, "pool", found, measure, "ce")


def loss_rows(summaries: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """Losses for ten classes, each against KL."""
    rows = []
    for name, summary in summaries.items():
        for m, found in summary.get("inputs", {}).items():
            where = f"{_problem(summary)}, {m} inputs"
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
    against = "squared error on true targets" if measure == "rmse" else SCALED
    return Row(name, where, WAYS[way], measure, before, after, gain, against, is_drawn=way == "pool")


def adjusted(rows: Sequence[Row]) -> list[float | None]:
    """q of each row, None where there is no p."""
    known = [row.gain.p_value for row in rows if row.gain.has_interval]
    found = iter(false_discovery_control(known, method="by") if known else ())
    return [float(next(found)) if row.gain.has_interval else None for row in rows]


def with_q(rows: Sequence[Row]) -> list[tuple[Row, float | None]]:
    """Each row with its q, adjusted for all of them."""
    return list(zip(rows, adjusted(rows), strict=True))


def verdict(gain: Estimate, q: float | None) -> str:
    """Whether distillation pays."""
    if q is None:
        return OPEN
    return EQUAL if q >= SIGNIFICANT else PAYS if gain.mean > 0 else COSTS


def page_lines(summaries: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The sections of the page, as Markdown; empty without results of few labels."""
    functions = function_rows(summaries)
    if not functions:
        return []
    rows = with_q(collected(summaries))
    columns = (*_COLUMNS[:2], _AGAINST, *_COLUMNS[2:])
    return [
        "## Where distillation pays, and where it does not",
        "",
        "![Gains of distillation, one line per comparison](where-it-pays.png)",
        "",
        INTRODUCTION,
        "",
        *_table([(row, q) for row, q in rows if row.opens], columns),
        "",
        "All others: teachers of the m labels, the same m inputs, labels beside the teacher, and regression.",
        "",
        "<details><summary>Show them</summary>",
        "",
        *_table([(row, q) for row, q in rows if not row.opens], columns),
        "",
        "</details>",
        "",
        "### The teacher's function",
        "",
        "Students of the most labels that were tried against students of the teacher's outputs for all inputs, both",
        "compared with the teacher's exact outputs. R² depends on the control's logit scale, which sets the size of",
        "its outputs; correlations do not. On a backend the trained students run, from states that are prepared",
        "without noise. *Gain* is signed so that above zero the distilled student is better. q is adjusted for all",
        "rows of this table.",
        "",
        *_table(with_q(functions)),
        "",
        *_coverage_section(summaries),
        *_losses_section(loss_rows(summaries)),
    ]


def _coverage_section(summaries: Mapping[str, Mapping[str, Any]]) -> list[str]:
    names = [(name, _problem(summary)) for name, summary in summaries.items() if "places" in summary]
    if not names:
        return []
    text = "Selective prediction: accuracy on the inputs of the largest margins, against their share."
    return [text, "", *(line for name, what in names for line in (f"![{what}]({name}.png)", ""))]


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
        *_table(with_q(rows), ("data", "loss", "measure", "KL", "this loss", "gain", "q", "against KL, it")),
        "",
    ]


_COLUMNS = ("data", "distilled from", "measure", "control", "distilled", "gain", "q", "distillation")
_AGAINST = "against"  # after what it is distilled from, where controls differ


def _table(rows: Sequence[tuple[Row, float | None]], columns: Sequence[str] = _COLUMNS) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield "|---" * len(columns) + "|"
    for row, q in rows:
        gain = f"{row.gain.mean:+.3f} ± {row.gain.half_width:.3f}".replace("-", "−") if q is not None else "–"
        title = _FUNCTION.get(row.measure, {"rmse": "RMSE"}.get(row.measure, row.measure))
        where = f"{row.where} ([{row.gain.n}]({row.source}.jsonl))"
        against = [row.against] if _AGAINST in columns else []
        cells = [where, row.way, *against, title, str(row.control), str(row.distilled), gain]
        yield f"| {' | '.join([*cells, '–' if q is None else f'{q:.1g}', f'**{verdict(row.gain, q)}**'])} |"
