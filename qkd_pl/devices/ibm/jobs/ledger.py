"""Receipts of jobs in a local SQLite database: written before anything is sent, safe under kills and many processes.

The database lies in the user's data directory, or where ``$QKD_PL_LEDGER`` says, and nobody else can read it: circuits,
inputs and labels are in it. It holds no credentials: a receipt names the environment variable or account that has them.
"""

import io
import json
import os
import re
import secrets
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from qkd_pl.devices.ibm.jobs import locks, spending
from qkd_pl.devices.ibm.jobs.schema import Damaged, Part, Receipt, check_arrays, read_receipt, rows
from qkd_pl.devices.ibm.service.deadline import Deadline
from qkd_pl.devices.ibm.service.job_status import Stage
from qkd_pl.errors import FileFormatError, JobError, LedgerBusyError, UnknownJobError
from qkd_pl.npz import read_npz

__all__ = ["Damaged", "Ledger", "Part", "Receipt"]

#: Bytes of one job's arrays, results included, and of one encoded payload.
MOST_ARRAYS, MOST_PAYLOAD = 1 << 28, 1 << 28
_VERSION = 3
_BUSY_SECONDS = 30.0
_LEAST_SECONDS = 0.5  # others hold it for milliseconds; a deadline that is over does not make that a failure
_SCHEMA = """
CREATE TABLE jobs (
    id TEXT PRIMARY KEY, created TEXT NOT NULL, target TEXT NOT NULL, cost TEXT NOT NULL, arrays BLOB NOT NULL,
    fingerprint TEXT, is_read INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE parts (
    job TEXT NOT NULL REFERENCES jobs(id), part INTEGER NOT NULL, tag TEXT NOT NULL UNIQUE, payload TEXT NOT NULL,
    stage TEXT NOT NULL, service_id TEXT, message TEXT, updated TEXT NOT NULL, result BLOB, PRIMARY KEY (job, part)
) STRICT;
"""
# Statements that lead from each version to the next.
_UPGRADES = {
    1: (
        "ALTER TABLE jobs ADD COLUMN fingerprint TEXT",
        "ALTER TABLE jobs ADD COLUMN is_read INTEGER NOT NULL DEFAULT 0",
    ),
    2: (spending.SCHEMA,),
}
_FINAL = tuple(stage.value for stage in Stage if stage.final)
_ID = re.compile(r"[0-9a-f]{16}")
_TAG = re.compile(r"(qkd-pl-[0-9a-f]{16}-[0-9]{1,5})(?:-([0-9]{1,3}))?")


