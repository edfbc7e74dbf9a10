"""Table 1 over several data sets.

The seeds of one Table 1 share training states, test states, teacher and autoencoder, so that the interval over them
says nothing about other data. Here every data set has its own, and counts once: by the mean over its seeds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from qkd_pl.statistics import ARMS, Estimate, estimate, format_arms, paired_difference, summarise_arms
from qkd_pl.storage import write_json
from reproduction.table1 import STUDENTS, Table1Settings, run_table1, student_names


def run_over_data_sets(
    settings: Table1Settings, seeds: int, directory: Path, *, data_sets: int, workers: int = 1
) -> dict[str, Any]:
    """Run or resume the experiment and write ``summary.json`` to ``directory``.

    Args:
        settings: of the experiment; the data sets have its ``data_seed`` and the numbers that follow.
        seeds: number of runs of each arm of each student per data set.
        directory: holds a directory for each data set, ``data-00`` and so on, and the summary.
        data_sets: their number.
        workers: number of processes.

    Returns:
        the summary: teachers and autoencoders, and for each student the arms' estimates and paired differences over
        data sets, with that between KD and the teacher.
    """
    parts = []
    for data_seed in range(settings.data_seed, settings.data_seed + data_sets):
        part = directory / f"data-{data_seed:02d}"
        parts.append(run_table1(replace(settings, data_seed=data_seed), seeds, part, workers=workers))
    teachers = [part["teacher"]["test_accuracy"] for part in parts]
    fidelities = [part["autoencoder"]["test_fidelity"] for part in parts]
    summary = {
        "settings": asdict(settings),
        "data_sets": data_sets,
        "seeds": seeds,
        "teacher": {"test_accuracy": estimate(teachers).mean, "over_data_sets": estimate(teachers).to_json()},
        "autoencoder": {"test_fidelity": estimate(fidelities).to_json()},
        "students": {student: _summarise(parts, student, teachers) for student in STUDENTS},
    }
    write_json(directory / "summary.json", summary)
    return summary


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
