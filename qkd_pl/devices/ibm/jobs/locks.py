"""Files of the ledger that only their owner can read, and locks that end with their process, however that ends.

A lock is a transaction on an empty database of its own. Attempts are made, and lock files removed, only under a
transaction of the ledger, so that nobody waits for a file that is no longer the lock.
"""

import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from qkd_pl.devices.ibm.service.deadline import Deadline
from qkd_pl.errors import FileFormatError

_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE = 0.5
#: SQLite's own waiting cannot be interrupted by Ctrl-C, so that most of it is done here.
_BUSY_SECONDS = 0.1
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
Transaction = Callable[[], AbstractContextManager[Any]]


class Lock:
    """A lock that is held until :meth:`release`, or until this process ends."""

    def __init__(self, connection: sqlite3.Connection, path: Path, transaction: Transaction) -> None:
        self._connection, self._path, self._transaction = connection, path, transaction

    def release(self) -> None:
        """Give it up, and remove its file if the ledger can be had just now; otherwise a later job sweeps it away."""
        try:
            with self._transaction():
                self._connection.close()
                with suppress(OSError):
                    self._path.unlink()
        except Exception:  # whatever keeps the ledger busy must not keep the lock
            self._connection.close()


def acquire(path: Path, deadline: Deadline, transaction: Transaction) -> Lock | None:
    """The lock of this file; ``None`` if another holds it until the deadline.

    Raises:
        FileFormatError: there cannot be a lock.
    """
    pause = _PAUSE_SECONDS
    while True:
        with transaction():
            connection = _attempt(path)
        if connection is not None:
            return Lock(connection, path, transaction)
        if deadline.passed:
            return None
        time.sleep(deadline.cap(pause))
        pause = min(_LONGEST_PAUSE, 1.5 * pause)


def sweep(folder: Path) -> None:
    """Remove lock files that killed processes have left; the caller holds a transaction of the ledger."""
    with suppress(OSError):
        for path in folder.iterdir():
            with suppress(OSError, FileFormatError):
                connection = _attempt(path)
                if connection is not None:
                    connection.close()
                    path.unlink()


def is_busy(error: BaseException) -> bool:
    """Whether another connection holds the database just now."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _BUSY


@contextmanager
def transaction(database: sqlite3.Connection, deadline: Deadline) -> Iterator[None]:
    """Alone with the database; waits for others until the deadline, to begin and to commit.

    Raises:
        sqlite3.OperationalError: others still hold it (:func:`is_busy`); nothing is changed.
    """
    patiently(database, "BEGIN IMMEDIATE", deadline)
    try:
        yield
        patiently(database, "COMMIT", deadline)
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def patiently(database: sqlite3.Connection, statement: str, deadline: Deadline) -> None:
    """Execute a statement that may have to wait for others, in a way that a signal interrupts."""
    pause = _PAUSE_SECONDS
    while True:
        try:
            database.execute(statement)
            return
        except sqlite3.OperationalError as error:
            if not is_busy(error) or deadline.passed:
                raise
        time.sleep(deadline.cap(pause))
        pause = min(_LONGEST_PAUSE, 1.5 * pause)


def opened(path: Path, seconds: float = _BUSY_SECONDS) -> sqlite3.Connection:
    """The database in a file, which is made for its owner alone if it is missing; a statement waits for so long."""
    try:
        _make_private(path)
        return sqlite3.connect(path, timeout=seconds, isolation_level=None)
    except (OSError, sqlite3.OperationalError) as error:
        raise FileFormatError(f"{path}: the ledger cannot be kept there ({error}); see $QKD_PL_LEDGER") from error


def copy_private(path: Path, copy: Path) -> None:
    """Copy a file for its owner alone, unless there is a copy already."""
    if not copy.exists():
        _make_private(copy)
        shutil.copyfile(path, copy)


def _attempt(path: Path) -> sqlite3.Connection | None:
    connection = opened(path, 0.0)
    try:
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.DatabaseError as error:
        connection.close()
        if is_busy(error):
            return None
        raise FileFormatError(f"{path}: the lock of the job cannot be used ({error})") from error
    return connection


def _make_private(path: Path) -> None:
    """The file and the folders that it needs, for their owner alone; folders that exist stay as they are."""
    missing = [folder for folder in path.parents if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        if path.is_file() and path.stat().st_mode & 0o077 and os.name == "posix":
            with suppress(PermissionError):  # somebody else's
                path.chmod(0o600)