class Ledger:
    """The ledger at ``path``; every method is one transaction on a connection of its own.

    All raise :class:`FileFormatError` if the file is not a ledger or damaged, and :class:`LedgerBusyError` if another
    process holds it for longer than 30 seconds, or than the deadline of :meth:`until`.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = Path(path or os.environ.get("QKD_PL_LEDGER") or _default_path())
        self._deadline = Deadline(None)

    def until(self, deadline: Deadline) -> "Ledger":
        """The same ledger, which waits for others no longer than until then."""
        limited = Ledger(self.path)
        limited._deadline = deadline
        return limited

    def add(
        self,
        payloads: Sequence[str],
        target: Mapping[str, Any],
        cost: Mapping[str, Any],
        arrays: Mapping[str, np.ndarray],
        fingerprint: str | None = None,
    ) -> Receipt:
        """Write the receipt of a new job with one part for each encoded payload.

        On hardware the estimated QPU seconds of each part are entered as spent in the same transaction, so that
        processes that submit at the same time do not overdraw a budget together.

        Args:
            fingerprint: by which :meth:`unread` finds the job.

        Raises:
            CostLimitError: the target's ``max_qpu_seconds_total`` would be exceeded; nothing is written.
        """
        job, now = secrets.token_hex(8), _now()
        head = (job, now, json.dumps(target), json.dumps(cost), _pack(arrays), fingerprint)
        parts = [
            (job, index, f"qkd-pl-{job}-{index}", payload, Stage.PREPARED.value, now)
            for index, payload in enumerate(payloads)
        ]
        with self._transaction() as database:
            locks.sweep(self._locks)
            if target.get("remote"):
                shares = spending.shares(cost, len(parts))
                spending.enter(database, target, {part[2]: share for part, share in zip(parts, shares, strict=True)})
            database.execute("INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?, 0)", head)
            database.executemany(
                "INSERT INTO parts (job, part, tag, payload, stage, updated) VALUES (?, ?, ?, ?, ?, ?)", parts
            )
        return self.receipt(job)

    def receipt(self, job: str) -> Receipt:
        """The receipt of one job.

        Raises:
            UnknownJobError: the ledger has no job of this id.
        """
        with self._transaction() as database:
            found = rows(database, "id", job) if _ID.fullmatch(job) else None
        if found is None:
            raise UnknownJobError(f"no job {job!r:.100} in the ledger {self.path}")
        return self._receipt(*found)

    def receipts(self) -> list[Receipt | Damaged]:
        """All receipts, newest first; in place of one that cannot be read, its id and the reason."""
        with self._transaction() as database:
            numbers = database.execute("SELECT rowid FROM jobs ORDER BY created DESC, rowid DESC").fetchall()
            found = [self._rows_or_reason(database, number) for (number,) in numbers]
        return [self._readable(each) for each in found]

    def unread(self, fingerprint: str) -> list[str]:
        """Ids of the jobs with this fingerprint whose values nobody has read, oldest first."""
        query = "SELECT id FROM jobs WHERE fingerprint = ? AND is_read = 0 ORDER BY created, rowid"
        with self._transaction() as database:
            return [job.decode(errors="replace") for (job,) in database.execute(query, (fingerprint,)).fetchall()]

    def mark_read(self, job: str) -> None:
        """Record that somebody has the values of a job."""
        with self._transaction() as database:
            database.execute("UPDATE jobs SET is_read = 1 WHERE id = ?", (job,))

    def payload(self, part: Part) -> str:
        """The encoded payload of a part."""
        stored = self._column("payload FROM parts WHERE job = ? AND part = ?", part.job, part.index)
        if len(stored) > MOST_PAYLOAD:
            raise FileFormatError(f"{self.path}: the payload of job {part.job} has {len(stored):,} bytes")
        try:
            return str(stored.decode())
        except UnicodeDecodeError:
            raise FileFormatError(f"{self.path}: the payload of job {part.job} is damaged (not UTF-8)") from None

    def arrays(self, job: str) -> dict[str, np.ndarray]:
        """The arrays that were stored with the receipt."""
        arrays = self._unpack(job, self._column("arrays FROM jobs WHERE id = ?", job))
        try:
            check_arrays(arrays)
        except FileFormatError as error:
            raise FileFormatError(f"{self.path}: the arrays of job {job} are damaged ({error})") from None
        return arrays

    def result(self, part: Part) -> list[np.ndarray] | None:
        """The stored values of a part, one array for each PUB; ``None`` while there are none."""
        stored = self._column("result FROM parts WHERE job = ? AND part = ?", part.job, part.index)
        return None if stored is None else [array for _, array in sorted(self._unpack(part.job, stored).items())]

    def advance(self, part: Part, stage: Stage, service_id: str | None = None, message: str | None = None) -> None:
        """Record that a part has reached ``stage``; one that has ended stays as it is."""
        change = (stage.value, service_id, message and message[:10_000], _now(), part.job, part.index, *_FINAL)
        with self._transaction() as database:
            if stage is Stage.SENDING:
                spending.date(database, part.tag)
            database.execute(
                "UPDATE parts SET stage = ?, service_id = coalesce(?, service_id), message = ?, updated = ?"
                " WHERE job = ? AND part = ? AND stage NOT IN (?, ?, ?)",
                change,
            )

    def reopen(self, part: Part, service_id: str | None = None) -> None:
        """Let a part that has failed or was cancelled go on: with a job of the service after all, or to be sent again.

        Sent again it has another tag, since the old one finds the job that ended; and it is entered as spent.

        Raises:
            CostLimitError: the target's ``max_qpu_seconds_total`` would be exceeded; nothing is changed.
        """
        receipt = self.receipt(part.job)
        stage, tag = (Stage.PREPARED, next_tag(part.tag)) if service_id is None else (Stage.SUBMITTED, part.tag)
        change = (stage.value, tag, service_id, _now(), part.job, part.index, part.tag)
        with self._transaction() as database:
            if service_id is None and receipt.target["remote"]:
                share = spending.shares(receipt.cost, len(receipt.parts))[part.index]
                spending.enter(database, receipt.target, {tag: share})
            database.execute(
                "UPDATE parts SET stage = ?, tag = ?, service_id = ?, message = NULL, updated = ?"
                " WHERE job = ? AND part = ? AND tag = ? AND stage IN ('failed', 'cancelled')",
                change,
            )

    def enter_usage(self, part: Part, seconds: float) -> None:
        """Put the QPU seconds that a part has used in the place of what was estimated."""
        with self._transaction() as database:
            spending.correct(database, part.tag, seconds)

    def used(self, receipt: Receipt) -> float | None:
        """QPU seconds that the service says a job used, attempts that failed included; None until it has of all."""
        with self._transaction() as database:
            return spending.used(database, _every_tag(receipt))

    def estimated(self, receipt: Receipt) -> float | None:
        """QPU seconds that a job was estimated to take, again for what was sent again; None on a simulator."""
        with self._transaction() as database:
            found = spending.estimated(database, _every_tag(receipt))
        return receipt.cost.get("qpu_seconds") if found is None and receipt.target["remote"] else found

    def spent(self, instance: str | None) -> float:
        """QPU seconds of an instance in the last 28 days: as used where that is known, else as estimated."""
        with self._transaction() as database:
            return spending.spent(database, instance)

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

        Raises:
            JobError: another one still holds it after ``seconds``.
            FileFormatError: there cannot be a lock beside the ledger.
        """
        with self.held(job, seconds) as lock:
            if lock is None:
                raise JobError(f"job {job}: another process is working on it; try again later")
            yield

    @contextmanager
    def held(self, name: str, seconds: float) -> Iterator[locks.Lock | None]:
        """The lock of this name, or ``None`` if another process or thread still holds it after ``seconds``."""
        lock = self.acquire(name, seconds)
        try:
            yield lock
        finally:
            if lock is not None:
                lock.release()

    def acquire(self, name: str, seconds: float = 0.0) -> locks.Lock | None:
        """As :meth:`held`, until it is released or this process ends."""
        return locks.acquire(self._locks / name, Deadline(self._deadline.cap(seconds)), self._transaction)

    @property
    def _locks(self) -> Path:
        return self.path.with_name(self.path.name + "-locks")

    def _rows_or_reason(self, database: sqlite3.Connection, number: int) -> Any:
        try:
            found = rows(database, "rowid", number)
        except sqlite3.DatabaseError as error:
            if locks.is_busy(error):
                raise
            return Damaged(f"row {number}", f"{self.path}: row {number} cannot be read ({error})")
        return found or Damaged(f"row {number}", f"{self.path}: row {number} is listed, but not there")

    def _readable(self, found: Any) -> Receipt | Damaged:
        if isinstance(found, Damaged):
            return found
        try:
            return self._receipt(*found)
        except FileFormatError as error:
            return Damaged(_printable(found[0][0]), str(error))

    def _receipt(self, head: tuple, parts: Sequence[tuple]) -> Receipt:
        try:
            return read_receipt(head, parts)
        except FileFormatError as error:
            raise FileFormatError(
                f"{self.path}: the receipt of job {_printable(head[0])} is damaged ({error})"
            ) from None

    def _unpack(self, job: str, stored: Any) -> dict[str, np.ndarray]:
        try:
            return read_npz(stored, MOST_ARRAYS, "arrays")
        except FileFormatError as error:
            raise FileFormatError(f"{self.path}: the arrays of job {job} are damaged ({error})") from None

    def _column(self, query: str, *values: Any) -> Any:
        with self._transaction() as database:
            found = database.execute(f"SELECT {query}", values).fetchone()
        if found is None:
            raise UnknownJobError(f"no job {values[0]!r:.100} in the ledger {self.path}")
        return found[0]

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        seconds = max(_LEAST_SECONDS, self._deadline.cap(_BUSY_SECONDS))
        patience = Deadline(seconds)
        try:
            with closing(locks.opened(self.path)) as database:
                # Texts are decoded one by one, so that a damaged one hides no other.
                database.text_factory = bytes
                # No write-ahead log: it needs shared memory, which a home on a network file system does not have.
                locks.patiently(database, "PRAGMA journal_mode = DELETE", patience)
                # Whoever reads the file meanwhile, as a browser of databases does, is waited for only at the end.
                database.execute("PRAGMA cache_spill = FALSE")
                # A receipt has to outlive a power cut, too.
                database.execute("PRAGMA synchronous = FULL")
                with locks.transaction(database, patience):
                    self._prepare(database)
                    yield database
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # SQLite quotes damaged bytes in its messages
            if locks.is_busy(error):
                raise LedgerBusyError(
                    f"{self.path}: another process has held the ledger for {seconds:.3g} seconds; try again later"
                ) from error
            raise FileFormatError(f"{self.path}: the ledger cannot be used ({error})") from error

    def _prepare(self, database: sqlite3.Connection) -> None:
        version = database.execute("PRAGMA user_version").fetchone()[0]
        if version not in range(_VERSION + 1):
            raise FileFormatError(f"{self.path}: a ledger of version {version}; this package reads up to {_VERSION}")
        if version == _VERSION:
            return
        if version == 0:
            statements = [*_SCHEMA.split(";"), spending.SCHEMA]
        else:  # it holds jobs that were paid for
            locks.copy_private(self.path, self.path.with_name(f"{self.path.name}.version-{version}"))
            statements = [each for older in range(version, _VERSION) for each in _UPGRADES[older]]
        for statement in statements:
            database.execute(statement)
        if version:
            spending.enter_former(database)
        database.execute(f"PRAGMA user_version = {_VERSION}")


