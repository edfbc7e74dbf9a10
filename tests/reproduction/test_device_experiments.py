"""The experiments on noisy devices, on problems of a few qubits: their numbers are recomputed from the models."""

import numpy as np
import pytest

import qkd_pl as kd
from qkd_pl.statistics import Estimate, paired_difference
from qkd_pl.storage import read_tensors
from reproduction.crossings import crossing
from reproduction.depth_figures import plot_device_depth
from reproduction.device_depth import (
    DeviceDepthSettings,
    device_depth_rows,
    format_device_depth,
    run_device_depth,
)
from reproduction.device_figures import plot_noisy_teacher
from reproduction.noisy_outputs import noisy_device
from reproduction.noisy_students import ARMS_OF, EXACT_ARMS, TEACHERS
from reproduction.noisy_teacher import (
    POOLS,
    NoisyTeacherSettings,
    format_noisy_teacher,
    load_pools,
    noisy_teacher_rows,
    run_noisy_teacher,
)
from reproduction.results import Results

TEACHER = NoisyTeacherSettings(
    backend="fake_manila",
    n_qubits=5,
    teacher_layers=1,
    n_train=24,
    n_test=20,
    data_sets=2,
    shots=(4096, 16384),
    teacher_candidates=2,
    iterations=3,
)
DEPTH = DeviceDepthSettings(
    backends=("fake_manila",),
    n_qubits=4,
    teacher_layers=2,
    student_layers=(1, 2, 3),
    scales=(1.0,),
    n_train=20,
    n_test=12,
    data_sets=2,
    shots=(16, 4096),
    draws=2,
    counted=10,
    counted_layers=2,
    calibration=8,
    teacher_candidates=2,
    iterations=3,
)


@pytest.fixture(scope="module")
def noisy_teacher(tmp_path_factory):
    out = tmp_path_factory.mktemp("noisy") / "it"
    results = Results(out)
    return out, results, run_noisy_teacher(TEACHER, 2, results)


@pytest.fixture(scope="module")
def device_depth(tmp_path_factory):
    out = tmp_path_factory.mktemp("depth") / "it"
    results = Results(out)
    return out, results, run_device_depth(DEPTH, 1, results)


def test_students_of_a_noisy_teacher_are_counted_by_data_set(noisy_teacher):
    _, results, summary = noisy_teacher
    for pool in POOLS:
        for shots in ("4096", "16384"):
            arms = summary["pools"][pool][shots]
            for arm in (*TEACHERS, *ARMS_OF[pool]):
                means = [
                    np.mean(
                        [
                            results.records[f"students/{d:02d}-{s:02d}"]["result"][f"{pool}/{shots}/{arm}"]
                            for s in (0, 1)
                        ]
                    )
                    for d in (0, 1)
                ]
                assert (arms[arm]["mean"], arms[arm]["n"]) == (pytest.approx(np.mean(means)), 2)
            assert set(EXACT_ARMS) < set(arms)


def test_what_is_stored_of_a_noisy_teacher_is_what_a_device_gives(noisy_teacher):
    out, _, _ = noisy_teacher
    stored, _ = read_tensors(out / "noisy/00.safetensors", "noisy-teacher")
    pools, test = load_pools(0, 5, 24, 20, TEACHER.largest_field)
    assert {key: len(value) for key, value in stored.items()} == {
        "balanced": 24, "unbalanced": 24, "test": 20, "folded": 3, "exact_balanced": 24, "exact_unbalanced": 24,
    }  # fmt: skip
    assert pools["unbalanced"].labels.mean() > pools["balanced"].labels.mean()
    assert (np.abs(stored["test"]) <= 1).all()
    assert np.abs(stored["balanced"][:, :2]).max() < np.abs(stored["exact_balanced"]).max()
    assert len(test.labels) == 20


def test_differences_are_paired_by_data_set(noisy_teacher):
    _, results, summary = noisy_teacher
    values = {
        arm: [
            np.mean([results.records[f"students/{d:02d}-{s:02d}"]["result"][f"balanced/4096/{arm}"] for s in (0, 1)])
            for d in (0, 1)
        ]
        for arm in ("calibrated", "teacher")
    }
    expected = paired_difference(values["calibrated"], values["teacher"])
    assert Estimate.from_json(summary["pools"]["balanced"]["4096"]["calibrated - teacher"]).mean == pytest.approx(
        expected.mean
    )


