"""Jobs whose sender waits for them, as a QNode does: one that is run again after a kill takes up its unfinished job."""

import numpy as np

from qkd_pl.devices.ibm.compile.plan import Plan
from qkd_pl.devices.ibm.jobs.connection import Connection
from qkd_pl.devices.ibm.jobs.jobs import Job, record
from qkd_pl.devices.ibm.jobs.ledger import Ledger
from qkd_pl.devices.ibm.jobs.locks import Lock
from qkd_pl.devices.ibm.payload import fingerprint
from qkd_pl.devices.ibm.service.job_status import Stage
from qkd_pl.errors import JobCancelledError, JobFailedError

_SECONDS = 30.0
# Of jobs whose waiting was interrupted in this process: as long as it lives they are its own, to be attached to by id.
_kept: list[Lock] = []


def run(plan: Plan, ledger: Ledger | None = None, connection: Connection | None = None) -> list[list[np.ndarray]]:
    """Send a plan's jobs, wait, and return what :meth:`Job.values` does.

    An unfinished job is taken up in place of sending a new one only if its circuits, numbers, options and backend are
    identical, the process that sent it is dead, and nobody has ever read its values. Deliberate repetitions, one after
    the other or side by side, are jobs of their own.

    Args:
        connection: shared by several jobs, which are then in one batch if it says so.

    Raises:
        CostLimitError: the plan costs more QPU time than its device allows; there is no receipt.
        JobError, BackendError: as of :meth:`Job.send` and :meth:`Job.values`.
    """
    plan.check_limit()
    ledger = ledger or Ledger()
    job, lock = _begin(plan, ledger, connection or Connection())
    try:
        job.send()
        values = job.values()
    except (JobFailedError, JobCancelledError):
        ledger.mark_read(job.id)
        lock.release()
        raise
    except BaseException:
        _kept.append(lock)
        raise
    lock.release()
    return values


def _begin(plan: Plan, ledger: Ledger, connection: Connection) -> tuple[Job, Lock]:
    """The job, and the lock that says that its sender lives."""
    mark = fingerprint(plan.payloads, plan.target)
    with ledger.exclusive(f"new-{mark[:16]}", _SECONDS):
        for found in ledger.unread(mark):
            lock = ledger.acquire(_sender(found))
            if lock is None:
                continue
            stages = {part.stage for part in ledger.receipt(found).parts}
            if not stages & {Stage.FAILED, Stage.CANCELLED}:
                return Job(found, ledger, connection), lock
            lock.release()
        job = record(plan, ledger, mark, connection)
        lock = ledger.acquire(_sender(job.id), _SECONDS)
        assert lock is not None, "nobody else knows the job yet"
        return job, lock


def _sender(job: str) -> str:
    return f"{job}-sender"
