"""Waiting for the service: with back-off, under a deadline, through outages that pass."""

import time
from collections.abc import Callable
from typing import TypeVar

from qkd_pl.devices.ibm.service.deadline import Deadline
from qkd_pl.errors import JobResultError, JobTimeoutError, ServiceError

FIRST_SECONDS = 1.0
LONGEST_SECONDS = 60.0
GROWTH = 1.5
OUTAGE_SECONDS = 600.0
DOWNLOADS = 3
T = TypeVar("T")


def poll(read: Callable[[], T | None], deadline: Deadline, what: str) -> T:
    """Call ``read`` until it returns something other than ``None``, ever less often.

    Transient errors of the service are waited out for up to ``OUTAGE_SECONDS`` in a row, and no longer than until
    the deadline; damaged results are fetched up to ``DOWNLOADS`` times.

    Raises:
        JobTimeoutError: the deadline passed; the message says what the service's last problem was, if any.
        ServiceError: the outage lasts, or the error is not transient.
        JobResultError: every download was damaged.
    """
    wait, outage, damaged, trouble = FIRST_SECONDS, None, 0, ""
    while True:
        pause = wait
        try:
            if (value := read()) is not None:
                return value
            outage, trouble = None, ""
        except JobResultError:
            damaged += 1
            if damaged == DOWNLOADS:
                raise
        except ServiceError as error:
            outage, trouble = outage or Deadline(OUTAGE_SECONDS), f"; the last problem was {error}"
            if not error.transient or outage.passed:
                raise
            pause = max(wait, error.retry_after or 0.0)
        time.sleep(deadline.cap(pause))
        if deadline.passed:
            raise JobTimeoutError(f"{what}: the time for waiting is over, a job that was sent goes on{trouble}")
        wait = min(wait * GROWTH, LONGEST_SECONDS)
