"""Losses for ten classes: every arm is trained without labels on the same inputs, and a data set counts once."""

import dataclasses

import numpy as np
import pytest

from qkd_pl.errors import InvalidInputError
from qkd_pl.statistics import paired_difference
from qkd_pl.training.trainer import KDTrainer
from reproduction.pays import loss_rows, page_lines
from reproduction.pays_figures import plot_which_loss
from reproduction.problems import PROBLEMS
from reproduction.results import Results
from reproduction.which_loss import LOSS_ARMS, WhichLossSettings, format_which_loss, losses, run_which_loss

SETTINGS = WhichLossSettings(inputs=(20, 1500))


def test_which_loss(tmp_path, monkeypatch):
    trainer = {"learning_rate": 0.3, "iterations": 3, "temperature": 0.5}
    recipe = dataclasses.replace(
        PROBLEMS["digits"], teacher_layers=1, student_layers=1, trainer=trainer, teacher_iterations=3
    )
    monkeypatch.setitem(PROBLEMS, "digits", recipe)
    calls, fit = [], KDTrainer.fit

    def recorded(self, network, train, **rest):
        calls.append((self.seed, train, rest))
        return fit(self, network, train, **rest)

    monkeypatch.setattr(KDTrainer, "fit", recorded)
    summary = run_which_loss(SETTINGS, 2, Results(tmp_path / "it"))
    students = [(seed, len(train[0]), str(rest["loss"])) for seed, train, rest in calls if train[1] is None]
    assert len(students) == 2 * 2 * len(LOSS_ARMS) == len({*students})
    assert len({seed for seed, *_ in students}) == 2
    raw = [record["result"]["inputs"]["20"] for record in Results(tmp_path / "it").records.values()]
    gain = paired_difference([r["hints"]["accuracy"] for r in raw], [r["kl"]["accuracy"] for r in raw])
    assert summary["inputs"]["20"]["differences"]["hints"]["accuracy"] == pytest.approx(gain.to_json())
    monkeypatch.setattr(KDTrainer, "fit", lambda *_, **__: pytest.fail("trained again"))
    assert run_which_loss(SETTINGS, 2, Results(tmp_path / "it")) == summary
    assert format_which_loss(summary).count(LOSS_ARMS["hints"]) == 2
    assert len(plot_which_loss(summary).axes) == 2
    assert len(loss_rows({"it": summary})) == 2 * (len(LOSS_ARMS) - 1)
    assert page_lines({"it": summary}) == []  # it has no page without results of few labels


def test_all_arms_have_their_loss():
    assert list(losses(0.2, 3)) == list(LOSS_ARMS)
    assert np.isfinite(losses(0.2, 3)["kl"].temperature)


@pytest.mark.parametrize("inputs", [(), (0, 5), (5, 5)])
def test_wrong_numbers_are_named(inputs):
    with pytest.raises(InvalidInputError, match="inputs="):
        WhichLossSettings(inputs=inputs)
