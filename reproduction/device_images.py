"""Images on a device of 27 qubits: a teacher of 15 qubits and ten layers, and students of it, at a few hundred shots.

The images are product states, which every device prepares with single-qubit gates. Every shot is a trajectory of its
own of Aer's noise, by the path that jobs take: too many qubits for exact values under noise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from qkd_pl import Distillation, plan
from qkd_pl.checks import check_count
from qkd_pl.devices.calibration import spread_out
from qkd_pl.devices.spec import DeviceSpec
from qkd_pl.networks.networks import QNN
from qkd_pl.statistics import Estimate
from qkd_pl.storage import write_tensors
from reproduction.arms import FIRST_STUDENT_SEED, load_data
from reproduction.device_models import SECONDS_PER_JOB, calibrated_outputs, stored_models
from reproduction.phase_models import train_model
from reproduction.results import Results
from reproduction.rows import compared
from reproduction.sweep import Unit, run_units

MODES = ("raw", "calibrated")
_KIND = "device-images"
_WEIGHTS = "weights.safetensors"
Output = Annotated[list[float], Field(min_length=2, max_length=2)]


@dataclass(frozen=True, kw_only=True)
class DeviceImagesSettings:
    """MNIST digits 1 and 5 as 15 bits on a simulated device: a deep teacher against shallow students.

    One teacher, and a seed is a pair of students; an image counts once. The models take eight minutes, and the images
    about half an hour on one core, nearly all of it for the teachers. Repeating the command resumes it.

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
    keys = ("n_qubits", "teacher_layers", "student_layers", "iterations", "learning_rate", "logit_scale", "temperature")
    training = {key: plain[key] for key in (*keys, "device")}
    images = {"data": data, "n_images": settings.n_images}
    models = Unit("models", train_image_models, {**images, "training": training, "seeds": seeds}, artifact=_WEIGHTS)
    (exact,) = run_units([models], results, title="models")
    place = {"backend": settings.backend, "shots": settings.shots}
    (price,) = run_units([Unit("prices", price_images, {**images, **place}, needs=(models,))], results, title="prices")
    starts = range(0, settings.n_images, settings.block)
    units = {
        arm: [
            Unit(
                f"{arm}/{start:04d}",
                measure_images,
                {**images, **place, "arm": arm, "start": start, "stop": min(start + settings.block, settings.n_images)},
                needs=(models,),
            )
            for start in starts
        ]
        for arm in exact["outputs"]
    }
    rows = iter(run_units([u for each in units.values() for u in each], results, workers=workers, title="images"))
    measured = {arm: np.concatenate([next(rows)["outputs"] for _ in starts]) for arm in units}
    return {
        "settings": plain,
        "seeds": seeds,
        "images": settings.n_images,
        "price": price,
        **_summarise(settings, exact, measured),
    }


def train_image_models(*, data: dict, n_images: int, training: dict, seeds: int, directory: Path) -> dict[str, Any]:
    """Train teachers and students and store their weights; labels and exact outputs for the test images."""
    train, test, _ = load_data(data)
    common = {key: training[key] for key in ("iterations", "learning_rate", "logit_scale", "device")}
    n_qubits, deep, shallow = (training[key] for key in ("n_qubits", "teacher_layers", "student_layers"))
    models = {
        arm: train_model(QNN(n_qubits, deep, embedding="phase", topology=topology), train, {**common, "seed": 0})
        for arm, topology in (("teacher", "ring"), ("teacher_line", "line"))
    }
    logits = models["teacher"].logits(train.inputs)
    soft = {"loss": Distillation(training["temperature"], standardise=False), "teacher": logits}
    network = QNN(n_qubits, shallow, embedding="phase", topology="line")
    for seed in range(seeds):
        own = {**common, "seed": FIRST_STUDENT_SEED + seed}
        models[f"kd-{seed}"] = train_model(network, train, own, **soft)
        models[f"ce-{seed}"] = train_model(network, train, own)
    write_tensors(directory / _WEIGHTS, _KIND, {arm: model.weights for arm, model in models.items()}, {})
    inputs = test.inputs[:n_images]
    return {
        "labels": test.labels[:n_images].tolist(),
        "outputs": {arm: model.outputs(inputs).tolist() for arm, model in models.items()},
        "test_accuracy": {arm: model.score(*test) for arm, model in models.items()},
    }


def price_images(*, data: dict, n_images: int, backend: str, shots: int, directory: Path) -> dict[str, Any]:
    """Of each structure: QPU seconds for all images, and two-qubit gates."""
    found = {}
    inputs = _inputs(data, n_images)
    for arm, model in stored_models(directory / _WEIGHTS, _KIND, embedding="phase").items():
        if arm.startswith("teacher") or arm.endswith("-0"):  # other seeds are of the same structure
            cost = plan(model, inputs[:1], _spec(backend, shots)).cost
            seconds = SECONDS_PER_JOB + n_images * (cost.qpu_seconds - SECONDS_PER_JOB)
            found[arm.removesuffix("-0")] = {"qpu_seconds": seconds, "two_qubit_gates": cost.two_qubit_gates}
    return found


def measure_images(
    *, data: dict, n_images: int, backend: str, shots: int, arm: str, start: int, stop: int, directory: Path
) -> dict[str, list[Output]]:
    """Outputs of one model for some of the images."""
    model = stored_models(directory / _WEIGHTS, _KIND, embedding="phase")[arm]
    outputs = model.outputs(_inputs(data, n_images)[start:stop], _spec(backend, shots, seed=start))
    return {"outputs": outputs.tolist()}


def _inputs(data: dict, n_images: int) -> np.ndarray:
    return load_data(data)[1].inputs[:n_images]


def _spec(backend: str, shots: int, seed: int | None = None) -> DeviceSpec:
    return DeviceSpec(name="images", plugin="qkd.ibm", shots=shots, seed=seed, options={"backend": backend})


def _summarise(
    settings: DeviceImagesSettings, exact: Mapping[str, Any], measured: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    labels = np.array(exact["labels"])
    known = {arm: np.array(outputs) for arm, outputs in exact["outputs"].items()}

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
        "test_accuracy": _mean_by_arm(exact["test_accuracy"]),
    }


_PAIRS = [("kd", "teacher"), ("kd", "teacher_line"), ("kd", "ce")]


def _by_arm(values: Mapping[str, Sequence[float] | np.ndarray]) -> dict[str, list[float]]:
    """Of each kind of model the mean over its seeds, image by image."""
    kinds = dict.fromkeys(arm.split("-")[0] for arm in values)
    return {
        kind: np.mean([each for arm, each in values.items() if arm.split("-")[0] == kind], axis=0).tolist()
        for kind in kinds
    }


def _mean_by_arm(values: Mapping[str, float]) -> dict[str, float]:
    return {kind: float(each[0]) for kind, each in _by_arm({arm: [value] for arm, value in values.items()}).items()}


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
