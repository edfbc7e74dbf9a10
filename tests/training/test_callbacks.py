import numpy as np
import pytest

from qkd_pl import QAE, QNN, KDTrainer
from qkd_pl.errors import InvalidInputError
from qkd_pl.training.callbacks import Accuracy, Callback, ProgressBar

ARCHITECTURE = QNN(n_qubits=2, n_layers=1, embedding="angle")
INPUTS, LABELS = np.linspace(-1, 1, 12).reshape(6, 2), np.array([0, 1, 0, 1, 1, 0])


def fit(*callbacks: Callback, iterations: int = 4):
    trainer = KDTrainer(iterations=iterations, device="default")
    return trainer.fit(ARCHITECTURE, (INPUTS, LABELS), callbacks=callbacks)


class Recorder(Callback):
    def __init__(self, fail_at: int | None = None) -> None:
        self.events: list[str] = []
        self.fail_at = fail_at

    def on_train_begin(self, run) -> None:
        self.events.append(f"begin {run.iteration}")

    def on_iteration_end(self, run) -> None:
        self.events.append(f"{run.iteration} of {run.iterations}: {run.history[-1]['iteration']}")
        if run.iteration == self.fail_at:
            raise RuntimeError("stopped")

    def on_train_end(self, run) -> None:
        self.events.append(f"end {run.iteration}")


def test_hooks_are_called_in_order():
    recorder = Recorder()
    fit(recorder, iterations=2)
    assert recorder.events == ["begin 0", "1 of 2: 1", "2 of 2: 2", "end 2"]


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        (Recorder(), "must be a list of callbacks, not a Recorder"),
        ([Recorder], "<class '.*Recorder'> is not an instance of qkd_pl.callbacks.Callback"),
    ],
)
def test_anything_but_a_list_of_callbacks_is_refused(callbacks, message):
    with pytest.raises(InvalidInputError, match=message):
        KDTrainer(iterations=1, device="default").fit(ARCHITECTURE, (INPUTS, LABELS), callbacks=callbacks)


def test_the_end_is_reported_after_an_error_too():
    first, second = Recorder(fail_at=2), Recorder()
    with pytest.raises(RuntimeError, match="stopped"):
        fit(first, second)
    assert first.events[-1] == second.events[-1] == "end 2"


def test_the_base_class_does_nothing():
    assert fit(Callback()).weights.tobytes() == fit().weights.tobytes()


def test_a_callback_may_add_to_the_history():
    class Note(Callback):
        def on_iteration_end(self, run) -> None:
            run.history[-1]["note"] = run.iteration**2

    assert [record["note"] for record in fit(Note()).history] == [1, 4, 9, 16]


def test_the_progress_bar_counts_and_shows_the_loss(capsys):
    fit(ProgressBar("teacher"))
    shown = capsys.readouterr().err
    assert "teacher: 100%" in shown
    assert "4/4" in shown
    assert "loss=" in shown


def test_a_progress_bar_can_watch_two_runs(capsys):
    bar = ProgressBar()
    fit(bar)
    fit(bar, iterations=3)
    shown = capsys.readouterr().err
    assert "4/4" in shown
    assert "3/3" in shown


def test_a_delayed_progress_bar_stays_away_from_short_runs(capsys):
    fit(ProgressBar("long", delay=60.0))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("every", "recorded"), [(1, [1, 2, 3, 4, 5]), (2, [2, 4, 5]), (9, [5])])
def test_accuracy_is_recorded_every_so_often_and_at_the_end(every, recorded):
    model = fit(Accuracy(INPUTS, LABELS, name="test", every=every), iterations=5)
    assert [record["iteration"] for record in model.history if "test" in record] == recorded
    assert model.history[-1]["test"] == model.score(INPUTS, LABELS, "default")


def test_accuracy_needs_a_number_of_iterations():
    with pytest.raises(InvalidInputError, match="every=0"):
        Accuracy(INPUTS, LABELS, every=0)


@pytest.mark.parametrize("names", [("accuracy", "accuracy"), ("train", "loss")])
def test_accuracies_do_not_overwrite_each_other(names):
    with pytest.raises(InvalidInputError, match=f"{names[1]!r} is recorded already"):
        fit(*(Accuracy(INPUTS, LABELS, name) for name in names))


def test_accuracy_does_not_change_the_training():
    assert fit(Accuracy(INPUTS, LABELS)).weights.tobytes() == fit().weights.tobytes()


def test_accuracy_watches_classifiers_only():
    trainer = KDTrainer(iterations=1, device="default")
    with pytest.raises(InvalidInputError, match="watches classifiers, and"):
        trainer.fit(QAE(2, 1, 1), (np.eye(4), None), callbacks=[Accuracy(np.eye(4), np.zeros(4))])
