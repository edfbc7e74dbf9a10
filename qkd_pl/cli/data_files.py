"""Files of samples that users give to commands."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from qkd_pl.errors import FileFormatError
from qkd_pl.npz import Archive, Header, opened_npz, read_npy

#: The arrays of a file may unpack to this many bytes, or to so many times the file's own, whichever is more.
MOST_BYTES, MOST_RATIO = 1 << 26, 100


def read_samples(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """``inputs`` ``(n, …)`` and, if the ``.npz`` file has them, ``labels`` ``(n,)``; nothing is unpickled.

    Raises:
        FileNotFoundError: there is no such file.
        FileFormatError: it is not an ``.npz`` file, has no inputs, not one label for each, or unpacks to more than is
            allowed.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such data file")
    try:
        with opened_npz(path, "not an .npz file with inputs and, optionally, labels") as archive:
            headers = {name: archive.header(name) for name in ("inputs", *_optional(archive))}
            _check_headers(headers, max(MOST_BYTES, MOST_RATIO * path.stat().st_size))
            arrays = {name: archive.read(name) for name in headers}
    except FileFormatError as error:
        raise FileFormatError(f"{path}: {error}") from None
    return arrays["inputs"], arrays.get("labels")


def _optional(archive: Archive) -> list[str]:
    return ["labels"] if "labels" in archive.names else []


def _check_headers(headers: Mapping[str, Header], most: int) -> None:
    inputs = headers["inputs"].shape
    labels = headers["labels"].shape if "labels" in headers else None
    if len(inputs) < 2 or labels not in (None, inputs[:1]):
        shapes = f"inputs of shape {inputs!s:.100}" + ("" if labels is None else f" and labels {labels!s:.100}")
        raise FileFormatError(f"has {shapes}; expected inputs (n, …) and, optionally, labels (n,)")
    if (size := sum(each.size for each in headers.values())) > most:
        raise FileFormatError(f"unpacks to {size:,} bytes; for a file of this size {most:,} are allowed")


def read_array(path: Path) -> np.ndarray:
    """The array of an ``.npy`` file; nothing is unpickled.

    Raises:
        FileNotFoundError: there is no such file.
        FileFormatError: it is not an ``.npy`` file.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    return read_npy(path)
