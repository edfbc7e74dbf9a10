"""Reading what may be damaged or made to do harm: sizes are checked before anything is built from them.

Sources that nobody vouches for: a ledger that somebody else has written, an answer of the service.
"""

import base64
import binascii
import json
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from qkd_pl.errors import FileFormatError

_MOST_DIGITS = 400
_MOST_DEPTH = 64
_COMPRESSED = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")


def parse_json(text: str | bytes, most: int, what: str) -> Any:
    """The JSON value in ``text`` of at most so many bytes.

    Raises:
        FileFormatError: it is longer, is not JSON, is nested too deeply, has a number of thousands of digits, or an
            object with a key twice, of which another reader may see what is not in the value.

    Example:
        >>> parse_json('{"a": [1, 2]}', most=100, what="example")
        {'a': [1, 2]}
        >>> parse_json("[" * 65 + "]" * 65, most=1000, what="example")
        Traceback (most recent call last):
        ...
        qkd_pl.errors.FileFormatError: example: not readable JSON (nested more than 64 deep)
    """
    if len(text) > most:
        raise FileFormatError(f"{what}: {len(text):,} bytes, allowed are {most:,}")
    try:
        value = json.loads(text, parse_int=_integer, object_pairs_hook=_unique)
    except RecursionError:
        raise FileFormatError(f"{what}: not readable JSON (nested too deeply)") from None
    except ValueError as error:  # also of text that is not UTF-8
        raise FileFormatError(f"{what}: not readable JSON ({error!s:.200})") from None
    if _is_deep(value):  # whatever compares, copies or shows values goes down them by recursion
        raise FileFormatError(f"{what}: not readable JSON (nested more than {_MOST_DEPTH} deep)")
    return value


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


def tagged(document: Any) -> Iterator[tuple[str, Any]]:
    """The types that a JSON value names for whoever decodes it further, each with what it is to be made of.

    Example:
        >>> list(tagged([{"__type__": "complex", "__value__": [0, 1]}]))
        [('complex', [0, 1])]
    """
    left = [document]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            if "__type__" in value:
                name = value["__type__"]
                yield name if isinstance(name, str) else f"{name!r:.50}", value.get("__value__")
            left.extend(value.values())
        elif isinstance(value, list):
            left.extend(value)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("an object with one of its keys twice")
    return found


def _integer(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(digits):,} digits")
    return int(digits)


def _is_deep(value: Any) -> bool:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(_MOST_DEPTH):
        parts = (part for each in level for part in (each.values() if isinstance(each, dict) else each))
        level = [part for part in parts if isinstance(part, dict | list)]
        if not level:
            return False
    return True


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
