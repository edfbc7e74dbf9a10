"""What every experiment shares: students trained in three arms from the same initial weights on the same batches.

The arms are: without a teacher, distilled, and with scaled cross-entropy, the control that shows what a better loss
alone would bring.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from sklearn.pipeline import Pipeline

from qkd_pl.checks import check_count, check_number
from qkd_pl.datasets import Dataset, fit_pipeline, mnist_images, topological_phases
from qkd_pl.networks.models import TrainedQNN
from qkd_pl.networks.networks import QAE, QNN
from qkd_pl.statistics import ARMS
from qkd_pl.training.callbacks import Callback, ProgressBar
from qkd_pl.training.losses import CrossEntropy, Distillation
from qkd_pl.training.schedules import Step
from qkd_pl.training.trainer import KDTrainer
from reproduction.results_schema import Sizes
from reproduction.sweep import Unit

_LONG_SECONDS = 20.0  # a training that takes longer than this shows its own progress
FIRST_STUDENT_SEED = 1000  # so that no student shares its initial weights with a teacher candidate


def check_data(data: Mapping[str, Any]) -> None:
    """Refuse sizes that no data have, before anything is computed.

    Raises:
        InvalidInputError: a size is not a positive whole number, or None for all images.
    """
    for name in ("n_train", "n_test"):
        if data[name] is not None or "digits" not in data:
            check_count(name, data[name])


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


def data_unit(data: Mapping[str, Any], folder: str = "") -> Unit:
    """Computes or downloads data once, before several processes need it."""
    return Unit("data", prepare_data, {"data": data}, folder)


def prepare_data(*, data: dict, directory: Path) -> Sizes:
    """Fill the cache of :func:`load_data` and return the sizes of the data."""
    train, test, _ = load_data(data)
    return {"n_train": len(train.labels), "n_test": len(test.labels)}


def trainer_and_losses(settings: Mapping[str, Any]) -> tuple[KDTrainer, CrossEntropy, Distillation]:
    """An experiment's flat settings as a trainer, and the losses without and with a teacher.

    Args:
        settings: those of :class:`KDTrainer`, with ``lr_step`` and ``lr_decay`` of the learning rate, ``logit_scale``
            of the cross-entropy (1, the paper's, if it is not given), and ``temperature``, ``alpha`` and ``scale_kl``.

    Raises:
        InvalidInputError: a setting is outside its range.
    """
    rest = dict(settings)
    check_number("learning_rate", rest.get("learning_rate", 0.3), 0, above=True)
    rate = (rest.pop("learning_rate", 0.3), rest.pop("lr_decay", 0.9), rest.pop("lr_step", 10))
    scale = {"logit_scale": rest.pop("logit_scale", 1.0)}
    of_teacher = {name: rest.pop(name) for name in ("temperature", "alpha", "scale_kl") if name in rest}
    trainer = KDTrainer(learning_rate=Step(*rate), **rest)
    trainer.check_settings()
    return trainer, CrossEntropy(**scale), Distillation(**of_teacher, **scale, standardise=False)


def fit_and_save(
    network: QNN | QAE,
    trainer: Mapping[str, Any],
    train: Dataset,
    path: Path,
    *,
    teacher: Any = None,
    pipeline: Pipeline | None = None,
    callbacks: Sequence[Callback] = (),
) -> Any:
    """Train from where a killed run left off, and store the model at ``path``.

    The checkpoint stays, so that no training is lost if the unit is killed before its result is stored.

    Returns:
        the model, which takes inputs in the form of its embedding; the stored one takes what ``pipeline`` takes.
    """
    training, hard, soft = trainer_and_losses(trainer)
    loss = None if isinstance(network, QAE) else hard if teacher is None else soft
    model = training.fit(
        network,
        train,
        teacher=teacher,
        loss=loss,
        callbacks=[*callbacks, ProgressBar(path.stem, delay=_LONG_SECONDS)],
        checkpoint=path.parent.parent / _checkpoint_of(path.name),
        checkpoint_every=max(10, training.iterations // 50),
    )
    (model.with_preprocessing(pipeline) if isinstance(model, TrainedQNN) else model).save(path)
    return model


def training_unit(
    name: str,
    function: Callable[..., Mapping[str, Any]],
    arguments: Mapping[str, Any],
    folder: str = "",
    needs: tuple[Unit, ...] = (),
) -> Unit:
    """A unit that calls :func:`fit_and_save` for ``arguments["model"]``."""
    model = arguments["model"]
    return Unit(name, function, arguments, folder, artifact=model, scratch=_checkpoint_of(model), needs=needs)


def _checkpoint_of(model: str) -> str:
    return f"checkpoints/{Path(model).name}"


def student_units(
    function: Callable[..., Mapping[str, Any]],
    students: Mapping[str, Mapping[str, Any]],
    trainer: Mapping[str, Any],
    logit_scale: float,
    seeds: int,
    common: Mapping[str, Any],
    folder: str = "",
    needs: Callable[[str, str], tuple[Unit, ...]] = lambda student, arm: (),
) -> list[Unit]:
    """The units of all students in all arms, in the order of students, arms and seeds.

    Args:
        function: trains one student in one arm; called with ``trainer``, ``distil``, ``model`` and what follows.
        students: name → arguments of that student.
        trainer: settings that all arms share, as :func:`trainer_and_losses` takes them.
        logit_scale: of the control arm; the others have 1.
        seeds: runs per arm.
        common: arguments of all units.
        folder: of the units.
        needs: from student and arm to the units whose artifacts its training reads.
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
        units.append(training_unit(f"students/{name}", function, arguments, folder, needs(student, arm)))
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
