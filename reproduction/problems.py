"""Problems on which distillation is tried: data, split by a seed, and how teachers and students are trained on them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from qkd_pl.cli.data_files import read_samples
from qkd_pl.datasets import Dataset, fit_pipeline, ground_states, mnist_images, topological_phases
from qkd_pl.errors import InvalidInputError
from qkd_pl.networks.networks import QNN
from reproduction.chains import critical_field, ising_ground_states, string_order

ProblemName = Literal[
    "phases", "ising", "annni", "cluster-ising", "mnist-1-5", "mnist", "digits", "breast-cancer", "wine", "file"
]
_ANGLE_QUBITS = 6
_IMAGE_QUBITS = 10
_FRUSTRATION = 0.25  # κ of the problem annni
_COUPLING = 0.5  # h2 of the problem cluster-ising, in units of J
_ORDERED = 0.5  # string order above which a state of that problem counts as topological


@dataclass(frozen=True)
class Split:
    """The data of one seed.

    Attributes:
        pool: for training; the first K samples are one of each class, so that the first m hold all classes.
        test: for the accuracies.
        position: of each test sample relative to a known transition at 1, or None where there is none.
    """

    pool: Dataset
    test: Dataset
    position: np.ndarray | None = None


@dataclass(frozen=True)
class Problem:
    """How a problem is solved.

    Attributes:
        load: from (seed, pool, test, file) to the data.
        n_pool, n_test: samples; of a set of fixed size, a fifth is held out for the test.
        teacher_layers, student_layers: depth of the networks.
        trainer: settings of the training, as :func:`reproduction.arms.trainer_and_losses` takes them.
        teacher_iterations: of each teacher candidate.
        logit_scale: of the teachers.
        circuit: settings of the networks that are not QNN's defaults.
    """

    load: Callable[[int, int, int, str | None], Split]
    n_pool: int
    n_test: int
    teacher_layers: int
    student_layers: int
    trainer: Mapping[str, Any]
    teacher_iterations: int
    logit_scale: float
    circuit: Mapping[str, Any] = field(default_factory=dict)

    def network(self, split: Split, n_layers: int) -> QNN:
        """A network for these data; unless ``circuit`` says otherwise, bits enter as phases and features as angles."""
        inputs = split.pool.inputs
        settings: dict[str, Any] = {"n_qubits": inputs.shape[1], "n_classes": int(split.pool.labels.max()) + 1}
        if np.iscomplexobj(inputs):
            settings["n_qubits"] = int(np.log2(inputs.shape[1]))
        else:
            settings["embedding"] = "phase" if bool(np.isin(inputs, (0.0, 1.0)).all()) else "angle"
        return QNN(n_layers=n_layers, **{**settings, **self.circuit})


def _states(seed: int, n_pool: int, n_test: int, file: str | None) -> Split:
    train, test = topological_phases(7, n_pool, n_test, seed, targets="field", progress=False)
    return _chain(train.inputs, train.labels, test.inputs, test.labels)


def _ising(frustration: float) -> Callable[..., Split]:
    def load(seed: int, n_pool: int, n_test: int, file: str | None) -> Split:
        positions = np.random.default_rng(seed).uniform(0.0, 2.0, n_pool + n_test)
        states = ising_ground_states(7, critical_field(frustration) * positions, frustration)
        return _chain(states[:n_pool], positions[:n_pool], states[n_pool:], positions[n_pool:])

    return load


def _cluster_ising(seed: int, n_pool: int, n_test: int, file: str | None) -> Split:
    fields = np.random.default_rng(seed).uniform(0.0, 2.0, n_pool + n_test)
    states = ground_states(7, fields, _COUPLING, progress=False)[1].astype(np.complex128)
    labels = (np.abs(string_order(states)) > _ORDERED).astype(np.int64)
    return Split(_first_of_each(Dataset(states[:n_pool], labels[:n_pool])), Dataset(states[n_pool:], labels[n_pool:]))


def _chain(pool: np.ndarray, pool_fields: np.ndarray, test: np.ndarray, test_fields: np.ndarray) -> Split:
    labels = (pool_fields < 1.0).astype(np.int64)
    held_out = Dataset(test, (test_fields < 1.0).astype(np.int64))
    return Split(_first_of_each(Dataset(pool, labels)), held_out, test_fields)


def _mnist(digits: tuple[int, ...], embedding: Literal["phase", "amplitude"]) -> Callable[..., Split]:
    def load(seed: int, n_pool: int, n_test: int, file: str | None) -> Split:
        random = np.random.default_rng(seed)
        train, test = (
            _drawn(split, count, random) for split, count in zip(mnist_images(digits), (n_pool, n_test), strict=True)
        )
        pipeline = fit_pipeline(train.inputs, embedding, _IMAGE_QUBITS)
        train, test = (split._replace(inputs=pipeline.transform(split.inputs)) for split in (train, test))
        return Split(_first_of_each(train), test)

    return load


def _drawn(split: Dataset, count: int, random: np.random.Generator) -> Dataset:
    chosen = random.permutation(len(split.labels))[:count]
    return Dataset(split.inputs[chosen], split.labels[chosen])


def _table(source: Callable[..., Any], n_qubits: int = _ANGLE_QUBITS) -> Callable[..., Split]:
    def load(seed: int, n_pool: int, n_test: int, file: str | None) -> Split:
        inputs, labels = source(return_X_y=True)
        return _features(inputs, labels, seed, n_qubits)

    return load


def _file(seed: int, n_pool: int, n_test: int, file: str | None) -> Split:
    if file is None:
        raise InvalidInputError("problem 'file' needs data, an .npz file with inputs and labels")
    inputs, labels = read_samples(Path(file))
    if labels is None:
        raise InvalidInputError(f"{file}: has no labels, and accuracies are counted on them")
    classes, indices = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise InvalidInputError(f"{file}: all labels are {classes.tolist()}; expected at least two classes")
    if np.iscomplexobj(inputs):
        return _split_states(inputs, indices.astype(np.int64), seed)
    return _features(inputs.reshape(len(inputs), -1), indices, seed, max(_ANGLE_QUBITS, len(classes)))


def _split_states(inputs: np.ndarray, labels: np.ndarray, seed: int) -> Split:
    order = np.random.default_rng(seed).permutation(len(labels))
    held_out, rest = np.split(order, [len(order) // 5])
    return Split(_first_of_each(Dataset(inputs[rest], labels[rest])), Dataset(inputs[held_out], labels[held_out]))


def _features(inputs: np.ndarray, labels: np.ndarray, seed: int, n_qubits: int) -> Split:
    """Principal components as angles from 0 to π, fitted on the pool, whose labels it does not see."""
    split = _split_states(np.asarray(inputs, dtype=float), np.asarray(labels, dtype=np.int64), seed)
    count = min(n_qubits, inputs.shape[1])
    angles = make_pipeline(
        StandardScaler(), PCA(count, svd_solver="covariance_eigh"), MinMaxScaler((0.0, np.pi), clip=True)
    ).fit(split.pool.inputs)
    pool, test = (data._replace(inputs=angles.transform(data.inputs)) for data in (split.pool, split.test))
    return Split(pool, test)


def _first_of_each(data: Dataset) -> Dataset:
    """The same samples, the first K of them one of each class."""
    first = [int(np.flatnonzero(data.labels == label)[0]) for label in np.unique(data.labels)]
    order = [*first, *(row for row in range(len(data.labels)) if row not in set(first))]
    return Dataset(data.inputs[order], data.labels[order])


_CHAIN = {"learning_rate": 0.3, "iterations": 50, "temperature": 0.5}
_LONGER = {"learning_rate": 0.2, "lr_step": 15, "iterations": 100}
_TABLE = {**_LONGER, "temperature": 0.2}
_TEN_DIGITS = {"learning_rate": 0.1, "lr_step": 30, "iterations": 200, "temperature": 1 / 30}
#: 784 pixels as amplitudes, and the circuit of Figure 6.
_FIGURE6 = {"n_qubits": _IMAGE_QUBITS, "embedding": "amplitude", "entangler": "cnot", "closing_rotations": False}

PROBLEMS: dict[str, Problem] = {
    "phases": Problem(_states, 500, 500, 2, 1, _CHAIN, 50, 30.0),
    "ising": Problem(_ising(0.0), 500, 500, 2, 1, _CHAIN, 50, 30.0),
    "annni": Problem(_ising(_FRUSTRATION), 500, 500, 2, 1, _CHAIN, 50, 30.0),
    "cluster-ising": Problem(_cluster_ising, 500, 500, 2, 1, _CHAIN, 50, 30.0),
    "mnist-1-5": Problem(_mnist((1, 5), "phase"), 2000, 1000, 6, 4, {**_LONGER, "temperature": 0.1}, 200, 10.0),
    "mnist": Problem(_mnist(tuple(range(10)), "amplitude"), 5000, 2000, 4, 4, _TEN_DIGITS, 400, 30.0, _FIGURE6),
    "digits": Problem(_table(load_digits, 10), 0, 0, 4, 2, _TABLE, 100, 10.0),
    "breast-cancer": Problem(_table(load_breast_cancer), 0, 0, 4, 1, _TABLE, 100, 10.0),
    "wine": Problem(_table(load_wine), 0, 0, 4, 1, _TABLE, 100, 10.0),
    "file": Problem(_file, 0, 0, 4, 1, _TABLE, 100, 10.0),
}
