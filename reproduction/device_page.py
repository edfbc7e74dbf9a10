"""The part of the page of results about noisy devices: accuracies, and what an accuracy of 0.95 costs."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from qkd_pl.statistics import Estimate
from reproduction.device_depth import LEVEL, MODES
from reproduction.device_models import PREPARATIONS, SECONDS_PER_JOB
from reproduction.noisy_students import ARMS_OF, TEACHERS
from reproduction.shots_scale import FOUND_ON

Summary = Mapping[str, Any]

_NOISY_TEACHER = """\
A teacher of {layers} layers on {backend} keeps {signal} of its signal. Its outputs there are all that a student gets:
no labels. Accuracies of the teacher on the device, and of students in exact simulation, for each number of shots that
the teacher spends on a state; states enter without noise. *Calibrated*: corrected by the line through exact and noisy
outputs without shot noise, as well as two numbers per output can; *by 50 states*: by the line through as many measured
ones. The extrapolation divides the shots among three strengths of noise. *Unbalanced*: 80 % of the states are of one
class. The last column is the number of shots at which the mean reaches 0.95, in brackets where the ends of its interval
do; – where it does not up to the largest. q is in the first table of this page for the calibrated student."""

_TITLES = {
    "teacher": "the noisy teacher",
    "teacher_calibrated": "the same, calibrated",
    "teacher_extrapolated": "the same, extrapolated to zero noise",
    "raw": "distilled from its outputs as they are",
    "affine": "distilled, outputs standardised",
    "huber": "distilled, standardised, Huber loss",
    "apart": "distilled, standardised, 4 queries kept apart",
    "calibrated": "distilled, outputs calibrated",
    "calibrated_few": "distilled, outputs calibrated by 50 states",
    "hard": "scaled CE on its decisions",
    "hard_calibrated": "scaled CE on its decisions, calibrated",
    "labels": "scaled CE on all true labels",
}

_DEPTH = """\
Models of {qubits} qubits trained by exact simulation, under the noise of {n} backends: a teacher of {layers} layers on
a ring, the same network trained again on a line, which needs no SWAPs, and students of few layers on a line, distilled
or by scaled cross-entropy on all labels. QPU seconds for one evaluation of {states} states in which the mean accuracy
is 0.95, in brackets where the ends of its interval are; – where it is not up to {most:,} shots for each state, which
is {seconds:.0f} seconds: by IBM's quick formula an execution costs 0.35 ms whatever its depth, and a job two seconds.
*Free* states enter from outside, *prepared* ones by noisy gates (a staircase of two layers), on {counted} states and
for up to {deepest} layers. A calibration is on {calibration} of the states and costs no execution."""

_IMAGES = """\
MNIST digits 1 and 5 as {qubits} bits on {backend}: one teacher, {seeds} students of each kind, the first {images} test
images, {shots} shots for each image, every shot a trajectory of its own of the noise. An image counts once, by the mean
over the students; the intervals say nothing about other teachers. Bits need only single-qubit gates, so that the
preparation is counted. An evaluation costs {seconds:.0f} QPU seconds."""

_SCALE = """\
Students by cross-entropy at logit scales {scales}, of equal initial weights, under the noise of {backend}.
*Rule*: s = min(√shots, 30), or what was run nearest to it; *half*: min(√shots/2, 16), which was found on the first
{found} data sets of each task. The best scale is that of largest mean *test* accuracy, which flatters it. A data set
counts once."""


def device_lines(summaries: Mapping[str, Summary]) -> list[str]:
    """The section as Markdown; empty without results on devices."""
    sections = {"pools": _noisy_teacher, "backends": _depth, "images": _images, "problems": _scale}
    parts = [
        [*section(summary), f"[Raw results]({name}.jsonl), {_counted(summary)}.", ""]
        for key, section in sections.items()
        for name, summary in summaries.items()
        if key in summary
    ]
    return ["## On noisy devices", "", *(line for part in parts for line in part)] if parts else []


def _counted(summary: Summary) -> str:
    if "images" in summary:
        return f"{summary['images']} images × {summary['seeds']} students"
    return f"{summary['data_sets']} data sets" + (f" × {summary['seeds']} seeds" if "seeds" in summary else "")


def _noisy_teacher(summary: Summary) -> Iterator[str]:
    settings = summary["settings"]
    signal = Estimate.from_json(summary["teacher"]["signal"])
    yield from (
        "### A student of a noisy teacher",
        "",
        "![Accuracy against the teacher's shots](devices/noisy-teacher.png)",
    )
    yield from (
        "",
        _NOISY_TEACHER.format(layers=settings["teacher_layers"], backend=settings["backend"], signal=signal),
        "",
    )
    counts = settings["shots"]
    yield from _head("states", "who answers", *(f"{count:,} shots" for count in counts), f"shots for {LEVEL}")
    for pool, by_shots in summary["pools"].items():
        for arm in (*TEACHERS, *ARMS_OF[pool], "labels"):
            cells = [str(Estimate.from_json(by_shots[str(count)][arm])) for count in counts]
            end = "" if arm == "labels" else _reached(summary["shots_for"][pool][arm], counts)
            yield _line(pool, _TITLES[arm], *cells, end)
        for control in ("teacher", "teacher_calibrated"):
            gains = [Estimate.from_json(by_shots[str(count)][f"calibrated - {control}"]) for count in counts]
            yield _line(pool, f"*distilled, calibrated, less {_TITLES[control]}*", *map(_signed, gains), "")
    yield ""


def _depth(summary: Summary) -> Iterator[str]:
    settings = summary["settings"]
    seconds = SECONDS_PER_JOB + settings["n_test"] * max(settings["shots"]) * _dearest(summary)
    yield from ("### Depth on a device", "", "![Accuracy against QPU seconds](devices/device-depth.png)", "")
    yield _DEPTH.format(
        qubits=settings["n_qubits"],
        n=len(summary["backends"]),
        layers=settings["teacher_layers"],
        states=settings["n_test"],
        most=max(settings["shots"]),
        seconds=seconds,
        counted=settings["counted"],
        deepest=settings["counted_layers"],
        calibration=settings["calibration"],
    )
    arms = ["teacher", "teacher_line", *(f"{n}-{kind}" for n in settings["student_layers"] for kind in ("ce", "kd"))]
    conditions = [(preparation, mode) for preparation in PREPARATIONS for mode in MODES]
    names = {"ideal": "free", "staircase": "prepared"}
    yield ""
    titles = (f"{names[preparation]}, {mode}" for preparation, mode in conditions)
    yield from _head("backend", "model", "two-qubit gates", *titles)
    for backend, found in summary["backends"].items():
        for arm in arms:
            reached = [found["seconds_for"][preparation][mode].get(arm) for preparation, mode in conditions]
            cells = ["not run" if each is None else _reached(each, ()) for each in reached]
            yield _line(backend, arm_title(arm), str(found["price"][arm]["two_qubit_gates"]), *cells)
    yield ""


def _dearest(summary: Summary) -> float:
    return max(arm["seconds"] for backend in summary["backends"].values() for arm in backend["price"].values())


def arm_title(arm: str) -> str:
    """A model of the experiment on depth in words."""
    if arm.startswith("teacher"):
        return "teacher, line" if arm == "teacher_line" else "teacher, ring"
    layers, kind = arm.split("-")[:2]
    return f"{layers} {'layer' if layers == '1' else 'layers'}, {'distilled' if kind == 'kd' else 'scaled CE'}"


def _images(summary: Summary) -> Iterator[str]:
    settings = summary["settings"]
    yield from (
        "### Images on a device",
        "",
        "![Accuracy without noise and on the device](devices/device-images.png)",
        "",
    )
    yield _IMAGES.format(
        qubits=settings["n_qubits"],
        backend=settings["backend"],
        seeds=summary["seeds"],
        images=summary["images"],
        shots=settings["shots"],
        seconds=max(each["qpu_seconds"] for each in summary["price"].values()),
    )
    yield ""
    names = {"exact": "without noise", "raw": "on the device", "calibrated": "calibrated"}
    yield from _head("model", "two-qubit gates", "signal kept", *names.values())
    titles = {
        "teacher": f"teacher, {settings['teacher_layers']} layers, ring",
        "teacher_line": f"teacher, {settings['teacher_layers']} layers, line",
        "ce": f"{settings['student_layers']} layers, scaled CE",
        "kd": f"{settings['student_layers']} layers, distilled",
    }
    for arm, title in titles.items():
        cells = [str(Estimate.from_json(summary["accuracy"][mode][arm])) for mode in names]
        yield _line(title, str(summary["price"][arm]["two_qubit_gates"]), f"{summary['signal'][arm]:.2f}", *cells)
    for control in ("teacher", "teacher_line", "ce"):
        gains = [Estimate.from_json(summary["accuracy"][mode][f"kd - {control}"]) for mode in names]
        yield _line(f"*distilled less {titles[control]}*", "", "", *map(_signed, gains))
    yield ""


def _scale(summary: Summary) -> Iterator[str]:
    settings = summary["settings"]
    scales = ", ".join(f"{scale:g}" for scale in settings["scales"])
    yield from ("### The logit scale and the shots", "", "![Accuracy against the scale](devices/shots-scale.png)", "")
    yield from (_SCALE.format(scales=scales, backend=settings["backend"], found=FOUND_ON), "")
    columns = ["data", "shots", "best s", "accuracy", "rule", "rule − best", "half", "half − best", "half − rule"]
    is_confirmed = summary["data_sets"] > FOUND_ON
    yield from _head(*columns, *([f"half − rule, data sets from {FOUND_ON + 1} on"] if is_confirmed else []))
    for problem, by_shots in summary["problems"].items():
        for shots, found in by_shots.items():
            s = {name: f"{scale:g}" for name, scale in found["scales"].items()}
            keys = ("best", "rule - best", "half - best", "half - rule")
            best, *gains = (Estimate.from_json(found["accuracy"][key]) for key in keys)
            rule, half, other = map(_signed, gains)
            fresh = [_signed(Estimate.from_json(found["confirmed"]["half - rule"]))] if is_confirmed else []
            cells = (s["best"], str(best), s["rule"], rule, s["half"], half, other, *fresh)
            yield _line(problem, f"{int(shots):,}", *cells)
    if is_confirmed:
        yield from ("", _confirmed(summary))
    yield ""


def _confirmed(summary: Summary) -> str:
    """How often the second rule is better than the first where it was not found."""
    found = [
        each["confirmed"]["half - rule"] for by_shots in summary["problems"].values() for each in by_shots.values()
    ]
    gains = [Estimate.from_json(each) for each in found]
    better, worse = sum(gain.low > 0 for gain in gains), sum(gain.high < 0 for gain in gains)
    return (
        f"On the data sets from {FOUND_ON + 1} on, *half* is better than *rule* with its whole interval in {better} of "
        f"{len(gains)} settings, and worse in {worse}."
    )


def _head(*columns: str) -> Iterator[str]:
    yield _line(*columns)
    yield "|---" * len(columns) + "|"


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _signed(gain: Estimate) -> str:
    return f"{gain.mean:+.3f} ± {gain.half_width:.3f}".replace("-", "−")


def _reached(found: Mapping[str, float | None], counts: Sequence[int]) -> str:
    """Where a level is reached by the mean, and by both ends of its interval."""

    def shown(value: float | None) -> str:
        if value is None:
            return "–"
        return f"≤ {value:,.0f}" if counts and value == min(counts) else f"{value:,.0f}"

    if found["mean"] is None and found["low"] is None:
        return "–"
    return f"{shown(found['mean'])} [{shown(found['low'])}, {shown(found['high'])}]"
