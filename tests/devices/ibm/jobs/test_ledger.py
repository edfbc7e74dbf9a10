"""The ledger: what is written stays, under processes that compete and processes that are killed."""

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import platformdirs
import pytest

from qkd_pl.devices.ibm.jobs.jobs import jobs
from qkd_pl.devices.ibm.jobs.ledger import Damaged, Ledger
from qkd_pl.devices.ibm.service.deadline import Deadline
from qkd_pl.devices.ibm.service.job_status import Stage
from qkd_pl.errors import FileFormatError, JobError, LedgerBusyError, UnknownJobError

TARGET = {"device": {"name": "manila"}, "backend": "fake_manila", "remote": False}
ARRAYS = {"labels": np.array([0, 1, 1]), "weights": np.linspace(0, 1, 4).reshape(2, 2)}


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


def add(ledger: Ledger, payloads: tuple[str, ...] = ("first", "second")) -> str:
    return ledger.add(payloads, TARGET, {"shots": 12}, ARRAYS).id


def test_receipt_comes_back_as_written(ledger: Ledger) -> None:
    receipt = ledger.receipt(add(ledger))
    assert receipt.target == TARGET
    assert receipt.cost == {"shots": 12}
    assert [ledger.payload(part) for part in receipt.parts] == ["first", "second"]
    assert {part.stage for part in receipt.parts} == {Stage.PREPARED}
    for name, array in ledger.arrays(receipt.id).items():
        np.testing.assert_array_equal(array, ARRAYS[name])


def test_tags_are_unique(ledger: Ledger) -> None:
    tags = [part.tag for _ in range(20) for part in ledger.receipt(add(ledger)).parts]
    assert len(set(tags)) == 40