def test_rows_text_and_figure_of_the_noisy_teacher(noisy_teacher):
    _, _, summary = noisy_teacher
    rows = noisy_teacher_rows("devices/it", summary)
    assert len(rows) == 12
    assert sum(row.is_drawn for row in rows) == 6
    for row in rows:
        assert row.gain.mean == pytest.approx(row.distilled.mean - row.control.mean)
    assert "calibrated - teacher_calibrated" in format_noisy_teacher(summary)
    assert len(plot_noisy_teacher(summary).axes) == 2


def test_accuracies_on_a_device_follow_from_the_stored_weights(device_depth):
    out, results, _ = device_depth
    _, test = kd.datasets.topological_phases(4, 20, 12, 1)
    weights = read_tensors(out / "weights/01.safetensors", "device-depth")[0]
    assert set(weights) == {"teacher", "teacher_line", "1-kd", "1-ce", "2-kd", "2-ce", "3-kd", "3-ce", "1-ce-1"}
    found = results.records["devices/fake_manila-01"]["result"]
    exact = results.records["models/01"]["result"]
    for arm, values in weights.items():
        topology = "ring" if arm == "teacher" else "line"
        model = kd.trained(kd.QNN(4, len(values) - 1, topology=topology), values)
        assert exact[arm] == model.score(*test)
        assert found[f"ideal/{arm}/exact/raw"] == model.score(*test, noisy_device("fake_manila"))
        counted = f"staircase/{arm}/exact/raw"
        assert (counted in found) == (arm in ("teacher", "teacher_line", "1-kd", "1-ce", "2-kd", "2-ce"))
        if counted in found:
            first = (test.inputs[:10], test.labels[:10])
            assert found[counted] == model.score(*first, noisy_device("fake_manila", "staircase"))


def test_prices_are_those_of_a_plan(device_depth):
    out, _, summary = device_depth
    price = summary["backends"]["fake_manila"]["price"]
    assert set(price) == {"teacher", "teacher_line", "1-kd", "1-ce", "2-kd", "2-ce", "3-kd", "3-ce"}
    assert price["1-kd"] == price["1-ce"]
    assert price["1-kd"]["two_qubit_gates"] < price["teacher"]["two_qubit_gates"]
    _, test = kd.datasets.topological_phases(4, 20, 12, 0)
    network = kd.QNN(4, 1, topology="line")
    weights = read_tensors(out / "weights/00.safetensors", "device-depth")[0]["1-kd"]
    spec = kd.DeviceSpec(
        name="m", plugin="qkd.ibm", shots=500, options={"backend": "fake_manila", "preparation": "staircase"}
    )
    cost = kd.plan(kd.trained(network, weights), test.inputs, spec, absorb=False).cost
    assert cost.qpu_seconds == pytest.approx(2 + 12 * 500 * price["1-kd"]["seconds"], rel=1e-6)


def test_rows_text_and_figure_of_depth(device_depth):
    _, _, summary = device_depth
    rows = device_depth_rows("devices/it", summary)
    assert [row.is_drawn for row in rows] == [False] * 3 + [True] * 3
    for row in rows:
        assert row.gain.mean == pytest.approx(row.distilled.mean - row.control.mean)
    assert "fake_manila, preparation staircase, calibrated" in format_device_depth(summary)
    assert len(plot_device_depth(summary).axes) == 3


def test_a_curve_that_reaches_a_level_at_once_or_never():
    low, high = Estimate(0.5, 0.4, 0.6, 0.0, 3), Estimate(0.97, 0.96, 0.98, 0.0, 3)
    assert crossing(0.95, {64: high, 128: high}) == {"mean": 64.0, "low": 64.0, "high": 64.0}
    assert crossing(0.95, {64: low, 128: low}) == {"mean": None, "low": None, "high": None}
    assert 64 < crossing(0.95, {64: low, 128: high})["mean"] < 128
