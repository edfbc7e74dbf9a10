"""Parts that failed are sent again, alone and only when asked; what the others gave is not paid twice."""

import json

import numpy as np
import pytest
from loopback import Server, respond
from plans import LOGITS, TOLERANCE, FlatCost, make_plan
from qiskit_ibm_runtime.fake_provider import FakeManilaV2
from typer.testing import CliRunner

from qkd_pl.cli.job_commands import app
from qkd_pl.devices.ibm.compile.cost import price
from qkd_pl.devices.ibm.jobs.jobs import Job, attach, submit
from qkd_pl.devices.ibm.jobs.work import ON_ITS_WAY
from qkd_pl.devices.ibm.service import polling
from qkd_pl.devices.ibm.service.job_status import Stage, Status
from qkd_pl.errors import CostLimitError, JobCancelledError, JobError, JobFailedError, ServiceError
from qkd_pl.upstream import runtime
from qkd_pl.upstream.runtime import Generation


@pytest.fixture(autouse=True)
def quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "FIRST_SECONDS", 0.02)
    monkeypatch.setattr(polling, "LONGEST_SECONDS", 0.1)


def half_failed(server: Server, **changes: object) -> Job:
    """The second of two parts failed, the first is done."""
    job = submit(make_plan(parts=2, **changes))
    second = list(server.service.jobs.values())[1]
    second.status, second.reason = "Failed", "the circuits melted"
    with pytest.raises(JobFailedError):
        job.result(timeout=30)
    return job


def test_a_failed_part_is_sent_again_alone(direct: Server) -> None:
    job = half_failed(direct)
    attach(job.id).resend()
    np.testing.assert_allclose(attach(job.id).result(timeout=30), LOGITS, atol=TOLERANCE)
    first, failed, again = direct.service.jobs.values()
    assert len({first.tags[0], failed.tags[0], again.tags[0]}) == 3
    assert again.body["program_id"] == failed.body["program_id"]
    if Generation.EXECUTOR not in runtime.installed():  # that client packs a program anew, and not to the same bytes
        assert again.body["params"] == failed.body["params"]
    assert [part.service_id for part in job.receipt.parts] == [first.id, again.id]
    assert sum(request == f"GET /jobs/{first.id}/results" for request in direct.requests) == 1


def test_nothing_is_sent_again_by_itself(direct: Server) -> None:
    job = half_failed(direct)
    job.send()
    assert job.status() is Status.FAILED
    with pytest.raises(JobFailedError):
        attach(job.id).result(timeout=5)
    assert len(direct.service.jobs) == 2


def test_a_job_without_failed_parts_is_not_sent_again(direct: Server) -> None:
    job = submit(make_plan())
    with pytest.raises(JobError, match=f"job {job.id}: no part of it has failed"):
        job.resend()
    assert len(direct.service.jobs) == 1


def test_a_cancelled_job_is_sent_again_when_asked(direct: Server) -> None:
    direct.service.polls_until_done = 10_000
    job = submit(make_plan())
    job.cancel()
    direct.service.polls_until_done = 0
    with pytest.raises(JobCancelledError):
        job.result(timeout=5)
    job.resend()
    np.testing.assert_allclose(job.result(timeout=30), LOGITS, atol=TOLERANCE)
    assert len(direct.service.active) == 1


def test_a_simulated_job_is_run_after_all() -> None:
    job = submit(make_plan(remote=False))
    job.cancel()
    job.resend()
    assert job.result().shape == (3, 2)


def test_a_request_that_arrived_late_is_taken_up_instead(direct: Server) -> None:
    """The ledger calls the part cancelled while it was on its way; the service has run it: it is paid for."""
    job = submit(make_plan())
    (part,) = job.receipt.parts
    stored = direct.service.jobs[part.service_id or ""]
    job.ledger.advance(part, Stage.CANCELLED, message=ON_ITS_WAY)
    stored.status = "Completed"
    job.resend()
    np.testing.assert_allclose(job.result(timeout=30), LOGITS, atol=TOLERANCE)
    assert len(direct.service.jobs) == 1


def test_what_of_an_earlier_attempt_arrives_after_the_next_is_cancelled(direct: Server) -> None:
    job = half_failed(direct)
    old = list(direct.service.jobs.values())[1]
    job.resend()
    direct.service.polls_until_done = 10_000
    late = direct.service.accept(json.dumps(old.body))
    job.status()
    assert late.status == "Cancelled"
    direct.service.polls_until_done = 0
    np.testing.assert_allclose(job.result(timeout=30), LOGITS, atol=TOLERANCE)


def test_an_outage_while_sending_again_loses_and_doubles_nothing(direct: Server) -> None:
    job = half_failed(direct)
    direct.break_on("POST", "/jobs", respond(403))
    with pytest.raises(ServiceError) as refused:
        job.resend()
    assert job.id in refused.value.__notes__[0]
    direct.faults.clear()
    job.send()
    np.testing.assert_allclose(job.result(timeout=30), LOGITS, atol=TOLERANCE)
    assert len(direct.service.jobs) == 3


def test_what_is_sent_again_is_paid_again(direct: Server) -> None:
    target = {**make_plan().target, "max_qpu_seconds_total": 20}
    job = half_failed(direct, target=target, cost=FlatCost(12.0))
    # Both have used 3 seconds, as the service says; the share of a half is 6.
    assert job.ledger.spent(None) == 6
    job.resend()
    assert job.ledger.spent(None) == 12
    job.result(timeout=30)
    assert (job.ledger.spent(None), job.used_seconds) == (9, 9)


def test_a_part_is_priced_by_its_own_circuits(direct: Server) -> None:
    """Of three inputs the first part has two, which a second part's price does not hold."""
    plan = make_plan(parts=2)
    target = FakeManilaV2().target
    whole, alone = price(plan.payloads, target), price(plan.payloads[1:], target)
    assert whole.part_seconds == (pytest.approx(whole.qpu_seconds - alone.qpu_seconds), alone.qpu_seconds)
    assert whole.part_seconds[0] > whole.part_seconds[1] + 0.1
    job = half_failed(direct, cost=whole)
    job.resend()
    assert job.ledger.estimated(job.receipt) == pytest.approx(whole.qpu_seconds + alone.qpu_seconds)
    assert job.ledger.spent(None) == pytest.approx(3 + 3 + alone.qpu_seconds)
    job.result(timeout=30)
    listed = CliRunner().invoke(app, ["jobs"]).stdout
    assert f"9 of about {whole.qpu_seconds + alone.qpu_seconds:.0f} QPU seconds" in listed


def test_the_budget_holds_for_what_is_sent_again(direct: Server) -> None:
    target = {**make_plan().target, "max_qpu_seconds_total": 30}
    job = half_failed(direct, target=target, cost=FlatCost(20.0))
    submit(make_plan(target=target, cost=FlatCost(20.0)))
    with pytest.raises(CostLimitError, match="max_qpu_seconds_total: 30"):
        job.resend()
    assert job.status() is Status.FAILED
    assert len(direct.service.jobs) == 3


def test_the_command_does_the_same(direct: Server) -> None:
    job = half_failed(direct)
    finished = CliRunner().invoke(app, ["resend", job.id])
    assert finished.exit_code == 0, finished.output
    np.testing.assert_allclose(job.result(timeout=30), LOGITS, atol=TOLERANCE)
    again = CliRunner().invoke(app, ["resend", job.id])
    assert again.exit_code == 1
    assert "no part of it has failed" in again.stderr
