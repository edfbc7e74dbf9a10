"""A service that lies, leads away, floods, or answers with numbers that cannot be: whoever asks is not harmed."""

import gzip
import json
import socket
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any

import numpy as np
import pytest
import trustme
from children import qnode
from damaged_results import DAMAGE
from fault_checks import ALWAYS, DEADLINE, Caught, assert_one_good_job
from loopback import Server, hang, respond
from loopback.faults import listing_everything, redirect_to, with_id
from loopback.network import Listener
from loopback.replies import Reply
from loopback.service import StoredJob
from plans import LOGITS, TOLERANCE, make_plan
from typer.testing import CliRunner

from qkd_pl.cli.job_commands import app
from qkd_pl.devices.ibm.jobs.jobs import attach, submit
from qkd_pl.devices.ibm.service import connection, deadline
from qkd_pl.devices.ibm.service.deadline import Deadline
from qkd_pl.devices.ibm.service.job_status import Status
from qkd_pl.devices.ibm.service.remote import open_remote
from qkd_pl.errors import (
    BackendError,
    CredentialsError,
    JobResultError,
    JobTimeoutError,
    LedgerBusyError,
    ServiceError,
)

pytestmark = pytest.mark.usefixtures("impatient", "no_secrets")
FOREIGN = {"backend": "ibm_manila", "program_id": "estimator", "params": {}}


@pytest.fixture
def server(direct: Server) -> Server:
    return direct


def by_handle() -> None:
    job = submit(make_plan(), timeout=DEADLINE)
    np.testing.assert_allclose(attach(job.id).result(timeout=30), LOGITS, atol=TOLERANCE)


def by_qnode() -> None:
    np.testing.assert_allclose(qnode()(0.3), np.cos(0.3), atol=TOLERANCE)


def by_command() -> None:
    job = submit(make_plan(), timeout=DEADLINE)
    values = json.loads(_command("result", job.id, "--json", "--timeout", "30"))
    np.testing.assert_allclose(values["logits"], LOGITS, atol=TOLERANCE)


def _command(*arguments: str) -> str:
    finished = CliRunner().invoke(app, list(arguments))
    assert finished.exit_code == 0, finished.output
    return finished.stdout


USERS = pytest.mark.parametrize("use", [by_handle, by_qnode, by_command])


def foreign_jobs(server: Server) -> list[StoredJob]:
    tags: list[Any] = [["somebody's"], [], ["qkd-pl-0123456789abcdef-0"], ["qkd-pl"]]
    return [server.service.accept(json.dumps({**FOREIGN, "tags": each})) for each in tags]


def assert_untouched(others: list[StoredJob]) -> None:
    """Asking for a job's status is allowed, and lets the tests' service run it."""
    assert not any(each.status == "Cancelled" or each.result for each in others)


@USERS
def test_a_list_that_ignores_the_tag_touches_no_foreign_job(use: Callable[[], None], server: Server) -> None:
    others = foreign_jobs(server)
    server.break_on("GET", "/jobs", listing_everything)
    use()
    assert_untouched(others)
    assert len(server.service.active) == len(others) + 1


LISTED = [None, 5, "text", {}, {"id": None}, {"id": 5, "tags": [1]}, {"id": "x", "tags": None}, {"tags": ["a"]}]


@USERS
def test_strange_entries_in_a_list_hide_no_job(use: Callable[[], None], server: Server) -> None:
    def strange(exchange: Any, perform: Any) -> None:
        reply = perform()
        reply.body["jobs"] = [*LISTED, *reply.body["jobs"]]
        exchange.send(reply)

    server.break_on("GET", "/jobs", strange)
    use()
    assert len(server.service.active) == 1


@USERS
@pytest.mark.parametrize("told", [None, 5, "", "../x", "a" * 5000, "gone", "foreign", True])
def test_an_answer_with_another_id_loses_nothing(told: Any, use: Callable[[], None], server: Server) -> None:
    """It is missing, no text, malformed, that of no job, or that of somebody else's."""
    others = foreign_jobs(server)
    server.break_on("POST", "/jobs", with_id(others[0].id if told == "foreign" else told))
    use()
    assert_untouched(others)
    assert len(server.service.active) == len(others) + 1


