from types import SimpleNamespace

import numpy as np
import pytest

from qkd_pl.datasets import mnist_file as module
from qkd_pl.storage import checksum


@pytest.fixture
def mnist_file(tmp_path_factory, monkeypatch):
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
    monkeypatch.setattr(module, "N_TRAIN", 800)
    monkeypatch.setattr(module, "N_TEST", 300)
    monkeypatch.setattr(module, "SHA256", checksum(arrays))
    return SimpleNamespace(directory=directory, arrays=arrays)
