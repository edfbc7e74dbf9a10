"""Damage to bytes, and to trees of plain data."""

import json
import random
from typing import Any

_DIGITS, _DEEP, _INFINITE, _HEX = "@digits@", "@deep@", "@infinite@", "@hex@"
#: In the text of a document these stand for what Python's own writers refuse to write.
_RAW = {
    f'"{_DIGITS}"': "9" * 5000,
    f'"{_DEEP}"': "[" * 2000 + "]" * 2000,
    f'"{_INFINITE}"': "1e999",
    f'"{_HEX}"': "0x" + "f" * 6000,
}
VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 3, 25, 300, 1001, 10**5, 10**8, 2**31, 2**53, 2**63, 2**64, 2**128, 10**399),
    *(0.0, -0.0, 0.5, -1.5, 1e-320, 1e308, -1e308, float("nan"), float("inf"), float("-inf")),
    *("", " ", "x" * 20_000, "é\u2028\x00", "\ud800", "None", "QNN", "QAE", "state", "../..", "1e5", "__class__"),
    *([], {}, [[]], [None], {"": None}, {"a": {"b": [1]}}, [0] * 5000, [[1, 2], [3]]),
    *(_DIGITS, _DEEP, _INFINITE, _HEX),
]
_BYTES = [
    b"\x00",
    b"\xff",
    b"\xff\xff\xff\xff",
    b"\x00" * 8,
    b"\xff" * 8,
    b"{",
    b"]",
    b'"',
    b"\\",
    b"\n",
    b"9" * 50,
    b"-",
]


def damaged_bytes(content: bytes, rng: random.Random) -> bytes:
    """Some of: bits flipped, bytes replaced, removed, repeated, put in, and the end cut off."""
    result = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5, 30))):
        if not result:
            break
        position, length = rng.randrange(len(result)), rng.choice((1, 1, 4, 8, 100))
        match rng.randrange(6):
            case 0:
                result[position] ^= 1 << rng.randrange(8)
            case 1:
                result[position : position + length] = rng.randbytes(length)
            case 2:
                del result[position : position + length]
            case 3:
                result[position:position] = result[position : position + length] * rng.choice((1, 1, 20))
            case 4:
                result[position:position] = rng.choice(_BYTES)
            case _:
                if rng.random() < 0.3:
                    del result[position:]
    return bytes(result)


def damaged_tree(tree: Any, rng: random.Random) -> Any:
    """The same data with one or a few places changed, removed, renamed, repeated or exchanged."""
    root = {"": json.loads(json.dumps(tree))}
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        if not root:
            return None
        container, key = rng.choice(_places(root))
        if container is root and rng.random() < 0.9:
            continue
        _damage(root, container, key, rng)
    return root.get("")


def as_text(tree: Any) -> str:
    """JSON, with what no writer writes: thousands of digits, brackets in brackets, infinite numbers."""
    text = json.dumps(tree)
    for marker, raw in _RAW.items():
        text = text.replace(marker, raw)
    return text


def _places(root: Any) -> list[tuple[Any, Any]]:
    places, left = [], [root]
    while left and len(places) < 20_000:
        container = left.pop()
        for key in list(container) if isinstance(container, dict) else range(len(container)):
            places.append((container, key))
            if isinstance(container[key], dict | list):
                left.append(container[key])
    return places


def _damage(root: Any, container: Any, key: Any, rng: random.Random) -> None:
    value = container[key]
    match rng.randrange(8):
        case 0 | 1:
            container[key] = json.loads(json.dumps(rng.choice(VALUES)))
        case 2 | 3:
            container[key] = _similar(value, rng)
        case 4:
            del container[key]
        case 5 if isinstance(container, dict) and isinstance(key, str):
            container[rng.choice(("", "unknown", key + "x", "type", "x" * 2000))] = value
            if rng.random() < 0.5:
                container.pop(key, None)
        case 6 if isinstance(container, list):
            container[key:key] = [value] * rng.choice((1, 2, 1000))
        case _:
            other, place = rng.choice(_places(root))
            container[key] = json.loads(json.dumps(other[place]))


def _similar(value: Any, rng: random.Random) -> Any:
    """Nearly the same: off by a little, by much, or of a neighbouring type."""
    if isinstance(value, bool) or value is None:
        return rng.choice((not value, 0, 1, "true"))
    if isinstance(value, int):
        near = value + 1, value - 1, -value, value * 10 ** rng.randrange(1, 30)
        return rng.choice((*near, float(value) if abs(value) < 1e300 else 1e300, str(value)))
    if isinstance(value, float):
        return rng.choice((-value, value * 1e300, int(value) if abs(value) < 1e300 else 0, str(value), [value]))
    if isinstance(value, str):
        return rng.choice((value + "x", value[:-1], value.upper(), value * 1000, [value], value[::-1]))
    return rng.choice(([value], {"": value}, list(value), str(value)[:1000]))
