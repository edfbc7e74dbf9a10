"""Data of every kind: disjoint splits, a seed's own, the first of the pool one of each class."""

import numpy as np
import pytest

from qkd_pl.errors import FileFormatError, InvalidInputError
from reproduction.problems import PROBLEMS

SIZES = {
    "phases": (20, 10),
    "ising": (20, 10),
    "annni": (20, 10),
    "cluster-ising": (20, 10),
    "mnist-1-5": (60, 20),
    "mnist": (200, 20),
}


@pytest.mark.parametrize("name", sorted(PROBLEMS.keys() - {"file"}))
def test_splits(name, mnist_file):
    load, sizes = PROBLEMS[name].load, SIZES.get(name, (0, 0))
    split, same, other = (load(seed, *sizes, None) for seed in (3, 3, 4))
    n_classes = len(np.unique(split.pool.labels))
    assert sorted(split.pool.labels[:n_classes]) == list(range(n_classes))
    np.testing.assert_array_equal(split.pool.inputs, same.pool.inputs)
    assert split.pool.inputs.shape == other.pool.inputs.shape
    assert not np.array_equal(split.pool.inputs, other.pool.inputs)
    network = PROBLEMS[name].network(split, 1)
    assert network.n_classes == n_classes
    network.encode(split.test.inputs)  # checks them
    if split.position is not None:
        np.testing.assert_array_equal(split.test.labels, (split.position < 1.0).astype(int))


def test_a_file_is_a_problem(tmp_path, rng):
    inputs, labels = rng.normal(size=(40, 3)), np.array([3, 7])[rng.integers(0, 2, 40)]
    np.savez(tmp_path / "it.npz", inputs=inputs, labels=labels)
    split = PROBLEMS["file"].load(0, 0, 0, str(tmp_path / "it.npz"))
    assert (len(split.pool.labels), len(split.test.labels)) == (32, 8)
    network = PROBLEMS["file"].network(split, 1)
    assert (network.n_qubits, network.embedding) == (3, "angle")
    np.savez(tmp_path / "one.npz", inputs=inputs, labels=np.zeros(40, dtype=int))
    with pytest.raises(InvalidInputError, match="at least two classes"):
        PROBLEMS["file"].load(0, 0, 0, str(tmp_path / "one.npz"))
    (tmp_path / "none.npz").write_bytes(b"no")
    with pytest.raises(FileFormatError, match=r"not an \.npz file"):
        PROBLEMS["file"].load(0, 0, 0, str(tmp_path / "none.npz"))
