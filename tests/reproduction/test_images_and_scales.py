"""Images on a device, logit scales against shots, and the page of both: numbers follow from stored models."""

import dataclasses
import json

import numpy as np
import pytest

import qkd_pl as kd
from qkd_pl.errors import InvalidInputError
from qkd_pl.statistics import estimate, paired_difference
from qkd_pl.training.losses import CrossEntropy
from qkd_pl.training.schedules import Step
from qkd_pl.training.trainer import KDTrainer
from reproduction.arms import load_data
from reproduction.device_figures import plot_device_images, plot_shots_scale
from reproduction.device_images import (
    DeviceImagesSettings,
    device_images_rows,
    format_device_images,
    run_device_images,
)
from reproduction.device_page import device_lines
from reproduction.noisy_outputs import noisy_device
from reproduction.problems import PROBLEMS
from reproduction.results import Results
from reproduction.shots_scale import ShotsScaleSettings, _summarise, chosen, format_shots_scale, run_shots_scale

IMAGES = DeviceImagesSettings(
    backend="fake_manila",
    n_qubits=3,
    teacher_layers=2,
    student_layers=1,
    n_images=10,
    block=6,
    shots=64,
    calibration=6,
    iterations=2,
)
SCALES = ShotsScaleSettings(problems=("phases",), scales=(1.0, 30.0), shots=(16, 4096), draws=3, backend="fake_nairobi")


@pytest.fixture
def scales(monkeypatch, tmp_path):
    trainer = {"learning_rate": 0.3, "iterations": 3}
    recipe = dataclasses.replace(PROBLEMS["phases"], n_pool=16, n_test=12, trainer=trainer)
    monkeypatch.setitem(PROBLEMS, "phases", recipe)
    results = Results(tmp_path / "it")
    return results, run_shots_scale(SCALES, 2, results)


def test_images_on_a_device(mnist_file, tmp_path, monkeypatch):
    out = tmp_path / "it"
    results = Results(out)
    summary = run_device_images(IMAGES, 2, results)
    check_stored_models(out, results, summary)
    check_means_over_students(results, summary)
    check_page(summary)
    monkeypatch.setattr(KDTrainer, "fit", lambda *_, **__: pytest.fail("trained again"))
    lines = [line for line in results.file.read_text().splitlines() if '"images/kd-1/0006"' not in line]
    results.file.write_text("".join(f"{line}\n" for line in lines))  # as a run killed before the last block
    assert json.dumps(run_device_images(IMAGES, 2, Results(out))) == json.dumps(summary)


def check_stored_models(out, results, summary):
    record = results.records["images/teacher/0006"]
    _, test, _ = load_data(record["arguments"]["data"])
    model = kd.load_model(out / "models/teacher.safetensors")
    assert (model.network.n_layers, str(model.network.topology)) == (2, "ring")
    spec = kd.DeviceSpec(name="m", plugin="qkd.ibm", shots=64, seed=6, options={"backend": "fake_manila"})
    assert record["result"]["outputs"] == model.outputs(test.inputs[6:10], spec).tolist()
    exact = results.records["models/teacher"]["result"]
    assert np.array(exact["outputs"]) == pytest.approx(model.outputs(test.inputs[:10]))
    right = (np.array(exact["outputs"]).argmax(axis=1) == test.labels[:10]).astype(float)
    assert summary["accuracy"]["exact"]["teacher"] == pytest.approx(estimate(list(right)).to_json())
    cost = kd.plan(model, test.inputs[:10], spec).cost
    assert summary["price"]["teacher"]["qpu_seconds"] == pytest.approx(cost.qpu_seconds)
    assert results.records["models/kd-0"]["arguments"]["teacher"] == "models/teacher.safetensors"
    assert results.records["models/ce-0"]["arguments"]["teacher"] is None


def check_means_over_students(results, summary):
    """An image counts once."""
    labels = np.array(results.records["models/teacher"]["result"]["labels"])

    def right(arm):
        parts = [results.records[f"images/{arm}/{start:04d}"]["result"]["outputs"] for start in (0, 6)]
        return (np.concatenate(parts).argmax(axis=1) == labels).astype(float)

    students = (right("kd-0") + right("kd-1")) / 2
    expected = paired_difference(list(students), list(right("teacher"))).to_json()
    assert summary["accuracy"]["raw"]["kd - teacher"] == pytest.approx(expected, nan_ok=True)


