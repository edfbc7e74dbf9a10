"""Checkpoints whose checksum fits, and which no run of ours can have written."""

import numpy as np
import pytest

from qkd_pl import QNN, KDTrainer
from qkd_pl.errors import FileFormatError
from qkd_pl.storage import read_tensors, write_tensors
from qkd_pl.training.callbacks import BestWeights, EarlyStopping

NETWORK = QNN(2, 1, embedding="angle")
DATA = np.linspace(0.0, 3.0, 8).reshape(4, 2), np.array([0, 1, 1, 0])


def run(path, iterations):
    callbacks = [EarlyStopping("loss"), BestWeights("loss")]
    return KDTrainer(iterations=iterations, batch_size=2).fit(NETWORK, DATA, checkpoint=path, callbacks=callbacks)


@pytest.fixture
def signed(tmp_path):
    """Goes on from a checkpoint after two iterations, with changes to its manifest and tensors."""
    path = tmp_path / "run.safetensors"
    run(path, 2)

    def resume(change, tensors):
        arrays, manifest = read_tensors(path, "checkpoint")
        change(manifest)
        write_tensors(path, "checkpoint", arrays | tensors, manifest)
        return run(path, 3)

    return resume


def test_an_unchanged_one_is_resumed(signed, tmp_path):
    resumed = signed(lambda manifest: None, {})
    np.testing.assert_array_equal(resumed.weights, run(tmp_path / "other.safetensors", 3).weights)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(iteration=-1), "iteration: Input should be greater than or equal to 0"),
        (lambda m: m.update(iteration=2.0), "iteration: Input should be a valid integer"),
        (lambda m: m.update(iteration=10**300), "iteration: "),
        (lambda m: m.update(stopped="no"), "stopped: "),
        (lambda m: m["history"].pop(), "history has 1 records of 2 iterations"),
        (lambda m: m.pop("fingerprint"), "fingerprint: Field required"),
        (lambda m: m.update(fingerprint={"settings": []}), "belongs to another run"),
        (lambda m: m["random_states"].pop("batches"), "random_states: must be those of batches"),
        (lambda m: m["random_states"]["batches"].update(bit_generator="MT19937"), "bit_generator: "),
        (lambda m: m["random_states"]["batches"]["state"].update(state=2**128), r"state\.state: "),
        (lambda m: m["callbacks"][0]["state"].update(waited="long"), "EarlyStopping cannot go on .*waited: "),
        (lambda m: m["callbacks"][1]["state"].update(best=[]), "BestWeights cannot go on from its state .*best: "),
        (lambda m: m["callbacks"].reverse(), "holds the states of these callbacks: BestWeights, EarlyStopping"),
    ],
)
def test_wrong_manifests_are_refused(signed, change, message):
    with pytest.raises(FileFormatError, match=rf"run\.safetensors: .*{message}"):
        signed(change, {})


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"weights": np.full((2, 2, 3), np.inf)}, "'weights' holds numbers that are not finite"),
        ({"weights": np.ones((2, 2, 3), int)}, "'weights' is int64"),
        ({"weights": np.ones(12)}, r"'weights' is float64 \(12,\)"),
        ({"optimizer.first_moment": np.ones(12)}, "optimizer: tensor 'first_moment' is float64"),
        ({"optimizer.second_moment": np.full((2, 2, 3), np.nan)}, "optimizer: tensor 'second_moment' holds"),
        ({"optimizer.steps": np.array(-1)}, "optimizer: steps must be 2"),
        ({"optimizer.steps": np.array([2, 2])}, "optimizer: steps must be 2"),
        ({"callback.1.weights": np.ones(3)}, "BestWeights cannot go on from its state .*'weights' is float64"),
    ],
)
def test_wrong_tensors_are_refused(signed, tensors, message):
    with pytest.raises(FileFormatError, match=rf"run\.safetensors: .*{message}"):
        signed(lambda manifest: None, tensors)
