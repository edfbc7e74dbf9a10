"""Reading what may be damaged or made to do harm: sizes are checked before anything is built from them.

Sources that nobody vouches for: a ledger that somebody else has written, an answer of the service.
"""

import base64
import binascii
import io
import json
import math
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np

from qkd_pl.errors import FileFormatError

#: Array types that our files hold.
DTYPES = frozenset("?bBhHiIlLqQefdFD")
_MOST_DIGITS = 400
_MOST_MEMBERS = 10_000
_COMPRESSED = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")


def parse_json(text: str | bytes, most: int, what: str) -> Any:
    """The JSON value in ``text`` of at most so many bytes.

    Raises:
        FileFormatError: it is longer, is not JSON, is nested too deeply, or has a number of thousands of digits.

    Example:
        >>> parse_json('{"a": [1, 2]}', most=100, what="example")
        {'a': [1, 2]}
        >>> parse_json("[" * 100_000, most=1_000_000, what="example")
        Traceback (most recent call last):
        ...
        qkd_pl.errors.FileFormatError: example: not readable JSON (nested too deeply)
    """
    if len(text) > most:
        raise FileFormatError(f"{what}: {len(text):,} bytes, allowed are {most:,}")
    try:
        return json.loads(text, parse_int=_integer)
    except RecursionError:
        raise FileFormatError(f"{what}: not readable JSON (nested too deeply)") from None
    except ValueError as error:  # also of text that is not UTF-8
        raise FileFormatError(f"{what}: not readable JSON ({error!s:.200})") from None


def read_npz(content: bytes, most: int, what: str) -> dict[str, np.ndarray]:
    """Arrays of an ``.npz`` file; numbers only, at most so many bytes in all.

    Raises:
        FileFormatError: it is damaged, larger than allowed, or holds anything but arrays of numbers.

    Example:
        >>> buffer = io.BytesIO()
        >>> np.savez(buffer, a=np.eye(2))
        >>> read_npz(buffer.getvalue(), most=1000, what="example")["a"].shape
        (2, 2)
        >>> read_npz(buffer.getvalue(), most=100, what="example")
        Traceback (most recent call last):
        ...
        qkd_pl.errors.FileFormatError: example: 160 bytes of arrays, allowed are 100
    """
    try:
        with ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            if len(members) > _MOST_MEMBERS:
                raise FileFormatError(f"{what}: {len(members):,} arrays, allowed are {_MOST_MEMBERS:,}")
            if (size := sum(each.file_size for each in members)) > most:
                raise FileFormatError(f"{what}: {size:,} bytes of arrays, allowed are {most:,}")
            found = {}
            for each in members:
                with archive.open(each) as file:
                    # The stated size is a statement; what comes out is cut at it.
                    found[each.filename.removesuffix(".npy")] = _read_npy(file.read(each.file_size + 1), what)
            return found
    except FileFormatError:
        raise
    except (BadZipFile, zlib.error, struct.error, *_DAMAGED) as error:
        raise FileFormatError(f"{what}: damaged arrays ({type(error).__name__}: {error!s:.200})") from None


def inflated_size(document: Any, most: int) -> int:
    """Bytes into which the compressed texts (base64 of zlib) of a JSON value unpack; counting stops above ``most``."""
    size = 0
    for text in _texts(document):
        packed = _packed(text)
        if packed is None:
            size += len(text)
        else:
            size += _unpacked_size(packed, most - size + 1)
        if size > most:
            break
    return size


_DAMAGED = (
    ValueError,
    TypeError,
    KeyError,
    EOFError,
    OSError,
    RuntimeError,
    NotImplementedError,
    MemoryError,
    SyntaxError,
)


def _integer(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(digits):,} digits")
    return int(digits)


def _read_npy(content: bytes, what: str) -> np.ndarray:
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise FileFormatError(f"{what}: an array in format {version}")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file, max_header_size=4096)
    rest = content[file.tell() :]
    if dtype.char not in DTYPES or dtype.hasobject or dtype.subdtype is not None:
        raise FileFormatError(f"{what}: an array of type {dtype}; allowed are numbers")
    if any(side < 0 for side in shape) or math.prod(shape) * dtype.itemsize != len(rest):
        raise FileFormatError(f"{what}: an array {shape!s:.100} of {dtype} in {len(rest):,} bytes")
    return np.frombuffer(rest, dtype).reshape(shape, order="F" if fortran else "C").copy()


def _texts(document: Any) -> Iterator[str]:
    left = [document]
    while left:
        value = left.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, Mapping):
            left.extend(value.values())
        elif isinstance(value, list):
            left.extend(value)


def _packed(text: str) -> bytes | None:
    """What a text of base64 holds, if that looks compressed."""
    try:
        start = base64.b64decode(text[:4])
        return base64.b64decode(text) if start[:2] in _COMPRESSED else None
    except (binascii.Error, ValueError):
        return None


def _unpacked_size(packed: bytes, most: int) -> int:
    unpacker, size, left = zlib.decompressobj(), 0, packed
    try:
        while left and size <= most and not unpacker.eof:
            size += len(unpacker.decompress(left, 1 << 20))
            left = unpacker.unconsumed_tail
    except zlib.error:
        pass  # damaged: whoever unpacks it says so
    return size
