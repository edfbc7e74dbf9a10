"""Against the real images where ``$QKD_PL_DATA`` has them, else on made ones under MNIST's name."""

import os
from types import SimpleNamespace

import numpy as np
import pytest

from qkd_pl.datasets import fit_pipeline, mnist, mnist_file, mnist_images
from qkd_pl.errors import DownloadError, FileFormatError, InvalidInputError
from qkd_pl.storage import checksum

needs_mnist = pytest.mark.skipif("QKD_PL_DATA" not in os.environ, reason="QKD_PL_DATA, where mnist.npz is, is not set")
N_TRAIN, N_TEST = 300, 100


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Made images in place of MNIST; ``data`` is $QKD_PL_DATA and ``cache`` the cache, both empty."""
    random = np.random.default_rng(5)
    arrays = {}
    for split, count in (("train", N_TRAIN), ("test", N_TEST)):
        arrays[f"x_{split}"] = random.integers(0, 256, size=(count, 28, 28)).astype(np.uint8)
        arrays[f"y_{split}"] = random.integers(0, 10, size=count).astype(np.uint8)
    monkeypatch.setenv("QKD_PL_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("QKD_PL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(mnist_file, "N_TRAIN", N_TRAIN)
    monkeypatch.setattr(mnist_file, "N_TEST", N_TEST)
    monkeypatch.setattr(mnist_file, "SHA256", checksum(arrays))
    monkeypatch.setattr(mnist_file, "fetch_openml", lambda *_, **__: pytest.fail("downloads"))
    (tmp_path / "data").mkdir()
    (tmp_path / "cache").mkdir()
    return SimpleNamespace(arrays=arrays, data=tmp_path / "data" / "mnist.npz", cache=tmp_path / "cache" / "mnist.npz")


def openml(arrays, calls=None):
    """What scikit-learn returns for MNIST: pixels and labels of both splits, one below the other."""

    def fetch(*arguments, **settings):
        if calls is not None:
            calls.append((arguments, settings))
        images = np.concatenate([arrays["x_train"], arrays["x_test"]]).reshape(-1, 784)
        labels = np.concatenate([arrays["y_train"], arrays["y_test"]])
        return SimpleNamespace(data=images.astype(np.int64), target=labels.astype(str).astype(object))

    return fetch


@pytest.mark.parametrize("place", ["data", "cache"])
def test_images_are_found_in_either_place(made, place):
    np.savez(getattr(made, place), **made.arrays)
    train, test = mnist_images()
    np.testing.assert_array_equal(train.inputs, made.arrays["x_train"])
    np.testing.assert_array_equal(test.labels, made.arrays["y_test"])
    assert (train.inputs.dtype, train.labels.dtype) == (np.uint8, np.int64)


def test_labels_number_the_chosen_digits(made):
    np.savez(made.data, **made.arrays)
    train, test = mnist_images(digits=(5, 1), n_test=4)
    where = np.isin(made.arrays["y_train"], (1, 5))
    np.testing.assert_array_equal(train.inputs, made.arrays["x_train"][where])
    np.testing.assert_array_equal(train.labels == 0, made.arrays["y_train"][where] == 5)
    assert len(test.labels) == 4


def test_the_pipeline_is_fitted_on_training_images_only(made):
    np.savez(made.data, **made.arrays)
    train, test = mnist(digits=(1, 5), n_components=4)
    images, test_images = mnist_images(digits=(1, 5))
    pipeline = fit_pipeline(images.inputs, n_components=4)
    np.testing.assert_array_equal(train.inputs, pipeline.transform(images.inputs))
    np.testing.assert_array_equal(test.inputs, pipeline.transform(test_images.inputs))
    np.testing.assert_allclose(pipeline["pca"].mean_, images.inputs.reshape(-1, 784).mean(axis=0) / 255)
    assert set(np.unique(train.inputs)) == {0.0, 1.0}


def test_a_download_is_stored_once(made, monkeypatch, capsys):
    calls = []
    monkeypatch.setattr(mnist_file, "fetch_openml", openml(made.arrays, calls))
    first, _ = mnist_images()
    assert "downloading MNIST" in capsys.readouterr().err
    again, _ = mnist_images()
    assert [arguments for arguments, _ in calls] == [("mnist_784",)]
    np.testing.assert_array_equal(first.inputs, made.arrays["x_train"])
    np.testing.assert_array_equal(again.inputs, first.inputs)
    assert [path.name for path in made.cache.parent.iterdir()] == ["mnist.npz"]


def test_a_wrong_or_broken_download_leaves_nothing(made, monkeypatch):
    changed = {**made.arrays, "y_test": made.arrays["y_test"][::-1]}
    monkeypatch.setattr(mnist_file, "fetch_openml", openml(changed))
    with pytest.raises(FileFormatError, match=r"download from openml\.org: the images or labels differ"):
        mnist_images()

    def break_off(*_, **__):
        raise ConnectionError("gone")

    monkeypatch.setattr(mnist_file, "fetch_openml", break_off)
    with pytest.raises(DownloadError, match=r"\(gone\); put mnist\.npz.*cache.*QKD_PL_DATA, which is .*data"):
        mnist_images()
    assert list(made.cache.parent.iterdir()) == []


@pytest.mark.parametrize("damage", [lambda b: b[:-40], lambda b: b[:1000], lambda b: b"", lambda b: b"not a zip"])
def test_a_damaged_file_is_refused(made, damage):
    np.savez_compressed(made.cache, **made.arrays)
    made.cache.write_bytes(damage(made.cache.read_bytes()))
    with pytest.raises(FileFormatError, match=r"mnist\.npz: not a readable MNIST file.*remove"):
        mnist_images()


def test_other_contents_are_refused(made):
    np.savez(made.data, **{**made.arrays, "x_train": made.arrays["x_train"] ^ 1})
    with pytest.raises(FileFormatError, match=r"mnist\.npz: the images or labels differ from MNIST's"):
        mnist_images()
    np.savez(made.data, **{**made.arrays, "x_train": made.arrays["x_train"][:-1]})
    with pytest.raises(FileFormatError, match=r"train images.*\(299, 28, 28\).*has 300"):
        mnist_images()
    np.savez(made.data, x_train=made.arrays["x_train"])
    with pytest.raises(FileFormatError, match=r"not a readable MNIST file.*y_train"):
        mnist_images()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"digits": (1,)}, r"digits=\(1,\): expected at least two different digits"),
        ({"digits": (1, 1)}, "two different"),
        ({"digits": (1, 10)}, "from 0 to 9"),
        ({"n_train": 0}, "n_train=0: must be at least 1"),
        ({"n_components": 0}, "n_components=0.*1 to 300"),
        ({"n_components": 785, "embedding": "phase"}, "n_components=785"),
        ({"embedding": "angle"}, "embedding='angle'"),
    ],
)
def test_wrong_arguments_are_refused(made, arguments, message):
    np.savez(made.data, **made.arrays)
    with pytest.raises(InvalidInputError, match=message):
        mnist(**arguments)


@needs_mnist
def test_mnist_has_the_published_counts():
    """Of each digit, from Y. LeCun's page; of digits 1 and 5, from the paper."""
    train, test = mnist_images()
    assert np.bincount(train.labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    train, test = mnist_images(digits=(1, 5))
    assert (len(train.labels), len(test.labels)) == (12_163, 2_027)


@needs_mnist
def test_the_first_bit_alone_tells_ones_from_fives():
    """The plateau of the paper's Figure 5."""
    for split, accuracy in zip(mnist(digits=(1, 5), n_components=15), (0.9104, 0.9196), strict=True):
        agree = np.mean(split.inputs[:, 0] == split.labels)
        assert max(agree, 1 - agree) == pytest.approx(accuracy, abs=5e-5)


@needs_mnist
def test_amplitudes_fill_ten_qubits():
    train, _ = mnist(embedding="amplitude", n_train=100, n_test=10)
    assert train.inputs.shape == (100, 784)
    assert (train.inputs.min(), train.inputs.max()) == (0.0, 1.0)
