"""Jobs on the loopback service and on simulators: submit, come back, read, cancel."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from loopback import Server, respond
from loopback.replies import Exchange
from plans import LOGITS, TOLERANCE, FlatCost, make_plan

from qkd_pl.devices.ibm.compile.recombination import Recombination
from qkd_pl.devices.ibm.device import IBMDevice
from qkd_pl.devices.ibm.jobs.jobs import attach, jobs, submit
from qkd_pl.devices.ibm.service import polling, results
from qkd_pl.devices.ibm.service.job_status import Stage, Status
from qkd_pl.errors import (
    CostLimitError,
    InvalidInputError,
    JobCancelledError,
    JobError,
    JobTimeoutError,
    ServiceError,
    UnknownJobError,
)


@pytest.fixture(autouse=True)
def quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "FIRST_SECONDS", 0.02)
    monkeypatch.setattr(polling, "LONGEST_SECONDS", 0.1)


def test_result_is_what_the_circuits_say(direct: Server) -> None:
    job = submit(make_plan())
    np.testing.assert_allclose(job.result(timeout=30), LOGITS, atol=TOLERANCE)
    assert len(direct.service.jobs) == 1
    assert direct.count("POST /sessions") == 0


def test_a_second_result_needs_no_network(direct: Server) -> None:
    job = submit(make_plan())
    first = job.result(timeout=30)
    asked = len(direct.requests)
    direct.stop()
    np.testing.assert_array_equal(attach(job.id).result(timeout=0), first)
    assert attach(job.id).status() is Status.DONE
    assert len(direct.requests) == asked


def test_waits_through_the_queue(direct: Server) -> None:
    direct.service.polls_until_done = 3
    job = submit(make_plan())
    assert job.status() is Status.RUNNING
    np.testing.assert_allclose(attach(job.id).result(timeout=30), LOGITS, atol=TOLERANCE)


def test_a_timeout_leaves_the_job_alone(direct: Server) -> None:
    direct.service.polls_until_done = 10_000
    job = submit(make_plan())
    with pytest.raises(JobTimeoutError, match=job.id):
        job.result(timeout=0.5)
    direct.service.polls_until_done = 0
    np.testing.assert_allclose(job.result(timeout=30), LOGITS, atol=TOLERANCE)
    assert len(direct.service.jobs) == 1


def test_several_parts_make_one_result(direct: Server) -> None:
    job = submit(make_plan(parts=2))
    assert len({tuple(stored.tags) for stored in direct.service.jobs.values()}) == 2
    assert [stored.body["session_id"] for stored in direct.service.jobs.values()] == ["session-1"] * 2
    assert direct.count("POST /sessions") == direct.count("PATCH /sessions/session-1") == 1
    np.testing.assert_allclose(attach(job.id).result(timeout=30), LOGITS, atol=TOLERANCE)


def test_only_what_is_missing_is_sent_again(direct: Server) -> None:
    """The second of two parts was refused; the first is not repeated."""
    accepted = direct.break_on("POST", "/jobs", lambda exchange, perform: exchange.send(perform()), times=1)
    refused = direct.break_on("POST", "/jobs", respond(403))
    with pytest.raises(ServiceError):
        submit(make_plan(parts=2))
    assert accepted.hit.is_set()
    (job,) = jobs()
    assert job.status() is Status.UNSENT
    refused.times = 0
    job.send()
    np.testing.assert_allclose(job.result(timeout=30), LOGITS, atol=TOLERANCE)
    assert len(direct.service.jobs) == 2


def test_cancel(direct: Server) -> None:
    direct.service.polls_until_done = 10_000
    job = submit(make_plan())
    assert attach(job.id).cancel() is Status.CANCELLED
    assert direct.service.active == []
    with pytest.raises(JobCancelledError, match=job.id):
        job.result(timeout=5)


def test_cancel_after_the_end_changes_nothing(direct: Server) -> None:
    job = submit(make_plan())
    assert job.status() is Status.DONE
    assert job.cancel() is Status.DONE
    np.testing.assert_allclose(job.result(timeout=30), LOGITS, atol=TOLERANCE)


def test_nothing_is_written_or_sent_above_the_limit(direct: Server) -> None:
    with pytest.raises(CostLimitError, match="120"):
        submit(make_plan(cost=FlatCost(121.0), max_qpu_seconds=120))
    assert direct.requests == []
    assert jobs() == []


@pytest.mark.parametrize("limit", [float("nan"), float("inf"), 0, -1, True, "60"])
def test_a_limit_that_limits_nothing_is_refused(limit: Any, direct: Server) -> None:
    with pytest.raises(InvalidInputError, match="max_qpu_seconds"):
        submit(make_plan(max_qpu_seconds=limit))
    with pytest.raises(InvalidInputError, match="max_qpu_seconds"):
        IBMDevice(1, "aer", max_qpu_seconds=limit)
    with pytest.raises(CostLimitError):
        submit(make_plan(cost=FlatCost(float("nan")), max_qpu_seconds=60))
    assert jobs() == []
    assert direct.requests == []


@pytest.mark.parametrize("timeout", [float("nan"), -1, "5", True])
def test_a_time_that_never_passes_is_refused(timeout: Any, direct: Server) -> None:
    with pytest.raises(InvalidInputError, match="timeout"):
        submit(make_plan(), timeout=timeout)
    assert jobs() == []
    job = submit(make_plan())
    for ask in (job.result, job.status, job.send, job.cancel, job.values):
        with pytest.raises(InvalidInputError, match="timeout"):
            ask(timeout)


def test_the_limit_itself_is_allowed(direct: Server) -> None:
    submit(make_plan(cost=FlatCost(120.0), max_qpu_seconds=120))
    assert len(direct.service.jobs) == 1


def test_the_receipt_is_written_before_anything_is_sent(direct: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    stages: list[Stage] = []
    accept = direct.service.accept

    def look(body: str) -> object:
        stages.extend(part.stage for job in jobs() for part in job.receipt.parts)
        return accept(body)

    monkeypatch.setattr(direct.service, "accept", look)
    submit(make_plan())
    assert stages == [Stage.SENDING]


def test_mixed_inputs_are_averaged_with_their_weights(direct: Server) -> None:
    weights = np.array([[0.25, 0.75], [1.0, 0.0]])
    job = submit(make_plan(recombination=Recombination.of(weights)))
    expected = [0.25 * LOGITS[0] + 0.75 * LOGITS[1], LOGITS[2]]
    np.testing.assert_allclose(job.result(timeout=30), expected, atol=TOLERANCE)


def test_simulated_jobs_take_the_same_path() -> None:
    job = submit(make_plan(remote=False))
    assert job.status() is Status.QUEUED
    logits = attach(job.id).result()
    assert job.status() is Status.DONE
    # 1,000 shots: a standard deviation of at most 0.032, and Manila's read-out errors of a few per cent.
    np.testing.assert_allclose(logits, LOGITS, atol=0.3)
    np.testing.assert_array_equal(job.result(), logits)


def test_simulated_jobs_can_be_cancelled() -> None:
    job = submit(make_plan(remote=False))
    assert job.cancel() is Status.CANCELLED
    with pytest.raises(JobCancelledError):
        job.result()


def test_a_job_of_a_qnode_has_numbers_but_no_logits(direct: Server) -> None:
    job = submit(make_plan(recombination=None))
    with pytest.raises(JobError, match=r"sent by a QNode.*Job\.values\(\)"):
        attach(job.id).result(timeout=30)
    np.testing.assert_allclose(attach(job.id).values(timeout=30)[0][0], LOGITS.T, atol=TOLERANCE)


def test_a_running_simulation_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qkd_pl.devices.ibm.jobs.jobs.CALL_SECONDS", 0.1)
    job = submit(make_plan(remote=False))
    held = threading.Event()

    def hold() -> None:
        with job.ledger.exclusive(job.id, 10):
            held.set()
            time.sleep(0.5)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    assert job.result().shape == (3, 2)
    thread.join()


def test_a_job_is_no_id() -> None:
    job = submit(make_plan(remote=False))
    with pytest.raises(InvalidInputError, match="job is a Job; attach takes the id"):
        attach(job)  # type: ignore[arg-type]


def test_lists_newest_first() -> None:
    made = [submit(make_plan(remote=False)).id for _ in range(3)]
    assert [job.id for job in jobs()] == made[::-1]


def test_unknown_ids_are_named() -> None:
    with pytest.raises(UnknownJobError, match="nonsense"):
        attach("nonsense")


def test_cancelling_waits_for_whoever_is_sending(direct: Server) -> None:
    """A job that is cancelled before its sender has connected must not stay with the service unseen."""
    go_on = threading.Event()

    def slowly(exchange: Exchange, perform: Callable[[], object]) -> None:
        go_on.wait(30)
        exchange.send(perform())

    connecting = direct.break_on("POST", "/identity/token", slowly, times=1)
    direct.service.polls_until_done = 10_000
    with ThreadPoolExecutor(2) as threads:
        sent = threads.submit(submit, make_plan())
        assert connecting.hit.wait(30)
        (job,) = jobs()
        cancelled = threads.submit(attach(job.id).cancel)
        time.sleep(0.5)
        go_on.set()
        assert sent.result(60).id == job.id
        assert cancelled.result(60) is Status.CANCELLED
    assert [stored.status for stored in direct.service.jobs.values()] == ["Cancelled"]
    assert job.receipt.parts[0].service_id is not None


def test_a_job_cancelled_while_its_simulator_runs_stays_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    job, values = submit(make_plan(remote=False)), results.values

    def cancelled_meanwhile(*arguments: Any) -> Any:
        assert attach(job.id).cancel() is Status.CANCELLED
        return values(*arguments)

    monkeypatch.setattr(results, "values", cancelled_meanwhile)
    with pytest.raises(JobCancelledError, match=job.id):
        job.result(timeout=30)
    assert job.status() is Status.CANCELLED
