"""What can become of a job."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeVar

from qkd_pl.errors import ServiceError

_RAN_TOO_LONG = 1305  # the service's reason code


class Stage(StrEnum):
    """How far the ledger knows one part of a job to be; it only moves forward."""

    PREPARED = "prepared"  # the receipt is written; nothing has been sent
    SENDING = "sending"  # a request may be on its way: the service must be asked before anything else
    SUBMITTED = "submitted"  # the service's job id is known
    DONE = "done"  # the result is stored
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return self in (Stage.DONE, Stage.FAILED, Stage.CANCELLED)


class Status(StrEnum):
    """What :meth:`qkd_pl.devices.ibm.jobs.jobs.Job.status` says of a whole job."""

    UNSENT = "unsent"  # the service has no such job: ``Job.send()`` sends it
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


# A job of several parts is as far as the first of these that applies to any of its parts.
_PRECEDENCE = (
    *(Status.FAILED, Status.CANCELLED),
    *(Stage.PREPARED, Stage.SENDING, Status.UNSENT),
    *(Stage.SUBMITTED, Status.RUNNING, Status.QUEUED, Status.DONE),
)
T = TypeVar("T", Stage, Status)


def combine(parts: Sequence[T]) -> T:
    """Status, or stage, of a job from those of its parts."""
    return min(parts, key=_PRECEDENCE.index)


def known(stages: Sequence[Stage], remote: bool) -> Status:
    """Status of a job by what the ledger knows of its parts, without asking the service.

    Example:
        >>> known([Stage.PREPARED], remote=False).value, known([Stage.PREPARED], remote=True).value
        ('queued', 'unsent')
    """
    waiting = Status.UNSENT if remote else Status.QUEUED
    words = {Stage.PREPARED: waiting, Stage.SENDING: waiting, Stage.SUBMITTED: Status.QUEUED}
    return combine([words.get(stage) or Status(stage.value) for stage in stages])


def status_of(job: Mapping[str, Any]) -> tuple[Status, str | None]:
    """Status in the service's description of a job, and the reason if it failed.

    Raises:
        ServiceError: the description holds no status.
    """
    state = job.get("state")
    word = state.get("status") if isinstance(state, dict) else None
    if not isinstance(state, dict) or not isinstance(word, str):
        raise ServiceError(f"the answer about a job lacks what it should hold, a status: {dict(job)!r:.100}")
    code = state.get("reason_code", state.get("reasonCode"))
    status = Status.FAILED if code == _RAN_TOO_LONG else from_service(word)
    reason = state.get("reason") or (word if status is Status.FAILED and "RAN" in word.upper() else None)
    return status, str(reason) if status is Status.FAILED and reason else None


def from_service(text: str) -> Status:
    """Status from the service's word for it; everything that begins with CANCELLED is final.

    Of a job that was stopped for running too long the service says ``"CANCELLED - RAN TOO LONG"``.
    """
    word = text.upper()
    if word.startswith("CANCELLED"):
        return Status.FAILED if "RAN TOO LONG" in word else Status.CANCELLED
    known = {"DONE": Status.DONE, "COMPLETED": Status.DONE, "ERROR": Status.FAILED, "FAILED": Status.FAILED}
    return known.get(word, Status.RUNNING if word == "RUNNING" else Status.QUEUED)
