"""IBM's own estimate of a plan, by the client's dry run."""

import pytest
from loopback import Server
from plans import make_plan

from qkd_pl.devices.ibm.jobs.jobs import jobs
from qkd_pl.devices.ibm.jobs.rehearsal import rehearse
from qkd_pl.devices.ibm.service import polling
from qkd_pl.errors import InvalidInputError, JobFailedError, JobTimeoutError, ServiceError
from qkd_pl.upstream import runtime

NEEDS_DRY_RUN = pytest.mark.skipif(not runtime.can_rehearse(), reason="the client has no dry run yet")


@pytest.fixture(autouse=True)
def quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "FIRST_SECONDS", 0.02)


@NEEDS_DRY_RUN
def test_the_estimates_of_all_jobs_are_added(direct: Server) -> None:
    assert rehearse(make_plan(parts=2)) == 7.0
    assert {stored.body["backend"] for stored in direct.service.jobs.values()} == {"mock_manila"}
    assert not any(request.endswith("/results") for request in direct.requests), "the numbers are random"
    assert jobs() == []


@NEEDS_DRY_RUN
def test_what_ibm_would_refuse_is_refused(direct: Server) -> None:
    direct.service.outcome = ("Failed", "the circuits do not fit", 1234)
    with pytest.raises(JobFailedError, match="the circuits do not fit"):
        rehearse(make_plan())


@NEEDS_DRY_RUN
def test_waiting_for_an_estimate_ends(direct: Server) -> None:
    direct.service.polls_until_done = 10_000
    with pytest.raises(JobTimeoutError, match="rehearsal"):
        rehearse(make_plan(), timeout=3)


@NEEDS_DRY_RUN
@pytest.mark.parametrize("estimate", [None, "many", float("nan"), -1])
def test_an_estimate_that_is_none_is_refused(estimate: object, direct: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    accept = direct.service.accept

    def accept_without(body: str) -> object:
        job = accept(body)
        job.estimate = estimate  # type: ignore[assignment]
        return job

    monkeypatch.setattr(direct.service, "accept", accept_without)
    with pytest.raises(ServiceError, match="no estimate"):
        rehearse(make_plan())


def test_a_simulator_cannot_rehearse() -> None:
    with pytest.raises(InvalidInputError, match="fake_manila"):
        rehearse(make_plan(remote=False))


@pytest.mark.skipif(runtime.can_rehearse(), reason="the client can")
def test_an_old_client_is_named() -> None:
    with pytest.raises(InvalidInputError, match=r"0\.50"):
        rehearse(make_plan())
