"""Figures 4 to 6 and the comparison of teachers, on problems of a few qubits."""

import dataclasses
import shutil

import numpy as np
import pytest

from qkd_pl import KDTrainer, load_model
from qkd_pl.datasets import mnist_images, topological_phases
from qkd_pl.errors import InvalidInputError
from qkd_pl.statistics import ARMS
from reproduction.arms import FIRST_STUDENT_SEED
from reproduction.candidates import stored_logits
from reproduction.dark_knowledge import DarkKnowledgeSettings, format_dark_knowledge, run_dark_knowledge
from reproduction.depth import format_depth, run_depth
from reproduction.figure4 import Figure4Settings
from reproduction.figure5 import Figure5Settings
from reproduction.figure6 import Figure6Settings, curves, format_figure6, iterations_to, run_figure6
from reproduction.results import Results

FIGURE4 = Figure4Settings(
    n_qubits=4,
    teacher_layers=1,
    teacher_candidates=2,
    teacher_iterations=2,
    student_layers=(1, 2),
    iterations=3,
    n_train=16,
    n_test=12,
)
FIGURE5 = Figure5Settings(
    n_qubits=3, teacher_layers=1, teacher_iterations=2, student_layers=(2,), iterations=3, n_train=150, n_test=20
)
FIGURE6 = Figure6Settings(
    n_layers=1, digits=(0, 1, 2), epochs=2, n_train=130, n_test=20, evaluations_per_epoch=2, levels=(0.0, 1.1)
)
DARK = DarkKnowledgeSettings(
    problem=Figure4Settings(n_qubits=4, teacher_layers=2, n_train=16, n_test=12, iterations=2, teacher_iterations=2),
    student_layers=1,
    logit_scale=30.0,
    temperatures=(0.1, 1.0),
    scales=(1.0, 10.0),
    teacher_candidates=2,
    ensemble=2,
)


@pytest.fixture(scope="module")
def figure4(tmp_path_factory):
    directory = tmp_path_factory.mktemp("figure4")
    return directory, run_depth(FIGURE4, 2, Results(directory))


@pytest.fixture(scope="module")
def dark(tmp_path_factory):
    directory = tmp_path_factory.mktemp("dark")
    return directory, run_dark_knowledge(DARK, 2, Results(directory))


def no_training(monkeypatch):
    monkeypatch.setattr("qkd_pl.training.trainer.KDTrainer.fit", lambda *_, **__: pytest.fail("trained again"))


def test_the_settings_of_the_paper():
    four, five, six = Figure4Settings(), Figure5Settings(), Figure6Settings()
    assert (four.n_qubits, four.teacher_layers, four.student_layers, four.iterations) == (15, 10, (1, 2, 3), 50)
    assert (five.n_qubits, five.teacher_layers, five.student_layers, five.iterations) == (15, 10, (4, 5, 6, 7, 8), 350)
    assert five.data["digits"] == [1, 5]
    assert (six.n_qubits, six.n_layers, six.epochs, len(six.digits)) == (10, 4, 31, 10)
    assert six.student_trainer["iterations"] == 31 * 937
    assert six.student_trainer["lr_step"] == 937


def test_accuracies_follow_from_the_stored_models(figure4):
    directory, summary = figure4
    train, test = topological_phases(4, 16, 12, 0)
    for layers in (1, 2):
        for arm in ARMS:
            paths = [directory / f"models/{layers:02d}-layers-{arm}-{seed:02d}.safetensors" for seed in (0, 1)]
            models = [load_model(path) for path in paths]
            assert {model.network.n_layers for model in models} == {layers}
            for name, split in (("train", train), ("test", test)):
                mean = np.mean([model.score(*split) for model in models])
                assert summary["students"][str(layers)][name][arm]["mean"] == pytest.approx(mean)


def test_the_teacher_is_the_best_candidate(figure4):
    directory, summary = figure4
    train, test = topological_phases(4, 16, 12, 0)
    candidates = [load_model(directory / f"models/teacher-{seed:02d}.safetensors") for seed in (0, 1)]
    (best,) = summary["teacher"]["chosen"]
    assert candidates[best].score(*train) == max(model.score(*train) for model in candidates)
    assert summary["teacher"]["test_accuracy"] == candidates[best].score(*test)
    np.testing.assert_array_equal(stored_logits(directory), candidates[best].logits(train.inputs))
    assert {model.training["logit_scale"] for model in candidates} == {10.0}


def test_a_finished_figure_is_not_computed_again(figure4, monkeypatch):
    directory, summary = figure4
    no_training(monkeypatch)
    assert run_depth(FIGURE4, 2, Results(directory)) == summary
    with pytest.raises(InvalidInputError, match="other settings"):
        run_depth(dataclasses.replace(FIGURE4, learning_rate=0.1), 2, Results(directory))


