"""Depth on a device: a deep teacher, the teacher on the device's topology, and shallow students, at equal QPU time.

All models are trained by exact simulation and run under the noise of a backend, with states that enter from outside
and with states that noisy gates prepare. Beside students that are distilled from the teacher stand the same students
by scaled cross-entropy on all labels, and a teacher that was trained again on the topology of the device.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from qkd_pl.checks import check_count
from qkd_pl.networks.networks import QNN
from qkd_pl.statistics import Estimate
from reproduction.crossings import crossing
from reproduction.device_models import PREPARATIONS, SECONDS_PER_JOB, measure_models, price_models, train_models
from reproduction.results import Results
from reproduction.rows import SCALED, Row, accuracy_row, compared
from reproduction.sweep import Unit, run_units

LEVEL = 0.95
MODES = ("raw", "calibrated")


@dataclass(frozen=True, kw_only=True)
class DeviceDepthSettings:
    """Accuracy of a deep teacher and of shallow students on noisy devices, against shots and QPU seconds.

    Every data set has a teacher and students of its own, and counts once. The defaults take about ten minutes on two
    cores.

    Attributes:
        backends: whose noise there is, as for qkd.noisy.
        n_qubits: of teacher and students.
        teacher_layers: layers of the teacher, on a ring, and of the one on a line.
        student_layers: depths of the students, which are on a line.
        scales: logit scales of students by cross-entropy, each of one layer.
        n_train: training states.
        n_test: test states; what is priced is one evaluation of them.
        data_sets: data sets, whose seeds are data_seed and the numbers that follow.
        data_seed: see data_sets.
        shots: for each state.
        draws: so many evaluations are averaged.
        counted: of the test states so many are also prepared by noisy gates, which takes longest.
        counted_layers: largest depth of students for which that is done.
        calibration: of the test states so many, without their labels, correct an evaluation for the noise.
        teacher_candidates: teachers trained, to choose the best from by training accuracy.
        iterations: of all trainings.
        learning_rate: Adam's step size, in radians.
        temperature: T of the KD loss.
        logit_scale: of teachers and students by cross-entropy.
        device: device on which everything is trained, a name in devices.yaml.
    """

    backends: tuple[str, ...] = ("fake_nairobi", "fake_montreal", "fake_torino")
    n_qubits: int = 7
    teacher_layers: int = 10
    student_layers: tuple[int, ...] = (1, 2, 3, 4)
    scales: tuple[float, ...] = (1.0, 3.0, 10.0, 100.0)
    n_train: int = 500
    n_test: int = 150
    data_sets: int = 10
    data_seed: int = 0
    shots: tuple[int, ...] = (64, 256, 1024, 4096, 16384)
    draws: int = 10
    counted: int = 60
    counted_layers: int = 2
    calibration: int = 30
    teacher_candidates: int = 10
    iterations: int = 100
    learning_rate: float = 0.3
    temperature: float = 0.5
    logit_scale: float = 30.0
    device: str = "lightning"

    def __post_init__(self) -> None:
        for name in ("data_sets", "n_train", "n_test", "draws", "counted", "calibration", "teacher_candidates"):
            check_count(name, getattr(self, name))
        for layers in (self.teacher_layers, *self.student_layers):
            QNN(self.n_qubits, layers)


def pairs_of(student_layers: Sequence[int]) -> list[tuple[str, str]]:
    """Differences that are tested."""
    return [
        (f"{layers}-kd", control)
        for layers in student_layers
        for control in ("teacher", "teacher_line", f"{layers}-ce")
    ]


def run_device_depth(
    settings: DeviceDepthSettings, seeds: int, results: Results, *, workers: int = 1
) -> dict[str, Any]:
    """Run or resume the experiment.

    Returns:
        the summary: for each backend the price of every model, and its test accuracies over data sets with and without
        noise of the preparation and calibration; and the QPU seconds for an accuracy of 0.95.
    """
    plain = asdict(settings)
    numbers = range(settings.data_seed, settings.data_seed + settings.data_sets)
    models = [_models_unit(plain, number, seeds) for number in numbers]
    exact = run_units(models, results, workers=workers, title="models")
    prices = [_prices_unit(plain, backend, models[0]) for backend in settings.backends]
    priced = run_units(prices, results, workers=workers, title="prices")
    units = [
        _measured_unit(plain, backend, number, unit)
        for number, unit in zip(numbers, models, strict=True)
        for backend in settings.backends
    ]
    measured = run_units(units, results, workers=workers, title="devices")
    backends = {}
    for index, (backend, price) in enumerate(zip(settings.backends, priced, strict=True)):
        found = measured[index :: len(settings.backends)]
        backends[backend] = {"price": price, **_summarise(settings, found, price)}
    return {
        "settings": plain,
        "seeds": seeds,
        "data_sets": settings.data_sets,
        "teacher": {"test_accuracy": float(np.mean([each["teacher"] for each in exact]))},
        "exact": compared({arm: [each[arm] for each in exact] for arm in exact[0]}, pairs_of(settings.student_layers)),
        "backends": backends,
    }


def device_depth_rows(name: str, summary: Mapping[str, Any]) -> list[Row]:
    """Rows for the table of where distillation pays: 4,096 shots, preparation counted, calibrated."""
    titles = {"teacher": "its teacher, 10 layers, ring", "teacher_line": "a teacher of 10 layers on a line"}
    rows = []
    for backend, found in summary["backends"].items():
        arms = found["accuracy"]["staircase"]["4096"]["calibrated"]
        for layers in (1, 2):
            rows += [
                accuracy_row(
                    name,
                    f"{backend}, {layers} {'layer' if layers == 1 else 'layers'}, 4,096 shots",
                    "teacher of all labels, all inputs",
                    arms,
                    f"{layers}-kd",
                    control,
                    against=against,
                    is_drawn=layers == 2,
                )
                for control, against in {**titles, f"{layers}-ce": SCALED}.items()
            ]
    return rows


def format_device_depth(summary: Mapping[str, Any]) -> str:
    """The summary as text: mean ± 95 % confidence interval over data sets."""
    lines = [f"{summary['data_sets']} data sets × {summary['seeds']} seeds"]
    for name, backend in summary["backends"].items():
        for preparation in PREPARATIONS:
            by_shots = backend["accuracy"][preparation]
            counts = sorted((count for count in by_shots if count != "exact"), key=int)
            for mode in MODES:
                title = f"{name}, preparation {preparation}, {mode}, shots"
                lines += ["", f"{title:<58}" + "".join(f"{count:>16}" for count in counts) + f"{f's for {LEVEL}':>14}"]
                for arm in by_shots[counts[0]][mode]:
                    cells = [str(Estimate.from_json(by_shots[count][mode][arm])) for count in counts]
                    reached = backend["seconds_for"][preparation][mode].get(arm, {}).get("mean")
                    end = "" if " - " in arm else "never" if reached is None else f"{reached:.0f}"
                    gates = backend["price"].get(arm, {}).get("two_qubit_gates")
                    label = arm if gates is None else f"{arm} ({gates} two-qubit gates)"
                    lines.append(f"{label:<58}" + "".join(f"{cell:>16}" for cell in cells) + f"{end:>14}")
    return "\n".join(lines)


def _data(plain: Mapping[str, Any], number: int) -> dict[str, Any]:
    return {**{key: plain[key] for key in ("n_qubits", "n_train", "n_test")}, "data_seed": number}


def _weights(number: int) -> str:
    return f"weights/{number:02d}.safetensors"


def _models_unit(plain: Mapping[str, Any], number: int, seeds: int) -> Unit:
    keys = ("teacher_layers", "student_layers", "scales", "teacher_candidates", "temperature")
    arguments = {
        **{key: plain[key] for key in keys},
        "training": {key: plain[key] for key in ("iterations", "learning_rate", "logit_scale", "device")},
        "data": _data(plain, number),
        "seeds": seeds,
        "weights": _weights(number),
    }
    return Unit(f"models/{number:02d}", train_models, arguments, artifact=_weights(number))


def _prices_unit(plain: Mapping[str, Any], backend: str, models: Unit) -> Unit:
    number = plain["data_seed"]
    arguments = {"data": _data(plain, number), "weights": _weights(number), "backend": backend}
    return Unit(f"prices/{backend}", price_models, arguments, needs=(models,))


def _measured_unit(plain: Mapping[str, Any], backend: str, number: int, models: Unit) -> Unit:
    arguments = {
        **{key: plain[key] for key in ("shots", "draws", "counted", "counted_layers", "calibration")},
        "data": _data(plain, number),
        "weights": _weights(number),
        "backend": backend,
    }
    return Unit(f"devices/{backend}-{number:02d}", measure_models, arguments, needs=(models,))


def _summarise(
    settings: DeviceDepthSettings, found: Sequence[Mapping[str, float]], price: Mapping[str, Any]
) -> dict[str, Any]:
    """Accuracies by preparation, shots and mode, seconds for 0.95 by arm, and the share of refused calibrations."""
    pairs = pairs_of(settings.student_layers)

    def values(preparation: str, count: Any, mode: str) -> dict[str, list[float]]:
        keys = [key.split("/") for key in found[0]]
        arms = [arm for first, arm, *rest in keys if (first, rest) == (preparation, [str(count), mode])]
        return {arm: [each[f"{preparation}/{arm}/{count}/{mode}"] for each in found] for arm in arms}

    def estimates(preparation: str, count: Any, mode: str) -> dict[str, Any]:
        arms = values(preparation, count, mode)
        return compared(arms, [pair for pair in pairs if {*pair} <= {*arms}])

    table: dict[str, Any] = {}
    refused: dict[str, Any] = {}
    for preparation in PREPARATIONS:
        table[preparation] = {
            str(count): {mode: estimates(preparation, count, mode) for mode in MODES} for count in settings.shots
        }
        table[preparation]["exact"] = {"raw": estimates(preparation, "exact", "raw")}
        refused[preparation] = {
            str(count): {arm: float(np.mean(each)) for arm, each in values(preparation, count, "refused").items()}
            for count in settings.shots
        }
    reached = {
        preparation: {
            mode: {
                arm: _seconds_for(settings, table[preparation], mode, arm, price[arm])
                for arm in price
                if arm in table[preparation]["exact"]["raw"]
            }
            for mode in MODES
        }
        for preparation in PREPARATIONS
    }
    return {"accuracy": table, "refused": refused, "seconds_for": reached}


def _seconds_for(
    settings: DeviceDepthSettings, by_shots: Mapping[str, Any], mode: str, arm: str, price: Mapping[str, float]
) -> dict[str, float | None]:
    estimates = {count: Estimate.from_json(by_shots[str(count)][mode][arm]) for count in settings.shots}
    shots = crossing(LEVEL, estimates)
    per_shot = settings.n_test * price["seconds"]
    return {end: None if each is None else SECONDS_PER_JOB + each * per_shot for end, each in shots.items()}
