"""The teacher's function: what is stored follows from the models, exactly and on a device, for any data."""

import dataclasses

import numpy as np
import pytest

from qkd_pl.errors import InvalidInputError
from qkd_pl.statistics import paired_difference
from qkd_pl.training.trainer import KDTrainer
from reproduction.function import (
    CALIBRATED,
    EXACT,
    FUNCTION_ARMS,
    RAW,
    FunctionSettings,
    format_function,
    run_function,
)
from reproduction.measures import COVERAGES
from reproduction.pays import function_rows
from reproduction.pays_figures import plot_function
from reproduction.problems import PROBLEMS
from reproduction.results import Results


@pytest.fixture
def file(tmp_path, monkeypatch, rng):
    """A set of one's own, three features and two classes, and a short recipe for it."""
    trainer = {"learning_rate": 0.3, "iterations": 5, "temperature": 0.5}
    recipe = dataclasses.replace(
        PROBLEMS["file"], teacher_layers=2, student_layers=1, trainer=trainer, teacher_iterations=8
    )
    monkeypatch.setitem(PROBLEMS, "file", recipe)
    inputs = rng.normal(size=(60, 3))
    np.savez(tmp_path / "mine.npz", inputs=inputs, labels=(inputs[:, 0] > 0).astype(int))
    return str(tmp_path / "mine.npz")


def test_function(file, tmp_path, monkeypatch):
    settings = FunctionSettings(problem="file", data=file, backend="fake_manila", shots=50_000, candidates=1)
    summary = run_function(settings, 2, Results(tmp_path / "it"))
    raw = [record["result"] for record in Results(tmp_path / "it").records.values()]
    assert list(summary["places"]) == [EXACT, RAW, CALIBRATED]
    for place, found in summary["places"].items():
        for arm in FUNCTION_ARMS:
            assert found["arms"][arm]["r2"]["mean"] == pytest.approx(np.mean([row[place][arm]["r2"] for row in raw]))
            assert len(found["curves"][arm]) == len(COVERAGES)
            assert found["curves"][arm][-1] == pytest.approx(found["arms"][arm]["accuracy"])  # all inputs
        gain = paired_difference(*([row[place][arm]["rank"] for row in raw] for arm in ("pool", "ce")))
        assert found["differences"]["pool"]["rank"] == pytest.approx(gain.to_json())
    for row in raw:
        teacher = {place: row[place]["teacher"] for place in row}
        assert teacher[EXACT]["r2"] == teacher[EXACT]["agreement"] == 1.0
        assert teacher[RAW]["r2"] < teacher[CALIBRATED]["r2"] < 1.0  # noise shrinks outputs, lines undo that
    monkeypatch.setattr(KDTrainer, "fit", lambda *_, **__: pytest.fail("trained again"))
    assert run_function(settings, 2, Results(tmp_path / "it")) == summary
    assert format_function(summary).count("distilled less CE") == 3
    assert len(plot_function(summary).axes) == 3
    rows = function_rows({"it": summary})
    assert {row.where for row in rows} == {
        f"a file, all labels, {place}"
        for place in ("exact", "fake_manila, 50,000 shots", "fake_manila, 50,000 shots, calibrated")
    }
    (risk,) = (row for row in rows if row.measure == "aurc" and row.where.endswith("exact"))
    assert risk.gain.mean == pytest.approx(risk.control.mean - risk.distilled.mean)


def test_without_a_backend_there_is_no_device(file, tmp_path):
    settings = FunctionSettings(problem="file", data=file, candidates=1)
    assert list(run_function(settings, 1, Results(tmp_path / "it"))["places"]) == [EXACT]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"problem": "file"}, "data=None: goes with --problem file"),
        ({"shots": 0}, "shots=0"),
        ({"calibration": 0}, "ca"),
    ],
)
def test_wrong_settings_are_refused(wrong, message):
    with pytest.raises(InvalidInputError, match=message):
        FunctionSettings(**wrong)