def test_a_job_that_is_gone_is_found_by_its_tag(server: Server) -> None:
    """It was deleted at IBM's site; a repeated request had left another."""
    server.service.polls_until_done = ALWAYS
    job = submit(make_plan(), timeout=DEADLINE)
    (known,) = server.service.jobs.values()
    server.service.accept(json.dumps(known.body))
    del server.service.jobs[known.id]
    assert job.status() is Status.RUNNING
    server.service.polls_until_done = 0
    assert_one_good_job(job, server)


def test_cancelling_touches_no_foreign_job(server: Server) -> None:
    server.service.polls_until_done = ALWAYS
    job = submit(make_plan(), timeout=DEADLINE)
    others = foreign_jobs(server)
    server.break_on("GET", "/jobs", listing_everything)
    with closing(sqlite3.connect(job.ledger.path)) as database, database:
        database.execute("UPDATE parts SET service_id = ?", (others[0].id,))
    assert job.cancel(DEADLINE) is Status.CANCELLED
    assert_untouched(others)
    assert next(iter(server.service.jobs.values())).status == "Cancelled"


REDIRECTED = [
    ("POST", "/identity/token"),
    ("POST", "/v3/resources/search"),
    ("GET", "/plan-open"),
    ("GET", "/backends"),
    ("GET", "/backends/[^/]+/configuration"),
    ("GET", "/instances/usage"),
    ("POST", "/jobs"),
    ("GET", "/jobs"),
    ("GET", "/jobs/[^/]+"),
    ("GET", "/jobs/[^/]+/results"),
]


@pytest.mark.parametrize(("scheme", "status"), [("http", 307), ("https", 302)])
@pytest.mark.parametrize(("method", "path"), REDIRECTED)
def test_nothing_is_sent_to_where_an_answer_leads(
    method: str, path: str, scheme: str, status: int, server: Server
) -> None:
    """Neither the key, nor a token, nor circuits; over TLS or in clear text."""
    with Listener() as elsewhere:
        fault = server.break_on(method, path, redirect_to(f"{scheme}://127.0.0.1:{elsewhere.port}/", status))
        with suppress(BackendError, JobTimeoutError):
            attach(submit(make_plan(), timeout=2).id).result(timeout=1)
        assert fault.hit.is_set()
        assert elsewhere.connections == 0


def test_a_redirect_within_the_service_is_followed(server: Server) -> None:
    job = submit(make_plan(), timeout=DEADLINE)
    (stored,) = server.service.jobs.values()
    path = f"/api/v1/jobs/{stored.id}/results"
    server.break_on("GET", f"/jobs/{stored.id}/results", redirect_to(path, 307), times=1)
    assert_one_good_job(job, server)


