"""A submission whose answer was lost, and that was made twice: one job is left, whoever looks first."""

import json
import threading
import time
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from fault_checks import ALWAYS, DEADLINE, Caught, assert_one_good_job
from loopback import Server, respond
from loopback.replies import Exchange
from loopback.service import StoredJob
from plans import LOGITS, TOLERANCE, make_plan

from qkd_pl.devices.ibm.jobs.jobs import Job, attach, jobs, submit
from qkd_pl.devices.ibm.service import connection
from qkd_pl.devices.ibm.service.job_status import Status
from qkd_pl.devices.ibm.service.remote import Remote
from qkd_pl.errors import JobTimeoutError, ServiceError

pytestmark = pytest.mark.usefixtures("impatient", "no_secrets")


def doubled(direct: Server) -> tuple[Job, StoredJob, StoredJob]:
    """A job, the service's job that the ledger knows, and another with its tag, as a repeated request leaves it."""
    job = submit(make_plan(), timeout=DEADLINE)
    (known,) = direct.service.jobs.values()
    return job, known, direct.service.accept(json.dumps(known.body))


def assert_one_good_result(job: Job) -> None:
    np.testing.assert_allclose(attach(job.id).result(timeout=DEADLINE), LOGITS, atol=TOLERANCE)


def test_a_doubled_job_is_cut_down_to_the_oldest(direct: Server) -> None:
    """A middle box repeated the request: the client saw one success, the service has two jobs."""
    direct.service.polls_until_done = ALWAYS

    def twice(exchange: Exchange, perform: Any) -> None:
        perform()
        exchange.send(perform())

    direct.break_on("POST", "/jobs", twice, times=1)
    job = submit(make_plan(), timeout=DEADLINE)
    oldest, younger = direct.service.jobs.values()
    assert [oldest.status, younger.status] == ["Running", "Cancelled"]
    assert job.receipt.parts[0].service_id == oldest.id
    direct.service.polls_until_done = 0
    assert_one_good_job(job, direct)


def test_a_double_that_shows_up_late_is_cancelled_before_waiting(direct: Server) -> None:
    direct.service.polls_until_done = ALWAYS
    job, _, _ = doubled(direct)
    with Caught(JobTimeoutError):
        job.result(timeout=1)
    assert [stored.status for stored in direct.service.jobs.values()] == ["Running", "Cancelled"]


def test_of_two_jobs_the_one_that_did_not_end_badly_counts(direct: Server) -> None:
    """The ledger knows a job that somebody cancelled at IBM's site; a repeated request had left another."""
    direct.service.polls_until_done = ALWAYS
    job, known, double = doubled(direct)
    known.status = "Cancelled"
    assert job.status() is Status.RUNNING
    direct.service.polls_until_done = 0
    assert_one_good_result(job)
    assert job.receipt.parts[0].service_id == double.id


def test_an_older_double_that_was_cancelled_is_left_alone(direct: Server) -> None:
    job, known, older = doubled(direct)
    older.status = "Cancelled"
    direct.service.jobs = {older.id: older, known.id: known}
    assert_one_good_result(job)
    assert job.receipt.parts[0].service_id == known.id


def test_an_end_is_not_recorded_while_a_double_cannot_be_looked_for(direct: Server) -> None:
    direct.service.polls_until_done = ALWAYS
    job, known, _ = doubled(direct)
    known.status = "Failed"
    direct.break_on("GET", "/jobs", respond(403))
    with Caught(ServiceError):
        job.status()
    direct.faults.clear()
    direct.service.polls_until_done = 0
    assert_one_good_result(job)


def test_two_processes_keep_the_same_of_two_jobs(direct: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one is about to cancel the younger job when that begins to run."""
    monkeypatch.setattr(connection, "READ_SECONDS", DEADLINE)
    monkeypatch.setattr(direct.service, "poll", lambda job: job)
    job, older, younger = doubled(direct)
    cancelling, go_on = threading.Event(), threading.Event()

    def hold(exchange: Exchange, perform: Any) -> None:
        cancelling.set()
        go_on.wait(DEADLINE)
        exchange.send(perform())

    direct.break_on("POST", "/jobs/[^/]+/cancel", hold, times=1)

    def wait_for_result() -> None:
        with suppress(JobTimeoutError):
            attach(job.id).result(timeout=2)

    processes = [threading.Thread(target=wait_for_result) for _ in range(2)]
    processes[0].start()
    assert cancelling.wait(DEADLINE)
    younger.status = "Running"
    processes[1].start()
    time.sleep(0.5)
    go_on.set()
    for process in processes:
        process.join()
    assert [older.status, younger.status] == ["Queued", "Cancelled"]


def test_a_double_of_a_job_that_is_not_listed_yet_is_cancelled(direct: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first answer is lost, and the service lists each job late."""
    direct.service.polls_until_done = ALWAYS
    direct.break_on("POST", "/jobs", lambda exchange, perform: (perform(), respond(504)(exchange, perform)), times=1)
    listed = iter([0, 1])
    find = Remote.find
    monkeypatch.setattr(Remote, "find", lambda *arguments: find(*arguments)[: next(listed)])
    job = submit(make_plan(), timeout=DEADLINE)
    first, second = direct.service.jobs.values()
    assert [first.status, second.status] == ["Running", "Cancelled"]
    assert job.receipt.parts[0].service_id == first.id


def test_cancelling_takes_doubles_along(direct: Server) -> None:
    direct.service.polls_until_done = ALWAYS
    job, _, _ = doubled(direct)
    assert job.cancel() is Status.CANCELLED
    assert direct.service.active == []


def test_a_job_that_arrives_after_it_was_cancelled_is_cancelled(direct: Server) -> None:
    direct.service.polls_until_done = ALWAYS
    other = submit(make_plan(), timeout=DEADLINE)
    (stored,) = direct.service.jobs.values()
    direct.break_on("POST", "/jobs", respond(504))
    with Caught(ServiceError):
        submit(make_plan(), timeout=DEADLINE)
    late = next(job for job in jobs() if job.id != other.id)
    assert late.cancel() is Status.CANCELLED
    arrived = direct.service.accept(json.dumps({**stored.body, "tags": [late.receipt.parts[0].tag]}))
    assert late.status() is Status.CANCELLED
    assert arrived.status == "Cancelled"
    assert direct.service.active == [stored]
