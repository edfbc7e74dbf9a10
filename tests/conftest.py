"""Settings and fixtures that every test shares."""

import os
import shutil
import tempfile

# Before NumPy is imported: threads of BLAS would only fight with the test workers.
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pytest
from hypothesis import settings

from qkd_pl.datasets import Dataset, topological_phases

# Examples are drawn from the test's own name, so that a run on another machine checks the same cases.
settings.register_profile("reproducible", deadline=None, derandomize=True, max_examples=25)
settings.load_profile("reproducible")

_IS_WORKER = "PYTEST_XDIST_WORKER" in os.environ


def pytest_configure(config: pytest.Config) -> None:
    """Keep the user's cache and device file out of the tests; workers inherit the controller's choice."""
    if not _IS_WORKER:
        os.environ["QKD_PL_CACHE"] = tempfile.mkdtemp(prefix="qkd_pl-tests-")
        os.environ.pop("QKD_PL_DEVICES", None)


def pytest_unconfigure(config: pytest.Config) -> None:
    if not _IS_WORKER:
        shutil.rmtree(os.environ["QKD_PL_CACHE"], ignore_errors=True)


@pytest.fixture(scope="session")
def phases() -> tuple[Dataset, Dataset]:
    """A small classification problem: ground states of a chain of three qubits, split for training and test."""
    return topological_phases(n_qubits=3, n_train=24, n_test=16, seed=0)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20260321)
