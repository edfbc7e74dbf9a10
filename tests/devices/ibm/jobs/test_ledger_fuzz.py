"""Thousands of damaged ledgers: bytes of the file, values of every column, structures of every document, re-packed.

``python tests/devices/ibm/jobs/test_ledger_fuzz.py 10000`` runs as many; the tests run a few of each kind.
"""

import io
import json
import random
import resource
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plans import make_plan

from qkd_pl.devices.ibm.jobs.jobs import attach, record
from qkd_pl.devices.ibm.jobs.ledger import Damaged, Ledger, Part
from qkd_pl.devices.ibm.payload import Payload
from qkd_pl.errors import QKDError

FEW = 60
SECONDS, MEGABYTES = 2.5, 300  # of processor time for one, and of memory for all
VALUES: list[Any] = [
    *(None, True, 0, -1, 10**400, 1e308, float("nan"), "", "\x00", "x" * 100_000, "é\u2028", [], {}, [[]], {"": None}),
    *("9" * 5000, "[" * 50_000, "2026-01-01", "2026-13-45T99:99:99+00:00", "prepared", "'; DROP TABLE jobs; --"),
]
COLUMNS = {
    "jobs": ("id", "created", "target", "cost", "arrays"),
    "parts": ("job", "tag", "payload", "stage", "service_id", "message", "result"),
}


def whole(folder: Path) -> Path:
    """A ledger with jobs at all stages, results included."""
    ledger = Ledger(folder / "whole.sqlite")
    for parts in (1, 2):
        job = record(make_plan(parts=parts), ledger, "fingerprint")
    ledger.store(job.receipt.parts[0], [np.zeros((2, 3))])
    return ledger.path


def mutate_bytes(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 3, 30])):
        content[rng.randrange(len(content))] = rng.randrange(256)
    if rng.random() < 0.2:
        del content[rng.randrange(len(content)) :]
    path.write_bytes(content)


def mutate_column(path: Path, rng: random.Random) -> None:
    table = rng.choice(list(COLUMNS))
    column = rng.choice(COLUMNS[table])
    value = rng.choice([each for each in VALUES if isinstance(each, str)])
    content = value.encode() if rng.random() < 0.5 else rng.randbytes(rng.choice([0, 3, 300]))
    kind = "BLOB" if column in ("arrays", "result") else "TEXT"
    _update(path, f"UPDATE OR IGNORE {table} SET {column} = CAST(? AS {kind})", content)


def mutate_document(path: Path, rng: random.Random) -> None:
    """Another value anywhere in a document that stays well-formed JSON."""
    table, column = rng.choice([("jobs", "target"), ("jobs", "cost"), ("parts", "payload")])
    with closing(sqlite3.connect(path)) as database:
        document = json.loads(database.execute(f"SELECT {column} FROM {table}").fetchone()[0])
    _replace_somewhere(document, rng)
    _update(path, f"UPDATE {table} SET {column} = ?", json.dumps(document))


def mutate_arrays(path: Path, rng: random.Random) -> None:
    """Archives that are whole, with other members."""
    lies = [
        {"n_samples": np.array("x")},
        {"n_samples": np.array(10**12), "sample": np.arange(3), "weight": np.ones(3)},
        {"n_samples": np.array(3), "sample": np.array([0, 1, 99]), "weight": np.ones(3)},
        {"n_samples": np.array(3), "sample": np.zeros((2, 2)), "weight": np.ones(3)},
        {"n_samples": np.array(3), "sample": np.arange(3), "weight": np.full(3, np.nan)},
        {"n_samples": np.array(3)},
        {"n_samples": np.array(3), "sample": np.arange(3), "weight": np.ones(3), "reference_sample": np.array([7])},
        {"n_samples": np.array(3), "sample": np.arange(3), "weight": np.ones(3), "labels": np.eye(2)},
        {"pub000000": np.zeros(1 << 20)},
        {"zeros": np.zeros(1 << 26, np.uint8)},
        {"objects": np.array([{}], dtype=object)},
    ]
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **rng.choice(lies))
    content = bytearray(buffer.getvalue())
    if rng.random() < 0.5:
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    table, column = rng.choice([("jobs", "arrays"), ("parts", "result")])
    _update(path, f"UPDATE {table} SET {column} = ?", bytes(content))


def _replace_somewhere(document: Any, rng: random.Random) -> None:
    while True:
        keys = list(document) if isinstance(document, dict) else list(range(len(document)))
        if not keys:
            return
        key = rng.choice(keys)
        if isinstance(document[key], dict | list) and document[key] and rng.random() < 0.7:
            document = document[key]
            continue
        if rng.random() < 0.2:
            del document[key]
        else:
            document[key] = rng.choice(VALUES)
        return


def _update(path: Path, statement: str, value: Any) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(statement, (value,))


KINDS: list[Callable[[Path, random.Random], None]] = [mutate_bytes, mutate_column, mutate_document, mutate_arrays]


def read_everything(path: Path) -> int:
    """What a user can ask of a ledger without the network; returns how often it refused."""
    ledger, refused = Ledger(path), 0
    questions: list[Callable[[], Any]] = []
    try:
        receipts = ledger.receipts()
    except QKDError:
        return 1
    for receipt in receipts:
        if isinstance(receipt, Damaged):
            refused += 1
            continue
        questions.append(partial(ledger.arrays, receipt.id))
        if all_done(receipt):
            questions.append(partial(attach(receipt.id, ledger).result, timeout=0))
        for part in receipt.parts:
            questions += [partial(decode, ledger, part), partial(ledger.result, part)]
    for ask in questions:
        try:
            ask()
        except QKDError as error:
            refused += 1
            if len(str(error)) > 3000:
                raise RuntimeError("a message that is too long") from error
    return refused


def decode(ledger: Ledger, part: Part) -> Payload:
    return Payload.decode(ledger.payload(part))


def all_done(receipt: Any) -> bool:
    return all(part.stage.value == "done" for part in receipt.parts)


def run(kind: Callable[[Path, random.Random], None], source: Path, folder: Path, count: int, seed: int = 0) -> int:
    content, refused = source.read_bytes(), 0
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(count):
        path = folder / f"{kind.__name__}-{number}.sqlite"
        path.write_bytes(content)
        kind(path, random.Random(seed + number))
        before = time.process_time()
        refused += bool(read_everything(path))
        assert time.process_time() - before < SECONDS, f"{kind.__name__} {number}: it hung"
        path.unlink()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) / 1024
    assert grown < MEGABYTES, f"{kind.__name__}: {grown:.0f} MB more"
    return refused


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Qiskit's own, over what it reads
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_damaged_ledgers_give_our_errors(kind: Callable[[Path, random.Random], None], tmp_path: Path) -> None:
    assert run(kind, whole(tmp_path), tmp_path, FEW) > 0


if __name__ == "__main__":
    sys.path[:0] = ["tests/devices/ibm"]
    with tempfile.TemporaryDirectory() as directory:
        for each in KINDS:
            print(each.__name__, run(each, whole(Path(directory)), Path(directory), int(sys.argv[1]) // len(KINDS)))
