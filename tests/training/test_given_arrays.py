"""Data in the forms in which people have them: tensors, lists, and what is no array at all."""

import numpy as np
import pennylane as qml
import pytest

import qkd_pl as kd
from qkd_pl.errors import InvalidInputError

X = np.random.default_rng(0).uniform(0.0, 3.0, (6, 2))
Y = np.arange(6) % 2
NETWORK = kd.QNN(2, 1, embedding="angle")
HINTED = kd.CrossEntropy() + kd.Hints([qml.X(0)])
RAGGED = [[1], [1, 2]]


class Tensor:
    """What a torch.Tensor that is differentiated does: NumPy cannot read it before it is detached."""

    def __init__(self, values):
        self.values = values

    def __array__(self, *args, **kwargs):
        raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")

    def __len__(self):
        return len(self.values)

    def detach(self):
        return self

    def cpu(self):
        return self.values


def fit(network=NETWORK, inputs=X, labels=Y, **settings):
    return kd.KDTrainer(iterations=2, seed=0).fit(network, (inputs, labels), **settings)


@pytest.mark.parametrize(
    "given",
    [
        {"inputs": X},
        {"labels": Y},
        {"sample_weight": np.arange(1.0, 7.0)},
        {"initial": np.full(NETWORK.weights_shape, 0.3)},
        {"loss": HINTED, "hints": X[:, :1]},
        {"labels": None, "teacher": np.cos(X)},
        {"network": kd.QNN(2, 1, 1, embedding="angle"), "labels": X[:, 0], "loss": kd.SquaredError()},
    ],
    ids=["inputs", "labels", "sample_weight", "initial", "hints", "teacher", "targets"],
)
def test_tensors_that_are_differentiated_are_taken(given):
    tensors = {
        name: Tensor(value) if isinstance(value, np.ndarray) and name != "network" else value
        for name, value in given.items()
    }
    np.testing.assert_array_equal(fit(**tensors).weights, fit(**given).weights)


def test_tensors_are_validated_and_scored():
    model = fit(validation=(Tensor(X), Tensor(Y)))
    assert model.history[-1]["validation_score"] == model.score(Tensor(X), Tensor(Y)) == model.score(X, Y)


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"inputs": RAGGED, "labels": [0, 1]}, "inputs"),
        ({"labels": RAGGED}, "labels"),
        ({"sample_weight": RAGGED}, "sample_weight"),
        ({"initial": RAGGED}, "initial weights"),
        ({"loss": HINTED, "hints": RAGGED}, "hints"),
        ({"network": kd.QNN(2, 1, 1, embedding="angle"), "labels": RAGGED, "loss": kd.SquaredError()}, "labels"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_rows_of_different_lengths_are_no_array(given, name):
    with pytest.raises(InvalidInputError, match=rf"^{name} is a list; it must be an array of numbers$"):
        fit(**given)


def test_an_empty_validation_is_named():
    with pytest.raises(InvalidInputError, match="validation: there are no samples"):
        fit(validation=(X[:0], Y[:0]))


def test_an_array_of_objects_is_told_by_its_dtype():
    with pytest.raises(InvalidInputError, match="teacher is an ndarray of dtype object; it must be an array"):
        fit(labels=None, teacher=np.full((6, 2), None))
