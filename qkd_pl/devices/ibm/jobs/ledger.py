"""Receipts of jobs in a local SQLite database: written before anything is sent, safe under kills and many processes.

The database lies in the user's data directory, or where ``$QKD_PL_LEDGER`` says. It holds no credentials: a receipt
names the environment variable or account that has them.
"""

import io
import json
import os
import secrets
import sqlite3
import time
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import platformdirs

from qkd_pl.devices.ibm.service.job_status import Stage
from qkd_pl.errors import FileFormatError, JobError, UnknownJobError

_VERSION = 1
_BUSY_SECONDS = 30.0
_SCHEMA = """
CREATE TABLE jobs (
    id TEXT PRIMARY KEY, created TEXT NOT NULL, target TEXT NOT NULL, cost TEXT NOT NULL, arrays BLOB NOT NULL
) STRICT;
CREATE TABLE parts (
    job TEXT NOT NULL REFERENCES jobs(id), part INTEGER NOT NULL, tag TEXT NOT NULL UNIQUE, payload TEXT NOT NULL,
    stage TEXT NOT NULL, service_id TEXT, message TEXT, updated TEXT NOT NULL, result BLOB, PRIMARY KEY (job, part)
) STRICT;
"""
_FINAL = tuple(stage.value for stage in Stage if stage.final)


@dataclass(frozen=True)
class Part:
    """One service job of a receipt.

    Attributes:
        tag: unique; the service finds the job by it, whatever happened to the answer.
        service_id: the service's own id, once known.
        message: why it failed.
    """

    job: str
    index: int
    tag: str
    stage: Stage
    service_id: str | None
    message: str | None


@dataclass(frozen=True)
class Receipt:
    """Everything about a job but its payloads and arrays.

    Attributes:
        created: ISO 8601, UTC.
        target: JSON-able; the device's entry and the backend it was resolved to.
        cost: JSON-able; what the plan said.
    """

    id: str
    created: str
    target: dict[str, Any]
    cost: dict[str, Any]
    parts: tuple[Part, ...]


