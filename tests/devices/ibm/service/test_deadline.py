"""Deadlines end, whatever happens inside them."""

import threading

import pytest

from qkd_pl.devices.ibm.service.deadline import Deadline, current, within
from qkd_pl.errors import ServiceError


def test_a_call_that_never_returns_is_given_up() -> None:
    release, ended = threading.Event(), threading.Event()

    def call() -> None:
        release.wait()
        ended.set()

    with pytest.raises(ServiceError, match=r"asking: no answer within 0\.1 s"):
        within(0.1, call, "asking")
    assert not ended.is_set()
    release.set()
    assert ended.wait(60)


def test_values_and_errors_pass_through() -> None:
    assert within(5, lambda: 7, "asking") == 7
    with pytest.raises(ZeroDivisionError):
        within(5, lambda: 1 / 0, "asking")


def test_the_call_knows_how_long_it_has() -> None:
    remaining = within(5, lambda: current().remaining, "asking")
    assert remaining is not None
    assert 4 < remaining <= 5
    assert current().remaining is None


def test_caps_what_is_left() -> None:
    assert Deadline(None).cap(3) == 3
    assert not Deadline(None).passed
    assert Deadline(0).passed
    assert Deadline(0).cap(3) == 0
    assert Deadline(100).cap(3) == 3
    assert 1 < Deadline(2).cap(3) <= 2
