"""Table 1 over several data sets.

The seeds of one Table 1 share training states, test states, teacher and autoencoder, so that the interval over them
says nothing about other data. Here every data set has its own, and counts once: by the mean over its seeds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from qkd_pl.checks import check_count
from qkd_pl.statistics import ARMS, Estimate, estimate, format_arms, paired_difference, summarise_arms
from reproduction.results import Results
from reproduction.table1 import STUDENTS, Table1Settings, run_table1, student_names


@dataclass(frozen=True, kw_only=True)
class DataSetsSettings(Table1Settings):
    """Table 1: fewer qubits behind an autoencoder, and fewer layers, over several data sets.

    Every data set counts once, by the mean over its seeds, so that the intervals are over data, teachers and
    autoencoders. The defaults take three minutes on two cores. The second part of the README's table has
    --iterations 300 --teachers 5 --out results/table1-300-iterations.

    Attributes:
        data_sets: data sets, each with a teacher of its own, whose seeds are data_seed and the numbers that follow.
    """

    data_sets: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("data_sets", self.data_sets)


def run_over_data_sets(settings: DataSetsSettings, seeds: int, results: Results, *, workers: int = 1) -> dict[str, Any]:
    """Run or resume the experiment.

    Args:
        settings: of the experiment.
        seeds: number of runs of each arm of each student per data set.
        results: what has been computed, and what is; that of a data set in a folder of its own, ``data-00`` and so on.
        workers: number of processes.

    Returns:
        the summary: teachers and autoencoders, and for each student the arms' estimates and paired differences over
        data sets, with that between KD and the teacher.
    """
    parts = []
    for data_seed in range(settings.data_seed, settings.data_seed + settings.data_sets):
        part, folder = replace(settings, data_seed=data_seed), f"data-{data_seed:02d}"
        parts.append(run_table1(part, seeds, results, workers=workers, folder=folder))
    teachers = [part["teacher"]["test_accuracy"] for part in parts]
    fidelities = [part["autoencoder"]["test_fidelity"] for part in parts]
    return {
        "settings": asdict(settings),
        "data_sets": settings.data_sets,
        "seeds": seeds,
        "teacher": {"test_accuracy": estimate(teachers).mean, "over_data_sets": estimate(teachers).to_json()},
        "autoencoder": {"test_fidelity": estimate(fidelities).to_json()},
        "students": {student: _summarise(parts, student, teachers) for student in STUDENTS},
    }


def _summarise(parts: Sequence[Mapping[str, Any]], student: str, teachers: Sequence[float]) -> dict[str, Any]:
    means = {arm: [part["students"][student][arm]["mean"] for part in parts] for arm in ARMS}
    return summarise_arms(means) | {"kd - teacher": paired_difference(means["kd"], teachers).to_json()}


def format_data_sets(summary: Mapping[str, Any]) -> str:
    """The summary as text, in the form of the paper's Table 1: test accuracy, mean ± 95 % confidence interval."""
    teacher = Estimate.from_json(summary["teacher"]["over_data_sets"])
    fidelity = Estimate.from_json(summary["autoencoder"]["test_fidelity"])
    runs = f"{summary['data_sets']} data sets × {summary['seeds']} seeds"
    lines = [
        f"{runs}; each data set has its own teacher and autoencoder",
        f"teacher: test accuracy {teacher}; autoencoder: mean test fidelity {fidelity}",
        "",
    ]
    names = student_names(summary["settings"])
    rows = {names[student]: arms for student, arms in summary["students"].items()}
    return "\n".join([*lines, *format_arms("test accuracy over data sets", rows)])
