"""Arrays of numbers in ``.npz`` and ``.npy`` files that nobody vouches for: headers are checked before arrays are made.

NumPy's own reader believes the header: a file of 300 bytes may ask for any amount of memory.
"""

import io
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import IO

import numpy as np

from qkd_pl.errors import FileFormatError

#: Types of the arrays that our files hold, and that we take from users.
DTYPES = frozenset("?bBhHiIlLqQefdFD")
_MOST_MEMBERS = 10_000
_MOST_HEADER = 4096
_CHUNK = 1 << 20
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, struct.error, ValueError, TypeError, KeyError, IndexError, EOFError, OSError),
    *(RuntimeError, NotImplementedError, MemoryError, SyntaxError, OverflowError, TokenError),
)


@dataclass(frozen=True)
class Header:
    """What an array says of itself.

    Attributes:
        shape, dtype: of the array.
        is_fortran: whether the first index runs fastest.
        offset: bytes before the numbers.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    is_fortran: bool
    offset: int

    @property
    def size(self) -> int:
        """Bytes of the numbers."""
        return math.prod(self.shape) * self.dtype.itemsize


class Archive:
    """The arrays of an ``.npz`` file, which are read one by one, after a look at their headers."""

    def __init__(self, archive: zipfile.ZipFile, what: str) -> None:
        self._archive, self._what = archive, what
        if (count := len(archive.infolist())) > _MOST_MEMBERS:
            raise FileFormatError(f"{what}: {count:,} arrays, allowed are {_MOST_MEMBERS:,}")
        self._members = {each.filename.removesuffix(".npy"): each for each in archive.infolist()}

    @property
    def names(self) -> list[str]:
        """Of the arrays, in their order."""
        return list(self._members)

    @property
    def size(self) -> int:
        """Bytes that all arrays together have, headers included, as the file says."""
        return sum(each.file_size for each in self._archive.infolist())

    def header(self, name: str) -> Header:
        """Shape and type of an array, without reading it; its bytes are as many as they must be.

        Raises:
            FileFormatError: there is no such array, or it is damaged or not one of numbers.
        """
        if (member := self._members.get(name)) is None:
            found = ", ".join(self.names[:10])
            raise FileFormatError(f"{self._what}: no array {name!r}; there are: {found:.200}")
        if member.compress_type not in _METHODS:
            raise FileFormatError(f"{self._what}: array {name:.50} is compressed by method {member.compress_type}")
        with self._archive.open(member) as file:
            return _header(file.read(_MOST_HEADER), member.file_size, f"{self._what}: array {name:.50}")

    def read(self, name: str) -> np.ndarray:
        """An array, of which no more is unpacked than its header says."""
        header = self.header(name)
        with self._archive.open(self._members[name]) as file:
            file.read(header.offset)
            return _filled(file, header, f"{self._what}: array {name:.50}")


@contextmanager
def opened_npz(source: Path | bytes, what: str) -> Iterator[Archive]:
    """The arrays of an ``.npz`` file.

    Args:
        source: path or content of the file.
        what: the beginning of messages.

    Raises:
        FileFormatError: it is damaged, whatever is noticed first, also within the ``with`` block.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(source) if isinstance(source, bytes) else source) as archive:
            yield Archive(archive, what)
    except FileFormatError:
        raise
    except _DAMAGED as error:
        raise FileFormatError(f"{what}: damaged arrays ({type(error).__name__}: {error!s:.200})") from None


def read_npz(content: bytes, most: int, what: str) -> dict[str, np.ndarray]:
    """All arrays of an ``.npz`` file; numbers only, at most so many bytes in all.

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
    with opened_npz(content, what) as archive:
        if archive.size > most:
            raise FileFormatError(f"{what}: {archive.size:,} bytes of arrays, allowed are {most:,}")
        return {name: archive.read(name) for name in archive.names}


def read_npy(path: Path) -> np.ndarray:
    """The array of an ``.npy`` file.

    Raises:
        FileFormatError: the file holds anything but one array of numbers.
    """
    try:
        with path.open("rb") as file:
            header = _header(file.read(_MOST_HEADER), os.fstat(file.fileno()).st_size, str(path))
            file.seek(header.offset)
            return _filled(file, header, str(path))
    except FileFormatError:
        raise
    except _DAMAGED as error:
        raise FileFormatError(f"{path}: not an .npy file ({type(error).__name__}: {error!s:.200})") from None


def _header(start: bytes, size: int, what: str) -> Header:
    """The header in the first bytes of an array that has ``size`` bytes in all."""
    file = io.BytesIO(start)
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise FileFormatError(f"{what}: in format {version}; allowed are 1.0 and 2.0")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, is_fortran, dtype = read(file, max_header_size=_MOST_HEADER)
    if dtype.char not in DTYPES or dtype.hasobject or dtype.subdtype is not None:
        raise FileFormatError(f"{what}: of type {dtype!s:.50}; allowed are numbers")
    header = Header(tuple(map(int, shape)), dtype, bool(is_fortran), file.tell())
    if any(side < 0 for side in shape) or header.size != size - header.offset:
        raise FileFormatError(f"{what}: of shape {shape!s:.100} and type {dtype} in {size - header.offset:,} bytes")
    return header


def _filled(file: IO[bytes], header: Header, what: str) -> np.ndarray:
    """The numbers that follow, to the end of the file."""
    flat = np.empty(math.prod(header.shape), header.dtype)
    view = flat.view(np.uint8).data
    done = 0
    while chunk := file.read(_CHUNK):  # to the end, where a zip file's checksum is compared
        if done + len(chunk) > header.size:
            raise FileFormatError(f"{what}: more bytes than its header says")
        view[done : done + len(chunk)] = chunk
        done += len(chunk)
    if done != header.size:
        raise FileFormatError(f"{what}: {done:,} of {header.size:,} bytes")
    return flat.reshape(header.shape, order="F" if header.is_fortran else "C")
