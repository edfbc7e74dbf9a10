"""A ledger of version 2, which knew no budget: its jobs stay, and what was sent counts as spent."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loopback import INSTANCE
from plans import make_plan

from qkd_pl.devices.ibm.jobs.jobs import attach, record
from qkd_pl.devices.ibm.jobs.ledger import Ledger
from qkd_pl.devices.ibm.service.job_status import Stage
from qkd_pl.errors import CostLimitError

#: As the version that wrote it had it.
VERSION_2 = """
CREATE TABLE jobs (
    id TEXT PRIMARY KEY, created TEXT NOT NULL, target TEXT NOT NULL, cost TEXT NOT NULL, arrays BLOB NOT NULL,
    fingerprint TEXT, is_read INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE parts (
    job TEXT NOT NULL REFERENCES jobs(id), part INTEGER NOT NULL, tag TEXT NOT NULL UNIQUE, payload TEXT NOT NULL,
    stage TEXT NOT NULL, service_id TEXT, message TEXT, updated TEXT NOT NULL, result BLOB, PRIMARY KEY (job, part)
) STRICT;
PRAGMA user_version = 2;
"""
ESTIMATE = make_plan().summary()["qpu_seconds"]


class Former:
    """A ledger of version 2; jobs are made by today's, and written down as they were then."""

    def __init__(self, folder: Path) -> None:
        self.ledger, self._source = Ledger(), Ledger(folder / "source.sqlite")
        with closing(sqlite3.connect(self.ledger.path)) as database:
            database.executescript(VERSION_2)

    def add(self, stages: tuple[Stage, ...] = (Stage.SUBMITTED,), age: float = 0, **columns: Any) -> str:
        """A job with parts at these stages, so many days old, with other texts in some columns."""
        job = record(make_plan(parts=len(stages)), self._source, "fingerprint").id
        created = (datetime.now(UTC) - timedelta(days=age)).isoformat(timespec="milliseconds")
        with closing(sqlite3.connect(self.ledger.path)) as database, database:
            database.execute("ATTACH ? AS source", (str(self._source.path),))
            head = database.execute("SELECT target, cost FROM source.jobs WHERE id = ?", (job,)).fetchone()
            target, cost = (json.loads(text) for text in head)
            texts = {"target": json.dumps({**target, "instance": INSTANCE}), "cost": json.dumps(cost), **columns}
            database.execute(
                "INSERT INTO jobs SELECT id, ?, ?, ?, arrays, fingerprint, is_read FROM source.jobs WHERE id = ?",
                (created, texts["target"], texts["cost"], job),
            )
            database.execute("INSERT INTO parts SELECT * FROM source.parts WHERE job = ?", (job,))
            for part, stage in enumerate(stages):
                database.execute("UPDATE parts SET stage = ? WHERE job = ? AND part = ?", (stage.value, job, part))
        return job


@pytest.fixture
def former(tmp_path: Path) -> Former:
    return Former(tmp_path)


def test_jobs_stay_as_they_were_and_a_copy_is_kept(former: Former) -> None:
    job, other = former.add((Stage.SUBMITTED, Stage.DONE)), former.add((Stage.PREPARED,))
    before = former.ledger.path.read_bytes()
    receipt = attach(job).receipt
    assert [part.stage for part in receipt.parts] == [Stage.SUBMITTED, Stage.DONE]
    assert receipt.target["instance"] == INSTANCE
    assert {each.id for each in former.ledger.receipts()} == {job, other}
    assert set(former.ledger.unread("fingerprint")) == {job, other}
    np.testing.assert_array_equal(former.ledger.arrays(job)["weight"], np.ones(3))
    assert former.ledger.path.with_name(former.ledger.path.name + ".version-2").read_bytes() == before
    with closing(sqlite3.connect(former.ledger.path)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (3,)


@pytest.mark.parametrize(
    ("stages", "share"),
    [
        ((Stage.PREPARED,), 0.0),
        ((Stage.SENDING,), 1.0),
        ((Stage.SUBMITTED,), 1.0),
        ((Stage.DONE,), 1.0),
        ((Stage.FAILED,), 1.0),
        ((Stage.CANCELLED,), 0.0),
        ((Stage.DONE, Stage.CANCELLED, Stage.SENDING), 2 / 3),
    ],
)
def test_what_was_sent_counts_as_spent(stages: tuple[Stage, ...], share: float, former: Former) -> None:
    job = former.add(stages)
    assert former.ledger.spent(INSTANCE) == pytest.approx(share * ESTIMATE)
    assert former.ledger.spent(None) == 0.0
    assert former.ledger.used(attach(job).receipt) is None


def test_it_counts_once_and_for_28_days(former: Former) -> None:
    former.add(age=27)
    former.add(age=29)
    for _ in range(3):
        assert Ledger().spent(INSTANCE) == pytest.approx(ESTIMATE)


def test_a_budget_takes_it_into_account(former: Former) -> None:
    former.add()
    plan = make_plan()
    target = {**plan.target, "instance": INSTANCE, "max_qpu_seconds_total": 1.5 * ESTIMATE}
    with pytest.raises(CostLimitError, match=r"max_qpu_seconds_total"):
        record(make_plan(target=target), former.ledger)


def test_what_it_used_takes_the_place_of_the_estimate(former: Former) -> None:
    job = former.add()
    former.ledger.enter_usage(attach(job).receipt.parts[0], 7.5)
    assert former.ledger.spent(INSTANCE) == 7.5
    assert former.ledger.used(attach(job).receipt) == 7.5


DAMAGE: dict[str, Callable[[Former], str]] = {
    "nan": lambda former: former.add(cost='{"qpu_seconds": NaN}'),
    "infinite": lambda former: former.add(cost='{"qpu_seconds": Infinity}'),
    "negative": lambda former: former.add(cost='{"qpu_seconds": -1e9}'),
    "huge": lambda former: former.add(cost='{"qpu_seconds": 1' + "0" * 399 + "}"),
    "text": lambda former: former.add(cost='{"qpu_seconds": "5"}'),
    "no document": lambda former: former.add(cost="{"),
    "an instance that is none": lambda former: former.add(target='{"remote": true, "instance": ["a"]}'),
    "a list": lambda former: former.add(target="[]"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_row_keeps_no_other_from_being_taken_over(damage: str, former: Former) -> None:
    job, damaged = former.add(), DAMAGE[damage](former)
    assert former.ledger.spent(INSTANCE) == pytest.approx(ESTIMATE)
    assert attach(job).id == job
    assert {each.id for each in former.ledger.receipts()} == {job, damaged}


def test_a_job_on_a_simulator_costs_nothing(former: Former) -> None:
    target = json.dumps({**make_plan(remote=False).target, "instance": INSTANCE})
    former.add((Stage.DONE,), target=target)
    assert former.ledger.spent(INSTANCE) == 0.0