def test_an_ensemble_averages_its_members(figure4, tmp_path):
    run_depth(dataclasses.replace(FIGURE4, teachers=2, student_layers=(1,)), 1, Results(tmp_path))
    train, _ = topological_phases(4, 16, 12, 0)
    members = [load_model(tmp_path / f"models/teacher-{seed:02d}.safetensors") for seed in (0, 1)]
    np.testing.assert_allclose(
        stored_logits(tmp_path), np.mean([member.logits(train.inputs) for member in members], axis=0)
    )


def test_a_figure_killed_before_its_result_is_stored_loses_no_training(tmp_path, monkeypatch):
    """Killed while it evaluates the first teacher."""
    settings = dataclasses.replace(FIGURE4, student_layers=(1,))
    with monkeypatch.context() as killed:
        killed.setattr("qkd_pl.networks.models.TrainedQNN.score", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run_depth(settings, 1, Results(tmp_path))
    steps = []
    step = KDTrainer._step
    monkeypatch.setattr(KDTrainer, "_step", lambda self, *rest: (steps.append(self.seed), step(self, *rest)))
    run_depth(settings, 1, Results(tmp_path))
    assert steps == [1, 1, *[FIRST_STUDENT_SEED] * 9], "the first teacher was trained again"
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_the_size_of_the_data_is_stored(figure4):
    stored = Results(figure4[0]).records["data"]
    assert stored["arguments"] == {"data": FIGURE4.data}
    assert stored["result"] == {"n_train": 16, "n_test": 12}


def test_the_report_has_a_row_for_each_depth(figure4):
    report = format_depth(figure4[1])
    assert report.startswith("teacher, 4 qubits × 1 layers: train accuracy ")
    assert "(best 1 of 2)" in report
    assert report.count("\n1 layers ") == report.count("\n2 layers ") == 2


def test_students_of_figure5_classify_raw_images(mnist_file, tmp_path):
    summary = run_depth(FIGURE5, 1, Results(tmp_path))
    images, labels = mnist_images((1, 5), n_test=20)[1]
    for arm in ARMS:
        student = load_model(tmp_path / f"models/02-layers-{arm}-00.safetensors")
        assert student.score(images, labels) == summary["students"]["2"]["test"][arm]["mean"]
    teacher = load_model(tmp_path / "models/teacher-00.safetensors")
    assert teacher.score(images, labels) == summary["teacher"]["test_accuracy"]


def test_a_classical_network_can_teach(mnist_file, tmp_path, monkeypatch):
    settings = dataclasses.replace(FIGURE5, teacher="mlp")
    summary = run_depth(settings, 1, Results(tmp_path))
    assert summary["teacher"]["kind"] == "mlp"
    assert "classical network" in format_depth(summary)
    assert set(Results(tmp_path).records) == {"data", "teacher", *(f"students/02-layers-{arm}-00" for arm in ARMS)}
    probabilities = np.exp(stored_logits(tmp_path) / settings.temperature)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-9)
    _, labels = mnist_images((1, 5), n_train=150)[0]
    assert summary["teacher"]["train_accuracy"] == np.mean(probabilities.argmax(axis=1) == labels)
    no_training(monkeypatch)
    assert run_depth(settings, 1, Results(tmp_path)) == summary


def test_figure6_records_curves(mnist_file, tmp_path, monkeypatch):
    summary = run_figure6(FIGURE6, 2, Results(tmp_path))
    assert summary["curves"]["epochs"] == [0.5, 1.0, 1.5, 2.0]
    images, labels = mnist_images((0, 1, 2), n_test=20)[1]
    for arm in ARMS:
        models = [load_model(tmp_path / f"models/student-{arm}-{seed:02d}.safetensors") for seed in (0, 1)]
        mean = np.mean([model.score(images, labels) for model in models])
        assert summary["final"]["test"][arm]["mean"] == pytest.approx(mean)
        assert summary["curves"]["points"][-1][arm]["mean"] == pytest.approx(mean)
        assert models[0].network.weights_shape == (1, 10, 3)
        assert summary["iterations_to"]["0.0"][arm]["iterations"]["mean"] == 1
        assert summary["iterations_to"]["1.1"][arm] == {"reached": 0, "iterations": None}
    assert "test accuracy" in format_figure6(summary)
    assert "0 of 2 runs" in format_figure6(summary)
    no_training(monkeypatch)
    assert run_figure6(FIGURE6, 2, Results(tmp_path)) == summary


def runs(**by_arm):
    return {arm: [{"iterations": [10, 20, 30], "curve": curve} for curve in by_arm[arm]] for arm in ARMS}


