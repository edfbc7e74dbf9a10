"""Killed runs are run for real: this file, started as a script, trains in child processes that die by SIGKILL."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from qkd_pl import QAE, QNN, DeviceSpec, Distillation, KDTrainer
from qkd_pl.errors import FileFormatError, InvalidInputError
from qkd_pl.networks.models import trained
from qkd_pl.training.callbacks import BestWeights, Callback, EarlyStopping
from qkd_pl.training.schedules import Cosine, Linear, Step

DEVICES = {
    "lightning": "lightning",
    "default": "default",
    "shots": DeviceSpec(name="shots", plugin="default.qubit", shots=100),
    "shots of stock Lightning": DeviceSpec(name="shots", plugin="lightning.qubit", shots=100),
    "shots with a seed": DeviceSpec(name="seeded", plugin="default.qubit", shots=100, seed=7),
    "spsa": DeviceSpec(name="spsa", plugin="default.qubit", shots=100, diff_method="spsa"),
}
ARCHITECTURE = QNN(n_qubits=2, n_layers=1, embedding="angle")
LOSS = Distillation(temperature=0.5, alpha=0.5, logit_scale=1.0)
OPTIMIZERS = ("gradient-descent", "momentum", "adagrad", "rmsprop")
ANY_ITERATION = [1, 3, "while writing a checkpoint", 5]


class StopAt(Callback):
    """Ends the process at once after an iteration, before its checkpoint is written."""

    def __init__(self, iteration: int) -> None:
        self.iteration = iteration

    def on_iteration_end(self, run) -> None:
        if run.iteration == self.iteration:
            os.kill(os.getpid(), signal.SIGKILL)


def fit(
    device,
    checkpoint: Path | None = None,
    *,
    callbacks=(),
    data_seed: int = 0,
    network=ARCHITECTURE,
    validate=False,
    **changes,
):
    rng = np.random.default_rng(data_seed)
    inputs, labels, logits = rng.normal(size=(8, 2)), rng.integers(0, 2, size=8), rng.normal(size=(8, 2))
    settings = {"iterations": 6, "batch_size": 3, "learning_rate": Step(0.3, every=2), "weight_decay": 0.01, "seed": 1}
    loss = changes.pop("loss", LOSS)
    trainer = KDTrainer(**{**settings, "device": device, **changes})
    return trainer.fit(
        network,
        (inputs, labels),
        teacher=logits,
        loss=loss,
        validation=(inputs[:4], labels[:4]) if validate else None,
        callbacks=callbacks,
        checkpoint=checkpoint,
        checkpoint_every=2,
    )


def fit_and_die(device, checkpoint: Path, when: int | str) -> None:
    if isinstance(when, str):
        os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
        fit(device, checkpoint)
    else:
        fit(device, checkpoint, callbacks=[StopAt(when)])


def die_again_and_again(directory: Path) -> None:
    """For each device, kill one run after the other that go on from the same checkpoint; print how each one ended."""
    for number, device in enumerate(DEVICES.values()):
        for when in ANY_ITERATION:
            child = os.fork()
            if child == 0:
                fit_and_die(device, directory / str(number), when)
                os._exit(0)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def test_a_killed_run_goes_on_bit_for_bit(tmp_path):
    script = subprocess.run([sys.executable, __file__, str(tmp_path)], capture_output=True, text=True, check=True)
    assert script.stdout.split() == ["-9"] * len(DEVICES) * len(ANY_ITERATION)
    for number, (name, device) in enumerate(DEVICES.items()):
        resumed, untouched = fit(device, tmp_path / str(number)), fit(device)
        assert resumed.weights.tobytes() == untouched.weights.tobytes(), name
        assert resumed.history == untouched.history, name
        assert len(resumed.history) == 6, name


class Count(Callback):
    def __init__(self) -> None:
        self.iterations: list[int] = []

    def on_iteration_end(self, run) -> None:
        self.iterations.append(run.iteration)


def interrupted(path: Path, **settings) -> None:
    """Leave a checkpoint of 4 iterations behind."""

    class Interrupt(Callback):
        def on_iteration_end(self, run) -> None:
            if run.iteration == 5:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit("default", path, callbacks=[Interrupt()], **settings)


def test_only_the_iterations_since_the_checkpoint_are_done_again(tmp_path):
    interrupted(tmp_path / "run")
    count = Count()
    fit("default", tmp_path / "run", callbacks=[count])
    assert count.iterations == [5, 6]


def test_a_finished_run_is_returned_without_training(tmp_path):
    first = fit("default", tmp_path / "run")
    count = Count()
    second = fit("default", tmp_path / "run", callbacks=[count])
    assert count.iterations == []
    assert first.weights.tobytes() == second.weights.tobytes()
    assert first.history == second.history


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"learning_rate": 0.1}, r"settings \(learning_rate\)"),
        ({"learning_rate": Step(0.3, every=3), "seed": 2}, r"settings \(learning_rate, seed\) and initial weights\."),
        ({"optimizer": "momentum"}, r"settings \(optimizer\)"),
        ({"loss": Distillation(temperature=0.6, alpha=0.5, logit_scale=1.0)}, r"loss \(temperature\)"),
        ({"loss": Distillation(Linear(0.5, 0.4, 6), 0.5, 2.0)}, r"loss \(logit_scale, temperature\)"),
        ({"loss": Distillation() + 0.1 * LOSS}, "differs in loss"),
        ({"validate": True}, "differs in data"),
        ({"data_seed": 1}, r"differs in loss \(statistics\) and data \(labels, rows, teacher\)\."),
        ({"network": QNN(2, 1, embedding="angle", entangler="cnot")}, r"network \(entangler\)"),
        ({"network": QNN(2, 2, embedding="angle")}, r"network \(n_layers\)"),
        ({"device": "sampled"}, r"settings \(device\)"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused_by_name(tmp_path, changes, named):
    path = tmp_path / "run"
    interrupted(path)
    before = path.read_bytes()
    with pytest.raises(FileFormatError, match=f"{path}.*another run.*{named}"):
        fit(**{"device": "default", "checkpoint": path, **changes})
    assert path.read_bytes() == before


def test_a_finished_run_can_be_made_longer_but_not_shorter(tmp_path):
    path = tmp_path / "run"
    fit("default", path)
    longer, untouched = fit("default", path, iterations=9), fit("default", iterations=9)
    assert longer.weights.tobytes() == untouched.weights.tobytes()
    assert longer.history == untouched.history
    assert longer.training["iterations"] == 9
    with pytest.raises(FileFormatError, match=f"{path}.*after iteration 9, and this run has only 6"):
        fit("default", path)


def test_a_directory_is_no_checkpoint(tmp_path):
    with pytest.raises(InvalidInputError, match=f"checkpoint='{tmp_path}' is a directory"):
        fit("default", tmp_path)


def test_the_teacher_is_part_of_the_run(tmp_path):
    data = (np.zeros((4, 2)), np.zeros(4, dtype=int))
    trainer = KDTrainer(iterations=1, device="default")
    trainer.fit(ARCHITECTURE, data, teacher=np.zeros((4, 2)), checkpoint=tmp_path / "run")
    for teacher, changes in ((None, r"loss and data \(teacher\)"), (np.ones((4, 2)), r"data \(teacher\)\.")):
        with pytest.raises(FileFormatError, match=f"differs in {changes}"):
            trainer.fit(ARCHITECTURE, data, teacher=teacher, checkpoint=tmp_path / "run")


def test_initial_weights_are_part_of_the_run(tmp_path):
    data = (np.zeros((4, 2)), np.zeros(4, dtype=int))
    trainer = KDTrainer(iterations=1, device="default")
    trainer.fit(ARCHITECTURE, data, checkpoint=tmp_path / "run")
    with pytest.raises(FileFormatError, match="differs in initial weights"):
        trainer.fit(ARCHITECTURE, data, initial=np.zeros((2, 2, 3)), checkpoint=tmp_path / "run")


def test_an_edited_loss_is_another_run(tmp_path):
    def with_margin(margin):
        def mine(outputs, targets):
            difference = outputs[:, 1] - outputs[:, 0] - margin * (2 * targets.labels - 1)
            return (difference**2).mean(), np.stack([-2 * difference, 2 * difference], axis=1) / len(outputs)

        return mine

    data = (np.zeros((4, 2)), np.zeros(4, dtype=int))
    trainer = KDTrainer(iterations=1, device="default")
    first = trainer.fit(ARCHITECTURE, data, loss=with_margin(0.3), checkpoint=tmp_path / "run")
    again = trainer.fit(ARCHITECTURE, data, loss=with_margin(0.3), checkpoint=tmp_path / "run")
    assert again.weights.tobytes() == first.weights.tobytes()
    with pytest.raises(FileFormatError, match=r"differs in loss \(code\)\."):
        trainer.fit(ARCHITECTURE, data, loss=with_margin(0.9), checkpoint=tmp_path / "run")


@pytest.mark.parametrize("damage", [lambda b: b[:-3], lambda b: b[:20], lambda b: b"", lambda b: b[:-1] + b"\x7f"])
def test_a_damaged_checkpoint_is_refused(tmp_path, damage):
    path = tmp_path / "run"
    interrupted(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(FileFormatError, match=str(path)):
        fit("default", path)


def test_a_model_is_no_checkpoint(tmp_path):
    trained(ARCHITECTURE, np.zeros((2, 2, 3))).save(tmp_path / "run")
    with pytest.raises(FileFormatError, match="holds a model, expected a checkpoint"):
        fit("default", tmp_path / "run")


def test_an_autoencoder_resumes_too(tmp_path):
    trainer = KDTrainer(iterations=4, device="default", learning_rate=0.1)
    data = (np.eye(4), None)
    untouched = trainer.fit(QAE(2, 1, 1), data)

    class Interrupt(Callback):
        def on_iteration_end(self, run) -> None:
            if run.iteration == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer.fit(QAE(2, 1, 1), data, callbacks=[Interrupt()], checkpoint=tmp_path / "run", checkpoint_every=1)
    resumed = trainer.fit(QAE(2, 1, 1), data, checkpoint=tmp_path / "run")
    assert resumed.weights.tobytes() == untouched.weights.tobytes()


# -- schedules, optimizers and callbacks ------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, "adam"])
def test_every_optimizer_goes_on_bit_for_bit(tmp_path, optimizer):
    interrupted(tmp_path / "run", optimizer=optimizer)
    resumed, untouched = fit("default", tmp_path / "run", optimizer=optimizer), fit("default", optimizer=optimizer)
    assert resumed.weights.tobytes() == untouched.weights.tobytes()


def rate(iteration):
    return 0.3 / (1 + iteration)


SCHEDULED = Distillation(temperature=Cosine(1.0, 0.3, 4), alpha=lambda i: 1 / (1 + i), logit_scale=1.0)


def test_schedules_go_on_where_they_were(tmp_path):
    settings = {"learning_rate": rate, "loss": SCHEDULED}
    interrupted(tmp_path / "run", **settings)
    resumed, untouched = fit("default", tmp_path / "run", **settings), fit("default", **settings)
    assert resumed.weights.tobytes() == untouched.weights.tobytes()
    longer = fit("default", tmp_path / "run", **settings, iterations=9)
    assert longer.weights.tobytes() == fit("default", **settings, iterations=9).weights.tobytes()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"learning_rate": lambda i: rate(i) if i < 5 else 0.01}, r"settings \(learning_rate\)"),
        ({"loss": Distillation(Cosine(1.0, 0.3, 5), SCHEDULED.alpha, 1.0)}, r"loss \(temperature\)"),
        ({"loss": Distillation(SCHEDULED.temperature, lambda i: 1.0, 1.0)}, r"loss \(alpha\)"),
    ],
)
def test_other_values_of_a_schedule_are_another_run(tmp_path, changes, named):
    interrupted(tmp_path / "run", learning_rate=rate, loss=SCHEDULED)
    with pytest.raises(FileFormatError, match=named):
        fit("default", tmp_path / "run", **{"learning_rate": rate, "loss": SCHEDULED, **changes})


def watchers() -> list[Callback]:
    return [EarlyStopping("loss", patience=6), BestWeights("validation_score")]


class Killed(Callback):
    def __init__(self, at: int) -> None:
        self.at = at

    def on_iteration_end(self, run) -> None:
        if run.iteration == self.at:
            raise KeyboardInterrupt


@pytest.mark.parametrize("device", ["default", "shots"])
@pytest.mark.parametrize("at", [1, 3, 5, 8])
def test_callbacks_go_on_where_they_were(tmp_path, at, device):
    """Killed anywhere, also on a device whose validation is sampled, it stops in the same iteration."""
    given = {"iterations": 40, "validate": True}
    untouched = fit(DEVICES[device], callbacks=watchers(), **given)
    assert 8 < len(untouched.history) < 40
    with pytest.raises(KeyboardInterrupt):
        fit(DEVICES[device], tmp_path / "run", callbacks=[*watchers(), Killed(at)], **given)
    resumed = fit(DEVICES[device], tmp_path / "run", callbacks=watchers(), **given)
    assert resumed.history == untouched.history
    assert resumed.weights.tobytes() == untouched.weights.tobytes()


def test_a_stopped_run_stays_stopped(tmp_path):
    given = {"iterations": 40, "validate": True}
    first = fit("default", tmp_path / "run", callbacks=watchers(), **given)
    again = fit("default", tmp_path / "run", callbacks=watchers(), **{**given, "iterations": 60})
    assert again.history == first.history
    assert again.weights.tobytes() == first.weights.tobytes()


def test_the_best_weights_leave_the_run_alone(tmp_path):
    """A finished run holds the last weights, too: made longer, it goes on from them."""
    given = {"validate": True, "callbacks": [BestWeights("validation_score")]}
    fit("default", tmp_path / "run", **given)
    longer = fit("default", tmp_path / "run", **given, iterations=12)
    assert longer.weights.tobytes() == fit("default", **given, iterations=12).weights.tobytes()


def test_other_callbacks_with_a_state_are_another_run(tmp_path):
    fit("default", tmp_path / "run", callbacks=[BestWeights("loss")])
    with pytest.raises(FileFormatError, match="states of these callbacks: BestWeights; this run has none"):
        fit("default", tmp_path / "run")
    fit("default", tmp_path / "run", callbacks=[Count(), BestWeights("loss")])


def test_a_state_that_no_file_can_hold_is_named(tmp_path):
    class Odd(Callback):
        def state(self):
            return {"seen": {1, 2}}

    with pytest.raises(InvalidInputError, match=r"state of Odd\['seen'\] is a set"):
        fit("default", tmp_path / "run", callbacks=[Odd()])


if __name__ == "__main__":
    die_again_and_again(Path(sys.argv[1]))