def test_lives_where_the_variable_says_or_in_the_users_data(ledger_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Ledger().path == ledger_path
    monkeypatch.delenv("QKD_PL_LEDGER")
    assert Ledger().path.is_relative_to(platformdirs.user_data_dir("qkd_pl"))


def test_values_come_back_in_order_with_their_shapes(ledger: Ledger) -> None:
    part = ledger.receipt(add(ledger)).parts[0]
    assert ledger.result(part) is None
    values = [np.full((2, index), float(index)) for index in range(12)]
    ledger.store(part, values)
    stored = ledger.result(part)
    assert stored is not None
    assert [array.shape for array in stored] == [array.shape for array in values]
    np.testing.assert_array_equal(stored[11], values[11])
    assert ledger.receipt(part.job).parts[0].stage is Stage.DONE


@pytest.mark.parametrize("end", [Stage.DONE, Stage.FAILED, Stage.CANCELLED])
def test_an_end_is_final(ledger: Ledger, end: Stage) -> None:
    part = ledger.receipt(add(ledger)).parts[0]
    ledger.advance(part, end, "job-1", "because")
    ledger.advance(part, Stage.SUBMITTED, "job-2")
    after = ledger.receipt(part.job).parts[0]
    assert (after.stage, after.service_id, after.message) == (end, "job-1", "because")


def test_an_unknown_job_is_named(ledger: Ledger) -> None:
    with pytest.raises(UnknownJobError, match="nonsense"):
        ledger.receipt("nonsense")


def test_newest_receipt_first(ledger: Ledger) -> None:
    ids = [add(ledger) for _ in range(3)]
    assert [receipt.id for receipt in ledger.receipts()] == ids[::-1]


@pytest.mark.parametrize("content", [b"not a database, but long enough to be one" * 30, b""])
def test_a_foreign_file_is_refused_and_an_empty_one_used(ledger: Ledger, content: bytes) -> None:
    ledger.path.write_bytes(content)
    if not content:
        assert ledger.receipts() == []
        return
    with pytest.raises(FileFormatError, match="ledger"):
        ledger.receipts()
    assert ledger.path.read_bytes() == content


def alter(ledger: Ledger, statement: str) -> None:
    with closing(sqlite3.connect(ledger.path)) as database, database:
        database.execute(statement)


@pytest.mark.parametrize("change", ["jobs SET target = '{'", "jobs SET cost = ''", "parts SET stage = 'lost'"])
def test_a_damaged_receipt_is_named_and_leaves_the_others(ledger: Ledger, change: str) -> None:
    good, bad = add(ledger), add(ledger)
    alter(ledger, f"UPDATE {change} WHERE {'id' if change.startswith('jobs') else 'job'} = '{bad}'")
    with pytest.raises(FileFormatError, match=f"{ledger.path}: the receipt of job {bad} is damaged"):
        ledger.receipt(bad)
    damaged, readable = ledger.receipts()
    assert isinstance(damaged, Damaged)
    assert bad in damaged.reason
    assert readable.id == good
    with pytest.warns(UserWarning, match=bad):
        assert [job.id for job in jobs()] == [good]


@pytest.mark.parametrize(
    "damage", ["zeroblob(20)", "substr(arrays, 1, 100)", "CAST(replace(hex(arrays), 'A', 'B') AS BLOB)"]
)
def test_damaged_arrays_are_named(ledger: Ledger, damage: str) -> None:
    job = add(ledger)
    alter(ledger, f"UPDATE jobs SET arrays = {damage}")
    with pytest.raises(FileFormatError, match=f"the arrays of job {job} are damaged"):
        ledger.arrays(job)


def test_places_where_no_ledger_can_be_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for place in (tmp_path / "file" / "ledger.sqlite", tmp_path):
        with pytest.raises(FileFormatError, match=f"{place}: the ledger cannot be kept there"):
            Ledger(place).receipts()


def test_a_lock_that_is_none_is_named(ledger: Ledger) -> None:
    job = add(ledger)
    with ledger.exclusive(job, 1):
        pass
    (ledger.path.with_name(ledger.path.name + "-locks") / job).write_bytes(b"no lock at all" * 100)
    with pytest.raises(FileFormatError, match="the lock of the job cannot be used"), ledger.exclusive(job, 1):
        pass


def test_a_newer_ledger_is_refused(ledger: Ledger) -> None:
    add(ledger)
    with sqlite3.connect(ledger.path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(FileFormatError, match="version 99"):
        ledger.receipts()


@pytest.mark.skipif(os.name != "posix", reason="other systems have other permissions")
def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        ledger = Ledger(tmp_path / "new" / "folder" / "ledger.sqlite")
        with ledger.exclusive(add(ledger), 1):
            files = [path for path in (tmp_path / "new").rglob("*") if path.is_file()]
            folders = [path for path in (tmp_path / "new").rglob("*") if path.is_dir()]
            assert any(path.parent.name.endswith("-locks") for path in files)
            assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
            assert {stat.S_IMODE(path.stat().st_mode) for path in [tmp_path / "new", *folders]} == {0o700}
        ledger.path.chmod(0o644)
        ledger.receipts()
        assert stat.S_IMODE(ledger.path.stat().st_mode) == 0o600, "one of an older version is closed, too"
    finally:
        os.umask(old)


def test_needs_no_shared_memory(ledger: Ledger) -> None:
    """Write-ahead logs do, which a network file system does not have."""
    add(ledger)
    with closing(sqlite3.connect(ledger.path)) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert {path.name.removeprefix(ledger.path.name) for path in ledger.path.parent.glob("ledger*")} <= {"", "-locks"}


def test_locks_leave_no_files(ledger: Ledger) -> None:
    job = add(ledger)
    with ledger.exclusive(job, 1):
        pass
    folder = ledger.path.with_name(ledger.path.name + "-locks")
    assert list(folder.iterdir()) == []
    (folder / "left-by-a-killed-process").touch()
    add(ledger)
    assert list(folder.iterdir()) == []


def test_a_lock_that_is_held_is_not_swept_away(ledger: Ledger) -> None:
    job = add(ledger)
    with ledger.exclusive(job, 1):
        add(ledger)
        with pytest.raises(JobError), Ledger().exclusive(job, 0.05):
            pytest.fail("two at once")


def test_of_many_only_one_holds_a_lock_at_a_time(ledger: Ledger) -> None:
    """Although its file comes and goes."""
    job, inside, most = add(ledger), [], []

    def work(number: int) -> None:
        with Ledger().exclusive(job, 60):
            inside.append(number)
            most.append(len(inside))
            time.sleep(0.005)
            inside.remove(number)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(24)))
    assert most == [1] * 24


VERSION_1 = """
CREATE TABLE jobs (
    id TEXT PRIMARY KEY, created TEXT NOT NULL, target TEXT NOT NULL, cost TEXT NOT NULL, arrays BLOB NOT NULL
) STRICT;
CREATE TABLE parts (
    job TEXT NOT NULL REFERENCES jobs(id), part INTEGER NOT NULL, tag TEXT NOT NULL UNIQUE, payload TEXT NOT NULL,
    stage TEXT NOT NULL, service_id TEXT, message TEXT, updated TEXT NOT NULL, result BLOB, PRIMARY KEY (job, part)
) STRICT;
PRAGMA user_version = 1;
"""


