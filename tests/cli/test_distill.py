"""``qkd-pl distill``: the demonstration in small, and a user's own data and teacher."""

import dataclasses
import json
import re

import numpy as np
import pytest
from typer.testing import CliRunner

from qkd_pl.cli import distill_command, distill_settings
from qkd_pl.cli.app import app
from qkd_pl.cli.distill_demonstration import demonstrate, format_demonstration
from qkd_pl.cli.distill_settings import Demonstration, OwnDistillation
from qkd_pl.datasets import fit_pipeline, topological_phases
from qkd_pl.networks.models import load_model, trained
from qkd_pl.networks.networks import QAE, QNN
from qkd_pl.statistics import ARMS, summarise_arms
from qkd_pl.training.trainer import KDTrainer

SMALL = Demonstration(
    seeds=2,
    n_qubits=4,
    teacher_candidates=2,
    n_train=24,
    n_test=16,
    iterations=3,
    qae_layers=1,
    qae_iterations=3,
)


@pytest.fixture(scope="module")
def run():
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, ["distill", *(str(argument) for argument in arguments)])


@pytest.fixture(scope="module")
def demonstration(tmp_path_factory):
    out = tmp_path_factory.mktemp("demonstration")
    return out, demonstrate(SMALL, out)


def no_training(monkeypatch):
    monkeypatch.setattr(KDTrainer, "_step", lambda *_, **__: pytest.fail("trained again"))


def test_the_models_are_where_the_readme_says(demonstration):
    out, _ = demonstration
    students = {
        f"{student}-{arm}-{seed:02d}" for student in ("few_qubits", "few_layers") for arm in ARMS for seed in (0, 1)
    }
    models = {path.stem for path in (out / "models").iterdir()}
    assert models == {"autoencoder", "autoencoder-00", "autoencoder-01", "teacher-00", "teacher-01", *students}


def test_the_report_follows_from_the_saved_models(demonstration):
    """Accuracies, teacher and fidelity are recomputed from the files and the data."""
    out, report = demonstration
    train, test = topological_phases(4, 24, 16, 0)

    def load(name):
        return load_model(out / f"models/{name}.safetensors")

    teacher = max((load(f"teacher-{seed:02d}") for seed in (0, 1)), key=lambda model: model.score(*train))
    autoencoder = load("autoencoder")
    assert report["teacher"]["test_accuracy"] == teacher.score(*test)
    assert report["autoencoder"]["test_fidelity"] == pytest.approx(autoencoder.fidelity(test.inputs).mean())
    for student, inputs in (("few_qubits", autoencoder.compress(test.inputs)), ("few_layers", test.inputs)):
        scores = {arm: [load(f"{student}-{arm}-0{seed}").score(inputs, test.labels) for seed in (0, 1)] for arm in ARMS}
        assert report["students"][student] == summarise_arms(scores)


def test_arms_differ_in_teacher_and_logit_scale_alone(demonstration):
    out, _ = demonstration
    for student in ("few_qubits", "few_layers"):
        plain, distilled, control = (load_model(out / f"models/{student}-{arm}-01.safetensors") for arm in ARMS)
        shared = [name for name in plain.training if name not in ("loss", "logit_scale")]
        for other in (distilled, control):
            assert {name: other.training[name] for name in shared} == {name: plain.training[name] for name in shared}
        assert (distilled.training["loss"]["type"], distilled.training["loss"]["temperature"]) == ("Distillation", 0.5)
        assert [each.training["loss"]["logit_scale"] for each in (plain, control)] == [1.0, 30.0]
        assert not np.array_equal(plain.weights, distilled.weights)


def test_the_text_says_how_it_differs_from_the_table(demonstration):
    text = format_demonstration(demonstration[1])
    assert text.startswith("teacher, 4 qubits × 2 layers: test accuracy 0.")
    for arms in demonstration[1]["students"].values():
        assert f"{arms['kd']['mean']:.3f} ± " in text
    assert "ONE data set, teacher and autoencoder" in text
    assert "README's table has 20 data sets" in text


