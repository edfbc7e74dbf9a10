"""A training that ends can be saved: what no file can hold is refused when it appears, or stored."""

import json

import numpy as np
import pytest

from qkd_pl import QNN, DeviceSpec, KDTrainer, load_model
from qkd_pl.errors import InvalidInputError
from qkd_pl.training.callbacks import Callback
from qkd_pl.training.records import storable

NETWORK = QNN(2, 1, embedding="angle")
DATA = np.linspace(-1, 1, 12).reshape(6, 2), np.arange(6) % 2


class Note(Callback):
    def __init__(self, value) -> None:
        self.value = value

    def on_iteration_end(self, run) -> None:
        run.history[-1]["note"] = self.value


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (np.float32(0.5), 0.5),
        (np.arange(3), [0, 1, 2]),
        ({"per class": np.array([0.5, 1.0])}, {"per class": [0.5, 1.0]}),
        ((1, np.int64(2)), [1, 2]),
        (np.bool_(True), True),
    ],
)
def test_numpys_values_in_the_history_are_stored(tmp_path, value, stored):
    model = KDTrainer(iterations=2, device="default").fit(NETWORK, DATA, callbacks=[Note(value)])
    model.save(tmp_path / "model.safetensors")
    assert load_model(tmp_path / "model.safetensors").history[-1]["note"] == stored


@pytest.mark.parametrize("value", [{1, 2}, np.random.default_rng(0), object(), 1j])
def test_other_objects_in_the_history_are_refused_in_the_first_iteration(value):
    note = Note({"inner": [value]})
    seen = []
    counter = type("Counter", (Callback,), {"on_iteration_end": lambda self, run: seen.append(run.iteration)})()
    with pytest.raises(InvalidInputError, match=rf"history\['note'\]\['inner'\]\[0\] is an? {type(value).__name__}"):
        KDTrainer(iterations=5, device="default").fit(NETWORK, DATA, callbacks=[note, counter])
    assert seen == [1]


def test_objects_among_a_devices_options_are_named_in_the_model_and_refused_for_checkpoints(tmp_path):
    spec = DeviceSpec(name="own", plugin="default.qubit", options={"seed": np.random.default_rng(0)})
    trainer = KDTrainer(iterations=1, device=spec)
    model = trainer.fit(NETWORK, DATA)
    model.save(tmp_path / "model.safetensors")
    assert "Generator" in json.dumps(load_model(tmp_path / "model.safetensors").training["device"])
    with pytest.raises(InvalidInputError, match="checkpoint: device 'own' is, or has among its options, an object"):
        trainer.fit(NETWORK, DATA, checkpoint=tmp_path / "run")


def test_json_comes_back_as_it_is():
    value = {"a": [1, 2.5, None, "x", True], "b": {"c": []}}
    assert storable(value, "value") == value