def test_a_ledger_of_version_1_is_taken_over_and_a_copy_kept(ledger: Ledger, tmp_path: Path) -> None:
    source = Ledger(tmp_path / "source.sqlite")
    job = add(source)
    with closing(sqlite3.connect(ledger.path)) as database, database:
        database.executescript(VERSION_1)
        database.execute("ATTACH ? AS source", (str(source.path),))
        database.execute("INSERT INTO jobs SELECT id, created, target, cost, arrays FROM source.jobs")
        database.execute("INSERT INTO parts SELECT * FROM source.parts")
    before = ledger.path.read_bytes()
    assert ledger.receipt(job) == source.receipt(job)
    np.testing.assert_array_equal(ledger.arrays(job)["labels"], ARRAYS["labels"])
    copy = ledger.path.with_name(ledger.path.name + ".version-1")
    assert copy.read_bytes() == before
    assert ledger.unread("nothing") == []
    assert ledger.spent(None) == 0, "it was not sent"
    receipt = ledger.receipt(job)
    assert ledger.path.with_name(ledger.path.name + ".version-2").exists() is False
    assert ledger.used(receipt) is None


def test_a_ledger_that_is_busy_is_not_called_damaged(ledger: Ledger) -> None:
    add(ledger)
    with closing(sqlite3.connect(ledger.path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LedgerBusyError, match="another process has held the ledger"):
            ledger.until(Deadline(0.1)).receipts()


def test_waiting_for_the_ledger_can_be_interrupted(ledger: Ledger) -> None:
    """Ctrl-C is heeded long before the time for waiting is over: SQLite's own waiting would not."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    add(ledger)
    previous = signal.signal(signal.SIGALRM, interrupt)
    with closing(sqlite3.connect(ledger.path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        limit = Deadline(20)
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        try:
            with pytest.raises(KeyboardInterrupt):
                ledger.until(limit).receipts()
        finally:
            signal.signal(signal.SIGALRM, previous)
        assert not limit.passed


def test_a_reader_is_waited_for_before_what_was_written_is_kept(ledger: Ledger) -> None:
    """A browser of databases holds the file open while a job with much data is written."""
    first = add(ledger)
    reader = sqlite3.connect(ledger.path, isolation_level=None, check_same_thread=False)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM jobs").fetchone()
    with pytest.raises(LedgerBusyError):
        add(ledger.until(Deadline(0.1)))
    threading.Timer(0.5, lambda: reader.execute("COMMIT")).start()
    second = add(ledger, ("x" * 5_000_000,))
    reader.close()
    assert [receipt.id for receipt in ledger.receipts()] == [second, first]


def test_writers_in_parallel_lose_nothing(ledger: Ledger) -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda _: add(ledger), range(40)))
    assert {receipt.id for receipt in ledger.receipts()} == ids


def test_exclusive_keeps_others_out(ledger: Ledger) -> None:
    job = add(ledger)
    with ledger.exclusive(job, 1), pytest.raises(JobError, match="another process"), Ledger().exclusive(job, 0.05):
        pytest.fail("two at once")
    with ledger.exclusive(job, 0.05), ledger.exclusive("another", 0.05):
        pass


_HOLD = """
import sys, time
from qkd_pl.devices.ibm.jobs.ledger import Ledger
ledger = Ledger()
print(ledger.add(["payload"], {"device": {"name": "test"}, "backend": "aer", "remote": False}, {}, {}).id, flush=True)
with ledger.exclusive(sys.argv[1], 5):
    print("held", flush=True)
    time.sleep(60)
"""


def test_waiting_for_a_job_can_be_interrupted(ledger: Ledger) -> None:
    job = add(ledger)
    # Jobs that a shell runs in the background inherit that it ignores the signal.
    heeds = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    imports = "from qkd_pl.devices.ibm.jobs.ledger import Ledger; print('waiting', flush=True)"
    waiter = f"{heeds}; {imports}; Ledger().exclusive({job!r}, 60).__enter__()"
    with ledger.exclusive(job, 1):
        process = subprocess.Popen([sys.executable, "-c", waiter], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert b"KeyboardInterrupt" in said


def test_a_killed_process_leaves_its_receipt_and_no_lock(ledger: Ledger) -> None:
    job = add(ledger)
    with subprocess.Popen([sys.executable, "-c", _HOLD, job], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        written, held = child.stdout.readline().strip(), child.stdout.readline().strip()
        assert held == "held"
        with pytest.raises(JobError), ledger.exclusive(job, 0.05):
            pytest.fail("the lock of another process was ignored")
        os.kill(child.pid, signal.SIGKILL)
    with ledger.exclusive(job, 5):
        assert ledger.payload(ledger.receipt(written).parts[0]) == "payload"