def check_page(summary):
    page = "\n".join(device_lines({"devices/it": summary}))
    for arm in ("teacher", "kd"):
        assert f"{summary['accuracy']['calibrated'][arm]['mean']:.3f}" in page
    assert "10 images × 2 students" in page
    rows = device_images_rows("devices/it", summary)
    assert [row.against for row in rows][-1] == "scaled cross-entropy"
    assert "two-qubit gates" in format_device_images(summary)
    assert len(plot_device_images(summary).axes) == 1


def test_accuracies_by_scale_are_those_of_students_on_the_device(scales):
    results, summary = scales
    split = PROBLEMS["phases"].load(1, 16, 12, None)
    trainer = KDTrainer(iterations=3, seed=1001, learning_rate=Step(0.3, 0.9, 10))
    network = kd.QNN(7, 1, topology="line")
    student = trainer.fit(network, split.pool, loss=CrossEntropy(30.0))
    found = results.records["phases-01"]["result"]
    assert found["exact/30"] == student.score(*split.test)
    # With so many shots nearly all decisions are those without shot noise.
    noisy = student.score(*split.test, noisy_device("fake_nairobi"))
    assert found["4096/30"] == pytest.approx(noisy, abs=1 / 12 + 1e-9)
    accuracy = summary["problems"]["phases"]["16"]["accuracy"]
    values = {scale: [results.records[f"phases-{d:02d}"]["result"][f"16/{scale}"] for d in (0, 1)] for scale in (1, 30)}
    assert accuracy["1"] == pytest.approx(estimate(values[1]).to_json())
    best = max(values, key=lambda scale: np.mean(values[scale]))
    assert summary["problems"]["phases"]["16"]["scales"]["best"] == best
    assert accuracy["rule"] == accuracy[f"{chosen('rule', 16, (1.0, 30.0)):g}"]
    assert accuracy["rule - best"]["mean"] <= 0
    assert summary["problems"]["phases"]["16"]["confirmed"] is None


def test_the_second_rule_is_confirmed_on_other_data_sets_than_it_was_found_on():
    rows = [{"64/3": 0.5, "64/8": 0.9}] * 10 + [{"64/3": 0.8, "64/8": 0.7}, {"64/3": 0.9, "64/8": 0.6}]
    found = _summarise(rows, 64, (3.0, 8.0))
    assert found["scales"] == {"best": 8.0, "rule": 8.0, "half": 3.0}
    assert found["confirmed"]["half - rule"]["mean"] == pytest.approx(0.2)
    assert found["confirmed"]["half - rule"]["n"] == 2
    assert found["accuracy"]["half - rule"]["n"] == 12


def test_the_rule_is_the_root_of_the_shots_up_to_thirty():
    every = tuple(float(scale) for scale in range(1, 101))
    assert [chosen("rule", shots, every) for shots in (1, 64, 100, 900, 10_000)] == [1, 8, 10, 30, 30]
    assert [chosen("half", shots, every) for shots in (4, 64, 100, 900, 10_000)] == [1, 4, 5, 15, 16]


def test_the_page_and_figure_of_scales(scales):
    _, summary = scales
    page = "\n".join(device_lines({"devices/it": summary}))
    assert "| phases | 4,096 | " in page
    assert "s = 30" in format_shots_scale(summary)
    assert len(plot_shots_scale(summary).axes) == 1


def test_unknown_problems_and_bad_scales_are_refused():
    with pytest.raises(InvalidInputError, match=r"problems=moons: must be of .*breast-cancer"):
        ShotsScaleSettings(problems=("moons",))
    with pytest.raises(InvalidInputError, match=r"scales=\(3.0, 3.0\): must be different"):
        ShotsScaleSettings(scales=(3.0, 3.0))


def test_without_results_on_devices_there_is_no_section():
    assert device_lines({"table1": {"students": {}}}) == []
