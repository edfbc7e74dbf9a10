import dataclasses
import shutil

import numpy as np
import pytest

from qkd_pl import load_model
from qkd_pl.datasets import topological_phases
from qkd_pl.errors import InvalidInputError
from qkd_pl.statistics import ARMS, summarise_arms
from reproduction.results import Results
from reproduction.table1 import (
    STUDENTS,
    Table1Settings,
    best_subspace_weight,
    format_table1,
    run_table1,
)

SETTINGS = Table1Settings(
    n_qubits=4,
    n_train=16,
    n_test=12,
    iterations=2,
    teacher_iterations=3,
    teacher_candidates=3,
    teachers=2,
    qae_layers=1,
    qae_iterations=2,
    qae_candidates=2,
    student_layers=1,
    device="lightning",
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    directory = tmp_path_factory.mktemp("table1") / "it"
    return directory, run_table1(SETTINGS, 2, Results(directory))


def test_raw_results_and_models_are_stored(finished):
    directory, _ = finished
    students = {
        f"{student}-{arm}-{seed:02d}" for student in ("few_qubits", "few_layers") for arm in ARMS for seed in (0, 1)
    }
    assert set(Results(directory, is_frozen=True).records) == {
        "prepared",
        *(f"teachers/{seed:02d}" for seed in range(3)),
        *(f"autoencoders/{seed:02d}" for seed in range(2)),
        *(f"students/{name}" for name in students),
    }
    models = {path.stem for path in (directory / "models").iterdir()}
    assert models == students | {"teacher-00", "teacher-01", "teacher-02", "autoencoder-00", "autoencoder-01"}


def test_the_summary_follows_from_the_stored_models(finished):
    """Accuracies, teachers and autoencoder are recomputed from the model files and the data."""
    directory, summary = finished
    train, test = topological_phases(4, 16, 12, 0)
    scores = [load_model(directory / f"models/teacher-{seed:02d}.safetensors").score(*train) for seed in range(3)]
    chosen = summary["teacher"]["chosen"]
    assert min(scores[seed] for seed in chosen) >= max(scores[s] for s in range(3) if s not in chosen)
    teachers = [load_model(directory / f"models/teacher-{seed:02d}.safetensors") for seed in chosen]
    logits = sum(teacher.logits(test.inputs) for teacher in teachers) / 2
    assert summary["teacher"]["test_accuracy"] == np.mean(logits.argmax(axis=1) == test.labels)

    autoencoder = load_model(directory / f"models/autoencoder-{summary['autoencoder']['chosen']:02d}.safetensors")
    assert summary["autoencoder"]["test_fidelity"] == pytest.approx(autoencoder.fidelity(test.inputs).mean(), abs=1e-9)
    for student, inputs in (("few_qubits", autoencoder.compress(test.inputs)), ("few_layers", test.inputs)):
        for arm in ARMS:
            models = [load_model(directory / f"models/{student}-{arm}-{seed:02d}.safetensors") for seed in (0, 1)]
            mean = np.mean([model.score(inputs, test.labels) for model in models])
            assert summary["students"][student][arm]["mean"] == pytest.approx(mean)


def test_arms_differ_in_nothing_but_the_loss(finished):
    directory, _ = finished

    def training(student, arm, seed=0):
        return load_model(directory / f"models/{student}-{arm}-{seed:02d}.safetensors")

    for student in STUDENTS:
        plain, distilled, control = (training(student, arm) for arm in ARMS)
        shared = [name for name in plain.training if name not in ("loss", "logit_scale")]
        for other in (distilled, control):
            assert {name: other.training[name] for name in shared} == {name: plain.training[name] for name in shared}
        assert distilled.training["loss"]["type"] == "Distillation"
        assert [each.training["loss"]["logit_scale"] for each in (plain, control)] == [1.0, SETTINGS.logit_scale]
        assert plain.history[0]["loss"] != distilled.history[0]["loss"]
        assert not np.array_equal(plain.weights, distilled.weights)
        assert not np.array_equal(plain.weights, control.weights)


def clone(directory, tmp_path):
    """The results without any model."""
    shutil.copy(directory.with_name("it.jsonl"), tmp_path / "it.jsonl")
    return tmp_path / "it"


def test_a_finished_experiment_is_not_computed_again(finished, tmp_path, monkeypatch):
    directory, summary = finished
    monkeypatch.setattr("qkd_pl.training.trainer.KDTrainer.fit", lambda *_, **__: pytest.fail("trained again"))
    for place in (directory, clone(directory, tmp_path)):
        assert run_table1(SETTINGS, 2, Results(place)) == summary
    assert not (tmp_path / "it").exists()


def test_one_more_seed_without_models_trains_what_it_needs_alone(finished, tmp_path):
    """Of three teachers and two autoencoders the chosen ones, and the students of the new seed."""
    directory, summary = finished
    place = clone(directory, tmp_path)
    run_table1(SETTINGS, 3, Results(place))
    models = {path.stem for path in (place / "models").iterdir()}
    chosen, qae = summary["teacher"]["chosen"], summary["autoencoder"]["chosen"]
    teachers = {f"teacher-{seed:02d}" for seed in chosen} | {f"autoencoder-{qae:02d}"}
    assert models == teachers | {f"{student}-{arm}-02" for student in STUDENTS for arm in ARMS}
    for name in teachers:
        first, again = (load_model(out / f"models/{name}.safetensors").weights for out in (directory, place))
        np.testing.assert_array_equal(first, again)
    old, new = (Results(out, is_frozen=True).records for out in (directory, place))
    assert {key: new[key] for key in old} == old
    assert run_table1(SETTINGS, 2, Results(place)) == summary


@pytest.mark.parametrize(
    "change", [{"learning_rate": 0.1}, {"n_train": 17}, {"qae_iterations": 3}, {"device": "default"}]
)
def test_a_directory_of_other_settings_is_refused(finished, change):
    with pytest.raises(InvalidInputError, match="other settings"):
        run_table1(dataclasses.replace(SETTINGS, **change), 2, Results(finished[0]))


def test_the_table_has_a_row_for_each_student(finished):
    table = format_table1(finished[1])
    assert "teacher, 4 qubits × 2 layers: test accuracy" in table
    assert "(2 of 3)" in table
    assert "autoencoder, 4 → 2 qubits: mean test fidelity" in table
    header, first, second = table.splitlines()[-3:]
    assert header.split("  ")[0] == "test accuracy, 2 seeds"
    assert [column in header for column in ("no KD", "KD", "scaled CE", "KD − no KD", "KD − scaled CE")] == [True] * 5
    assert first.startswith("student (1), 2 qubits × 1 layers, QAE")
    assert second.startswith("student (2), 4 qubits × 1 layers")
    assert first.count("±") == second.count("±") == 5


def test_differences_are_paired():
    arms = summarise_arms({"no_kd": [0.5, 0.7, 0.9], "kd": [0.6, 0.8, 1.001], "control": [0.6, 0.7, 1.1]})
    assert arms["kd - no_kd"]["mean"] == pytest.approx(0.1, abs=1e-3)
    assert arms["kd - no_kd"]["high"] - arms["kd - no_kd"]["low"] < 0.004
    assert arms["kd - control"]["mean"] == pytest.approx(0.0, abs=1e-3)
    assert arms["control"]["mean"] == pytest.approx(0.8)


def test_no_autoencoder_beats_the_best_subspace(finished):
    directory, summary = finished
    assert summary["autoencoder"]["test_fidelity"] <= 1.0
    model = load_model(directory / "models/autoencoder-00.safetensors")
    for split in topological_phases(4, 16, 12, 0):
        assert model.fidelity(split.inputs).mean() <= best_subspace_weight(split.inputs, 4) + 1e-12


def test_the_best_subspace_holds_more_than_any_other(rng):
    basis = np.linalg.qr(rng.normal(size=(8, 3)))[0]
    states = rng.normal(size=(20, 3)) @ basis.T
    states /= np.linalg.norm(states, axis=1, keepdims=True)
    assert best_subspace_weight(states, 3) == pytest.approx(1.0)
    best = best_subspace_weight(states, 2)
    assert best < 0.999
    for _ in range(50):
        other = basis @ np.linalg.qr(rng.normal(size=(3, 2)))[0]
        assert (np.abs(states @ other) ** 2).sum(axis=1).mean() <= best + 1e-12


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"n_qubits": 4, "student_qubits": 4}, "n_latent=4"),
        ({"student_layers": 0}, "n_layers=0"),
        ({"temperature": 0.0}, "temperature=0.0"),
        ({"teachers": 3, "teacher_candidates": 2}, "teachers=3: must be 1 to 2"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_trained(setting, message):
    with pytest.raises(InvalidInputError, match=message):
        Table1Settings(**setting)
