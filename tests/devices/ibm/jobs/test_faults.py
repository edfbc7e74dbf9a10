"""Every way in which the service can fail: a typed error of ours or a recovery, one job at most, and no secrets out."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fault_checks import ALWAYS, DEADLINE, Caught, assert_one_good_job
from loopback import Server, cut_json, hang, reset_after, reset_before, respond, truncate
from loopback.replies import Exchange
from plans import LOGITS, TOLERANCE, make_plan
from pytest_mock import MockerFixture

from qkd_pl.devices.ibm.jobs.jobs import Job, attach, jobs, submit
from qkd_pl.devices.ibm.service import connection, deadline
from qkd_pl.devices.ibm.service.job_status import Status
from qkd_pl.errors import (
    BackendError,
    CredentialsError,
    JobCancelledError,
    JobFailedError,
    JobResultError,
    JobTimeoutError,
    QKDError,
    ServiceError,
)

pytestmark = pytest.mark.usefixtures("impatient", "no_secrets")
WAYS = pytest.mark.parametrize("way", ["direct", "proxied"])


def every(faults: Iterable[str]) -> pytest.MarkDecorator:
    """All faults directly; those of the connection itself, which look different to the client, by proxy as well."""
    by_proxy = [name for name in faults if name.startswith(("reset", "no answer", "truncated"))]
    pairs = [(name, "direct") for name in faults] + [(name, "proxied") for name in by_proxy]
    return pytest.mark.parametrize(("fault", "way"), pairs)


@pytest.fixture
def server(way: str, request: pytest.FixtureRequest) -> Server:
    reached: Server = request.getfixturevalue(way)
    return reached


@pytest.fixture
def way() -> str:
    return "direct"


def echo(exchange: Exchange) -> dict[str, Any]:
    """A service that repeats the credentials it was given in its error."""
    return {"errors": [{"message": f"not allowed: {exchange.headers['authorization']}"}]}


REFUSED = {
    "401": (respond(401), CredentialsError),
    "403": (respond(403), ServiceError),
    "403 that echoes the credentials": (respond(403, echo), ServiceError),
    "413": (respond(413), ServiceError),
    "429": (respond(429), ServiceError),
    "429 for an hour": (respond(429, headers={"Retry-After": "3600"}), ServiceError),
    "500": (respond(500), ServiceError),
    "503": (respond(503), ServiceError),
    "reset": (reset_before, ServiceError),
    "no answer": (hang(), ServiceError),
}


@every(REFUSED)
def test_a_service_that_keeps_refusing(fault: str, way: str, server: Server) -> None:
    """A typed error, nothing submitted; when the service has recovered, the same receipt is sent, once."""
    action, expected = REFUSED[fault]
    server.break_on("POST", "/jobs", action)
    with Caught(expected) as caught:
        submit(make_plan(), timeout=DEADLINE)
    assert server.service.jobs == {}
    (job,) = jobs()
    assert job.id in caught.error.__notes__[0]
    assert job.status() is Status.UNSENT
    server.faults.clear()
    job.send()
    assert_one_good_job(job, server)


def test_statuses_and_waiting_times_are_in_the_error(server: Server) -> None:
    server.break_on("POST", "/jobs", respond(429, headers={"Retry-After": "3600"}))
    with Caught(ServiceError) as caught:
        submit(make_plan(), timeout=DEADLINE)
    assert (caught.error.status, caught.error.retry_after) == (429, 3600)
    assert caught.seconds < 3
    assert server.count("POST /jobs") == 1


PASSING = {
    "429": respond(429),
    "429 with Retry-After": respond(429, headers={"Retry-After": "1"}),
    "500": respond(500),
    "502": respond(502),
    "503": respond(503),
    "504": respond(504),
    "reset before acceptance": reset_before,
    "reset after acceptance": reset_after,
    "no answer, not accepted": hang(),
    "no answer, accepted": hang(accept=True),
    "cut answer": cut_json,
    "truncated answer": truncate,
    "empty answer": lambda exchange, perform: (perform(), respond(200, {})(exchange, perform)),
}
ACCEPTED = {"reset after acceptance", "no answer, accepted", "cut answer", "truncated answer", "empty answer"}


@every(PASSING)
def test_a_submission_that_breaks_once(fault: str, way: str, server: Server, mocker: MockerFixture) -> None:
    """Sent once more only if it was not accepted, which the job's tag tells: exactly one job, and its result."""
    broken = server.break_on("POST", "/jobs", PASSING[fault], times=1)
    pauses = mocker.spy(time, "sleep")
    job = submit(make_plan(), timeout=DEADLINE)
    assert broken.hit.is_set()
    assert server.count("POST /jobs") == (1 if fault in ACCEPTED else 2)
    assert fault != "429 with Retry-After" or mocker.call(1.0) in pauses.mock_calls
    assert_one_good_job(job, server)