def _every_tag(receipt: Receipt) -> list[str]:
    """Of all attempts at all parts."""
    return [tag for part in receipt.parts for tag in (part.tag, *earlier_tags(part.tag))]


def next_tag(tag: str) -> str:
    """The tag of a part's next attempt: ``qkd-pl-<job>-<part>-<attempt>``, without an attempt for the first.

    Example:
        >>> next_tag("qkd-pl-0123456789abcdef-0"), next_tag("qkd-pl-0123456789abcdef-0-2")
        ('qkd-pl-0123456789abcdef-0-2', 'qkd-pl-0123456789abcdef-0-3')
    """
    first, attempt = _attempt(tag)
    return f"{first}-{attempt + 1}"


def earlier_tags(tag: str) -> list[str]:
    """The tags of a part's earlier attempts.

    Example:
        >>> earlier_tags("qkd-pl-0123456789abcdef-0-3")
        ['qkd-pl-0123456789abcdef-0', 'qkd-pl-0123456789abcdef-0-2']
    """
    first, attempt = _attempt(tag)
    return [first if each == 1 else f"{first}-{each}" for each in range(1, attempt)]


def _attempt(tag: str) -> tuple[str, int]:
    found = _TAG.fullmatch(tag)
    return (tag, 1) if found is None else (found[1], int(found[2] or 1))


def _printable(value: Any) -> str:
    return re.sub(r"[^ -~]", "?", value.decode(errors="replace") if isinstance(value, bytes) else str(value))[:100]


def _default_path() -> Path:
    return Path(platformdirs.user_data_dir("qkd_pl")) / "ledger.sqlite"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _pack(arrays: Mapping[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()
