"""IBM's own estimate of what a plan will use: the service looks at the jobs without running them."""

import secrets

from qkd_pl.checks import cut
from qkd_pl.devices.ibm.compile.plan import Plan
from qkd_pl.devices.ibm.payload import Payload
from qkd_pl.devices.ibm.service import polling
from qkd_pl.devices.ibm.service.deadline import CALL_SECONDS, Deadline
from qkd_pl.devices.ibm.service.job_status import Status, status_of
from qkd_pl.devices.ibm.service.remote import Remote, open_remote, told_seconds
from qkd_pl.errors import InvalidInputError, JobFailedError, ServiceError
from qkd_pl.upstream import runtime


def rehearse(plan: Plan, timeout: float = CALL_SECONDS) -> float:
    """QPU seconds that IBM estimates for a plan, beside our own ``plan.cost.qpu_seconds``.

    The client's ``dry_run`` (qiskit-ibm-runtime 0.50 and later): each job goes to the mock of its backend on IBM's
    side, uses no QPU time, and its numbers are random, so that they are not read. Not every account may do this.

    Args:
        plan: for hardware.
        timeout: seconds for all jobs.

    Raises:
        InvalidInputError: the plan is for a simulator, or the installed client is too old.
        JobFailedError: IBM refuses a job, as it would refuse the real one.
        JobTimeoutError: the service has not answered within ``timeout`` seconds.
        ServiceError, CredentialsError, BackendError: it could not be asked, has no mock of this backend, or makes no
            estimate.
    """
    if not plan.target["remote"]:
        raise InvalidInputError(f"backend {plan.target['backend']!r} is a simulator; only IBM's service can rehearse")
    if not runtime.can_rehearse():
        raise InvalidInputError("a rehearsal needs qiskit-ibm-runtime 0.50 or later: see docs/ibm-clients.md")
    deadline = Deadline(timeout)
    remote = polling.poll(lambda: open_remote(plan.target, deadline), deadline, "rehearsal")
    return sum(_estimate(payload, remote, deadline) for payload in plan.payloads)


def _estimate(payload: Payload, remote: Remote, deadline: Deadline) -> float:
    tag = f"qkd-pl-rehearsal-{secrets.token_hex(8)}"
    service_id = remote.send(payload, [tag], deadline, rehearsal=True)

    def read() -> float | None:
        answer = remote.job(service_id, tag, deadline)
        status, reason = status_of(answer)
        if status in (Status.FAILED, Status.CANCELLED):
            raise JobFailedError(f"IBM's rehearsal {service_id} ended as {status}: {reason or 'no reason given'}")
        if status is not Status.DONE:
            return None
        seconds = told_seconds(told := answer.get("estimated_running_time_seconds"))
        if seconds is None:
            raise ServiceError(f"IBM's rehearsal {service_id} has no estimate of the usage: {cut(told, 50)}", 404)
        return seconds

    return polling.poll(read, deadline, f"rehearsal {service_id}")