class Ledger:
    """The ledger at ``path``; every method is one transaction on a connection of its own."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = Path(path or os.environ.get("QKD_PL_LEDGER") or _default_path())

    def add(
        self,
        payloads: Sequence[str],
        target: Mapping[str, Any],
        cost: Mapping[str, Any],
        arrays: Mapping[str, np.ndarray],
    ) -> Receipt:
        """Write the receipt of a new job with one part for each encoded payload."""
        job, now = secrets.token_hex(8), _now()
        head = (job, now, json.dumps(target), json.dumps(cost), _pack(arrays))
        parts = [
            (job, index, f"qkd-pl-{job}-{index}", payload, Stage.PREPARED.value, now)
            for index, payload in enumerate(payloads)
        ]
        with self._transaction() as database:
            database.execute("INSERT INTO jobs VALUES (?, ?, ?, ?, ?)", head)
            database.executemany(
                "INSERT INTO parts (job, part, tag, payload, stage, updated) VALUES (?, ?, ?, ?, ?, ?)", parts
            )
        return self.receipt(job)

    def receipt(self, job: str) -> Receipt:
        """The receipt of one job.

        Raises:
            UnknownJobError: there is none of this id.
        """
        found = self._read("WHERE id = ?", job)
        if not found:
            raise UnknownJobError(f"no job {job!r} in the ledger {self.path}")
        return self._receipt(*found[0])

    def receipts(self) -> list[Receipt]:
        """All receipts, newest first; one that is damaged is left out, with a warning."""
        readable = []
        for row in self._read(""):
            try:
                readable.append(self._receipt(*row))
            except FileFormatError as error:
                warnings.warn(str(error), stacklevel=2)
        return readable

    def payload(self, part: Part) -> str:
        """The encoded payload of a part."""
        return str(self._column("SELECT payload FROM parts WHERE job = ? AND part = ?", part.job, part.index))

    def arrays(self, job: str) -> dict[str, np.ndarray]:
        """The arrays that were stored with the receipt."""
        return self._unpack(job, self._column("SELECT arrays FROM jobs WHERE id = ?", job))

    def result(self, part: Part) -> list[np.ndarray] | None:
        """The stored values of a part, one array for each PUB; ``None`` while there are none."""
        stored = self._column("SELECT result FROM parts WHERE job = ? AND part = ?", part.job, part.index)
        return None if stored is None else [array for _, array in sorted(self._unpack(part.job, stored).items())]

    def advance(self, part: Part, stage: Stage, service_id: str | None = None, message: str | None = None) -> None:
        """Record that a part has reached ``stage``; one that has ended stays as it is."""
        change = (stage.value, service_id, message, _now(), part.job, part.index, *_FINAL)
        with self._transaction() as database:
            database.execute(
                "UPDATE parts SET stage = ?, service_id = coalesce(?, service_id), message = ?, updated = ?"
                " WHERE job = ? AND part = ? AND stage NOT IN (?, ?, ?)",
                change,
            )

    def store(self, part: Part, values: Sequence[np.ndarray]) -> None:
        """Record the values of a part, one array for each PUB, and that it is done; one that has ended stays so."""
        packed = _pack({f"pub{index:06d}": array for index, array in enumerate(values)})
        change = (Stage.DONE.value, packed, _now(), part.job, part.index, *_FINAL)
        with self._transaction() as database:
            database.execute(
                "UPDATE parts SET stage = ?, result = ?, updated = ?"
                " WHERE job = ? AND part = ? AND stage NOT IN (?, ?, ?)",
                change,
            )

    @contextmanager
    def exclusive(self, job: str, seconds: float) -> Iterator[None]:
        """Be the only process, and thread, that sends or runs ``job``.

        The lock is a transaction on an empty database, because the system releases it however the process ends.

        Raises:
            JobError: another one still holds it after ``seconds``.
            FileFormatError: there cannot be a lock beside the ledger.
        """
        path, end = self.path.with_name(self.path.name + "-locks") / job, time.monotonic() + seconds
        # SQLite waits without listening to Ctrl-C, hence a second at a time.
        with closing(_opened(path, min(seconds, 1.0))) as lock:
            while not _locked(lock, path):
                if time.monotonic() >= end:
                    raise JobError(f"job {job}: another process is working on it; try again later")
            yield

    def _read(self, where: str, *values: str) -> list[tuple[tuple, list[tuple]]]:
        """Rows of jobs, each with those of its parts."""
        with self._transaction() as database:
            heads = database.execute(
                f"SELECT id, created, target, cost FROM jobs {where} ORDER BY created DESC, rowid DESC", values
            ).fetchall()
            query = "SELECT job, part, tag, stage, service_id, message FROM parts WHERE job = ? ORDER BY part"
            return [(head, database.execute(query, head[:1]).fetchall()) for head in heads]

    def _receipt(self, head: tuple, parts: Sequence[tuple]) -> Receipt:
        job, created, target, cost = head
        try:
            read = tuple(Part(job, index, tag, Stage(stage), *rest) for job, index, tag, stage, *rest in parts)
            return Receipt(job, created, json.loads(target), json.loads(cost), read)
        except ValueError as error:
            raise FileFormatError(f"{self.path}: the receipt of job {job} is damaged ({error})") from error

    def _unpack(self, job: str, stored: bytes) -> dict[str, np.ndarray]:
        try:
            with np.load(io.BytesIO(stored), allow_pickle=False) as loaded:
                return dict(loaded)
        except (BadZipFile, zlib.error, ValueError, TypeError, KeyError, EOFError, OSError, RuntimeError) as error:
            raise FileFormatError(f"{self.path}: the arrays of job {job} are damaged ({error})") from error

    def _column(self, query: str, *values: Any) -> Any:
        with self._transaction() as database:
            found = database.execute(query, values).fetchone()
        if found is None:
            raise UnknownJobError(f"no job {values[0]!r} in the ledger {self.path}")
        return found[0]

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(_opened(self.path, _BUSY_SECONDS)) as database:
                database.execute("PRAGMA journal_mode = WAL")
                # A receipt has to outlive a power cut, too.
                database.execute("PRAGMA synchronous = FULL")
                with database:
                    database.execute("BEGIN IMMEDIATE")
                    self._prepare(database)
                    yield database
        except sqlite3.DatabaseError as error:
            raise FileFormatError(f"{self.path}: the ledger cannot be used ({error})") from error

    def _prepare(self, database: sqlite3.Connection) -> None:
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            for statement in _SCHEMA.split(";"):
                database.execute(statement)
            database.execute(f"PRAGMA user_version = {_VERSION}")
        elif version != _VERSION:
            raise FileFormatError(f"{self.path}: a ledger of version {version}; this package reads {_VERSION}")


def _opened(path: Path, seconds: float) -> sqlite3.Connection:
    """The database in a file, which is made if it is missing; it waits for others for so long."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return sqlite3.connect(path, timeout=seconds, isolation_level=None)
    except (OSError, sqlite3.OperationalError) as error:
        raise FileFormatError(f"{path}: the ledger cannot be kept there ({error}); see $QKD_PL_LEDGER") from error


def _locked(lock: sqlite3.Connection, path: Path) -> bool:
    """Whether the lock is ours now."""
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY:
            return False
        raise FileFormatError(f"{path}: the lock of the job cannot be used ({error})") from error
    return True


def _default_path() -> Path:
    return Path(platformdirs.user_data_dir("qkd_pl")) / "ledger.sqlite"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _pack(arrays: Mapping[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()
