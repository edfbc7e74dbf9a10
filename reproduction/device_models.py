"""Models of the experiment on depth: how they are trained, what they cost on a device, and how they do there."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from qkd_pl import Distillation, plan, trained
from qkd_pl.datasets import Dataset, topological_phases
from qkd_pl.devices.calibration import Place, fit_calibration, spread_out
from qkd_pl.devices.spec import DeviceSpec
from qkd_pl.errors import CalibrationError, MisfitWarning
from qkd_pl.networks.models import TrainedQNN
from qkd_pl.networks.networks import QNN
from qkd_pl.storage import read_tensors, write_tensors
from reproduction.arms import FIRST_STUDENT_SEED
from reproduction.noisy_outputs import accuracy, drawn, joint_expectations, noisy_device
from reproduction.phase_models import best_of, train_model

PREPARATIONS = ("ideal", "staircase")
#: What IBM takes for a job besides its executions.
SECONDS_PER_JOB = 2.0
_KIND = "device-depth"
_PRICED_SHOTS = 10_000


def train_models(
    *,
    data: dict,
    teacher_layers: int,
    student_layers: list[int],
    scales: list[float],
    teacher_candidates: int,
    training: dict,
    temperature: float,
    seeds: int,
    weights: str,
    directory: Path,
) -> dict[str, float]:
    """Train the teachers and students of a data set, and store their weights; exact test accuracies by arm.

    Of the seeds of a student the best by training accuracy or, without labels, by agreement with the teacher is kept.
    """
    train, test = _load(data)
    n_qubits = data["n_qubits"]
    models = {
        name: best_of(QNN(n_qubits, teacher_layers, topology=topology), train, training, teacher_candidates)
        for name, topology in (("teacher", "ring"), ("teacher_line", "line"))
    }
    logits = models["teacher"].logits(train.inputs)
    decided = train._replace(labels=logits.argmax(axis=1))
    soft = {"loss": Distillation(temperature, standardise=False), "teacher": logits}

    def best(layers: int, judged: Dataset, scale: float, **more: Any) -> TrainedQNN:
        own = {**training, "logit_scale": scale}
        network = QNN(n_qubits, layers, topology="line")
        found = [
            train_model(network, train, {**own, "seed": FIRST_STUDENT_SEED + seed}, **more) for seed in range(seeds)
        ]
        return max(found, key=lambda model: model.score(*judged))

    for layers in student_layers:
        models[f"{layers}-kd"] = best(layers, decided, training["logit_scale"], **soft)
        models[f"{layers}-ce"] = best(layers, train, training["logit_scale"])
    for scale in scales:
        models[f"1-ce-{scale:g}"] = best(1, train, scale)
    write_tensors(directory / weights, _KIND, {arm: model.weights for arm, model in models.items()}, {})
    return {arm: model.score(*test) for arm, model in models.items()}


def price_models(*, data: dict, weights: str, backend: str, directory: Path) -> dict[str, Any]:
    """Of each structure: QPU seconds for one execution, states prepared by gates, and its two-qubit gates."""
    _, test = _load(data)
    spec = DeviceSpec(
        name="priced",
        plugin="qkd.ibm",
        shots=_PRICED_SHOTS,
        options={"backend": backend, "preparation": "staircase"},
    )
    found: dict[str, Any] = {}
    for arm, model in _models(directory / weights).items():
        if arm.count("-") > 1:
            continue  # another logit scale, the same circuit
        # As it is simulated: with the last entanglers in the circuit.
        cost = plan(model, test.inputs[:1], spec, absorb=False).cost
        found[arm] = {
            "seconds": (cost.qpu_seconds - SECONDS_PER_JOB * cost.jobs) / cost.shots,
            "two_qubit_gates": cost.two_qubit_gates,
        }
    return found


def measure_models(
    *,
    data: dict,
    weights: str,
    backend: str,
    shots: list[int],
    draws: int,
    counted: int,
    counted_layers: int,
    calibration: int,
    directory: Path,
) -> dict[str, float]:
    """Test accuracies on one backend by ``preparation/arm/shots/mode``, and how often a calibration was refused."""
    _, test = _load(data)
    found: dict[str, float] = {}
    for arm, model in _models(directory / weights).items():
        exact = model.outputs(test.inputs)
        layers = len(model.weights) - 1  # blocks of rotations less the closing one
        for index, preparation in enumerate(PREPARATIONS):
            is_counted = preparation == "ideal" or _is_counted(arm, layers, counted_layers)
            if not is_counted:
                continue
            n_states = len(exact) if preparation == "ideal" else counted
            joint = joint_expectations(model, test.inputs[:n_states], noisy_device(backend, preparation))
            labels = test.labels[:n_states]
            found[f"{preparation}/{arm}/exact/raw"] = accuracy(joint[:, :2], labels)
            generator = np.random.default_rng([data["data_seed"], index, *arm.encode()])
            for count in shots:
                outputs = [drawn(joint, count, generator) for _ in range(draws)]
                scores = _scores(outputs, exact[:n_states], labels, calibration, count, backend)
                found |= {f"{preparation}/{arm}/{count}/{mode}": value for mode, value in scores.items()}
    return found


def _is_counted(arm: str, layers: int, counted_layers: int) -> bool:
    """Whether a noisy preparation is simulated too: for the teachers, and shallow students at the one scale."""
    return arm.startswith("teacher") or (arm.count("-") == 1 and layers <= counted_layers)


def _scores(
    outputs: list[np.ndarray], exact: np.ndarray, labels: np.ndarray, calibration: int, shots: int, backend: str
) -> dict[str, float]:
    """Mean accuracies with and without calibration, and the share of calibrations that were refused."""
    sample = spread_out(exact, calibration)
    corrected = [calibrated_outputs(exact[sample], each, sample, shots, backend) for each in outputs]
    return {
        "raw": float(np.mean([accuracy(each, labels) for each in outputs])),
        "calibrated": float(np.mean([accuracy(each, labels) for each, _ in corrected])),
        "refused": float(np.mean([refused for _, refused in corrected])),
    }


def calibrated_outputs(
    exact: np.ndarray, outputs: np.ndarray, sample: np.ndarray, shots: int, backend: str
) -> tuple[np.ndarray, bool]:
    """Outputs corrected as a job corrects itself; as they are, and True, where the device leaves too little signal."""
    place = Place.of(backend, (), ("Z(0)", "Z(1)"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MisfitWarning)
            found = fit_calibration(exact, outputs[sample], place, shots=shots, created="")
    except CalibrationError:
        return outputs, True
    return found.apply(outputs), False


def _load(data: Mapping[str, Any]) -> tuple[Dataset, Dataset]:
    sizes = (data[key] for key in ("n_qubits", "n_train", "n_test", "data_seed"))
    return topological_phases(*sizes, progress=False)


def _models(file: Path) -> dict[str, TrainedQNN]:
    models = {}
    for arm, weights in read_tensors(file, _KIND)[0].items():
        topology = "ring" if arm == "teacher" else "line"
        network = QNN(weights.shape[1], len(weights) - 1, topology=topology)
        models[arm] = trained(network, weights)
    return models
