"""Few labels and regression: what is stored follows from trainings, and a data set counts once."""

import dataclasses

import numpy as np
import pytest

from qkd_pl.errors import InvalidInputError
from qkd_pl.statistics import estimate
from qkd_pl.training.trainer import KDTrainer
from reproduction.few_labels import ARM_TITLES, FewLabelsSettings, format_few_labels, run_few_labels
from reproduction.pays_figures import plot_few_labels, plot_regression
from reproduction.problems import PROBLEMS
from reproduction.regression import REGRESSION_ARMS, RegressionSettings, format_regression, run_regression
from reproduction.results import Results

SETTINGS = FewLabelsSettings(labels=(4, 16), scales=(1.0, 30.0), candidates=2)


@pytest.fixture
def small(monkeypatch):
    trainer = {"learning_rate": 0.3, "iterations": 5, "temperature": 0.5}
    recipe = dataclasses.replace(PROBLEMS["phases"], n_pool=16, n_test=12, trainer=trainer, teacher_iterations=8)
    monkeypatch.setitem(PROBLEMS, "phases", recipe)


def test_few_labels(small, tmp_path, monkeypatch):
    calls, fit = [], KDTrainer.fit

    def recorded(self, network, train, **rest):
        calls.append((train, rest))
        return fit(self, network, train, **rest)

    monkeypatch.setattr(KDTrainer, "fit", recorded)
    summary = run_few_labels(SETTINGS, 2, Results(tmp_path / "it"))
    assert len(calls) == 2 * (2 + 1 + 2 * (1 + 2 + 3))
    unlabelled = [len(train[0]) for train, _ in calls if train[1] is None]
    assert sorted(set(unlabelled)) == [4, 16]
    partly = [int(np.sum(train[1] >= 0)) for train, rest in calls if train[1] is not None and "teacher" in rest]
    assert partly == [4, 16, 4, 16]
    raw = [record["result"] for record in Results(tmp_path / "it").records.values()]
    for m, found in summary["labels"].items():
        control = f"ce-{found['best_scale']:g}"
        means = {s: np.mean([r["labels"][m][f"ce-{s:g}"]["accuracy"] for r in raw]) for s in SETTINGS.scales}
        assert means[found["best_scale"]] == max(means.values())
        for arm in ARM_TITLES:
            values = [r["labels"][m][control if arm == "ce" else arm]["accuracy"] for r in raw]
            assert found["arms"][arm]["accuracy"] == pytest.approx(estimate(values).to_json())
        gain = found["arms"]["pool"]["rank"]["mean"] - found["arms"]["ce"]["rank"]["mean"]
        assert found["differences"]["pool"]["rank"]["mean"] == pytest.approx(gain)
    monkeypatch.setattr(KDTrainer, "fit", lambda *_, **__: pytest.fail("trained again"))
    assert run_few_labels(SETTINGS, 2, Results(tmp_path / "it")) == summary
    assert format_few_labels(summary).count("KD, whole pool") == 2
    assert len(plot_few_labels(summary).axes) == 2


def test_regression(tmp_path):
    settings = RegressionSettings(states=(4, 8), iterations=3)
    summary = run_regression(settings, 2, Results(tmp_path / "it"))
    raw = [record["result"] for record in Results(tmp_path / "it").records.values()]
    for m, found in summary["labels"].items():
        for arm in REGRESSION_ARMS:
            mean = np.mean([each["states"][m][arm]["rmse"] for each in raw])
            assert found["arms"][arm]["rmse"]["mean"] == pytest.approx(mean)
        gain = found["arms"]["same"]["rmse"]["mean"] - found["arms"]["targets"]["rmse"]["mean"]
        assert found["differences"]["same"]["rmse"]["mean"] == pytest.approx(gain)
    assert format_regression(summary).count("m true targets") == 2
    assert len(plot_regression(summary).axes) == 1


@pytest.mark.parametrize(
    ("kind", "wrong", "message"),
    [
        (FewLabelsSettings, {"problem": "file"}, "data=None: goes with --problem file"),
        (FewLabelsSettings, {"data": "x.npz"}, "data=x.npz: goes with --problem file"),
        (FewLabelsSettings, {"labels": (4, 4)}, r"labels=\(4, 4\): must be different"),
        (FewLabelsSettings, {"scales": ()}, r"scales=\(\)"),
        (RegressionSettings, {"states": (501,)}, "there are 500"),
        (RegressionSettings, {"states": (1,)}, "from 2 on"),
    ],
)
def test_wrong_settings_are_refused(kind, wrong, message):
    with pytest.raises(InvalidInputError, match=message):
        kind(**wrong)
