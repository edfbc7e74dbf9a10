"""Settings and fixtures that every test shares."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from types import SimpleNamespace

# Before NumPy is imported: threads of BLAS would only fight with the test workers.
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pytest
from hypothesis import settings

from qkd_pl.datasets import Dataset, topological_phases
from qkd_pl.datasets import mnist_file as mnist_module
from qkd_pl.storage import checksum

# The loopback service and a ledger of its own for every test; in a file beside the service.
pytest_plugins = ["service_fixtures", "fault_fixtures"]

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


@pytest.fixture(autouse=True, scope="session")
def _collections_at_the_recursion_limit() -> Iterator[None]:
    """Tests read JSON that nests down to the recursion limit; Python may collect garbage just there.

    Then a finalizer of anybody's has no frames left, which says nothing about it, and pytest none to tell of it. One
    that used the frames up itself is told of.
    """
    told = sys.unraisablehook

    def hook(unraisable: "sys.UnraisableHookArgs") -> None:
        frames, trace = 0, unraisable.exc_traceback
        while trace is not None:  # no call: there may be no frame for it
            frames, trace = frames + 1, trace.tb_next
        if unraisable.exc_type is not RecursionError or frames > 100:
            told(unraisable)

    sys.unraisablehook = hook
    yield
    sys.unraisablehook = told


@pytest.fixture(scope="session")
def phases() -> tuple[Dataset, Dataset]:
    """A small classification problem: ground states of a chain of three qubits, split for training and test."""
    return topological_phases(n_qubits=3, n_train=24, n_test=16, seed=0)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20260321)


@pytest.fixture
def mnist_file(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Made images in place of MNIST: each digit is a bright bar at a height of its own, in noise."""
    random = np.random.default_rng(5)
    arrays = {}
    for split, count in (("train", 800), ("test", 300)):
        labels = random.integers(0, 10, size=count)
        images = random.integers(0, 60, size=(count, 28, 28))
        for image, label in zip(images, labels, strict=True):
            image[2 * label : 2 * label + 5] += 180
        arrays |= {f"x_{split}": images.astype(np.uint8), f"y_{split}": labels.astype(np.uint8)}
    directory = tmp_path_factory.mktemp("data")
    np.savez(directory / "mnist.npz", **arrays)
    monkeypatch.setenv("QKD_PL_DATA", str(directory))
    monkeypatch.setattr(mnist_module, "N_TRAIN", 800)
    monkeypatch.setattr(mnist_module, "N_TEST", 300)
    monkeypatch.setattr(mnist_module, "SHA256", checksum(arrays))
    return SimpleNamespace(directory=directory, arrays=arrays)