def test_repeating_it_trains_nothing_and_a_lost_model_comes_back(demonstration, monkeypatch):
    out, report = demonstration
    lost = out / "models" / "few_qubits-kd-00.safetensors"
    before = load_model(lost).weights
    lost.unlink()
    no_training(monkeypatch)
    assert demonstrate(SMALL, out) == report
    np.testing.assert_array_equal(load_model(lost).weights, before)


def test_a_killed_demonstration_goes_on(tmp_path, monkeypatch, demonstration):
    """Killed in its fourth training; the three before are not trained again."""
    fit, step, calls, steps = KDTrainer.fit, KDTrainer._step, [], []

    def killed(self, *arguments, **settings):
        calls.append(self.seed)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return fit(self, *arguments, **settings)

    with monkeypatch.context() as patched:
        patched.setattr(KDTrainer, "fit", killed)
        with pytest.raises(KeyboardInterrupt):
            demonstrate(SMALL, tmp_path)
    monkeypatch.setattr(KDTrainer, "_step", lambda self, *rest: (steps.append(1), step(self, *rest)))
    report = demonstrate(SMALL, tmp_path)
    assert len(steps) == 3 * (1 + 2 * 3 * 2)  # the second autoencoder, and three arms of two students with two seeds
    assert report["students"] == demonstration[1]["students"]


def test_the_command_shows_the_demonstration(run, tmp_path, monkeypatch):
    monkeypatch.setattr(distill_command, "Demonstration", lambda **given: dataclasses.replace(SMALL, **given))
    result = run("--out", tmp_path, "--device", "default")
    assert result.exit_code == 0, result.output
    assert "KD − scaled CE" in result.stdout
    assert "test accuracy, 2 seeds" in result.stdout
    report = json.loads(run("--out", tmp_path, "--device", "default", "--seeds", "3", "--json").stdout)
    assert report["students"]["few_layers"]["kd"]["n"] == 3
    assert (tmp_path / "models" / "few_layers-kd-02.safetensors").is_file()


@pytest.fixture
def own(tmp_path, rng):
    """Bits whose class is the first one, and outputs of a teacher that knows it."""
    inputs = rng.integers(0, 2, size=(60, 3))
    labels = inputs[:, 0]
    np.savez(tmp_path / "data.npz", inputs=inputs, labels=labels)
    np.savez(tmp_path / "unlabelled.npz", inputs=inputs)
    np.save(tmp_path / "outputs.npy", np.stack([1 - 2 * labels, 2 * labels - 1], axis=1).astype(np.float32))
    return tmp_path


def arguments(own, data="data.npz", teacher="outputs.npy"):
    return "--data", own / data, "--teacher", own / teacher, "--out", own / "out"