def test_a_deadline_covers_connecting(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    job = submit(make_plan(), timeout=DEADLINE)
    monkeypatch.setattr("qkd_pl.devices.ibm.jobs.work.open_remote", open_remote)
    monkeypatch.setattr(connection, "READ_SECONDS", 60.0)
    server.break_on("POST", "/identity/token", hang())
    with Caught(JobTimeoutError) as caught:
        attach(job.id).result(timeout=1)
    assert caught.seconds < 4


def test_outages_while_connecting_are_waited_out(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    job = submit(make_plan(), timeout=DEADLINE)
    monkeypatch.setattr("qkd_pl.devices.ibm.jobs.work.open_remote", open_remote)
    server.break_on("POST", "/identity/token", respond(503), times=2)
    assert_one_good_job(attach(job.id), server)


def test_a_deadline_covers_the_ledger(server: Server) -> None:
    job = submit(make_plan(), timeout=DEADLINE)
    with closing(sqlite3.connect(job.ledger.path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with Caught(LedgerBusyError) as caught:
            job.result(timeout=0.6)
        assert caught.seconds < 4
        assert "try again" in str(caught.error)
    assert_one_good_job(job, server)


def test_a_ledger_that_is_held_for_a_while_is_waited_for(server: Server) -> None:
    job = submit(make_plan(), timeout=DEADLINE)
    held = threading.Event()

    def hold() -> None:
        with closing(sqlite3.connect(job.ledger.path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            held.set()
            time.sleep(1)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(10)
    assert_one_good_job(job, server)
    holder.join()


OUTAGES = {
    "DNS": ("DNS", ServiceError),
    "TLS": ("TLS", ServiceError),
    "proxy": ("proxy", ServiceError),
    "503": ("503", ServiceError),
    "key refused": ("refuses the key", CredentialsError),
}


@pytest.mark.parametrize("outage", OUTAGES)
def test_an_error_says_what_is_out(outage: str, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    words, kind = OUTAGES[outage]
    if outage == "DNS":
        monkeypatch.setattr("socket.getaddrinfo", _unknown_host)
    elif outage == "TLS":
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", _other_authority(tmp_path))
    elif outage == "proxy":
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    elif outage == "503":
        server.break_on("POST", "/identity/token", respond(503))
    else:
        server.break_on("POST", "/identity/token", respond(400, {"errorMessage": "no such key"}))
    with Caught(kind) as caught:
        submit(make_plan(), timeout=2)
    assert words in str(caught.error)
    assert "valid API token" not in str(caught.error)
    assert len(str(caught.error)) < 3000


def _unknown_host(host: str, *_: Any, **__: Any) -> Any:
    raise socket.gaierror(-2, "Name or service not known")


def _other_authority(folder: Any) -> str:
    path = folder / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(path))
    return str(path)


def test_a_flood_is_not_read_to_its_end(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small answer that unpacks to more than any answer can be."""
    monkeypatch.setattr(deadline, "MOST_BYTES", 1 << 20)
    flood = gzip.compress(bytes(1 << 25))

    def send(exchange: Any, _perform: Any) -> None:
        exchange.send(Reply(200, flood, {"Content-Encoding": "gzip"}))

    server.break_on("GET", "/jobs", send)
    server.break_on("GET", "/jobs/[^/]+", send)
    server.break_on("GET", "/jobs/[^/]+/results", send)
    job = submit(make_plan(), timeout=DEADLINE)
    part = job.receipt.parts[0]
    with Caught(ServiceError) as caught:
        open_remote(job.receipt.target, Deadline(DEADLINE)).status(str(part.service_id), part.tag, Deadline(DEADLINE))
    assert "longer than 1,048,576 bytes" in str(caught.error)
    with Caught(JobTimeoutError):
        job.result(timeout=1)
    server.faults.clear()
    assert_one_good_job(job, server)


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_results_are_fetched_again_and_then_reported(damage: str, server: Server) -> None:
    job = submit(make_plan(), timeout=DEADLINE)
    (stored,) = server.service.jobs.values()
    stored.status = "Completed"
    good = server.service.run(stored)
    stored.result = DAMAGE[damage](good)
    with Caught(JobResultError) as caught:
        job.result(timeout=DEADLINE)
    assert sum(request.endswith("/results") for request in server.requests) == 3
    assert len(str(caught.error)) < 1000
    stored.result = good
    assert_one_good_job(job, server)


UNREADABLE = {
    "deep": "[" * 100_000,
    "digits": '{"id": ' + "9" * 5000 + "}",
    "no text": b"\xff\xfe\xff" * 20,
    "a number": "5",
    "null": "null",
    "not finite": '{"id": NaN, "jobs": Infinity, "state": -Infinity}',
    "half a letter": '{"id": "\\ud800", "jobs": ["\\ud800"], "state": "\\ud800"}',
}


@pytest.mark.parametrize(("method", "path"), [("POST", "/jobs"), ("GET", "/jobs"), ("GET", "/jobs/[^/]+")])
@pytest.mark.parametrize("answer", UNREADABLE)
def test_answers_that_cannot_be_read_are_an_outage(answer: str, method: str, path: str, server: Server) -> None:
    """The client lets what its reader of JSON raises through."""
    server.break_on(method, path, respond(200, UNREADABLE[answer]), times=2)
    assert_one_good_job(submit(make_plan(), timeout=DEADLINE), server)


@pytest.mark.parametrize("answer", UNREADABLE)
def test_answers_of_iam_that_cannot_be_read(answer: str, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    job = submit(make_plan(), timeout=DEADLINE)
    monkeypatch.setattr("qkd_pl.devices.ibm.jobs.work.open_remote", open_remote)
    server.break_on("POST", "/identity/token", respond(200, UNREADABLE[answer]), times=1)
    assert_one_good_job(attach(job.id), server)


@pytest.mark.parametrize("seconds", ["1" + "0" * 400, "1e999", "NaN", "-1", '"5"', "true", "null", "[5]", "{}"])
def test_a_nonsensical_usage_is_not_entered(seconds: str, server: Server) -> None:
    usage = '{"usage": {"quantum_seconds": ' + seconds + "}}"
    server.break_on("GET", "/jobs/[^/]+/metrics", respond(200, usage))
    job = submit(make_plan(), timeout=DEADLINE)
    assert_one_good_job(job, server)
    assert job.used_seconds is None
