"""Damage to ``.npz`` files: bytes, members, headers that lie, archives that lie."""

import io
import random
import struct
import zipfile
from functools import cache
from typing import Any

import numpy as np
from fuzz_values import damaged_bytes

_DESCRIPTIONS = (
    *("'<f8'", "'<i8'", "'|O'", "'|b1'", "'<U9999999'", "'|V1000000000'", "'<c16'", "'<f16'", "'>f8'", "'M8[s]'", "''"),
    *("[('a','<f8')]", "('<f8',(1000000,))", "'<f8'*10**9", "__import__('os')", "None"),
)
_SHAPES = (
    *("()", "(0,)", "(10**10,)", "(10000000000,)", "(-1,)", "(True,2)", "(2.0,)", "(3,2)", "(3,28,28)", "(0,99999999)"),
    *("(" + "9" * 4000 + ",)", "(" * 90 + ")" * 90, "(" * 3000, "(1," * 50 + ")" * 50, "[3,2]", "'x'", "None"),
)


def damaged_archive(content: bytes, rng: random.Random) -> bytes:
    """One of the four kinds of damage."""
    kind = rng.random()
    if kind < 0.3:
        return damaged_bytes(content, rng)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {each.filename: archive.read(each) for each in archive.infolist()}
    if kind < 0.55:
        return _archive(_other_members(members, rng), rng)
    if kind < 0.85:
        name = rng.choice(sorted(members))
        return _archive({**members, name: _other_header(members[name], rng)}, rng)
    return _lying(_archive(members, rng), rng)


def _other_members(members: dict[str, bytes], rng: random.Random) -> dict[str, bytes]:
    members = dict(members)
    name = rng.choice(sorted(members))
    match rng.randrange(6):
        case 0:
            members.pop(name)
        case 1:
            members[rng.choice(("x.npy", "../inputs.npy", "", name.removesuffix(".npy"), "é.npy"))] = members.pop(name)
        case 2:
            members[name] = damaged_bytes(members[name], rng)
        case 3:
            members[name] = members[rng.choice(sorted(members))]
        case 4:
            members[name] = members[name][: rng.randrange(1 + len(members[name]))] + bytes(rng.choice((0, 1, 4096)))
        case _:
            members[name] = rng.choice(_other_arrays())
    return members


@cache
def _other_arrays() -> tuple[bytes, ...]:
    arrays: list[Any] = [
        *(np.array([{}], dtype=object), np.array(["text"]), np.zeros((3, 2), "V3"), np.zeros((3, 2), [("a", "<f8")])),
        *(np.full((3, 2), np.nan), np.full((3, 2), np.inf), np.zeros((0, 2)), np.zeros(()), np.zeros((3, 2), "<f2")),
        *(np.zeros((3, 2), np.complex64), np.asfortranarray(np.ones((3, 2))), np.zeros((8 << 20, 9), np.uint8)),
    ]
    return tuple(_npy(each) for each in arrays)


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def _other_header(member: bytes, rng: random.Random) -> bytes:
    length = int.from_bytes(member[8:10], "little")
    header, rest = member[10 : 10 + length].decode("latin1"), member[10 + length :]
    match rng.randrange(4):
        case 0:
            header = f"{{'descr': {rng.choice(_DESCRIPTIONS)}, 'fortran_order': False, 'shape': (3, 2), }}\n"
        case 1:
            order = rng.choice(("True", "False", "1", "None"))
            header = f"{{'descr': '<f8', 'fortran_order': {order}, 'shape': {rng.choice(_SHAPES)}, }}\n"
        case 2:
            header = damaged_bytes(header.encode(), rng).decode("latin1")
        case _:
            header = rng.choice(("", "{}", "{" * 500, " " * 5000, "1", "{'descr': 1}"))
    version = rng.choice((1, 1, 1, 1, 2, 3, 0, 255))
    size = struct.pack("<H", min(len(header), 65535)) if version == 1 else struct.pack("<I", len(header))
    if rng.random() < 0.1:
        size = b"\xff" * len(size)
    return b"\x93NUMPY" + bytes([version, 0]) + size + header.encode("latin1") + rest


def _archive(members: dict[str, bytes], rng: random.Random) -> bytes:
    buffer = io.BytesIO()
    method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return buffer.getvalue()


def _lying(content: bytes, rng: random.Random) -> bytes:
    """Another number in an entry of the archive's directory: flags, method, checksum, sizes, lengths, position."""
    result = bytearray(content)
    entry = result.find(b"PK\x01\x02")
    offset, form = rng.choice(((8, "<H"), (10, "<H"), (16, "<I"), (20, "<I"), (24, "<I"), (28, "<H"), (42, "<I")))
    most = 2 ** (8 * struct.calcsize(form)) - 1
    struct.pack_into(form, result, entry + offset, rng.choice((0, 1, 14, 97, 1000, most >> 1, most - 1, most)))
    return bytes(result)
