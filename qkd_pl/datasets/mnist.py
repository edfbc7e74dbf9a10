"""Handwritten digits (MNIST) as inputs of QNNs: bits of principal components, or the pixels themselves."""

from collections.abc import Sequence

import numpy as np
from sklearn.pipeline import Pipeline

from qkd_pl.datasets.dataset import Dataset
from qkd_pl.datasets.image_pipeline import ImageEmbedding, image_pipeline
from qkd_pl.datasets.mnist_file import mnist_arrays
from qkd_pl.errors import InvalidInputError


def mnist(
    digits: Sequence[int] | None = None,
    embedding: ImageEmbedding = "phase",
    n_components: int = 15,
    *,
    n_train: int | None = None,
    n_test: int | None = None,
) -> tuple[Dataset, Dataset]:
    """MNIST in the form of an embedding.

    Read from ``$QKD_PL_DATA/mnist.npz`` or the cache directory; downloaded from openml.org if it is in neither.

    Args:
        digits: the classes, label k being ``digits[k]``; all ten by default. Digits 1 and 5 have 12,163 training and
            2,027 test images.
        embedding: ``"phase"``: bits of the first principal components; ``"amplitude"``: all 784 pixels, which fill 10
            qubits.
        n_components: number of bits; for ``"phase"`` only.
        n_train, n_test: take only the first so many images of these digits.

    Returns:
        ``(train, test)``, with inputs ``(n, n_components)`` of bits as float64, or ``(n, 784)`` float64 in [0, 1].

    Raises:
        InvalidInputError: an argument is out of its range.
        FileFormatError: the file of images is damaged or another one.
        DownloadError: there is no such file, and it cannot be downloaded.

    Example:
        >>> train, test = mnist(digits=(1, 5), n_components=8)  # doctest: +SKIP
        >>> train.inputs.shape, test.inputs.shape  # doctest: +SKIP
        ((12163, 8), (2027, 8))
    """
    train, test = mnist_images(digits, n_train=n_train, n_test=n_test)
    pipeline = fit_pipeline(train.inputs, embedding, n_components)
    return train._replace(inputs=pipeline.transform(train.inputs)), test._replace(
        inputs=pipeline.transform(test.inputs)
    )


def fit_pipeline(images: np.ndarray, embedding: ImageEmbedding = "phase", n_components: int = 15) -> Pipeline:
    """The preprocessing of :func:`mnist`, fitted on training images.

    A model takes it along by :meth:`qkd_pl.networks.models.TrainedQNN.with_preprocessing`, and then classifies raw
    images.

    Args:
        images: pixels 0..255, ``(n, 28, 28)`` or ``(n, pixels)``.
        embedding, n_components: as in :func:`mnist`.

    Raises:
        InvalidInputError: there are not as many principal components.

    Example:
        >>> images = np.random.default_rng(0).integers(0, 256, (20, 28, 28))
        >>> fit_pipeline(images, "phase", n_components=4).transform(images).shape
        (20, 4)
    """
    pixels = int(np.prod(images.shape[1:]))
    if embedding == "phase" and not 1 <= n_components <= min(len(images), pixels):
        raise InvalidInputError(
            f"n_components={n_components}: {len(images)} images of {pixels} pixels have "
            f"1 to {min(len(images), pixels)} principal components"
        )
    return image_pipeline(embedding, n_components).fit(images)


def mnist_images(
    digits: Sequence[int] | None = None, *, n_train: int | None = None, n_test: int | None = None
) -> tuple[Dataset, Dataset]:
    """Raw images, inputs ``(n, 28, 28)`` uint8, with the labels that :func:`mnist` gives them.

    Example:
        >>> train, test = mnist_images((1, 5), n_train=100)  # doctest: +SKIP
        >>> train.inputs.shape  # doctest: +SKIP
        (100, 28, 28)
    """
    chosen = list(range(10)) if digits is None else list(digits)
    if len(chosen) < 2 or len(set(chosen)) != len(chosen) or not set(chosen) <= set(range(10)):
        raise InvalidInputError(f"digits={digits}: expected at least two different digits from 0 to 9")
    for name, count in (("n_train", n_train), ("n_test", n_test)):
        if count is not None and count < 1:
            raise InvalidInputError(f"{name}={count}: must be at least 1, or None for all images")
    arrays = mnist_arrays()
    label_of = np.full(10, -1)
    label_of[chosen] = np.arange(len(chosen))
    splits = []
    for split, count in (("train", n_train), ("test", n_test)):
        labels = label_of[arrays[f"y_{split}"]]
        wanted = np.flatnonzero(labels >= 0)[:count]
        splits.append(Dataset(arrays[f"x_{split}"][wanted], labels[wanted].astype(np.int64)))
    return splits[0], splits[1]
