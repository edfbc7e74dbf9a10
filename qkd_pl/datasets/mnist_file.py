"""Where ``mnist.npz`` comes from, and the proof that it is what it should be."""

import os
import sys
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path

import numpy as np
from sklearn.datasets import fetch_openml

from qkd_pl.datasets.cache import cache_directory
from qkd_pl.errors import DownloadError, FileFormatError
from qkd_pl.npz import opened_npz
from qkd_pl.storage import atomic_path, checksum

N_TRAIN, N_TEST = 60_000, 10_000
#: Over names, types, shapes and bytes of the four arrays, so that it holds however the file is compressed.
SHA256 = "7bf19471c397a07c4488f600bdfd9f25edbf8c41c2ecc70e1f93beee515475e6"
_NAME = "mnist.npz"
_NAMES = ("x_train", "y_train", "x_test", "y_test")


def mnist_arrays() -> dict[str, np.ndarray]:
    """The whole of MNIST: ``x_train``, ``x_test`` uint8 ``(n, 28, 28)``, ``y_train``, ``y_test`` uint8 ``(n,)``.

    Read from ``$QKD_PL_DATA/mnist.npz``, else from the cache directory, where it is stored after a download.

    Raises:
        FileFormatError: a file is there, but it is damaged or holds something else.
        DownloadError: there is no file, and openml.org cannot be reached.
    """
    chosen = os.environ.get("QKD_PL_DATA")
    places = [Path(chosen).expanduser() / _NAME] if chosen else []
    places.append(cache_directory() / _NAME)
    path = next((place for place in places if place.is_file()), None) or _download(places[-1])
    return _read(path)


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with opened_npz(path, "not a readable MNIST file") as archive:
            _check_shapes({name: archive.header(name).shape for name in _NAMES})
            if wrong := [name for name in _NAMES if archive.header(name).dtype != np.uint8]:
                raise FileFormatError(f"{wrong[0]} is {archive.header(wrong[0]).dtype}; MNIST is uint8")
            arrays = {name: archive.read(name) for name in _NAMES}
        _check_contents(arrays)
    except FileFormatError as error:
        raise FileFormatError(f"{path}: {error}{_advice(path)}") from None
    return arrays


def _check_shapes(shapes: Mapping[str, tuple[int, ...]]) -> None:
    for split, count in (("train", N_TRAIN), ("test", N_TEST)):
        found = shapes[f"x_{split}"], shapes[f"y_{split}"]
        if found != ((count, 28, 28), (count,)):
            raise FileFormatError(
                f"the {split} images and labels have shapes {found!s:.100}; MNIST has {count} of 28 × 28 pixels"
            )


def _check_contents(arrays: Mapping[str, np.ndarray]) -> None:
    if checksum(arrays) != SHA256:
        raise FileFormatError("the images or labels differ from MNIST's (checksum)")


def _advice(path: Path) -> str:
    return f"; remove {path} to download it again"


def _chosen_directory() -> str:
    chosen = os.environ.get("QKD_PL_DATA")
    return f", or into $QKD_PL_DATA, which is {chosen}" if chosen else ", or name its directory in $QKD_PL_DATA"


def _download(path: Path) -> Path:
    print("downloading MNIST (about 15 MB) from openml.org; reading it takes about a minute", file=sys.stderr)
    # The parser "liac-arff" is slower than pandas, which is not among this package's dependencies.
    try:
        fetched = fetch_openml("mnist_784", version=1, as_frame=False, parser="liac-arff", cache=False)
    except (OSError, HTTPException, ValueError) as error:
        raise DownloadError(
            f"MNIST cannot be downloaded from openml.org ({error}); put {_NAME}, with x_train, y_train, x_test and "
            f"y_test, into {path.parent}{_chosen_directory()}"
        ) from error
    images = np.asarray(fetched.data).astype(np.uint8).reshape(-1, 28, 28)
    labels = np.asarray(fetched.target).astype(np.uint8)
    arrays = {
        "x_train": images[:N_TRAIN],
        "y_train": labels[:N_TRAIN],
        "x_test": images[N_TRAIN:],
        "y_test": labels[N_TRAIN:],
    }
    try:
        _check_shapes({name: array.shape for name, array in arrays.items()})
        _check_contents(arrays)
    except FileFormatError as error:
        raise FileFormatError(f"the download from openml.org: {error}") from None
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]
    print(f"stored as {path}", file=sys.stderr)
    return path
