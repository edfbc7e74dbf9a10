"""Tensors and a JSON manifest in one safetensors file: written atomically, verified on reading, never unpickled."""

import glob
import hashlib
import json
import os
import re
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from qkd_pl.bounded import parse_json
from qkd_pl.errors import FileFormatError

_MANIFEST_KEY = "qkd_pl"
_CHECKSUM_KEY = "sha256"
#: Bytes of a file, of its header with the manifest, and letters of a tensor's name.
MOST_BYTES, _MOST_HEADER, _LONGEST_NAME = 1 << 30, 1 << 24, 1000
#: How files begin that are easily given in the place of ours.
_OTHERS = {b"PK\x03\x04": "an .npz file or another zip archive", b"\x93NUMPY": "an .npy file"}
_DTYPES = ("F64", "F32", "F16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL")
_HOST = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
_DAY_SECONDS = 86400.0


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that replaces it on success and vanishes on failure."""
    path = Path(path).expanduser()
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory; give the path of a file")
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    temporary = path.with_name(f".{path.name}.{_HOST}-{os.getpid()}-{uuid4().hex[:16]}{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _remove_leftovers(path: Path) -> None:
    """Temporary files beside ``path`` whose process was killed; those of other computers after a day."""
    pattern = re.compile(
        rf"\.{re.escape(path.name)}\.([0-9a-f]{{8}})-([0-9]{{1,10}})-[0-9a-f]{{16}}{re.escape(path.suffix)}"
    )
    for each in path.parent.glob(f".{glob.escape(path.name)}.*"):
        found = pattern.fullmatch(each.name)
        with suppress(OSError):
            if found and (_is_dead(found[1], int(found[2])) or time.time() - each.stat().st_mtime > _DAY_SECONDS):
                each.unlink()


def _is_dead(host: str, process: int) -> bool:
    if host != _HOST or os.name != "posix":  # elsewhere signal 0 is not a question
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` to ``path`` as indented JSON, atomically."""
    with atomic_path(path) as temporary:
        text = json.dumps(value, indent=1, sort_keys=True, allow_nan=False, default=_plain)
        temporary.write_text(text + "\n", encoding="utf-8")


def checksum(tensors: Mapping[str, np.ndarray], manifest: str = "") -> str:
    """SHA-256 over the manifest and every tensor's name, dtype, shape and bytes."""
    digest = hashlib.sha256(manifest.encode())
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        digest.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
        digest.update(array.data)
    return digest.hexdigest()


def write_tensors(path: Path, kind: str, tensors: Mapping[str, np.ndarray], manifest: Mapping[str, Any]) -> None:
    """Store real or integer ``tensors`` and a JSON-able ``manifest`` in one safetensors file.

    Args:
        path: the file to create or replace; an interrupted write leaves the old file untouched.
        kind: what the file holds, for example ``"model"``; :func:`read_tensors` refuses any other kind.
        tensors: name → array; complex arrays are not part of the safetensors format.
        manifest: JSON-able description, returned unchanged by :func:`read_tensors`.
    """
    # safetensors stores an array's raw buffer, so that a transposed view would come back scrambled.
    contiguous = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    text = json.dumps({"kind": kind, **manifest}, sort_keys=True, default=_plain)
    metadata = {_MANIFEST_KEY: text, _CHECKSUM_KEY: checksum(contiguous, text)}
    with atomic_path(path) as temporary:
        save_file(contiguous, temporary, metadata=metadata)


def read_tensors(path: Path, kind: str, most: int = MOST_BYTES) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read back what :func:`write_tensors` stored.

    Args:
        path: of the file.
        kind: what it must hold.
        most: bytes that the file may have.

    Raises:
        FileNotFoundError: there is no such file.
        FileFormatError: the file is larger, truncated, altered, not ours, or of another kind.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such {kind} file")
    try:
        _check_start(path, kind, most)
        with safe_open(path, framework="numpy") as stored:
            metadata = stored.metadata() or {}
            tensors = {name: _tensor(stored, name) for name in stored.keys()}  # noqa: SIM118 - not a mapping
    except FileFormatError as error:
        raise FileFormatError(f"{path}: {error}") from None
    except (SafetensorError, ValueError, TypeError, OverflowError, OSError) as error:
        raise FileFormatError(
            f"{path}: not a {kind} of qkd_pl: no readable safetensors file ({error!s:.200})"
        ) from error
    if _MANIFEST_KEY not in metadata:
        raise FileFormatError(f"{path}: a safetensors file, but not one written by qkd_pl")
    if metadata.get(_CHECKSUM_KEY) != checksum(tensors, metadata[_MANIFEST_KEY]):
        raise FileFormatError(f"{path}: the contents do not match the checksum stored with them")
    manifest = parse_json(metadata[_MANIFEST_KEY], _MOST_HEADER, str(path))
    if not isinstance(manifest, dict) or (found := manifest.pop("kind", None)) != kind:
        found = manifest if not isinstance(manifest, dict) else found
        raise FileFormatError(f"{path}: holds a {found!s:.50}, expected a {kind}")
    return tensors, manifest


def checked_tensor(
    tensors: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...] | None, source: object
) -> np.ndarray:
    """A tensor of finite float64 numbers, and of this shape if one is given.

    Raises:
        FileFormatError: there is none of this name, or it is another one; the message begins with ``source``.
    """
    array = tensors.get(name)
    if array is None:
        raise FileFormatError(f"{source}: there is no tensor {name!r:.100}")
    if array.dtype != np.float64 or (shape is not None and array.shape != shape):
        expected = "" if shape is None else f" {shape!s:.100}"
        raise FileFormatError(
            f"{source}: tensor {name!r:.100} is {array.dtype} {array.shape!s:.100}, expected float64{expected}"
        )
    if not np.isfinite(array).all():
        raise FileFormatError(f"{source}: tensor {name!r:.100} holds numbers that are not finite")
    return array


def plain_json(value: Any) -> Any:
    """A value as it comes back from a file: lists for tuples, texts for keys, Python's numbers for NumPy's."""
    return json.loads(json.dumps(value, default=_plain))


def _check_start(path: Path, kind: str, most: int) -> None:
    """Refuse large files, headers that say they are, and well-known files of others, before any is read."""
    with path.open("rb") as file:
        size, start = os.fstat(file.fileno()).st_size, file.read(8)
    if size > most:
        raise FileFormatError(f"{size:,} bytes, allowed are {most:,}")
    for magic, other in _OTHERS.items():
        if start.startswith(magic):
            raise FileFormatError(f"not a {kind} of qkd_pl, but {other}")
    if len(start) == 8 and int.from_bytes(start, "little") > _MOST_HEADER:
        raise FileFormatError(
            f"not a {kind} of qkd_pl: no readable safetensors file (a header of more than {_MOST_HEADER:,} bytes)"
        )


def _tensor(stored: Any, name: str) -> np.ndarray:
    if len(name) > _LONGEST_NAME:
        raise FileFormatError(f"a tensor has a name of {len(name):,} letters")
    if (dtype := stored.get_slice(name).get_dtype()) not in _DTYPES:
        raise FileFormatError(f"tensor {name!r:.100} is of type {dtype}; allowed are {', '.join(_DTYPES)}")
    array: np.ndarray = stored.get_tensor(name)
    return array


def _plain(value: Any) -> Any:
    """Settings may be NumPy's numbers, such as the seeds of ``for seed in np.arange(5)``."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be stored as JSON")