def test_outputs_of_any_teacher_are_distilled(run, own):
    """The student follows the teacher on samples that it has not seen; scores are those of the saved model."""
    result = run(*arguments(own), "--embedding", "basis", "--iterations", 60, "--test-fraction", 0.25, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert [report["scores"][name]["samples"] for name in ("train", "test")] == [45, 15]
    assert report["student"] == {"n_qubits": 3, "n_layers": 1, "embedding": "basis", "topology": "ring"}
    assert report["scores"]["test"]["agreement"] == 1.0
    held_out = np.random.default_rng(0).permutation(60)[:15]
    with np.load(own / "data.npz") as data:
        student = load_model(report["model"])
        assert student.score(data["inputs"][held_out], data["labels"][held_out]) == 1.0
        assert report["scores"]["test"] == {
            **{"samples": 15, "agreement": 1.0, "student_accuracy": 1.0, "teacher_accuracy": 1.0}
        }
    assert student.training["loss"]["type"] == "Distillation"


def test_without_labels_there_is_agreement_alone(run, own):
    result = run(*arguments(own, "unlabelled.npz"), "--embedding", "basis", "--iterations", 2)
    assert result.exit_code == 0, result.output
    assert "agreement with the teacher" in result.stdout
    assert "accuracy" not in result.stdout
    assert f"model: {own / 'out' / 'models' / 'student.safetensors'}" in result.stdout


def test_a_saved_teacher_gives_embedding_qubits_and_classes(run, own, rng):
    network = QNN(3, 2, n_classes=3, embedding="angle")
    teacher = trained(network, rng.uniform(0, 6, network.weights_shape))
    teacher.save(own / "teacher.safetensors")
    report = json.loads(run(*arguments(own, teacher="teacher.safetensors"), "--iterations", 2, "--json").stdout)
    student = load_model(report["model"])
    assert student.network == QNN(3, 1, n_classes=3, embedding="angle")
    with np.load(own / "data.npz") as data:
        same = student.predict(data["inputs"]) == teacher.predict(data["inputs"])
    held_out = np.random.default_rng(0).permutation(60)[:12]
    assert report["scores"]["test"]["agreement"] == np.mean(same[held_out])


def test_the_preprocessing_of_a_teacher_is_passed_on(run, tmp_path, rng):
    images = rng.integers(0, 256, size=(40, 3, 3)).astype(np.uint8)
    np.savez(tmp_path / "data.npz", inputs=images)
    network = QNN(2, 2, embedding="phase")
    teacher = trained(network, rng.uniform(0, 6, network.weights_shape)).with_preprocessing(
        fit_pipeline(images, "phase", 2)
    )
    teacher.save(tmp_path / "teacher.safetensors")
    result = run(*arguments(tmp_path, teacher="teacher.safetensors"), "--iterations", 2, "--json")
    assert result.exit_code == 0, result.output
    assert load_model(json.loads(result.stdout)["model"]).logits(images).shape == (40, 2)


def test_a_line_of_entanglers(run, own):
    result = run(*arguments(own), "--embedding", "basis", "--iterations", 2, "--topology", "line", "--json")
    report = json.loads(result.stdout)
    assert load_model(report["model"]).network == QNN(3, 1, embedding="basis", topology="line")
    refused = run(*arguments(own), "--embedding", "basis", "--topology", "circle")
    assert refused.exit_code == 1
    assert "topology='circle'" in refused.stderr


def test_states_need_no_embedding(run, tmp_path):
    states = topological_phases(3, 20, 0, 0)[0].inputs.astype(complex)
    np.savez(tmp_path / "data.npz", inputs=states)
    np.save(tmp_path / "outputs.npy", np.linspace(-1, 1, 40).reshape(20, 2))
    report = json.loads(run(*arguments(tmp_path), "--iterations", 2, "--json").stdout)
    assert report["student"] == {"n_qubits": 3, "n_layers": 1, "embedding": "state", "topology": "ring"}


def test_alpha_mixes_labels_in(run, own):
    """With α = 0 the teacher, who says the opposite of the labels, has no say."""
    np.save(own / "outputs.npy", -np.load(own / "outputs.npy"))
    options = ("--embedding", "basis", "--iterations", 60, "--logit-scale", 10, "--json")
    scores = {}
    for alpha in (0, 1):
        result = run(*arguments(own)[:-1], own / f"alpha-{alpha}", *options, "--alpha", alpha)
        scores[alpha] = json.loads(result.stdout)["scores"]["test"]
    assert (scores[0]["student_accuracy"], scores[0]["agreement"]) == (1.0, 0.0)
    assert (scores[1]["student_accuracy"], scores[1]["agreement"]) == (0.0, 1.0)


def test_repeating_resumes_and_other_settings_are_refused(run, own, monkeypatch):
    options = (*arguments(own), "--embedding", "basis", "--iterations", 4)
    first = run(*options)
    with monkeypatch.context() as patched:
        no_training(patched)
        assert run(*options).stdout == first.stdout
    changed = run(*options, "--learning-rate", 0.1)
    assert changed.exit_code == 1
    assert "belongs to another run, which differs in settings (learning_rate)" in changed.stderr
    assert f"Another folder than --out {own / 'out'} starts afresh." in changed.stderr


def test_a_learning_rate_out_of_range_is_told_by_its_own_name(run, own):
    refused = run(*arguments(own), "--embedding", "basis", "--learning-rate", -1)
    assert refused.exit_code == 1
    assert "learning_rate=-1.0: must be a finite number above 0" in refused.stderr


def save(path, **arrays):
    np.savez(path, **arrays)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--data", "data.npz"), "--data: needs --teacher; without both, only the demonstration runs"),
        (("--layers", "2"), "--layers: needs --data and --teacher"),
        (("--test-fraction", "0.1"), "--test-fraction: needs --data and --teacher"),
        (("--seeds", "0"), "--seeds"),
        (("--device", "moon"), "no device 'moon'"),
    ],
)
def test_options_that_do_not_go_together_are_named(run, tmp_path, options, message):
    result = run(*options, "--out", tmp_path / "out")
    assert result.exit_code in (1, 2)
    assert message in re.sub(r"\x1b\[[0-9;]*m", "", result.stderr)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--seeds", 2), "--seeds 2: belongs to the demonstration; with --data there is --seed"),
        ((), "embedding: cannot be told from real inputs; give one of state, amplitude, phase, angle, basis"),
        (("--embedding", "cubes"), "embedding='cubes': must be one of"),
        (("--embedding", "angel"), "did you mean angle?"),
        (("--embedding", "basis", "--qubits", 2), "inputs have shape (60, 3)"),
        (("--embedding", "basis", "--test-fraction", 0.001), "of 60 samples 0 would be held out"),
        (("--embedding", "basis", "--test-fraction", 1.5), "test_fraction=1.5: must be a finite number from 0 to 1"),
        (("--embedding", "basis", "--temperature", 0), "temperature=0.0"),
        (("--embedding", "basis", "--device", "moon"), "no device 'moon'"),
        (("--embedding", "basis", "--data", "gone.npz"), "gone.npz: no such data file"),
        (("--embedding", "basis", "--teacher", "gone.npy"), "gone.npy: no such file"),
        (("--embedding", "basis", "--teacher", "gone.safetensors"), "gone.safetensors: no such model file"),
    ],
)
def test_what_does_not_fit_is_named_before_anything_is_trained(run, own, options, message):
    result = run(*arguments(own), *options)
    assert result.exit_code == 1, result.output
    assert message in result.stderr
    assert not (own / "out" / "models").exists()


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (np.zeros(60), "outputs.npy: has shape (60,); expected outputs (n, K)"),
        (np.zeros((59, 2)), "the teacher's logits have shape (59, 2); the student needs (60, 2)"),
        (np.zeros((60, 9)), "n_qubits=3: too few for 9 classes"),
        (np.full((60, 2), np.nan), "NaN or infinity"),
        (np.zeros((60, 2), complex), "the teacher's logits are complex"),
        (np.array([[1], [None]] * 30, dtype=object), "outputs.npy: of type object; allowed are numbers"),
    ],
)
def test_outputs_that_do_not_fit_are_named(run, own, outputs, message):
    np.save(own / "outputs.npy", outputs)
    result = run(*arguments(own), "--embedding", "basis")
    assert result.exit_code == 1, result.output
    assert message in result.stderr


