"""Images on a device of 27 qubits: a teacher of 15 qubits and ten layers, and students of it, at a few hundred shots.

The images are product states, which every device prepares with single-qubit gates. Every shot is a trajectory of its
own of Aer's noise, by the path that jobs take: too many qubits for exact values under noise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from qkd_pl import load_model, plan
from qkd_pl.checks import check_count
from qkd_pl.devices.calibration import spread_out
from qkd_pl.devices.spec import DeviceSpec
from qkd_pl.networks.networks import QNN
from qkd_pl.statistics import Estimate
from reproduction.arms import FIRST_STUDENT_SEED, fit_and_save, load_data, training_unit
from reproduction.device_models import SECONDS_PER_JOB, calibrated_outputs
from reproduction.results import Results
from reproduction.rows import SCALED, Row, accuracy_row, compared
from reproduction.sweep import Unit, run_units

MODES = ("raw", "calibrated")
Output = Annotated[list[float], Field(min_length=2, max_length=2)]


@dataclass(frozen=True, kw_only=True)
class DeviceImagesSettings:
    """MNIST digits 1 and 5 as 15 bits on a simulated device: a deep teacher against shallow students.

    One teacher, and a seed is a pair of students; an image counts once. All of it takes about forty minutes on one
    core, half of them for the images of the teacher on a ring, a quarter for the other teacher's. Repeating the command
    resumes it.

    Attributes:
        backend: a fake backend of at least as many qubits as there are bits.
        n_qubits: principal components of the images, a bit for each.
        teacher_layers: layers of the teacher, on a ring, and of the one on a line.
        student_layers: layers of the students, on a line.
        digits: the two classes.
        n_images: the first so many test images.
        block: so many images make a unit, after which a killed run goes on.
        shots: for each image; each is a trajectory of the noise.
        calibration: of the images so many, without their labels, correct an evaluation for the noise.
        iterations: of all trainings.
        learning_rate: Adam's step size, in radians.
        temperature: T of the KD loss.
        logit_scale: of the teachers and of students by cross-entropy.
        device: device on which everything is trained, a name in devices.yaml.
    """

    backend: str = "fake_montreal"
    n_qubits: int = 15
    teacher_layers: int = 10
    student_layers: int = 4
    digits: tuple[int, ...] = (1, 5)
    n_images: int = 100
    block: int = 10
    shots: int = 256
    calibration: int = 50
    iterations: int = 350
    learning_rate: float = 0.1
    temperature: float = 0.1
    logit_scale: float = 10.0
    device: str = "lightning"

    def __post_init__(self) -> None:
        for name in ("n_images", "block", "shots", "calibration"):
            check_count(name, getattr(self, name))
        for layers in (self.teacher_layers, self.student_layers):
            QNN(self.n_qubits, layers)


def run_device_images(
    settings: DeviceImagesSettings, seeds: int, results: Results, *, workers: int = 1
) -> dict[str, Any]:
    """Run or resume the experiment.

    Returns:
        the summary: accuracies without noise and on the device, raw and calibrated, over images; the mean over the
        seeds of a student is one value of an image. And what every structure costs.
    """
    plain = asdict(settings)
    data = {
        "digits": list(settings.digits),
        "embedding": "phase",
        "n_components": settings.n_qubits,
        "n_train": None,
        "n_test": None,
    }
    images = {"data": data, "n_images": settings.n_images}
    models = _model_units(settings, seeds, images)
    exact = dict(zip(models, run_units(list(models.values()), results, workers=workers, title="models"), strict=True))
    place = {"backend": settings.backend, "shots": settings.shots}
    priced = {arm: model for arm, model in models.items() if _kind(arm) == arm or arm.endswith("-0")}
    prices = [
        Unit(f"prices/{_kind(arm)}", price_images, {**images, **place, "model": _file(arm)}, needs=(model,))
        for arm, model in priced.items()
    ]
    price = dict(zip(map(_kind, priced), run_units(prices, results, title="prices"), strict=True))
    blocks = {arm: _image_units(settings, arm, model, {**images, **place}) for arm, model in models.items()}
    rows = run_units([unit for units in blocks.values() for unit in units], results, workers=workers, title="images")
    found = iter(rows)
    measured = {arm: np.concatenate([next(found)["outputs"] for _ in units]) for arm, units in blocks.items()}
    return {
        "settings": plain,
        "seeds": seeds,
        "images": settings.n_images,
        "price": price,
        **_summarise(settings, exact, measured),
    }


def _model_units(settings: DeviceImagesSettings, seeds: int, images: Mapping[str, Any]) -> dict[str, Unit]:
    """Of each arm the unit that trains it; students need the teacher."""
    plain = asdict(settings)
    trainer = {key: plain[key] for key in ("iterations", "learning_rate", "temperature", "logit_scale", "device")}

    def unit(arm: str, layers: int, topology: str, seed: int, needs: tuple[Unit, ...] = ()) -> Unit:
        network = {
            "n_qubits": settings.n_qubits,
            "n_layers": layers,
            "embedding": "phase",
            "topology": topology,
        }
        arguments = {
            **images,
            "network": network,
            "trainer": {**trainer, "seed": seed},
            "teacher": needs[0].artifact if arm.startswith("kd") else None,
            "model": _file(arm),
        }
        return training_unit(f"models/{arm}", train_image_model, arguments, needs=needs)

    units = {
        arm: unit(arm, settings.teacher_layers, topology, 0)
        for arm, topology in (("teacher", "ring"), ("teacher_line", "line"))
    }
    for seed in range(seeds):
        for kind, needs in (("kd", (units["teacher"],)), ("ce", ())):
            arm = f"{kind}-{seed}"
            units[arm] = unit(arm, settings.student_layers, "line", FIRST_STUDENT_SEED + seed, needs)
    return units


def _image_units(settings: DeviceImagesSettings, arm: str, model: Unit, shared: Mapping[str, Any]) -> list[Unit]:
    """Of one model a unit for each block of images."""
    ends = [*range(0, settings.n_images, settings.block), settings.n_images]
    return [
        Unit(
            f"images/{arm}/{start:04d}",
            measure_images,
            {**shared, "model": _file(arm), "start": start, "stop": stop},
            needs=(model,),
        )
        for start, stop in pairwise(ends)
    ]


def train_image_model(
    *, data: dict, n_images: int, network: dict, trainer: dict, teacher: str | None, model: str, directory: Path
) -> dict[str, Any]:
    """Train one model and store it; its exact outputs for the test images, with their labels."""
    train, test, _ = load_data(data)
    logits = None if teacher is None else load_model(directory / teacher).outputs(train.inputs)
    trained = fit_and_save(QNN(**network), trainer, train, directory / model, teacher=logits)
    return {
        "labels": test.labels[:n_images].tolist(),
        "outputs": trained.outputs(test.inputs[:n_images]).tolist(),
        "test_accuracy": trained.score(*test),
    }


def price_images(
    *, data: dict, n_images: int, backend: str, shots: int, model: str, directory: Path
) -> dict[str, float]:
    """QPU seconds for all images, and two-qubit gates of a circuit."""
    trained = load_model(directory / model)
    cost = plan(trained, _inputs(data, n_images)[:1], _spec(backend, shots)).cost
    seconds = SECONDS_PER_JOB + n_images * (cost.qpu_seconds - SECONDS_PER_JOB)
    return {"qpu_seconds": seconds, "two_qubit_gates": cost.two_qubit_gates}


def measure_images(
    *, data: dict, n_images: int, backend: str, shots: int, model: str, start: int, stop: int, directory: Path
) -> dict[str, list[Output]]:
    """Outputs of one model for some of the images."""
    trained = load_model(directory / model)
    outputs = trained.outputs(_inputs(data, n_images)[start:stop], _spec(backend, shots, seed=start))
    return {"outputs": outputs.tolist()}


def _kind(arm: str) -> str:
    """Without the number of the student."""
    return arm.split("-")[0]


def _file(arm: str) -> str:
    return f"models/{arm}.safetensors"


def _inputs(data: dict, n_images: int) -> np.ndarray:
    return load_data(data)[1].inputs[:n_images]


def _spec(backend: str, shots: int, seed: int | None = None) -> DeviceSpec:
    return DeviceSpec(name="images", plugin="qkd.ibm", shots=shots, seed=seed, options={"backend": backend})


def _summarise(
    settings: DeviceImagesSettings, exact: Mapping[str, Any], measured: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    labels = np.array(exact["teacher"]["labels"])
    known = {arm: np.array(each["outputs"]) for arm, each in exact.items()}

    def right(outputs: np.ndarray) -> np.ndarray:
        return np.asarray(outputs.argmax(axis=1) == labels, dtype=float)

    correct: dict[str, dict[str, np.ndarray]] = {"exact": {arm: right(each) for arm, each in known.items()}}
    correct["raw"] = {arm: right(each) for arm, each in measured.items()}
    correct["calibrated"], signal = {}, {}
    for arm, outputs in measured.items():
        sample = spread_out(known[arm], settings.calibration)
        corrected, _ = calibrated_outputs(known[arm][sample], outputs, sample, settings.shots, settings.backend)
        correct["calibrated"][arm] = right(corrected)
        signal[arm] = float(np.mean([np.polyfit(x, y, 1)[0] for x, y in zip(known[arm].T, outputs.T, strict=True)]))
    return {
        "accuracy": {mode: compared(_by_arm(each), _PAIRS) for mode, each in correct.items()},
        "signal": _mean_by_arm(signal),
        "test_accuracy": _mean_by_arm({arm: each["test_accuracy"] for arm, each in exact.items()}),
    }


_PAIRS = [("kd", "teacher"), ("kd", "teacher_line"), ("kd", "ce")]


def _by_arm(values: Mapping[str, Sequence[float] | np.ndarray]) -> dict[str, list[float]]:
    """Of each kind of model the mean over its seeds, image by image."""
    kinds = dict.fromkeys(map(_kind, values))
    return {
        kind: np.mean([np.asarray(each) for arm, each in values.items() if _kind(arm) == kind], axis=0).tolist()
        for kind in kinds
    }


def _mean_by_arm(values: Mapping[str, float]) -> dict[str, float]:
    return {kind: float(each[0]) for kind, each in _by_arm({arm: [value] for arm, value in values.items()}).items()}


def device_images_rows(name: str, summary: Mapping[str, Any]) -> list[Row]:
    """Rows for the table of where distillation pays: over images, of one teacher."""
    settings = summary["settings"]
    where = f"MNIST 1/5 on {settings['backend']}, {settings['student_layers']} layers, {settings['shots']} shots"
    deep = f"{settings['teacher_layers']} layers"
    titles = {
        "teacher": f"its teacher, {deep}, ring",
        "teacher_line": f"a teacher of {deep} on a line",
        "ce": SCALED,
    }
    arms = summary["accuracy"]["calibrated"]
    way = "teacher of all labels, all inputs"
    return [accuracy_row(name, where, way, arms, "kd", control, against=against) for control, against in titles.items()]


def format_device_images(summary: Mapping[str, Any]) -> str:
    """The summary as text: mean ± 95 % confidence interval over images."""
    settings = summary["settings"]
    lines = [
        f"{summary['images']} images, {settings['shots']} shots on {settings['backend']}, {summary['seeds']} seeds",
        f"{'':<20}" + "".join(f"{mode:>17}" for mode in summary["accuracy"]) + "   two-qubit gates, slope",
    ]
    for arm in summary["accuracy"]["raw"]:
        cells = "".join(f"{Estimate.from_json(each[arm])!s:>17}" for each in summary["accuracy"].values())
        end = f"   {summary['price'][arm]['two_qubit_gates']}, {summary['signal'][arm]:.2f}" if " " not in arm else ""
        lines.append(f"{arm:<20}{cells}{end}")
    return "\n".join(lines)