@WAYS
def test_lost_answer_and_no_way_to_ask(way: str, server: Server) -> None:
    """Accepted, answer lost, service gone: nothing is repeated, and the job is found later."""
    server.break_on("POST", "/jobs", reset_after)
    server.break_on("GET", "/jobs", respond(503))
    with Caught(BackendError):
        submit(make_plan(), timeout=4)  # also on a busy machine enough to get as far as sending
    assert len(server.service.jobs) == 1
    server.faults.clear()
    (job,) = jobs()
    assert job.status() is Status.DONE
    assert_one_good_job(job, server)


def test_a_part_that_cannot_be_cancelled_does_not_keep_the_others(server: Server) -> None:
    server.service.polls_until_done = ALWAYS
    job = submit(make_plan(parts=3), timeout=DEADLINE)
    server.break_on("POST", "/jobs/[^/]+/cancel", respond(403), times=1)
    with Caught(ServiceError):
        job.cancel()
    assert len(server.service.active) == 1
    assert job.cancel() is Status.CANCELLED
    assert server.service.active == []


def test_finished_parts_are_stored_where_another_has_failed(server: Server) -> None:
    server.service.polls_until_done = ALWAYS
    job = submit(make_plan(parts=3), timeout=DEADLINE)
    first, second, _ = server.service.jobs.values()
    first.status, second.status = "Failed", "Completed"
    with Caught(JobFailedError):
        job.result(timeout=None)
    assert [job.ledger.result(part) is not None for part in job.receipt.parts] == [False, True, False]


def test_a_failure_is_told_also_where_another_part_is_gone(server: Server) -> None:
    job = submit(make_plan(parts=3), timeout=DEADLINE)
    first, second, _ = server.service.jobs.values()
    first.status = "Failed"
    server.break_on("GET", f"/jobs/{second.id}", respond(404))
    with Caught(JobFailedError):
        job.result(timeout=None)
    assert [job.ledger.result(part) is not None for part in job.receipt.parts] == [False, False, True]


def test_a_backend_that_is_gone_leaves_the_receipt(server: Server) -> None:
    server.break_on("GET", "/backends/[^/]+/configuration", respond(404))
    with Caught(BackendError) as caught:
        submit(make_plan(), timeout=DEADLINE)
    (job,) = jobs()
    assert job.id in "".join(caught.error.__notes__)
    server.faults.clear()
    job.send()
    assert_one_good_job(job, server)


def test_a_slow_download_is_waited_for(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "READ_SECONDS", DEADLINE)
    job = submit(make_plan(), timeout=DEADLINE)
    monkeypatch.setattr(deadline, "CALL_SECONDS", 0.5)
    server.break_on("GET", "/jobs/[^/]+/results", lambda exchange, perform: time.sleep(1) or exchange.send(perform()))
    np.testing.assert_allclose(job.result(timeout=DEADLINE), LOGITS, atol=TOLERANCE)
    assert sum(request.endswith("/results") for request in server.requests) == 1


READS = {
    "429": respond(429),
    "429 with Retry-After": respond(429, headers={"Retry-After": "1"}),
    "500": respond(500),
    "503": respond(503),
    "reset": reset_before,
    "truncated": truncate,
    "cut": cut_json,
    "empty": respond(200, {}),
    "no answer": hang(),
}


@pytest.mark.parametrize("path", ["/jobs/[^/]+", "/jobs/[^/]+/results"])
@every(READS)
def test_reading_that_breaks_once(fault: str, path: str, way: str, server: Server) -> None:
    job = submit(make_plan(), timeout=DEADLINE)
    broken = server.break_on("GET", path, READS[fault], times=1)
    assert_one_good_job(job, server)
    assert broken.hit.is_set()


@pytest.mark.parametrize(("times", "expected"), [(1, None), (2, None), (ALWAYS, JobResultError)])
def test_a_result_that_arrives_cut(times: int, expected: type[QKDError] | None, server: Server) -> None:
    """The client returns a string for it, without an error."""
    job = submit(make_plan(), timeout=DEADLINE)
    server.break_on("GET", "/jobs/[^/]+/results", cut_json, times=times)
    if expected is not None:
        with Caught(expected):
            job.result(timeout=DEADLINE)
        server.faults.clear()
    assert_one_good_job(job, server)


