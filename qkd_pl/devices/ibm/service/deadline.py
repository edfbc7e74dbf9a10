"""Deadlines that really end: for waiting, and for calls into a client that knows no timeouts."""

import queue
import threading
import time
from collections.abc import Callable
from numbers import Real
from typing import Any, TypeVar, cast

from qkd_pl.errors import InvalidInputError, ServiceError

MOST_BYTES = 1 << 25  # of an answer, unless more is expected
CALL_SECONDS = 120.0  # for anything that is asked of the service, unless there is less time
_current = threading.local()
T = TypeVar("T")


class Deadline:
    """A moment in the future.

    Args:
        seconds: from now; ``None`` for never.
    """

    def __init__(self, seconds: float | None) -> None:
        if seconds is not None and not (isinstance(seconds, Real) and not isinstance(seconds, bool) and seconds >= 0):
            raise InvalidInputError(f"timeout={seconds!r:.50}: must be a number of seconds from 0 on, or None")
        self._end = None if seconds is None or seconds == float("inf") else time.monotonic() + seconds

    @property
    def remaining(self) -> float | None:
        """Seconds left, at least 0; ``None`` for an endless wait."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())

    @property
    def passed(self) -> bool:
        return self.remaining == 0

    def cap(self, seconds: float) -> float:
        """``seconds``, or what is left if that is less."""
        return seconds if self.remaining is None else min(seconds, self.remaining)


def within(seconds: float, call: Callable[[], T], what: str, most: int | None = None) -> T:
    """Return ``call()``, or give up after ``seconds`` even if it never returns.

    The call runs in a thread of its own. One that is given up may go on, but a hardened connection
    (:mod:`qkd_pl.devices.ibm.service.connection`) starts no further request in it once its time is over. It reads
    answers of at most ``most`` bytes.

    Raises:
        ServiceError: the time is over; ``what`` names the request.
        Exception: whatever the call raises.
    """
    outcome: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()

    def run() -> None:
        _current.deadline, _current.most = Deadline(seconds), most
        try:
            outcome.put((True, call()))
        except BaseException as error:  # handed over to the waiting thread, whatever it is
            outcome.put((False, error))

    threading.Thread(target=run, daemon=True, name=f"qkd_pl: {what}").start()
    try:
        succeeded, value = outcome.get(timeout=max(seconds, 1e-3))
    except queue.Empty:
        raise ServiceError(f"{what}: no answer within {seconds:.3g} s") from None
    if succeeded:
        return cast(T, value)
    raise value


def most_bytes() -> int:
    """The longest answer, in bytes, that the :func:`within` call of this thread expects."""
    return getattr(_current, "most", None) or MOST_BYTES


def current() -> Deadline:
    """Deadline of the :func:`within` call that this thread runs; endless outside of one."""
    deadline: Deadline = getattr(_current, "deadline", None) or Deadline(None)
    return deadline
