"""What can be wrong with the text of a result."""

import base64
import io
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from loopback.faults import Action


def _first_array(text: str, replace: Callable[[bytes], bytes]) -> str:
    """The text with the contents of its first packed array replaced, packed as before."""
    return _first_packed(text, lambda packed: zlib.compress(replace(zlib.decompress(packed))))


def _first_packed(text: str, replace: Callable[[bytes], bytes]) -> str:
    start = next(text.index(head) + 1 for head in ('"eJ', '"eN', '"eA') if head in text)
    end = text.index('"', start)
    return text[:start] + base64.b64encode(replace(base64.b64decode(text[start:end]))).decode() + text[end:]


@cache
def _bomb() -> bytes:
    return zlib.compress(bytes(1 << 28))


def _array(array: np.ndarray) -> Callable[[bytes], bytes]:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return lambda _: buffer.getvalue()


def _header(shape: str) -> Callable[[bytes], bytes]:
    """An array of the old primitives that says it had this shape."""
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return lambda _: b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(48)


def _changed_letter(text: str) -> str:
    start = next(text.index(head) + 1 for head in ('"eJ', '"eN', '"eA') if head in text)
    letter = "A" if text[start + 20] != "A" else "B"
    return text[: start + 20] + letter + text[start + 21 :]


DAMAGE: dict[str, Callable[[str], str]] = {
    "no JSON": lambda text: text[:-40],
    "something else": lambda text: '{"pubs": []}',
    "a list": lambda text: "[1, 2]",
    "null": lambda text: "null",
    "deep": lambda text: "[" * 100_000,
    "not packed": lambda text: text.replace('"eJ', '"xJ').replace('"eN', '"xN'),
    "a changed letter": _changed_letter,
    "pickled": lambda text: _first_array(text, _array(np.array([print], dtype=object))),
    "shorter": lambda text: _first_array(text, lambda array: array[:-8]),
    "another shape": lambda text: _first_array(text, _array(np.zeros((7, 7)))),
    "a claimed size": lambda text: _first_array(text, _header("(99999999999999,)")),
    "a negative size": lambda text: _first_array(text, _header("(-1, 3)")),
    "texts": lambda text: _first_array(text, _array(np.array([["a", "b"]]))),
    "not finite": lambda text: _first_array(text, _array(np.full((2, 3), np.nan))),
    "beyond what can be": lambda text: _first_array(text, _array(np.full((2, 3), 1e300))),
    "a circuit": lambda text: text.replace(
        "{", '{"x": {"__type__": "QuantumCircuit", "__value__": "eJwDAAAAAAE="}, ', 1
    ),
    "the same key twice": lambda text: text.replace("{", '{"__type__": "PrimitiveResult", ', 1),
    "a bomb": lambda text: _first_packed(text, lambda _: _bomb()),
}


def damaging(damage: str) -> Action:
    """Answer as asked, with this damage."""
    _bomb()  # making it takes longer than an impatient client waits

    def action(exchange: Any, perform: Callable[[], Any]) -> None:
        reply = perform()
        reply.body = DAMAGE[damage](reply.body)
        exchange.send(reply)

    return action
