"""What every experiment shares: students trained in three arms from the same initial weights on the same batches.

The arms are: without a teacher, distilled, and with scaled cross-entropy, the control that shows what a better loss
alone would bring.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from sklearn.pipeline import Pipeline

from qkd_pl.architectures import QAE, QNN
from qkd_pl.callbacks import Callback, ProgressBar
from qkd_pl.datasets import Dataset, fit_pipeline, mnist_images, topological_phases
from qkd_pl.experiments.statistics import Estimate, estimate, paired_difference
from qkd_pl.experiments.sweep import Unit
from qkd_pl.models import TrainedQAE, TrainedQNN
from qkd_pl.trainer import KDTrainer

ARMS = ("no_kd", "kd", "control")
COLUMNS = {
    "no_kd": "no KD",
    "kd": "KD",
    "control": "scaled CE",
    "kd - no_kd": "KD − no KD",
    "kd - control": "KD − scaled CE",
}
_LONG_SECONDS = 20.0  # a training that takes longer than this shows its own progress
FIRST_STUDENT_SEED = 1000  # so that no student shares its initial weights with a teacher candidate


def load_data(data: Mapping[str, Any]) -> tuple[Dataset, Dataset, Pipeline | None]:
    """Training and test data of an experiment, and the preprocessing that its models take along.

    Args:
        data: JSON-able description, part of every unit's arguments: of MNIST if it has ``digits``, else of ground
            states.
    """
    if "digits" not in data:
        sizes = (data[key] for key in ("n_qubits", "n_train", "n_test", "data_seed"))
        train, test = topological_phases(*sizes)
        return train, test, None
    train, test = mnist_images(data["digits"], n_train=data["n_train"], n_test=data["n_test"])
    pipeline = fit_pipeline(train.inputs, data["embedding"], data["n_components"])
    train, test = (split._replace(inputs=pipeline.transform(split.inputs)) for split in (train, test))
    return train, test, pipeline


def prepare_data(*, data: dict, directory: Path) -> dict[str, int]:
    """Compute or download data once, before several processes need it."""
    train, test, _ = load_data(data)
    return {"n_train": len(train.labels), "n_test": len(test.labels)}


def fit_and_save(
    architecture: QNN | QAE,
    trainer: Mapping[str, Any],
    train: Dataset,
    path: Path,
    *,
    teacher: Any = None,
    pipeline: Pipeline | None = None,
    callbacks: Sequence[Callback] = (),
) -> TrainedQNN | TrainedQAE:
    """Train from where a killed run left off, and store the model at ``path``.

    The checkpoint stays, so that no training is lost if the unit is killed before its result is stored.

    Returns:
        the model, which takes inputs in the form of its embedding; the stored one takes what ``pipeline`` takes.
    """
    training = KDTrainer(**trainer)
    model = training.fit(
        architecture,
        train,
        teacher=teacher,
        callbacks=[*callbacks, ProgressBar(path.stem, delay=_LONG_SECONDS)],
        checkpoint=path.parent.parent / _checkpoint_of(path.name),
        checkpoint_every=max(10, training.iterations // 50),
    )
    (model.with_preprocessing(pipeline) if isinstance(model, TrainedQNN) else model).save(path)
    return model


def training_unit(
    name: str, function: Callable[..., dict[str, Any]], arguments: Mapping[str, Any], *, needs_model: bool = False
) -> Unit:
    """A unit that calls :func:`fit_and_save` for ``arguments["model"]``; ``needs_model``: others read that file."""
    model = arguments["model"]
    return Unit(name, function, arguments, model if needs_model else None, _checkpoint_of(model))


def _checkpoint_of(model: str) -> str:
    return f"checkpoints/{Path(model).name}"


def student_units(
    function: Callable[..., dict[str, Any]],
    students: Mapping[str, Mapping[str, Any]],
    trainer: Mapping[str, Any],
    logit_scale: float,
    seeds: int,
    common: Mapping[str, Any],
) -> list[Unit]:
    """The units of all students in all arms, in the order of students, arms and seeds.

    Args:
        function: trains one student in one arm; called with ``trainer``, ``distil``, ``model`` and what follows.
        students: name → arguments of that student.
        trainer: settings of :class:`KDTrainer` that all arms share.
        logit_scale: of the control arm; the others have 1.
        seeds: runs per arm.
        common: arguments of all units.
    """
    units = []
    for student, arm, seed in product(students, ARMS, range(seeds)):
        name = f"{student}-{arm}-{seed:02d}"
        arguments = {
            **students[student],
            **common,
            "trainer": {
                **trainer,
                "logit_scale": logit_scale if arm == "control" else 1.0,
                "seed": FIRST_STUDENT_SEED + seed,
            },
            "distil": arm == "kd",
            "model": f"models/{name}.safetensors",
        }
        units.append(training_unit(f"students/{name}", function, arguments))
    return units


def by_student_and_arm(
    results: Sequence[dict[str, Any]], students: Sequence[str], seeds: int
) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Results in the order of :func:`student_units` as student → arm → one result per seed."""
    rows = iter(results)
    return {student: {arm: [next(rows) for _ in range(seeds)] for arm in ARMS} for student in students}


def values_of(runs: Mapping[str, Sequence[Mapping[str, Any]]], key: str) -> dict[str, list[float]]:
    """One value of the results of each arm."""
    return {arm: [run[key] for run in results] for arm, results in runs.items()}


def summarise_arms(accuracies: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Estimates of the arms ``no_kd``, ``kd`` and ``control``, and what distillation gains over the other two."""
    comparisons = {arm: estimate(accuracies[arm]) for arm in ARMS}
    for other in ("no_kd", "control"):
        comparisons[f"kd - {other}"] = paired_difference(accuracies["kd"], accuracies[other])
    return {name: value.to_json() for name, value in comparisons.items()}


def format_arms(title: str, rows: Mapping[str, Mapping[str, Any]], width: int = 40) -> list[str]:
    """A table of what :func:`summarise_arms` returned, one line per row: mean ± 95 % confidence interval."""
    lines = [f"{title:<{width}}" + "".join(f"{column:>17}" for column in COLUMNS.values())]
    for name, arms in rows.items():
        cells = "".join(f"{Estimate.from_json(arms[column])!s:>17}" for column in COLUMNS)
        lines.append(f"{name:<{width}}{cells}")
    return lines
