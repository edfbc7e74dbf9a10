"""Damage to our files of tensors: bytes, manifest, header and tensors, with checksums that fit again."""

import json
import random
from typing import Any

import numpy as np
from fuzz_values import as_text, damaged_bytes, damaged_tree

from qkd_pl.storage import checksum

_TYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "U8": "|u1",
    "BOOL": "|b1",
}
_NAMES = {np.dtype(each).str: name for name, each in _TYPES.items()}
_FOREIGN = ("BF16", "F8_E4M3", "F8_E5M2", "C64", "I16", "F4", "nothing")
_SHAPES = ((), (0,), (1,), (2, 0), (0, 2**40), (1,) * 40, (2, 3), (2, 2, 3))
_NUMBERS = (np.nan, np.inf, -np.inf, 1e308, -1e308, 1e-320, 0.0, 1e5)


def damaged_tensors(content: bytes, rng: random.Random) -> bytes:
    """One of the four kinds of damage."""
    kind = rng.random()
    if kind < 0.15:
        return damaged_bytes(content, rng)
    header, data = _taken_apart(content)
    manifest = header["__metadata__"]["qkd_pl"]
    arrays = {
        name: np.frombuffer(data[slice(*each["data_offsets"])], _TYPES[each["dtype"]]).reshape(each["shape"])
        for name, each in header.items()
        if name != "__metadata__"
    }
    if kind < 0.25:
        signed = damaged_bytes(manifest.encode(), rng).decode(errors="replace")
        return signed_file(signed, arrays)
    if kind < 0.65:
        return signed_file(as_text(damaged_tree(json.loads(manifest), rng)), arrays)
    if kind < 0.9:
        return signed_file(manifest, _damaged_arrays(arrays, rng))
    return _put_together(as_text(damaged_tree(header, rng)), data)


def signed_file(manifest: str, arrays: dict[str, np.ndarray], dtypes: dict[str, str] | None = None) -> bytes:
    """A file whose checksum fits."""
    manifest = manifest.encode(errors="replace").decode()
    header: dict[str, Any] = {"__metadata__": {"qkd_pl": manifest, "sha256": checksum(arrays, manifest)}}
    data = b""
    for name, array in arrays.items():
        content = array.tobytes()
        dtype = (dtypes or {}).get(name, _NAMES.get(array.dtype.str, "C64"))
        header[name] = {"dtype": dtype, "shape": array.shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    return _put_together(json.dumps(header), data)


def _damaged_arrays(arrays: dict[str, np.ndarray], rng: random.Random) -> dict[str, np.ndarray]:
    arrays = dict(arrays)
    name = rng.choice(sorted(arrays))
    array = arrays[name]
    match rng.randrange(8):
        case 0:
            del arrays[name]
        case 1:
            arrays[rng.choice(("", "weights", name + "x", "preprocessing.", "probe.inputs", "x" * 5000))] = array
        case 2:
            arrays[name] = array.astype(rng.choice(sorted(_TYPES.values())), casting="unsafe")
        case 3:
            arrays[name] = np.zeros(rng.choice(_SHAPES), array.dtype)
        case 4:
            arrays[name] = array.reshape(-1)[: rng.randrange(1 + array.size)]
        case 5:
            arrays[name] = np.stack([array] * rng.choice((1, 2)))
        case 6:
            arrays[name] = np.frombuffer(damaged_bytes(array.tobytes(), rng)[: array.nbytes], np.uint8)
        case _ if array.size:
            flat = array.astype(np.float64).ravel()
            flat[rng.randrange(flat.size)] = rng.choice(_NUMBERS)
            arrays[name] = flat.reshape(array.shape)
    return arrays


def _taken_apart(content: bytes) -> tuple[dict[str, Any], bytes]:
    end = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:end]), content[end:]


def _put_together(header: str, data: bytes) -> bytes:
    encoded = header.encode(errors="replace")
    encoded += b" " * (-len(encoded) % 8)
    return len(encoded).to_bytes(8, "little") + encoded + data


def foreign_types(content: bytes, rng: random.Random) -> bytes:
    """Tensors of types that we never write."""
    header, data = _taken_apart(content)
    name = rng.choice([each for each in header if each != "__metadata__"])
    header[name]["dtype"] = rng.choice(_FOREIGN)
    return _put_together(json.dumps(header), data)
