"""A QNode that was killed while it waited takes up its job; deliberate repetitions stay separate."""

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from children import qnode, run_qnode
from loopback import Server
from plans import TOLERANCE, make_plan
from processes import start, wait_for_stage

from qkd_pl.devices.ibm.jobs import blocking
from qkd_pl.devices.ibm.jobs.jobs import attach, jobs
from qkd_pl.devices.ibm.service import polling
from qkd_pl.devices.ibm.service.job_status import Stage
from qkd_pl.errors import JobCancelledError, JobFailedError

ENDLESS = 1_000_000


@pytest.fixture(autouse=True)
def quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "FIRST_SECONDS", 0.05)


def leave_a_job(server: Server, angle: float = 0.3) -> None:
    """By a process that is killed while it waits."""
    server.service.polls_until_done = ENDLESS
    child = start(run_qnode, angle)
    wait_for_stage(Stage.SUBMITTED)
    os.kill(child.pid or 0, signal.SIGKILL)
    child.join(60)
    server.service.polls_until_done = 0


def test_the_job_of_a_killed_qnode_is_taken_up(proxied: Server) -> None:
    leave_a_job(proxied)
    np.testing.assert_allclose(qnode()(0.3), np.cos(0.3), atol=TOLERANCE)
    assert len(proxied.service.jobs) == 1
    qnode()(0.3)
    assert len(proxied.service.jobs) == 2, "its values were read: this is a repetition"


def test_another_payload_is_another_job(proxied: Server) -> None:
    leave_a_job(proxied)
    np.testing.assert_allclose(qnode()(0.4), np.cos(0.4), atol=TOLERANCE)
    assert len(proxied.service.jobs) == 2


def test_a_job_whose_values_somebody_has_read_is_not_taken_up(proxied: Server) -> None:
    leave_a_job(proxied)
    (job,) = jobs()
    attach(job.id).values(timeout=60)
    qnode()(0.3)
    assert len(proxied.service.jobs) == 2


def test_the_job_of_a_process_that_lives_is_its_own(proxied: Server) -> None:
    proxied.service.polls_until_done = ENDLESS
    child = start(run_qnode, 0.3)
    wait_for_stage(Stage.SUBMITTED)
    with ThreadPoolExecutor() as threads:
        mine = threads.submit(qnode(), 0.3)
        wait_for_stage(Stage.SUBMITTED, jobs_at_least=2)
        proxied.service.polls_until_done = 0
        mine.result(60)
    child.join(60)
    assert child.exitcode == 0
    assert len(proxied.service.jobs) == 2


def test_repetitions_are_jobs_of_their_own_one_after_the_other_and_side_by_side(direct: Server) -> None:
    circuit = qnode()
    for _ in range(2):
        circuit(0.3)
    barrier = threading.Barrier(2)

    def run() -> None:
        barrier.wait(30)
        blocking.run(make_plan(recombination=None))

    with ThreadPoolExecutor() as threads:
        for each in [threads.submit(run) for _ in range(2)]:
            each.result(60)
    assert len(direct.service.jobs) == 4


@pytest.mark.parametrize(("outcome", "error"), [("Failed", JobFailedError), ("Cancelled", JobCancelledError)])
def test_a_job_that_ended_badly_is_not_taken_up(outcome: str, error: type[Exception], direct: Server) -> None:
    direct.service.outcome = (outcome, "no", None)
    with pytest.raises(error):
        blocking.run(make_plan(recombination=None))
    direct.service.outcome = ("Completed", None, None)
    blocking.run(make_plan(recombination=None))
    assert len(direct.service.jobs) == 2