REFUSED_READS = {
    "401": (respond(401), CredentialsError),
    "403": (respond(403), ServiceError),
    "404": (respond(404), ServiceError),
    "429": (respond(429), JobTimeoutError),
    "429 for an hour": (respond(429, headers={"Retry-After": "3600"}), JobTimeoutError),
    "500": (respond(500), JobTimeoutError),
    "reset": (reset_before, JobTimeoutError),
    "no answer": (hang(), JobTimeoutError),
    "truncated": (truncate, JobTimeoutError),
}


@pytest.mark.parametrize("path", ["/jobs/[^/]+", "/jobs/[^/]+/results"])
@pytest.mark.parametrize("fault", REFUSED_READS)
def test_reading_that_stays_broken(fault: str, path: str, server: Server) -> None:
    """A typed error by the deadline; the job is still there, and readable, when the service has recovered."""
    action, expected = REFUSED_READS[fault]
    job = submit(make_plan(), timeout=DEADLINE)
    server.break_on("GET", path, action)
    with Caught(expected) as caught:
        job.result(timeout=1)
    assert caught.seconds < 2
    server.faults.clear()
    assert_one_good_job(job, server)


OUTCOMES = {
    "failed": (("Failed", "the circuits melted", 1234), JobFailedError, "the circuits melted"),
    "cancelled": (("Cancelled", None, None), JobCancelledError, "cancelled"),
    "ran too long": (("Cancelled - Ran too long", None, None), JobFailedError, "Ran too long"),
    "ran too long, by code": (("Cancelled", "ran too long", 1305), JobFailedError, "ran"),
}


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_jobs_that_end_badly(outcome: str, server: Server) -> None:
    """A typed error that gives the reason; known to the ledger from then on."""
    server.service.outcome, expected, reason = OUTCOMES[outcome]
    job = submit(make_plan(), timeout=DEADLINE)
    with Caught(expected) as caught:
        job.result(timeout=DEADLINE)
    assert reason in str(caught.error)
    server.stop()
    with Caught(expected):
        attach(job.id).result(timeout=1)
    assert attach(job.id).status() in (Status.FAILED, Status.CANCELLED)
    assert len(server.service.jobs) == 1


IAM = {
    "unknown key": (respond(400, {"errorCode": "BXNIM0415E", "errorMessage": "Provided API key could not be found"}),),
    "401": (respond(401),),
    "500": (respond(500),),
    "503": (respond(503),),
    "429": (respond(429),),
    "reset": (reset_before,),
    "no answer": (hang(),),
    "cut answer": (cut_json,),
    "truncated answer": (truncate,),
}


@pytest.mark.parametrize("fault", IAM)
def test_iam_down_from_the_start(fault: str, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "CALL_SECONDS", 1.5)
    server.break_on("POST", "/identity/token", *IAM[fault])
    with Caught(BackendError) as caught:
        submit(make_plan(), timeout=DEADLINE)
    assert isinstance(caught.error, CredentialsError) == (fault in ("unknown key", "401"))
    assert server.service.jobs == {}
    server.faults.clear()
    (job,) = jobs()
    attach(job.id).send()
    assert_one_good_job(job, server)


def test_iam_down_after_the_first_token(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the client is being made, it would send the API key itself to the quantum service."""
    monkeypatch.setattr(deadline, "CALL_SECONDS", 1.5)
    first = server.break_on("POST", "/identity/token", lambda exchange, perform: exchange.send(perform()), times=1)
    server.break_on("POST", "/identity/token", respond(503))
    with Caught(BackendError):
        submit(make_plan(), timeout=DEADLINE)
    assert first.hit.is_set()


@pytest.mark.parametrize("fault", IAM)
def test_iam_down_when_the_token_is_renewed(fault: str, server: Server) -> None:
    """The client would send the API key itself, and then block for a minute."""
    job = submit(make_plan(), timeout=DEADLINE)
    expire_tokens(job)
    server.break_on("POST", "/identity/token", *IAM[fault])
    with Caught(CredentialsError, JobTimeoutError):
        job.result(timeout=1)
    server.faults.clear()
    assert_one_good_job(job, server)


def test_missing_credentials_are_named(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("QISKIT_IBM_TOKEN")
    monkeypatch.setattr(
        "qiskit_ibm_runtime.accounts.management._DEFAULT_ACCOUNT_CONFIG_JSON_FILE", str(tmp_path / "no")
    )
    with Caught(CredentialsError) as caught:
        submit(make_plan(), timeout=DEADLINE)
    assert "QISKIT_IBM_TOKEN" in str(caught.error)


def expire_tokens(job: Job) -> None:
    for client in job._connection.remote._service._api_clients.values():
        client._session.auth.tokens.expire_time = 0
