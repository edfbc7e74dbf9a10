"""A student from a teacher that runs on a noisy device: does it exceed its teacher?

A teacher of ten layers keeps a few per cent of its signal on a 7-qubit device. Its outputs there, with a finite number
of shots, are all that a student gets: no labels. The student is trained by exact simulation. Beside it stand the noisy
teacher itself, with an affine calibration and with zero-noise extrapolation, students that learn the decisions of the
noisy teacher as hard labels, and a student that has all true labels.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from qkd_pl.checks import check_count
from qkd_pl.datasets import Dataset, topological_phases
from qkd_pl.networks.networks import QNN
from qkd_pl.statistics import Estimate
from qkd_pl.storage import read_tensors, write_tensors
from reproduction.arms import FIRST_STUDENT_SEED
from reproduction.crossings import crossing
from reproduction.extrapolation import folded_expectations
from reproduction.noisy_outputs import accuracy, joint_expectations, mean_over_seeds, noisy_device
from reproduction.noisy_students import ARMS_OF, EXACT_ARMS, TEACHERS, Task, accuracies
from reproduction.phase_models import best_of, train_model
from reproduction.results import Results
from reproduction.rows import Row, accuracy_row, compared
from reproduction.sweep import Unit, run_units

POOLS = tuple(ARMS_OF)
SCALES = (1.0, 2.0, 3.0)  # of the noise, for the extrapolation
_KIND = "noisy-teacher"
_UNBALANCED_SEEDS = 10_000  # so that no pool shares its fields with another
LEVEL = 0.95
#: Differences that are tested.
PAIRS = [
    *(
        (arm, control)
        for arm in ("calibrated", "affine")
        for control in (*TEACHERS, "hard", "hard_calibrated", "labels")
    ),
    ("calibrated", "affine"),
    ("calibrated", "calibrated_few"),
    ("calibrated_few", "hard_calibrated"),
    ("affine", "raw"),
    ("affine", "huber"),
    ("affine", "apart"),
]


@dataclass(frozen=True, kw_only=True)
class NoisyTeacherSettings:
    """A student from the outputs of a teacher on a noisy device, without labels, against the teacher itself.

    Every data set has a teacher of its own and counts once, by the mean over its seeds. The defaults take about ten
    minutes on two cores. Temperature, iterations and the way of calibrating were chosen on the data sets 100 to 107.

    Attributes:
        backend: whose noise the teacher has, as for qkd.noisy; it needs as many qubits as the teacher.
        n_qubits: of teacher and students.
        teacher_layers: layers of the teacher.
        student_layers: layers of the students.
        n_train: unlabelled states that the noisy teacher is asked about.
        n_test: test states.
        data_sets: data sets, whose seeds are data_seed and the numbers that follow.
        data_seed: see data_sets.
        largest_field: h1 of the unbalanced pool is uniform from 0 to this; 1.25 makes 80 % of one class.
        shots: for each state.
        queries: the same shots are also spent on so many queries, each a target of its own.
        teacher_candidates: teachers trained, to choose the best from by training accuracy.
        iterations: of all trainings.
        learning_rate: Adam's step size, in radians.
        temperature: T of the KD loss, and the Huber loss's width.
        logit_scale: of the teacher and of students by cross-entropy.
        device: device on which everything is trained, a name in devices.yaml.
    """

    backend: str = "fake_nairobi"
    n_qubits: int = 7
    teacher_layers: int = 10
    student_layers: int = 1
    n_train: int = 500
    n_test: int = 500
    data_sets: int = 10
    data_seed: int = 0
    largest_field: float = 1.25
    shots: tuple[int, ...] = (1024, 4096, 16384, 65536)
    queries: int = 4
    teacher_candidates: int = 5
    iterations: int = 150
    learning_rate: float = 0.3
    temperature: float = 0.5
    logit_scale: float = 30.0
    device: str = "lightning"

    def __post_init__(self) -> None:
        for name in ("data_sets", "n_train", "n_test", "queries", "teacher_candidates"):
            check_count(name, getattr(self, name))
        for layers in (self.teacher_layers, self.student_layers):
            QNN(self.n_qubits, layers)


def run_noisy_teacher(
    settings: NoisyTeacherSettings, seeds: int, results: Results, *, workers: int = 1
) -> dict[str, Any]:
    """Run or resume the experiment.

    Returns:
        the summary: the teacher, and for each pool of states and number of shots the test accuracies of all arms over
        data sets with their paired differences, and the shots at which each reaches 0.95.
    """
    plain = asdict(settings)
    numbers = range(settings.data_seed, settings.data_seed + settings.data_sets)
    keys = ("backend", "n_qubits", "teacher_layers", "n_train", "n_test", "largest_field", "teacher_candidates")
    training = {key: plain[key] for key in ("iterations", "learning_rate", "logit_scale", "device")}
    shared = {**{key: plain[key] for key in keys}, "training": training}
    teachers = [_teacher_unit(number, shared) for number in numbers]
    measured = run_units(teachers, results, workers=workers, title="noisy teachers")
    of_students = {key: plain[key] for key in ("student_layers", "shots", "queries", "temperature")}
    units = [
        Unit(
            f"students/{number:02d}-{seed:02d}",
            train_students,
            {**shared, **of_students, "data_seed": number, "seed": seed},
            needs=(teacher,),
        )
        for number, teacher in zip(numbers, teachers, strict=True)
        for seed in range(seeds)
    ]
    rows = iter(run_units(units, results, workers=workers, title="students"))
    means = [mean_over_seeds([next(rows) for _ in range(seeds)]) for _ in numbers]
    pools = {pool: _by_shots(settings, means, pool) for pool in POOLS}
    return {
        "settings": plain,
        "seeds": seeds,
        "data_sets": settings.data_sets,
        "teacher": compared({key: [each[key] for each in measured] for key in measured[0]}, []),
        "pools": pools,
        "shots_for": {
            pool: {arm: shots_for(pools[pool], arm) for arm in (*TEACHERS, *ARMS_OF[pool])} for pool in POOLS
        },
    }


def measure_teacher(
    *,
    data_seed: int,
    backend: str,
    n_qubits: int,
    teacher_layers: int,
    n_train: int,
    n_test: int,
    largest_field: float,
    teacher_candidates: int,
    training: dict,
    tensors: str,
    directory: Path,
) -> dict[str, float]:
    """Train the teacher of one data set, and store its exact outputs under noise, for all pools and the test states."""
    pools, test = load_pools(data_seed, n_qubits, n_train, n_test, largest_field)
    train = pools["balanced"]
    network = QNN(n_qubits, teacher_layers)
    teacher = best_of(network, train, training, teacher_candidates)
    states = [train.inputs, pools["unbalanced"].inputs, test.inputs]
    noisy = noisy_device(backend)
    exact = teacher.logits(train.inputs)
    found = joint_expectations(teacher, np.concatenate(states), noisy)
    ends = np.cumsum([len(each) for each in states])[:-1]
    balanced, unbalanced, tested = np.split(found, ends)
    write_tensors(
        directory / tensors,
        _KIND,
        {
            "exact_balanced": exact,
            "exact_unbalanced": teacher.logits(pools["unbalanced"].inputs),
            "balanced": balanced,
            "unbalanced": unbalanced,
            "test": tested,
            "folded": folded_expectations(teacher, test.inputs, noisy, SCALES),
        },
        {"data_seed": data_seed},
    )
    spread = balanced[:, :2].std(axis=0) / exact.std(axis=0)
    return {
        "train_accuracy": teacher.score(*train),
        "test_accuracy": teacher.score(*test),
        "noisy_accuracy": accuracy(tested[:, :2], test.labels),
        "signal": float(spread.mean()),
    }


def train_students(
    *,
    data_seed: int,
    seed: int,
    backend: str,
    n_qubits: int,
    teacher_layers: int,
    n_train: int,
    n_test: int,
    largest_field: float,
    teacher_candidates: int,
    training: dict,
    student_layers: int,
    shots: list[int],
    queries: int,
    temperature: float,
    directory: Path,
) -> dict[str, float]:
    """All students of one data set and seed: test accuracies by ``pool/shots/arm``."""
    pools, test = load_pools(data_seed, n_qubits, n_train, n_test, largest_field)
    stored, _ = read_tensors(directory / tensors_of(data_seed), _KIND)
    network = QNN(n_qubits, student_layers)
    found: dict[str, float] = {}
    for index, pool in enumerate(POOLS):
        generator = np.random.default_rng([data_seed, seed, index])
        task = Task(
            train=pools[pool],
            test=test,
            noisy=stored[pool],
            tested=stored["test"],
            folded=stored["folded"],
            scales=SCALES,
            exact=stored[f"exact_{pool}"],
            line=(stored["exact_balanced"], stored["balanced"][:, :2]),
            queries=queries,
            temperature=temperature,
            logit_scale=training["logit_scale"],
            fit=lambda train, **more: train_model(
                network, train, {**training, "seed": FIRST_STUDENT_SEED + seed}, **more
            ),
        )
        for count in shots:
            by_arm = accuracies(task, count, ARMS_OF[pool], generator)
            found |= {f"{pool}/{count}/{arm}": value for arm, value in by_arm.items()}
        found |= {f"{pool}/{arm}": task.score(**EXACT_ARMS[arm](task)) for arm in EXACT_ARMS}
    return found


def load_pools(
    data_seed: int, n_qubits: int, n_train: int, n_test: int, largest_field: float
) -> tuple[dict[str, Dataset], Dataset]:
    """The states that the teacher is asked about, by pool, and the test states, of which half are in either phase."""
    balanced, test = topological_phases(n_qubits, n_train, n_test, data_seed, progress=False)
    seed = _UNBALANCED_SEEDS + data_seed
    unbalanced, _ = topological_phases(n_qubits, n_train, 0, seed, h1=(0.0, largest_field), progress=False)
    return {"balanced": balanced, "unbalanced": unbalanced}, test


def tensors_of(data_seed: int) -> str:
    """File with the outputs of the teacher of a data set."""
    return f"noisy/{data_seed:02d}.safetensors"


def shots_for(by_shots: Mapping[str, Mapping[str, Any]], arm: str) -> dict[str, float | None]:
    """Shots of the teacher at which an arm reaches 0.95, see :func:`reproduction.crossings.crossing`."""
    return crossing(LEVEL, {int(count): Estimate.from_json(arms[arm]) for count, arms in by_shots.items()})


def noisy_teacher_rows(name: str, summary: Mapping[str, Any]) -> list[Row]:
    """Rows for the table of where distillation pays, at 4,096 and 16,384 shots of the teacher."""
    rows = []
    titles = {
        "teacher_calibrated": "the noisy teacher, calibrated",
        "hard_calibrated": "scaled cross-entropy on its decisions",
        "labels": "scaled cross-entropy on all true labels",
    }
    way = "outputs of the noisy teacher, calibrated"
    for shots, pool in product((4096, 16384), POOLS):
        where = f"noisy teacher, {pool} states, {shots:,} shots"
        rows += [
            accuracy_row(
                name,
                where,
                way,
                summary["pools"][pool][str(shots)],
                "calibrated",
                control,
                against=against,
                is_drawn=shots == 4096,
            )
            for control, against in titles.items()
        ]
    return rows


def format_noisy_teacher(summary: Mapping[str, Any]) -> str:
    """The summary as text: mean ± 95 % confidence interval over data sets."""
    settings = summary["settings"]
    teacher = {key: str(Estimate.from_json(value)) for key, value in summary["teacher"].items()}
    lines = [
        f"{summary['data_sets']} data sets × {summary['seeds']} seeds; teacher, {settings['teacher_layers']} layers: "
        f"exact {teacher['test_accuracy']}, on {settings['backend']} without shot noise {teacher['noisy_accuracy']}, "
        f"which keeps {teacher['signal']} of the signal"
    ]
    for pool, by_shots in summary["pools"].items():
        counts = sorted(by_shots, key=int)
        lines += ["", f"{f'test accuracy, {pool} states, shots':<40}" + "".join(f"{count:>17}" for count in counts)]
        for arm in by_shots[counts[0]]:
            cells = "".join(f"{Estimate.from_json(by_shots[count][arm])!s:>17}" for count in counts)
            reached = summary["shots_for"][pool].get(arm, {}).get("mean")
            lines.append(f"{arm:<40}{cells}" + ("" if reached is None else f"   {LEVEL} at {reached:,.0f}"))
    return "\n".join(lines)


def _teacher_unit(data_seed: int, shared: Mapping[str, Any]) -> Unit:
    artifact = tensors_of(data_seed)
    arguments = {**shared, "data_seed": data_seed, "tensors": artifact}
    return Unit(f"teachers/{data_seed:02d}", measure_teacher, arguments, artifact=artifact)


def _by_shots(settings: NoisyTeacherSettings, means: list[dict[str, float]], pool: str) -> dict[str, Any]:
    found = {}
    for count in settings.shots:
        values = {arm: [each[f"{pool}/{count}/{arm}"] for each in means] for arm in (*TEACHERS, *ARMS_OF[pool])}
        values |= {arm: [each[f"{pool}/{arm}"] for each in means] for arm in EXACT_ARMS}
        found[str(count)] = compared(values, [pair for pair in PAIRS if {*pair} <= {*values}])
    return found
