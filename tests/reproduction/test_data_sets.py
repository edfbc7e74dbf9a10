from dataclasses import replace

import numpy as np
import pytest

from qkd_pl.statistics import ARMS, estimate
from reproduction.data_sets import DataSetsSettings, format_data_sets, run_over_data_sets
from reproduction.results import Results
from reproduction.table1 import STUDENTS, run_table1

SETTINGS = DataSetsSettings(
    data_sets=3,
    n_qubits=4,
    n_train=16,
    n_test=12,
    data_seed=3,
    iterations=2,
    teacher_iterations=2,
    teacher_candidates=2,
    qae_layers=1,
    qae_iterations=2,
    qae_candidates=1,
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    directory = tmp_path_factory.mktemp("table1")
    return directory, run_over_data_sets(SETTINGS, 2, Results(directory))


def test_every_data_set_is_a_table_1_of_its_own(finished, tmp_path):
    directory, _ = finished
    assert sorted(path.name for path in directory.iterdir() if path.is_dir()) == [
        *("data-03", "data-04", "data-05", "finished")
    ]
    alone = Results(tmp_path / "alone")
    run_table1(replace(SETTINGS, data_seed=4), 2, alone)
    together = Results(directory).records
    assert len(together) == 3 * len(alone.records)
    for key, record in alone.records.items():
        assert together[f"data-04/{key}"]["result"] == record["result"]


def test_a_data_set_counts_once(finished):
    """Means, intervals and p-values from the raw results: per data set the mean over seeds, then over data sets."""
    directory, summary = finished
    raw = {key: record["result"] for key, record in Results(directory).records.items()}
    teachers = [raw[f"data-{d:02d}/prepared"]["teacher_test_accuracy"] for d in (3, 4, 5)]
    assert summary["teacher"]["test_accuracy"] == pytest.approx(np.mean(teachers))
    for student in STUDENTS:
        means = {
            arm: [
                np.mean([raw[f"data-{d:02d}/students/{student}-{arm}-{seed:02d}"]["test_accuracy"] for seed in (0, 1)])
                for d in (3, 4, 5)
            ]
            for arm in ARMS
        }
        arms = summary["students"][student]
        for arm in ARMS:
            assert arms[arm] == pytest.approx(estimate(means[arm]).to_json())
        for other, values in {**means, "teacher": teachers}.items():
            if other != "kd":
                assert arms[f"kd - {other}"]["n"] == 3
                assert arms[f"kd - {other}"]["mean"] == pytest.approx(np.mean(means["kd"]) - np.mean(values))


def test_the_table_has_a_row_for_each_student(finished):
    table = format_data_sets(finished[1])
    assert table.startswith("3 data sets × 2 seeds; each data set has its own teacher and autoencoder\nteacher: test")
    header, first, second = table.splitlines()[-3:]
    assert header.startswith("test accuracy over data sets")
    assert first.startswith("student (1), 2 qubits × 2 layers, QAE")
    assert second.startswith("student (2), 4 qubits × 1 layers")
