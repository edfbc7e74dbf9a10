import json

import numpy as np
import pytest

from qkd_pl import QNN, CrossEntropy, KDTrainer, load_model
from qkd_pl.datasets.image_pipeline import image_pipeline
from qkd_pl.statistics import ARMS, format_arms, summarise_arms
from reproduction.arms import (
    FIRST_STUDENT_SEED,
    by_student_and_arm,
    fit_and_save,
    load_data,
    student_units,
    training_unit,
    values_of,
)


def train(**arguments):
    return arguments


@pytest.fixture
def units():
    students = {"a": {"size": 1}, "b": {"size": 2}}
    return student_units(train, students, {"iterations": 7}, 30.0, 2, {"source": {"data": 1}})


def test_arms_of_a_seed_differ_in_teacher_and_logit_scale_alone(units):
    assert [unit.name for unit in units[:6]] == [f"students/a-{arm}-0{seed}" for arm in ARMS for seed in (0, 1)]
    for seed in (0, 1):
        plain, distilled, control = (dict(units[2 * arm + seed].arguments) for arm in range(3))
        assert plain["trainer"] == {"iterations": 7, "logit_scale": 1.0, "seed": FIRST_STUDENT_SEED + seed}
        assert distilled["trainer"] == plain["trainer"]
        assert control["trainer"] == {**plain["trainer"], "logit_scale": 30.0}
        assert [arm["distil"] for arm in (plain, distilled, control)] == [False, True, False]
        for arm in (plain, distilled, control):
            assert (arm["size"], arm["source"]) == (1, {"data": 1})


def test_a_unit_names_its_model_and_its_checkpoint():
    unit = training_unit("teachers/1", train, {"model": "models/t.safetensors"}, "part")
    assert (unit.key, unit.artifact, unit.scratch) == (
        *("part/teachers/1", "models/t.safetensors", "checkpoints/t.safetensors"),
    )


def test_students_need_what_their_arm_reads():
    teacher = training_unit("teachers/1", train, {"model": "models/t.safetensors"})
    needs = lambda student, arm: (teacher,) if (student, arm) == ("a", "kd") else ()  # noqa: E731
    made = student_units(train, {"a": {}, "b": {}}, {}, 1.0, 2, {}, needs=needs)
    assert [unit.name for unit in made if unit.needs == (teacher,)] == ["students/a-kd-00", "students/a-kd-01"]


def test_models_have_names_of_their_own(units):
    assert len({unit.arguments["model"] for unit in units}) == len({unit.name for unit in units}) == 12
    assert json.loads(json.dumps([dict(unit.arguments) for unit in units]))[0]["size"] == 1


def test_results_are_sorted_by_student_and_arm(units):
    results = [{"name": unit.name} for unit in units]
    sorted_results = by_student_and_arm(results, ["a", "b"], 2)
    assert values_of(sorted_results["b"], "name")["control"] == ["students/b-control-00", "students/b-control-01"]


def test_a_table_has_a_row_for_each_student():
    arms = summarise_arms({"no_kd": [0.5, 0.7], "kd": [0.6, 0.9], "control": [0.6, 0.9]})
    header, row = format_arms("accuracy", {"first": arms}, width=10)
    columns = ("no KD", "KD", "scaled CE", "KD − no KD", "KD − scaled CE")
    assert header.split() == " ".join(("accuracy", *columns)).split()
    assert row.split()[0] == "first"
    assert row.count("±") == 5
    assert row.split()[-3] == "0.000"


def test_ground_states_have_no_preprocessing():
    train_set, test_set, pipeline = load_data({"n_qubits": 3, "n_train": 4, "n_test": 2, "data_seed": 0})
    assert (train_set.inputs.shape, test_set.inputs.shape, pipeline) == ((4, 8), (2, 8), None)


def test_the_stored_model_takes_images_and_the_returned_one_bits(tmp_path, rng):
    images = rng.integers(0, 256, size=(30, 3, 3)).astype(np.uint8)
    pipeline = image_pipeline("phase", 2).fit(images)
    bits, labels = pipeline.transform(images), rng.integers(0, 2, 30)
    path = tmp_path / "models" / "one.safetensors"
    model = fit_and_save(QNN(2, 1, embedding="phase"), {"iterations": 2}, (bits, labels), path, pipeline=pipeline)
    np.testing.assert_array_equal(load_model(path).logits(images), model.logits(bits))
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["one.safetensors"]


def test_a_killed_training_goes_on_from_its_checkpoint(tmp_path, phases, monkeypatch):
    """Killed after iteration 30 of 40; the rest, and only the rest, is done by the second call."""
    network, trainer, path = QNN(3, 1), {"iterations": 40, "seed": 3}, tmp_path / "models" / "one.safetensors"
    whole = KDTrainer(**trainer).fit(network, phases[0], loss=CrossEntropy(logit_scale=1.0))
    step, done = KDTrainer._step, []

    def killed(self, run, *arguments):
        if run.iteration == 30 and len(done) == 30:
            raise KeyboardInterrupt
        done.append(run.iteration)
        step(self, run, *arguments)

    monkeypatch.setattr(KDTrainer, "_step", killed)
    with pytest.raises(KeyboardInterrupt):
        fit_and_save(network, trainer, phases[0], path)
    done.append(-1)
    resumed = fit_and_save(network, trainer, phases[0], path)
    assert done == [*range(30), -1, *range(30, 40)]
    np.testing.assert_array_equal(resumed.weights, whole.weights)
