"""Sending one part of a job to the service so that it exists there once, whatever breaks on the way.

Every part has a unique tag. Before a request goes out the ledger says so; after any failure the service is asked for
jobs with that tag, and only when it has none is the request repeated. When it has several, the one that has come
furthest is kept.
"""

import time
from dataclasses import replace
from typing import Any

from qkd_pl.devices.ibm.jobs.ledger import Ledger, Part
from qkd_pl.devices.ibm.payload import Payload
from qkd_pl.devices.ibm.service import polling
from qkd_pl.devices.ibm.service.deadline import Deadline
from qkd_pl.devices.ibm.service.job_status import Stage, Status
from qkd_pl.devices.ibm.service.remote import Remote
from qkd_pl.errors import BackendError, JobTimeoutError, ServiceError

ATTEMPTS = 3
NOT_FOUND = 404
_PREFERENCE = (Status.DONE, Status.RUNNING, Status.QUEUED, Status.FAILED, Status.CANCELLED)


def send(part: Part, ledger: Ledger, remote: Remote, deadline: Deadline, batch: Any = None) -> None:
    """Make sure that the service has exactly one job for ``part``, and record its id.

    The caller holds :meth:`Ledger.exclusive`, and ``part`` is as the ledger has it.

    Raises:
        ServiceError, CredentialsError: the service has no job for it, or could not be asked; nothing is lost, and
            calling this again is safe.
        InvalidInputError: the client refuses the circuits or options.
    """
    if part.stage is Stage.SENDING and adopt(part, ledger, remote, deadline):
        return
    payload = Payload.decode(ledger.payload(part))
    for attempt in range(1, ATTEMPTS + 1):
        ledger.advance(part, Stage.SENDING)
        try:
            service_id = remote.send(payload, [part.tag], deadline, batch)
        except Exception as error:  # whatever it was, there may be a job now: the service decides
            if _recovered(part, ledger, remote, deadline, error):
                return
            if not _worth_repeating(error, attempt, deadline):
                raise
        else:
            ledger.advance(part, Stage.SUBMITTED, service_id)
            settle(replace(part, service_id=service_id), ledger, remote, deadline)
            return


def adopt(part: Part, ledger: Ledger, remote: Remote, deadline: Deadline) -> bool:
    """Ask the service for jobs with the part's tag; keep one, cancel any others; False if there are none.

    The one that has come furthest is kept, of equals the oldest. A job that the ledger knows counts, listed or not;
    none counts that is gone, or that does not say itself that it carries the tag. The caller holds
    :meth:`Ledger.exclusive`, so that no other process keeps another one, and ``part`` is as the ledger has it.
    """
    what = "looking for the job by its tag"
    found = polling.poll(lambda: remote.find(part.tag, deadline), deadline, what)
    candidates = dict.fromkeys([*found, *([part.service_id] if part.service_id else [])])
    asked = {each: _status(each, part.tag, remote, deadline) for each in candidates}
    statuses = {each: status for each, status in asked.items() if status is not None}
    best_first = sorted(statuses, key=lambda each: _PREFERENCE.index(statuses[each]))
    for other in best_first[1:]:
        if statuses[other] in (Status.RUNNING, Status.QUEUED):
            remote.cancel(other, part.tag, deadline)
    if best_first and best_first[0] != part.service_id:
        ledger.advance(part, Stage.SUBMITTED, best_first[0])
    return bool(best_first)


def alive(part: Part, remote: Remote, deadline: Deadline) -> str | None:
    """The service's job with the tag of a part that has ended which is done, runs or waits; None if there is none."""
    found = polling.poll(lambda: remote.find(part.tag, deadline), deadline, "looking for the job by its tag")
    statuses = {each: _status(each, part.tag, remote, deadline) for each in found}
    going_on = [each for each, status in statuses.items() if status in _PREFERENCE[:3]]
    return min(going_on, key=lambda each: _PREFERENCE.index(statuses[each])) if going_on else None


def _status(service_id: str, tag: str, remote: Remote, deadline: Deadline) -> Status | None:
    """``None`` for a job that is gone or not ours."""
    try:
        return polling.poll(lambda: remote.status(service_id, tag, deadline)[0], deadline, f"status of {service_id}")
    except ServiceError as error:
        if error.status == NOT_FOUND:
            return None
        raise


def settle(part: Part, ledger: Ledger, remote: Remote, deadline: Deadline) -> None:
    """After an apparent success: cancel jobs that a repeated request may have left behind.

    The job itself is safe already, so that a service that cannot be asked just now is no failure.
    """
    try:
        adopt(part, ledger, remote, deadline)
    except (BackendError, JobTimeoutError):
        return


def _recovered(part: Part, ledger: Ledger, remote: Remote, deadline: Deadline, error: Exception) -> bool:
    """Whether a job came to be although sending it raised ``error``.

    Raises:
        Exception: ``error``, when the service cannot be asked, so that nothing may be repeated.
    """
    try:
        return adopt(part, ledger, remote, deadline)
    except (BackendError, JobTimeoutError):
        raise error from None


def _worth_repeating(error: Exception, attempt: int, deadline: Deadline) -> bool:
    """Wait before the next attempt; False when that is pointless, or would take longer than there is time."""
    if not isinstance(error, ServiceError) or not error.transient or attempt == ATTEMPTS:
        return False
    pause = max(polling.FIRST_SECONDS * polling.GROWTH**attempt, error.retry_after or 0.0)
    if deadline.cap(pause) < pause:
        return False
    time.sleep(pause)
    return True
