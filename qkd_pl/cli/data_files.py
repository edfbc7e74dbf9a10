"""Files of samples that users give to commands."""

from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from qkd_pl.errors import FileFormatError

_UNREADABLE = (KeyError, IndexError, TypeError, ValueError, EOFError, OSError, BadZipFile)


def read_samples(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """``inputs`` ``(n, …)`` and, if the ``.npz`` file has them, ``labels`` ``(n,)``; nothing is unpickled.

    Raises:
        FileNotFoundError: there is no such file.
        FileFormatError: it is not an ``.npz`` file, has no inputs, or not one label for each.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such data file")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            inputs, labels = stored["inputs"], stored.get("labels")
    except _UNREADABLE as error:
        raise FileFormatError(f"{path}: not an .npz file with inputs and labels ({error})") from error
    if inputs.ndim < 2 or (labels is not None and labels.shape != inputs.shape[:1]):
        shapes = f"inputs of shape {inputs.shape}" + ("" if labels is None else f" and labels {labels.shape}")
        raise FileFormatError(f"{path}: has {shapes}; expected inputs (n, …) and labels (n,)")
    return inputs, labels


def read_array(path: Path) -> np.ndarray:
    """The array of an ``.npy`` file; nothing is unpickled.

    Raises:
        FileNotFoundError: there is no such file.
        FileFormatError: it is not an ``.npy`` file.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with path.open("rb") as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except _UNREADABLE as error:
        raise FileFormatError(f"{path}: not an .npy file with an array of numbers ({error})") from error