def test_iterations_to_a_level_are_the_first_that_reach_it():
    made = runs(
        no_kd=[[0.1, 0.2, 0.3], [0.1, 0.2, 0.2]],
        kd=[[0.3, 0.1, 0.3], [0.2, 0.3, 0.3]],
        control=[[0.1, 0.3, 0.3], [0.0, 0.0, 0.3]],
    )
    summary = iterations_to(0.3, made)
    assert summary["no_kd"] == {"reached": 1, "iterations": None}
    assert summary["kd"]["iterations"]["mean"] == 15
    assert summary["control"]["iterations"]["mean"] == 25
    assert summary["kd - control"]["mean"] == -10
    assert summary["kd - no_kd"] is None
    points = curves(made, 10)
    assert points["epochs"] == [1.0, 2.0, 3.0]
    assert points["points"][0]["kd"]["mean"] == pytest.approx(0.25)
    assert points["points"][0]["kd - no_kd"]["mean"] == pytest.approx(0.15)


def test_dark_knowledge_compares_with_the_best_scale(dark, monkeypatch):
    directory, summary = dark
    means = {scale: summary["control"][str(scale)]["mean"] for scale in DARK.scales}
    assert means[summary["best_scale"]] == max(means.values())
    _, test = topological_phases(4, 16, 12, 0)
    for name in ("raw", "scaled", "ensemble"):
        teacher = summary["teachers"][name]
        for temperature in DARK.temperatures:
            stem = f"models/{name}-temperature-{temperature:g}"
            mean = np.mean([load_model(directory / f"{stem}-{seed:02d}.safetensors").score(*test) for seed in (0, 1)])
            assert teacher["kd"][str(temperature)]["mean"] == pytest.approx(mean)
            gain = mean - means[summary["best_scale"]]
            assert teacher["kd - control"][str(temperature)]["mean"] == pytest.approx(gain)
    no_training(monkeypatch)
    assert run_dark_knowledge(DARK, 2, Results(directory)) == summary


def test_teachers_differ_in_quality_as_their_names_say(dark):
    directory, summary = dark
    scales = {
        name: load_model(directory / name / "models/teacher-00.safetensors").training["logit_scale"]
        for name in ("raw", "scaled")
    }
    assert scales == {"raw": 1.0, "scaled": 30.0}
    assert [len(summary["teachers"][name]["chosen"]) for name in ("raw", "scaled", "ensemble")] == [1, 1, 2]


def test_an_ensemble_is_made_of_the_scaled_teachers(dark):
    directory, _ = dark
    train, _ = topological_phases(4, 16, 12, 0)
    models = [load_model(path) for path in (directory / "scaled" / "models").glob("teacher-*")]
    expected = np.mean([model.logits(train.inputs) for model in models], axis=0)
    np.testing.assert_allclose(stored_logits(directory / "ensemble"), expected)
    assert not (directory / "ensemble" / "models").exists()


def test_format_names_every_teacher(dark):
    _, summary = dark
    assert format_dark_knowledge(summary).count("KD − scaled CE") == 3


@pytest.mark.parametrize(
    ("settings", "wrong", "message"),
    [
        (Figure4Settings, {"teachers": 4}, "teachers=4: must be 1 to 3"),
        (Figure4Settings, {"student_layers": (1, 1)}, r"student_layers=\(1, 1\): must be different depths"),
        (Figure4Settings, {"n_train": None}, "n_train=None: must be a whole number"),
        (Figure5Settings, {"student_layers": (2, 0)}, "n_layers=0"),
        (Figure5Settings, {"learning_rate": -1.0}, "learning_rate=-1.0"),
        (Figure5Settings, {"n_test": 0}, "n_test=0"),
        (Figure6Settings, {"n_layers": 0}, "n_layers=0"),
        (Figure6Settings, {"epochs": 0}, "epochs=0"),
    ],
)
def test_wrong_settings_are_refused_before_anything_is_trained(settings, wrong, message):
    with pytest.raises(InvalidInputError, match=message):
        settings(**wrong)


def test_one_more_seed_in_a_clone_trains_the_chosen_teacher_and_the_new_students_alone(figure4, tmp_path, monkeypatch):
    """The teacher is needed by the distilled students, and by them alone."""
    directory, summary = figure4
    fit, trained = KDTrainer.fit, []
    monkeypatch.setattr(KDTrainer, "fit", lambda self, *a, **k: (trained.append(self.seed), fit(self, *a, **k))[1])
    shutil.copy(directory.with_name(f"{directory.name}.jsonl"), tmp_path / "it.jsonl")
    assert run_depth(FIGURE4, 2, Results(tmp_path / "it")) == summary
    assert trained == []
    run_depth(FIGURE4, 3, Results(tmp_path / "it"))
    assert trained == [*summary["teacher"]["chosen"], *[FIRST_STUDENT_SEED + 2] * 6]
    assert Results(tmp_path / "it").records.items() >= Results(directory).records.items()
