"""Where computed or downloaded data is kept between runs."""

import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from platformdirs import user_cache_path

from qkd_pl.errors import FileFormatError
from qkd_pl.storage import checked_tensor, read_tensors, write_tensors
from qkd_pl.warning import warn

#: Part of every key: raise it when the meaning of the stored arrays changes.
FORMAT_VERSION = 1
_MOST_HEADER = 1 << 16  # bytes of names, shapes and arguments


def cache_directory() -> Path:
    """``$QKD_PL_CACHE`` if set, else the user's cache directory of the operating system."""
    chosen = os.environ.get("QKD_PL_CACHE")
    return Path(chosen).expanduser() if chosen else user_cache_path("qkd_pl", appauthor=False)


def cached(
    kind: str,
    arguments: Mapping[str, Any],
    compute: Callable[[], dict[str, np.ndarray]],
    shapes: Mapping[str, tuple[int, ...]],
) -> dict[str, np.ndarray]:
    """Return the arrays stored for ``arguments``, computing and storing them if there are none.

    Args:
        kind: what is stored; part of the file's name and checked on reading.
        arguments: everything that the arrays depend on, JSON-able.
        compute: makes the float64 arrays by name.
        shapes: theirs; a file with more than they need is not read.

    A damaged file is reported by a warning and rebuilt; a file that is being written by another process is never
    seen half finished.
    """
    manifest = {"arguments": dict(arguments), "format_version": FORMAT_VERSION}
    key = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:16]
    path = cache_directory() / f"{kind}-{key}.safetensors"
    try:
        return _read(path, kind, manifest, shapes)
    except FileNotFoundError:
        pass
    except FileFormatError as error:
        warn(f"rebuilding a damaged cache file: {error}", RuntimeWarning)
    tensors = compute()
    write_tensors(path, kind, tensors, manifest)
    return tensors


def _read(
    path: Path, kind: str, manifest: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, np.ndarray]:
    most = sum(math.prod(shape) for shape in shapes.values()) * np.dtype(np.float64).itemsize + _MOST_HEADER
    tensors, stored = read_tensors(path, kind, most)
    if stored != json.loads(json.dumps(manifest)) or tensors.keys() != shapes.keys():
        raise FileFormatError(f"{path}: holds something else than its name says")
    return {name: checked_tensor(tensors, name, shape, path) for name, shape in shapes.items()}
