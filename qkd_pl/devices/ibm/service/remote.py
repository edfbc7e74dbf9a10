"""The service as the job path needs it: few calls, each of which ends and raises errors of ours."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from qkd_pl.checks import check_number, cut
from qkd_pl.devices.ibm.access import SAVED, Access
from qkd_pl.devices.ibm.payload import Payload
from qkd_pl.devices.ibm.sending import PLAIN, Sending
from qkd_pl.devices.ibm.service import deadline as time_limits
from qkd_pl.devices.ibm.service import primitives, results
from qkd_pl.devices.ibm.service.backends import connect
from qkd_pl.devices.ibm.service.connection import SafeService
from qkd_pl.devices.ibm.service.deadline import Deadline, within
from qkd_pl.devices.ibm.service.failures import translate
from qkd_pl.devices.ibm.service.job_status import Status, status_of
from qkd_pl.errors import BackendError, InvalidInputError, ServiceError
from qkd_pl.upstream.runtime import Connections

CLOSE_SECONDS = 10.0
DOWNLOAD_SECONDS = 3600.0  # a download that stalls ends sooner, by the connection's own limit
_MOST_LISTED = 1000  # jobs with one tag
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_REASON_LENGTH = 2000  # characters
T = TypeVar("T")


class Remote:
    """One account's jobs on one backend.

    Args:
        service: from :func:`qkd_pl.devices.ibm.service.backends.connect`.
        backend: name of the backend.
        access: with the CRN of the instance that pays, ``None`` for the service's own choice, and with its secrets.
        sending: of which ``use_fractional_gates`` and ``job_tags`` count.
    """

    def __init__(self, service: SafeService, backend: str, access: Access = SAVED, sending: Sending = PLAIN) -> None:
        self._service, self._name, self._instance, self._sending = service, backend, access.instance, sending
        self._requests = Connections(service, access.instance)
        self._backend: Any = None
        self._lasting: Any = None
        account = service.active_account() or {}
        self._secrets = [*access.secrets(), *([account["token"]] if account.get("token") else [])]

    def send(
        self, payload: Payload, tags: Sequence[str], deadline: Deadline, batch: Any = None, rehearsal: bool = False
    ) -> str:
        """Submit once and return the service's job id; a failure leaves it open whether there is a job."""
        every = [*tags, *self._sending.job_tags]

        def call() -> Any:
            return primitives.send(payload, self._resolve(), every, batch, rehearsal).job_id()

        service_id = self._call(call, "submitting the job", deadline)
        if not is_id(service_id):
            raise ServiceError(f"submitting the job: the answer holds no id of a job: {cut(service_id)}")
        return service_id

    @contextmanager
    def batch(self, n_jobs: int, deadline: Deadline, lasting: bool = False) -> Iterator[Any]:
        """Batch mode for several jobs, so that the service runs them one after the other; ``None`` for one job.

        A lasting one is also for one job, and the same for all calls, until :meth:`close` or the service ends it.
        """
        if lasting:
            yield self._lasting_batch(deadline)
            return
        manager: Any = self._call(lambda: primitives.open_batch(self._resolve(), n_jobs), "opening a batch", deadline)
        batch = self._call(manager.__enter__, "opening a batch", deadline)
        try:
            yield batch
        finally:
            # A batch that cannot be closed closes itself when it has been idle for a while; its jobs run all the same.
            with suppress(BackendError):
                self._call(lambda: manager.__exit__(None, None, None), "closing the batch", Deadline(CLOSE_SECONDS))

    def close(self) -> None:
        """End the lasting batch, if there is one; it would end by itself, hours later."""
        batch, self._lasting = self._lasting, None
        if batch is not None:
            with suppress(BackendError):
                self._call(lambda: primitives.close_batch(batch), "closing the batch", Deadline(CLOSE_SECONDS))

    def _lasting_batch(self, deadline: Deadline) -> Any:
        batch = self._lasting
        if batch is None or not self._call(lambda: primitives.takes_jobs(batch), "asking for the batch", deadline):
            opened = self._call(lambda: primitives.new_batch(self._resolve()), "opening a batch", deadline)
            self._lasting = opened
        return self._lasting

    def find(self, tag: str, deadline: Deadline) -> list[str]:
        """Ids of the jobs that the service lists and that carry this tag, oldest first; it may list others, too."""
        what = "looking for the job by its tag"
        listed = self._call(lambda: self._requests.jobs(tag, most=_MOST_LISTED), what, deadline)
        return [job["id"] for job in listed if _carries(job, tag) and is_id(job.get("id"))]

    def status(self, service_id: str, tag: str, deadline: Deadline) -> tuple[Status, str | None]:
        """Status of our job, and the reason if it failed.

        Raises:
            ServiceError: with status 404 if the service has no such job, or it is another's: it carries another tag.
        """
        status, reason = status_of(self.job(service_id, tag, deadline))
        if status is Status.FAILED and not reason:
            with suppress(BackendError):  # where the reason is not with the job, its result says why
                reason = self._call(lambda: self._requests.result(service_id), "reading the reason", deadline)
        return status, reason and reason[-_REASON_LENGTH:]

    def job(self, service_id: str, tag: str, deadline: Deadline) -> Mapping[str, Any]:
        """What the service says about our job; errors as in :meth:`status`."""
        what = f"asking for the status of {cut(service_id)}"
        if not is_id(service_id):
            raise ServiceError(f"{what}: that is not the id of a job", 404)
        answer = self._call(lambda: self._requests.job(service_id), what, deadline)
        if answer.get("id", service_id) != service_id or not _carries(answer, tag):
            raise ServiceError(f"{what}: the answer is about another job, without the tag {tag}", 404)
        return answer

    def used_seconds(self, service_id: str, deadline: Deadline) -> float | None:
        """QPU seconds that a job has used; None if the service does not tell."""
        what = f"asking for the usage of {service_id}"
        usage = self._call(lambda: self._requests.metrics(service_id), what, deadline).get("usage")
        return told_seconds(usage.get("quantum_seconds") if isinstance(usage, dict) else None)

    def values(self, service_id: str, payload: Payload, deadline: Deadline) -> list[Any]:
        """Checked numbers of a finished job, one array for each PUB.

        Raises:
            JobResultError: the download is incomplete or not what was asked for.
        """
        what = f"reading the result of {service_id}"
        most = results.most_bytes(payload)
        text = self._call(lambda: self._requests.result(service_id), what, deadline, DOWNLOAD_SECONDS, most)
        return results.read(text, payload)

    def cancel(self, service_id: str, tag: str, deadline: Deadline) -> None:
        """Cancel our job; one that has ended already, was deleted, or is another's stays as it is."""
        try:
            self.job(service_id, tag, deadline)
            self._call(lambda: self._requests.cancel(service_id), f"cancelling {service_id}", deadline)
        except ServiceError as error:
            if error.status not in (404, 409):
                raise

    def _resolve(self) -> Any:
        if self._backend is None:
            # Without this option the client would refuse circuits that were compiled with it.
            gates = {"use_fractional_gates": True} if self._sending.use_fractional_gates else {}
            self._backend = self._service.backend(self._name, instance=self._instance, **gates)
            self._service.secure_all()  # this may have opened a connection to another instance
        return self._backend

    def _call(
        self,
        call: Callable[[], T],
        what: str,
        deadline: Deadline,
        seconds: float | None = None,
        most: int | None = None,
    ) -> T:
        try:
            return within(deadline.cap(seconds or time_limits.CALL_SECONDS), call, what, most)
        except Exception as error:
            problem = translate(error, what, self._secrets)
            if problem is error:
                raise
            raise problem from None


def told_seconds(value: Any) -> float | None:
    """A number of seconds as the service tells it; ``None`` for whatever can be none."""
    try:
        check_number("seconds", value, 0)
    except InvalidInputError:
        return None
    return float(value)


def is_id(value: Any) -> bool:
    """Whether this can be the service's id of a job."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def _carries(job: Any, tag: str) -> bool:
    """Whether the service's description of a job has exactly this tag among its own."""
    tags = job.get("tags") if isinstance(job, dict) else None
    return isinstance(tags, list) and tag in tags


def open_remote(target: Mapping[str, Any], deadline: Deadline) -> Remote:
    """The service that a receipt's target names.

    Raises:
        CredentialsError: there is no account, or IBM refuses it.
        BackendError: the service cannot be reached.
    """
    access, sending = Access.of(target), Sending.of(target)
    return Remote(connect(access, deadline), target["backend"], access, sending)
