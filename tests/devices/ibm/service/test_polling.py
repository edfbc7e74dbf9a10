"""Polling backs off, waits out what passes, and stops at what does not."""

from collections.abc import Iterator
from itertools import chain, repeat
from typing import Any

import pytest

from qkd_pl.devices.ibm.service import polling
from qkd_pl.devices.ibm.service.deadline import Deadline
from qkd_pl.devices.ibm.service.polling import poll
from qkd_pl.errors import JobResultError, JobTimeoutError, ServiceError


class Clock:
    """Time that passes by sleeping only."""

    def __init__(self) -> None:
        self.now, self.sleeps = 0.0, []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("qkd_pl.devices.ibm.service.polling.time", made)
    monkeypatch.setattr("qkd_pl.devices.ibm.service.deadline.time", made)
    return made


def reader(*answers: Any) -> Any:
    """A function that gives the answers one after the other, the last one for ever; errors are raised."""
    upcoming: Iterator[Any] = chain(answers, repeat(answers[-1]))

    def read() -> Any:
        answer = next(upcoming)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return read


def test_backs_off(clock: Clock) -> None:
    assert poll(reader(*[None] * 30, "done"), Deadline(None), "job") == "done"
    assert clock.sleeps[0] == polling.FIRST_SECONDS
    assert clock.sleeps == sorted(clock.sleeps)
    assert clock.sleeps[-1] == polling.LONGEST_SECONDS


def test_an_answer_at_once_costs_no_time(clock: Clock) -> None:
    assert poll(reader("done"), Deadline(0), "job") == "done"
    assert clock.sleeps == []


def test_stops_at_the_deadline(clock: Clock) -> None:
    with pytest.raises(JobTimeoutError, match="job"):
        poll(reader(None), Deadline(90), "job")
    assert clock.now == pytest.approx(90)


@pytest.mark.parametrize("error", [ServiceError("lost"), ServiceError("busy", 429), ServiceError("down", 503)])
def test_waits_out_what_passes(error: ServiceError) -> None:
    assert poll(reader(error, error, None, error, "done"), Deadline(None), "job") == "done"


def test_waits_as_long_as_the_service_asks(clock: Clock) -> None:
    poll(reader(ServiceError("busy", 429, retry_after=42), "done"), Deadline(None), "job")
    assert clock.sleeps == [42]


@pytest.mark.parametrize("status", [400, 403, 404, 413])
def test_stops_at_what_does_not_pass(status: int, clock: Clock) -> None:
    with pytest.raises(ServiceError, match="no"):
        poll(reader(ServiceError("no", status)), Deadline(None), "job")
    assert clock.sleeps == []


def test_an_endless_outage_ends(clock: Clock) -> None:
    with pytest.raises(ServiceError, match="down"):
        poll(reader(ServiceError("down", 503)), Deadline(None), "job")
    assert polling.OUTAGE_SECONDS <= clock.now < polling.OUTAGE_SECONDS + 2 * polling.LONGEST_SECONDS


def test_outages_are_counted_in_a_row(clock: Clock) -> None:
    hours = [None if index % 3 else ServiceError("down", 503) for index in range(200)]
    assert poll(reader(*hours, "done"), Deadline(None), "job") == "done"
    assert clock.now > 2 * polling.OUTAGE_SECONDS


def test_the_last_problem_is_told() -> None:
    with pytest.raises(JobTimeoutError, match="mending"):
        poll(reader(ServiceError("mending", 503)), Deadline(5), "job")


def test_damaged_results_are_fetched_again_but_not_for_ever() -> None:
    damaged = JobResultError("half of it")
    assert poll(reader(damaged, damaged, "done"), Deadline(None), "job") == "done"
    with pytest.raises(JobResultError):
        poll(reader(damaged), Deadline(None), "job")
