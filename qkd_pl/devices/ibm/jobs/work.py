"""What a job's handle does: each call has one deadline for the ledger, for connecting, for every request and pause."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from qkd_pl.devices.ibm.jobs import submission
from qkd_pl.devices.ibm.jobs.connection import Connection
from qkd_pl.devices.ibm.jobs.ledger import Ledger, Part, Receipt, earlier_tags
from qkd_pl.devices.ibm.payload import Payload
from qkd_pl.devices.ibm.service import polling, primitives, results
from qkd_pl.devices.ibm.service.backends import open_backend
from qkd_pl.devices.ibm.service.deadline import CALL_SECONDS, Deadline
from qkd_pl.devices.ibm.service.job_status import Stage, Status, combine
from qkd_pl.devices.ibm.service.remote import Remote, open_remote
from qkd_pl.errors import (
    BackendError,
    JobCancelledError,
    JobError,
    JobFailedError,
    JobResultError,
    JobTimeoutError,
    LedgerBusyError,
    ServiceError,
)

UNSENT, ON_ITS_WAY = "cancelled before it was sent", "cancelled while it was on its way to the service"
_ENDLESS_SECONDS = 1e6
_LOOK_SECONDS = 10.0
_LATE_ARRIVAL = timedelta(days=1)


class Work:
    """One call of a handle.

    Args:
        job: its id.
        connection: shared by the calls of one handle.
    """

    def __init__(self, job: str, ledger: Ledger, deadline: Deadline, connection: Connection) -> None:
        self.job, self.deadline = job, deadline
        self.ledger = ledger.until(deadline)
        self._connection = connection

    @property
    def receipt(self) -> Receipt:
        return self.ledger.receipt(self.job)

    @property
    def is_remote(self) -> bool:
        return bool(self.receipt.target["remote"])

    @property
    def remote(self) -> Remote:
        """The service; outages while connecting are waited out like those while polling."""
        if (known := self._connection.remote) is not None:
            return known
        target = self.receipt.target
        opened: Remote = self.poll(lambda: open_remote(target, self.deadline))
        self._connection.remote = opened
        return opened

    def send(self) -> None:
        """Send what the service does not have yet."""
        with self.exclusive():
            unsent = [part for part in self.receipt.parts if part.stage in (Stage.PREPARED, Stage.SENDING)]
            if not unsent:
                return
            with self.remote.batch(len(unsent), self.deadline, self._connection.one_batch) as batch:
                for part in unsent:
                    submission.send(part, self.ledger, self.remote, self.deadline, batch)

    def reopen(self) -> None:
        """Make parts that failed or were cancelled ready to be sent again, unless the service has a job for them."""
        self.status()
        with self.exclusive():
            ended = [part for part in self.receipt.parts if part.stage in (Stage.FAILED, Stage.CANCELLED)]
            if not ended:
                raise JobError(f"job {self.job}: no part of it has failed or was cancelled, so that none is sent again")
            for part in ended:
                # A request that was on its way may have become a job since; it is paid for.
                alive = submission.alive(part, self.remote, self.deadline) if self.is_remote else None
                self.ledger.reopen(part, alive)

    def status(self) -> Status:
        status = combine([self._part_status(part) for part in self._current_parts()])
        self._cancel_late_arrivals()
        return status

    def cancel_unsent(self) -> None:
        """Cancel what the service does not have; what it has without our knowing is adopted first."""
        self._adopt_sent()
        for part in self.receipt.parts:
            if part.stage is not Stage.SUBMITTED:
                on_its_way = part.stage is Stage.SENDING
                if part.stage is Stage.PREPARED:
                    self.ledger.enter_usage(part, 0.0)
                self.ledger.advance(part, Stage.CANCELLED, message=ON_ITS_WAY if on_its_way else UNSENT)

    def cancel_sent(self) -> None:
        """Cancel at the service what has not ended; one part that cannot be does not keep the others."""
        problems = []
        for part in self.receipt.parts:
            if part.stage is Stage.SUBMITTED:
                try:
                    self.poll(lambda part=part: self._cancel_part(part))  # type: ignore[misc]
                except (BackendError, JobTimeoutError) as error:
                    problems.append(error)
        if problems:
            raise problems[0]

    def fetch(self) -> None:
        """Store the results of all parts; where one has failed, those that there are by now: they are paid for."""
        parts = self._current_parts()
        if any(part.stage in (Stage.PREPARED, Stage.SENDING) for part in parts):
            raise JobError(f"job {self.job} was never sent; Job.send() sends it, or `qkd-pl send {self.job}`")
        has_failed = any(part.stage in (Stage.FAILED, Stage.CANCELLED) for part in parts)
        for part in parts:
            if part.stage is not Stage.SUBMITTED:
                continue
            self._settle(part)
            try:
                self._fetch_part(part.index, Deadline(0.0) if has_failed else self.deadline)
            except (JobFailedError, JobCancelledError):
                has_failed = True
            except (BackendError, JobResultError, JobTimeoutError):
                if not has_failed:
                    raise

    def run(self) -> None:
        """Run the job on its simulator, here, unless it has been."""
        # Another process that runs it may take as long as this one may wait.
        with self.ledger.exclusive(self.job, self.deadline.cap(_ENDLESS_SECONDS)):
            target = self.receipt.target
            for part in self.receipt.parts:
                self.refuse_ended(part)
                if part.stage is not Stage.DONE:
                    payload = Payload.decode(self.ledger.payload(part))
                    backend = open_backend(target["backend"], payload.pubs[0].circuit.num_qubits)
                    finished = primitives.send(payload, backend).result()
                    # A simulator is not interrupted; what it has computed is kept, however late.
                    self._patient.store(part, results.values(finished, payload))

    def values(self) -> list[list[np.ndarray]]:
        """Of all parts, which are stored."""
        ledger = self.ledger if self.is_remote else self._patient
        parts = ledger.receipt(self.job).parts
        for part in parts:
            self.refuse_ended(part)
        values = [ledger.result(part) or [] for part in parts]
        ledger.mark_read(self.job)
        return values

    def refuse_ended(self, part: Part) -> None:
        if part.stage is Stage.FAILED:
            raise JobFailedError(f"job {self.job} ({part.service_id}) failed: {part.message}")
        if part.stage is Stage.CANCELLED:
            raise JobCancelledError(f"job {self.job} ({part.service_id or 'never sent'}) was cancelled")

    def poll(self, read: Callable[[], Any], patience: Deadline | None = None) -> Any:
        return polling.poll(read, patience or self.deadline, f"job {self.job}")

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        with self.ledger.exclusive(self.job, self.deadline.cap(CALL_SECONDS)):
            yield

    @property
    def _patient(self) -> Ledger:
        """The ledger without the deadline, for what has been computed or read already."""
        return Ledger(self.ledger.path)

    def _part(self, index: int) -> Part:
        return self.receipt.parts[index]

    def _current_parts(self) -> tuple[Part, ...]:
        """The parts, after asking the service about those that may have been sent without our knowing it."""
        parts = self.receipt.parts
        if self.is_remote and any(part.stage is Stage.SENDING for part in parts):
            with self.exclusive():
                self._adopt_sent()
            parts = self.receipt.parts
        return parts

    def _adopt_sent(self) -> None:
        for part in self.receipt.parts:
            if part.stage is Stage.SENDING:
                submission.adopt(part, self.ledger, self.remote, self.deadline)

    def _part_status(self, part: Part) -> Status:
        if part.stage is Stage.SUBMITTED:
            status: Status = self.poll(lambda: self._ask(part))
            return status
        if part.stage.final:
            return Status(part.stage.value)
        return Status.UNSENT if self.is_remote else Status.QUEUED

    def _ask(self, part: Part) -> Status:
        """Status from the service; an end without a result is recorded."""
        try:
            status, reason = self.remote.status(str(part.service_id), part.tag, self.deadline)
        except ServiceError as error:
            if error.status != submission.NOT_FOUND or (other := self._by_tag(part)) is None:
                raise
            return self._ask(other)
        if status not in (Status.FAILED, Status.CANCELLED):
            return status
        # A request that was repeated may have left another job, which did not end like this.
        if (other := self._by_tag(part)) is not None:
            return self._ask(other)
        self.ledger.advance(part, Stage(status.value), message=reason)
        self._enter_usage(part)
        return status

    def _enter_usage(self, part: Part) -> None:
        """What a job that has ended took; until the service tells, its estimate counts."""
        soon = Deadline(self.deadline.cap(_LOOK_SECONDS))
        with suppress(BackendError, JobTimeoutError, LedgerBusyError):
            if (seconds := self.remote.used_seconds(str(part.service_id), soon)) is not None:
                self.ledger.enter_usage(part, seconds)

    def _by_tag(self, part: Part) -> Part | None:
        """The part with another job of its tag, if there is a better one than the ledger knows."""
        with self.exclusive():
            submission.adopt(self._part(part.index), self.ledger, self.remote, self.deadline)
        current = self._part(part.index)
        return None if current.service_id == part.service_id else current

    def _cancel_part(self, part: Part) -> bool:
        for each in dict.fromkeys([str(part.service_id), *self.remote.find(part.tag, self.deadline)]):
            self.remote.cancel(each, part.tag, self.deadline)
        return True

    def _cancel_late_arrivals(self) -> None:
        """A request that was on its way when its part was cancelled may have become a job since."""
        receipt = self.receipt
        if datetime.now(UTC) - datetime.fromisoformat(receipt.created) > _LATE_ARRIVAL:
            return
        soon = Deadline(self.deadline.cap(_LOOK_SECONDS))
        for part in receipt.parts:
            late = [part.tag] if part.stage is Stage.CANCELLED and part.message == ON_ITS_WAY else []
            for tag in (*earlier_tags(part.tag), *late):
                with suppress(BackendError, JobTimeoutError):
                    for service_id in self.remote.find(tag, soon):
                        self.remote.cancel(service_id, tag, soon)

    def _settle(self, part: Part) -> None:
        """Cancel doubles, unless another process is at it just now."""
        with suppress(JobError), self.ledger.exclusive(self.job, self.deadline.cap(_LOOK_SECONDS)):
            submission.settle(self._part(part.index), self.ledger, self.remote, self.deadline)

    def _fetch_part(self, index: int, patience: Deadline) -> None:
        payload = Payload.decode(self.ledger.payload(self._part(index)))

        def read() -> list[np.ndarray] | None:
            try:
                status = self._ask(self._part(index))
            except LedgerBusyError as error:  # it passes, like an outage of the service
                raise ServiceError(str(error)) from None
            part = self._part(index)
            self.refuse_ended(part)
            if status is not Status.DONE:
                return None
            return self.remote.values(str(part.service_id), payload, self.deadline)

        values = self.poll(read, patience)
        part = self._part(index)
        self._patient.store(part, values)
        self._enter_usage(part)
