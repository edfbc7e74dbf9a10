import numpy as np
import pytest

from qkd_pl import QNN, KDTrainer
from qkd_pl.errors import InvalidInputError
from qkd_pl.training.callbacks import BestWeights, Callback, EarlyStopping

NETWORK = QNN(2, 1, embedding="angle")
INPUTS, LABELS = np.linspace(-1, 1, 12).reshape(6, 2), np.array([0, 1, 0, 1, 1, 0])


class Script(Callback):
    """Records given values instead of measured ones, and keeps all weights."""

    def __init__(self, values, name="score") -> None:
        self.values, self.name, self.weights = values, name, []

    def on_iteration_end(self, run) -> None:
        self.weights.append(run.weights.copy())
        if (value := self.values[run.iteration - 1]) is not None:
            run.history[-1][self.name] = value


def fit(*callbacks, iterations=8, **given):
    return KDTrainer(iterations=iterations, device="default").fit(
        NETWORK, (INPUTS, LABELS), callbacks=callbacks, **given
    )


@pytest.mark.parametrize(
    ("values", "arguments", "length"),
    [
        ([1, 2, 3, 3, 3, 9, 9, 9], {"patience": 2}, 5),
        ([1, 2, 3, 3, 4, 3, 3, 9], {"patience": 2}, 7),
        ([1, 1.05, 1.1, 1.2, 2, 3, 4, 5], {"patience": 3, "min_delta": 0.5}, 4),
        ([5, 4, 3, 3, 3, 3, 2, 1], {"patience": 2, "larger_is_better": False}, 5),
        ([1, None, 1, None, 1, None, 1, 1], {"patience": 3}, 7),
        ([1, 2, 3, 4, 5, 6, 7, 8], {"patience": 1}, 8),
    ],
)
def test_it_stops_after_so_many_evaluations_without_improvement(values, arguments, length):
    assert len(fit(Script(values), EarlyStopping("score", **arguments)).history) == length


def test_losses_fall_and_scores_rise():
    assert len(fit(Script([3, 2, 1, 1, 1, 1, 1, 1], "my_loss"), EarlyStopping("my_loss", 2)).history) == 5


def test_the_best_weights_are_those_after_the_best_iteration():
    script = Script([1, 5, 2, 5, 0, 1, 1, 1])
    model = fit(script, BestWeights("score"))
    np.testing.assert_array_equal(model.weights, script.weights[1])
    assert len(model.history) == 8


def test_stopping_and_best_weights_together():
    script = Script([1, 5, 2, 2, 0, 1, 1, 1])
    model = fit(script, BestWeights("score"), EarlyStopping("score", 3))
    assert len(model.history) == 5
    np.testing.assert_array_equal(model.weights, script.weights[1])


def test_callbacks_serve_several_fits():
    callbacks = EarlyStopping("score", 2), BestWeights("score")
    first = fit(Script([9, 1, 1, 1, 1, 1, 1, 1]), *callbacks)
    script = Script([1, 2, 3, 4, 5, 6, 7, 8])
    second = fit(script, *callbacks)
    assert (len(first.history), len(second.history)) == (3, 8)
    np.testing.assert_array_equal(second.weights, script.weights[-1])


def test_any_callback_can_stop_a_run():
    class After(Callback):
        def on_iteration_end(self, run) -> None:
            if run.iteration == 3:
                run.stop()

    assert len(fit(After()).history) == 3


@pytest.mark.parametrize("callback", [EarlyStopping(), BestWeights()])
def test_a_value_that_is_not_recorded_is_named_at_once(callback):
    with pytest.raises(InvalidInputError, match=r"no record has 'validation_loss'; give fit\(validation="):
        fit(callback)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EarlyStopping(patience=0), "patience=0"),
        (lambda: EarlyStopping(min_delta=-1), "min_delta=-1"),
        (lambda: BestWeights(monitor=3), "monitor=3: must be the name"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()
