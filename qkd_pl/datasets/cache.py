"""Where computed or downloaded data is kept between runs."""

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from platformdirs import user_cache_path

from qkd_pl.errors import FileFormatError
from qkd_pl.storage import read_tensors, write_tensors

#: Part of every key: raise it when the meaning of the stored arrays changes.
FORMAT_VERSION = 1


def cache_directory() -> Path:
    """``$QKD_PL_CACHE`` if set, else the user's cache directory of the operating system."""
    chosen = os.environ.get("QKD_PL_CACHE")
    return Path(chosen).expanduser() if chosen else user_cache_path("qkd_pl", appauthor=False)


def cached(
    kind: str, arguments: Mapping[str, Any], compute: Callable[[], dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Return the arrays stored for ``arguments``, computing and storing them if there are none.

    Args:
        kind: what is stored; part of the file's name and checked on reading.
        arguments: everything that the arrays depend on, JSON-able.
        compute: makes the real-valued arrays by name.

    A damaged file is reported by a warning and rebuilt; a file that is being written by another process is never
    seen half finished.
    """
    manifest = {"arguments": dict(arguments), "format_version": FORMAT_VERSION}
    key = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()[:16]
    path = cache_directory() / f"{kind}-{key}.safetensors"
    try:
        return read_tensors(path, kind)[0]
    except FileNotFoundError:
        pass
    except FileFormatError as error:
        warnings.warn(f"rebuilding a damaged cache file: {error}", RuntimeWarning, stacklevel=3)
    tensors = compute()
    write_tensors(path, kind, tensors, manifest)
    return tensors