def test_alpha_below_one_needs_labels(run, own):
    result = run(*arguments(own, "unlabelled.npz"), "--embedding", "basis", "--alpha", 0.5)
    assert "alpha=0.5: below 1 the loss needs labels" in result.stderr


def test_labels_are_class_indices(run, own):
    np.savez(own / "data.npz", inputs=np.zeros((60, 3)), labels=np.full(60, 7))
    assert "labels must be integers from 0 to 1; found [7]" in run(*arguments(own), "--embedding", "basis").stderr


def test_an_autoencoder_cannot_teach(run, own):
    network = QAE(3, 1, 1)
    trained(network, np.zeros(network.weights_shape)).save(own / "teacher.safetensors")
    result = run(*arguments(own, teacher="teacher.safetensors"))
    assert "teacher.safetensors: is an autoencoder; a teacher must be a classifier" in result.stderr


def test_help_shows_the_defaults_of_the_settings(run):
    text = " ".join(re.sub(r"\x1b\[[0-9;]*m|[│╭╮╰╯─]", " ", run("--help").stdout).split())
    assert f"[default: {OwnDistillation.learning_rate}]" in text
    assert "half a minute" in text
    assert {field.name for field in dataclasses.fields(OwnDistillation)} >= {"data", "teacher", "temperature"}
    assert distill_settings.Demonstration().seeds == 5
