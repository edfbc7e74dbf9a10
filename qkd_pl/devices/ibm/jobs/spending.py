"""QPU seconds in the ledger: what every request to the service was estimated to cost, and what it has used.

One row for each tag, and so for each attempt, since a part that is sent again is paid again. A row is written before
anything is sent, together with the receipt. Simulators have none.
"""

import math
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from qkd_pl.devices.ibm.jobs.schema import Receipt, read_receipt, rows
from qkd_pl.devices.ibm.service.job_status import Stage
from qkd_pl.errors import CostLimitError, FileFormatError

#: IBM counts an instance's use over so many days.
WINDOW = timedelta(days=28)
SCHEMA = """
CREATE TABLE spending (
    tag TEXT PRIMARY KEY, instance TEXT NOT NULL, dated TEXT NOT NULL, estimated REAL NOT NULL, used REAL
) STRICT
"""
_ENTER = "INSERT INTO spending (tag, instance, dated, estimated) VALUES (?, ?, ?, ?)"


def shares(cost: Mapping[str, Any], parts: int) -> list[float]:
    """QPU seconds that each part of a job is estimated to take; equal ones where the receipt does not tell them apart.

    Example:
        >>> shares({"qpu_seconds": 9.0, "part_seconds": [6.0, 3.0]}, 2), shares({"qpu_seconds": 9.0}, 2)
        ([6.0, 3.0], [4.5, 4.5])
    """
    known = cost.get("part_seconds") or ()
    return list(known) if len(known) == parts else [cost.get("qpu_seconds", 0.0) / parts] * parts


def enter(database: sqlite3.Connection, target: Mapping[str, Any], by_tag: Mapping[str, float]) -> None:
    """Count the seconds of each tag as spent by the target's instance.

    Raises:
        CostLimitError: the target's ``max_qpu_seconds_total`` would be exceeded.
    """
    seconds = sum(by_tag.values())
    instance, limit = target.get("instance"), target.get("max_qpu_seconds_total")
    before = spent(database, instance)
    if limit is not None and not before + seconds <= limit:
        raise CostLimitError(
            f"about {seconds:,.0f} QPU seconds, after {before:,.0f} in the last {WINDOW.days} days, exceed "
            f"max_qpu_seconds_total: {limit:g} of instance {instance}; take fewer inputs or shots, cancel jobs that "
            "were not sent, or raise the limit in devices.yaml"
        )
    # What cannot be written down is refused by the limits of the plan, where there are any.
    rows = [(tag, instance or "", _now(), share if math.isfinite(share) else 0.0) for tag, share in by_tag.items()]
    database.executemany(_ENTER, rows)


def enter_former(database: sqlite3.Connection) -> None:
    """Count the jobs of a ledger that was written before there was such a table; damaged ones are left out."""
    for (number,) in database.execute("SELECT rowid FROM jobs").fetchall():
        receipt = _former(database, number)
        if receipt is None or not receipt.target["remote"]:
            continue
        instance = receipt.target.get("instance") or ""
        for part, share in zip(receipt.parts, shares(receipt.cost, len(receipt.parts)), strict=True):
            if part.stage not in (Stage.PREPARED, Stage.CANCELLED):
                database.execute(_ENTER, (part.tag, instance, receipt.created, share))


def _former(database: sqlite3.Connection, number: int) -> Receipt | None:
    try:
        found = rows(database, "rowid", number)
        return None if found is None else read_receipt(*found)
    except (FileFormatError, sqlite3.DatabaseError):
        return None


def date(database: sqlite3.Connection, tag: str) -> None:
    """It is sent now, however long ago it was planned."""
    database.execute("UPDATE spending SET dated = ? WHERE tag = ?", (_now(), tag))


def correct(database: sqlite3.Connection, tag: str, seconds: float) -> None:
    """Put the ``seconds`` used in the place of what was estimated."""
    database.execute("UPDATE spending SET used = ? WHERE tag = ?", (seconds, tag))


def spent(database: sqlite3.Connection, instance: str | None) -> float:
    """QPU seconds of an instance within the window: as used where that is known, else as estimated."""
    query = "SELECT total(coalesce(used, estimated)) FROM spending WHERE instance = ? AND dated > ?"
    since = (datetime.now(UTC) - WINDOW).isoformat(timespec="milliseconds")
    return float(database.execute(query, (instance or "", since)).fetchone()[0])


def used(database: sqlite3.Connection, tags: Sequence[str]) -> float | None:
    """QPU seconds that requests with these tags have used; None until the service has told it of all of them."""
    return _total(database, "used", tags)


def estimated(database: sqlite3.Connection, tags: Sequence[str]) -> float | None:
    """QPU seconds that requests with these tags were estimated to cost; None where there are none."""
    return _total(database, "estimated", tags)


def _total(database: sqlite3.Connection, column: str, tags: Sequence[str]) -> float | None:
    marks = ", ".join("?" * len(tags))
    found = database.execute(f"SELECT {column} FROM spending WHERE tag IN ({marks})", list(tags)).fetchall()
    known = [seconds for (seconds,) in found if seconds is not None]
    return sum(known) if found and len(known) == len(found) else None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
