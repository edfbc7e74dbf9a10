"""Weighted sums over the circuits of each sample."""

import numpy as np
import pytest

from qkd_pl.devices.ibm.compile.recombination import Recombination
from qkd_pl.errors import JobResultError

WEIGHTS = np.array([[1.0, 0.0, 0.0], [0.5, 0.0, 0.5], [0.2, 0.3, 0.5]])


def test_is_the_weighted_mean_without_the_circuits_of_weight_zero() -> None:
    values = np.random.default_rng(0).normal(size=(2, 3, 3))
    expected = np.einsum("nr,knr->nk", WEIGHTS, values)
    recombination = Recombination.of(WEIGHTS)
    assert recombination.sample.tolist() == [0, 1, 1, 2, 2, 2]
    run = values.reshape(2, 9)[:, np.flatnonzero(WEIGHTS)]
    np.testing.assert_allclose(recombination.apply([run]), expected, atol=1e-15)
    np.testing.assert_allclose(recombination.apply([run[:, :4], run[:, 4:]]), expected, atol=1e-15)


def test_comes_back_as_written() -> None:
    recombination = Recombination.of(WEIGHTS)
    again = Recombination.from_arrays({**recombination.to_arrays(), "labels": np.zeros(3)})
    assert again.n_samples == 3
    np.testing.assert_array_equal(again.sample, recombination.sample)
    np.testing.assert_array_equal(again.weight, recombination.weight)


@pytest.mark.parametrize("shape", [(2, 5), (2, 7), (6,)])
def test_another_number_of_values_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(JobResultError, match="6 circuit inputs"):
        Recombination.of(WEIGHTS).apply([np.zeros(shape)])
