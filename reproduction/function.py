"""The teacher's function: how distilled students follow it, exactly and on a noisy device, and predict selectively.

Control and distilled student have all labels or all of the teacher's outputs, and share inputs and initial weights.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from qkd_pl.checks import check_count
from qkd_pl.devices.calibration import spread_out
from qkd_pl.errors import InvalidInputError
from qkd_pl.networks.models import TrainedQNN
from qkd_pl.statistics import Estimate, estimate, paired_difference
from reproduction.few_labels import students_and_teachers
from reproduction.measures import COVERAGES, coverage_curve, measures_of, risk_over_coverages
from reproduction.noisy_outputs import corrected, noisy_device
from reproduction.problems import PROBLEMS, ProblemName, Split
from reproduction.results import Results
from reproduction.sweep import Unit, run_units

#: arm → what it is; the second is the control of the third.
FUNCTION_ARMS = {"teacher": "teacher", "ce": "scaled CE, all labels", "pool": "distilled, no labels"}
PLACES = EXACT, RAW, CALIBRATED = "exact", "device", "calibrated"


@dataclass(frozen=True, kw_only=True)
class FunctionSettings:
    """The teacher's function: distilled students against scaled cross-entropy on all labels, exactly and on a device.

    A seed is a data set, with samples, teacher and initial weights of its own. The reference is the teacher's exact
    outputs. On a device the trained models run as they are, and once more with a line through each output.

    Attributes:
        problem: the data, as for few-labels.
        data: an .npz file with inputs and labels, for the problem file.
        backend: a backend whose noise there is, as for qkd.noisy, for example fake_nairobi; by default none.
        shots: on the device, for each input.
        calibration: inputs of the pool, run on the device too, that the lines of the calibration go through.
        candidates: teachers to choose the best from by training accuracy.
        device: device on which everything is trained, a name in devices.yaml.
    """

    problem: ProblemName = "phases"
    data: str | None = None
    backend: str | None = None
    shots: int = 4096
    calibration: int = 50
    candidates: int = 3
    device: str = "lightning"

    def __post_init__(self) -> None:
        if (self.problem == "file") != (self.data is not None):
            raise InvalidInputError(f"data={self.data}: goes with --problem file, and only with it")
        for name in ("shots", "calibration", "candidates"):
            check_count(name, getattr(self, name))


def run_function(settings: FunctionSettings, seeds: int, results: Results, *, workers: int = 1) -> dict[str, Any]:
    """Run or resume the experiment.

    Returns:
        the summary: ``coverages``; ``places`` → exact, device, calibrated → ``arms`` → arm → measure → estimate over
        data sets, ``differences`` → pool → measure → paired difference from the control, and ``curves`` → arm →
        estimates of the accuracy at each coverage.
    """
    arguments = asdict(settings)
    units = [Unit(f"data-{seed:02d}", run_functions, {**arguments, "seed": seed}) for seed in range(seeds)]
    rows = run_units(units, results, workers=workers, title="data sets")
    places = {place: _summarised([row[place] for row in rows]) for place in PLACES if place in rows[0]}
    return {"settings": arguments, "data_sets": seeds, "coverages": list(COVERAGES), "places": places}


def place_titles(summary: Mapping[str, Any]) -> dict[str, str]:
    """Place → what it is."""
    on_device = f"{summary['settings']['backend']}, {summary['settings']['shots']:,} shots"
    return {EXACT: "exact", RAW: on_device, CALIBRATED: f"{on_device}, calibrated"}


def _summarised(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    values = {arm: {name: [row[arm][name] for row in rows] for name in rows[0][arm]} for arm in FUNCTION_ARMS}
    curves = {arm: np.array(found.pop("curve")).T for arm, found in values.items()}
    return {
        "arms": {
            arm: {name: estimate(each).to_json() for name, each in found.items()} for arm, found in values.items()
        },
        "differences": {
            "pool": {
                name: paired_difference(each, values["ce"][name]).to_json() for name, each in values["pool"].items()
            }
        },
        "curves": {arm: [estimate(list(each)).to_json() for each in curve] for arm, curve in curves.items()},
    }


def run_functions(
    *,
    problem: str,
    data: str | None,
    backend: str | None,
    shots: int,
    calibration: int,
    candidates: int,
    device: str,
    seed: int,
    directory: Path,
) -> dict[str, Any]:
    """Train the teacher and both students of one data set, and measure them at every place."""
    recipe = PROBLEMS[problem]
    split = recipe.load(seed, recipe.n_pool, recipe.n_test, data)
    count = len(split.pool.labels)
    runs, teachers = students_and_teachers(recipe, split, device, seed)
    teacher = teachers.best_teacher(count, candidates, recipe.logit_scale)
    models = {"teacher": teacher, "ce": runs.labelled(count, recipe.logit_scale), "pool": runs.distilled(teacher, None)}
    logits = {arm: {EXACT: model.logits(split.test.inputs)} for arm, model in models.items()}
    if backend is not None:
        for number, (arm, model) in enumerate(models.items()):
            logits[arm] |= _on_device(model, split, backend, shots, calibration, len(models) * seed + number)
    reference = logits["teacher"][EXACT]
    return {
        place: {arm: _found(found[place], models[arm], reference, split) for arm, found in logits.items()}
        for place in logits["teacher"]
    }


def _on_device(
    model: TrainedQNN, split: Split, backend: str, shots: int, calibration: int, seed: int
) -> dict[str, np.ndarray]:
    """Logits of the test inputs from shots on a noisy device, as they are and calibrated, ``(n, K)``."""
    device = noisy_device(backend).changed(shots=shots, diff_method="parameter-shift", seed=seed)
    exact = model.logits(split.pool.inputs)
    sample = spread_out(exact, min(calibration, len(exact)))
    measured = model.logits(np.concatenate([split.test.inputs, split.pool.inputs[sample]]), device)
    raw, known = np.split(measured, [len(split.test.labels)])
    return {RAW: raw, CALIBRATED: corrected(raw, exact[sample], known)}


def _found(logits: np.ndarray, model: TrainedQNN, reference: np.ndarray, split: Split) -> dict[str, Any]:
    probabilities = softmax(model.logit_scale * logits, axis=1)
    curve = [round(value, 6) for value in coverage_curve(logits, split.test.labels)]
    risk = round(risk_over_coverages(logits, split.test.labels), 6)
    return {**measures_of(logits, probabilities, reference, split), "aurc": risk, "curve": curve}


def format_function(summary: Mapping[str, Any]) -> str:
    """The summary as text: the main measures of each arm at each place, and their differences from the control."""
    settings = summary["settings"]
    lines = [f"{settings['problem']}, {summary['data_sets']} data sets; {settings['backend'] or 'no device'}"]
    for place, found in summary["places"].items():
        lines += ["", place]
        for arm, title in FUNCTION_ARMS.items():
            values = [Estimate.from_json(found["arms"][arm][name]) for name in _SHOWN]
            lines.append(f"  {title:<24}" + "".join(f"{value!s:>17}" for value in values))
        gains = [Estimate.from_json(found["differences"]["pool"][name]) for name in _SHOWN]
        lines.append(f"  {'distilled less CE':<24}" + "".join(f"{value!s:>17}" for value in gains))
    lines += ["", "columns: accuracy, R², squared and rank correlation with the teacher; risk over coverages"]
    return "\n".join(lines)


_SHOWN = ("accuracy", "r2", "correlation2", "rank", "aurc")
