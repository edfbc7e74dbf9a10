"""Handles of jobs: submit, come back from any process, read the result once and keep it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import numpy as np

from qkd_pl.devices.ibm.compile.plan import Plan
from qkd_pl.devices.ibm.compile.recombination import Recombination
from qkd_pl.devices.ibm.jobs import submission
from qkd_pl.devices.ibm.jobs.ledger import Ledger, Part, Receipt
from qkd_pl.devices.ibm.payload import Payload
from qkd_pl.devices.ibm.service import polling, primitives
from qkd_pl.devices.ibm.service.backends import open_backend
from qkd_pl.devices.ibm.service.deadline import CALL_SECONDS, Deadline
from qkd_pl.devices.ibm.service.job_status import Stage, Status, combine
from qkd_pl.devices.ibm.service.remote import Remote, open_remote
from qkd_pl.errors import (
    BackendError,
    InvalidInputError,
    JobCancelledError,
    JobError,
    JobFailedError,
    JobResultError,
    JobTimeoutError,
    QKDError,
)

_UNSENT, _ON_ITS_WAY = "cancelled before it was sent", "cancelled while it was on its way to the service"
_ENDLESS_SECONDS = 1e6
_LOOK_SECONDS = 10.0
_LATE_ARRIVAL = timedelta(days=1)


@dataclass(frozen=True)
class Job:
    """A job in the ledger, in whatever process.

    A job on hardware is sent by :func:`submit` and runs there. A job on a simulator runs in the process that first
    calls :meth:`result`, from the stored circuits and seed, so that it does not matter which process that is.

    Attributes:
        id: what :func:`attach` takes.
    """

    id: str
    ledger: Ledger = field(default_factory=Ledger, repr=False, compare=False)

    @property
    def receipt(self) -> Receipt:
        """What was written before the job was sent: target, cost and how far each part is."""
        return self.ledger.receipt(self.id)

    def send(self, timeout: float = CALL_SECONDS) -> None:
        """Send what the service does not have yet; it never gets anything twice.

        Only needed when :func:`submit` failed or its process was killed. Does nothing for a job on a simulator.

        Args:
            timeout: seconds for everything, pauses between attempts included.

        Raises:
            ServiceError, CredentialsError: the service does not have the job, or could not be asked. Nothing is lost
                or doubled, and sending again is safe.
            JobError: another process is sending it just now.
        """
        deadline = Deadline(timeout)
        if not self._is_remote:
            return
        with self._working(deadline):
            unsent = [part for part in self.receipt.parts if part.stage in (Stage.PREPARED, Stage.SENDING)]
            if not unsent:
                return
            with self._naming_itself(), self._remote.batch(len(unsent), deadline) as batch:
                for part in unsent:
                    submission.send(part, self.ledger, self._remote, deadline, batch)

    def status(self, timeout: float = CALL_SECONDS) -> Status:
        """What has become of the job; asks the service unless the ledger knows the end of it.

        For a day it also asks for requests that were on their way when the job was cancelled, and cancels what has
        become of them.

        Raises:
            ServiceError, CredentialsError: the service could not be asked within ``timeout`` seconds.
        """
        deadline = Deadline(timeout)
        status = combine([self._part_status(part, deadline) for part in self._current_parts(deadline)])
        self._cancel_late_arrivals(deadline)
        return status

    def result(self, timeout: float | None = None) -> np.ndarray:
        """Logits, float64 (n, K); waits until there are some.

        They are checked and stored, so that a second call needs no network.

        Args:
            timeout: seconds; ``None`` waits as long as the service says that the job is under way. A simulator runs
                here and now, and is not interrupted.

        Raises:
            JobTimeoutError: the time is over; the job goes on and the call may be repeated.
            JobFailedError, JobCancelledError: there will be no result.
            JobError: the job was never sent, or by a QNode rather than :func:`submit`.
            ServiceError, CredentialsError, JobResultError: the service could not be asked, or sends damaged results.
        """
        recombination = Recombination.from_arrays(self.ledger.arrays(self.id))
        if recombination is None:
            raise JobError(f"job {self.id} was sent by a QNode, and has no logits; Job.values() has its numbers")
        return recombination.apply([array for arrays in self.values(timeout) for array in arrays])

    def values(self, timeout: float | None = None) -> list[list[np.ndarray]]:
        """The numbers behind :meth:`result`: for each part, one array for each PUB (:func:`primitives.values`)."""
        deadline = Deadline(timeout)
        if not self._is_remote:
            self._run(deadline)
        else:
            self._fetch(deadline)
        parts = self.receipt.parts
        for part in parts:
            self._refuse_ended(part)
        return [self.ledger.result(part) or [] for part in parts]

    def cancel(self, timeout: float = CALL_SECONDS) -> Status:
        """Cancel what has not ended, and return the status after that.

        Raises:
            ServiceError, CredentialsError: the service could not be asked within ``timeout`` seconds, or refuses; what
                it did not refuse is cancelled.
            JobError: another process is still sending it.
        """
        deadline = Deadline(timeout)
        # Whoever is sending the job finishes first; what runs on a simulator is cancelled under its hands.
        with self._working(deadline) if self._is_remote else nullcontext():
            self._adopt_sent(deadline)
            for part in self.receipt.parts:
                if part.stage is not Stage.SUBMITTED:
                    on_its_way = part.stage is Stage.SENDING
                    self.ledger.advance(part, Stage.CANCELLED, message=_ON_ITS_WAY if on_its_way else _UNSENT)
        problems = []
        for part in self.receipt.parts:
            if part.stage is Stage.SUBMITTED:
                try:
                    self._poll(lambda part=part: self._cancel_part(part, deadline), deadline)  # type: ignore[misc]
                except (BackendError, JobTimeoutError) as error:
                    problems.append(error)
        if problems:
            raise problems[0]
        return self.status(timeout)

    @property
    def _is_remote(self) -> bool:
        return bool(self.receipt.target["remote"])

    @cached_property
    def _remote(self) -> Remote:
        return open_remote(self.receipt.target)

    def _current_parts(self, deadline: Deadline) -> tuple[Part, ...]:
        """The parts, after asking the service about those that may have been sent without our knowing it."""
        if self._is_remote and any(part.stage is Stage.SENDING for part in self.receipt.parts):
            with self._working(deadline):
                self._adopt_sent(deadline)
        return self.receipt.parts

    def _adopt_sent(self, deadline: Deadline) -> None:
        for part in self.receipt.parts:
            if part.stage is Stage.SENDING:
                submission.adopt(part, self.ledger, self._remote, deadline)

    def _part_status(self, part: Part, deadline: Deadline) -> Status:
        if part.stage is Stage.SUBMITTED:
            return self._poll(lambda: self._ask(part, deadline), deadline)
        if part.stage.final:
            return Status(part.stage.value)
        return Status.UNSENT if self._is_remote else Status.QUEUED

    def _ask(self, part: Part, deadline: Deadline) -> Status:
        """Status from the service; an end without a result is recorded."""
        status, reason = self._remote.status(str(part.service_id), deadline)
        if status not in (Status.FAILED, Status.CANCELLED):
            return status
        # A request that was repeated may have left another job, which did not end like this.
        with self._working(deadline):
            submission.adopt(self.receipt.parts[part.index], self.ledger, self._remote, deadline)
        current = self.receipt.parts[part.index]
        if current.service_id != part.service_id:
            return self._ask(current, deadline)
        self.ledger.advance(part, Stage(status.value), message=reason)
        return status

    def _cancel_part(self, part: Part, deadline: Deadline) -> bool:
        self._remote.cancel(str(part.service_id), deadline)
        for other in self._remote.find(part.tag, deadline):
            if other != part.service_id:
                self._remote.cancel(other, deadline)
        return True

    def _cancel_late_arrivals(self, deadline: Deadline) -> None:
        """A request that was on its way when its part was cancelled may have become a job since."""
        receipt = self.receipt
        if datetime.now(UTC) - datetime.fromisoformat(receipt.created) > _LATE_ARRIVAL:
            return
        soon = Deadline(deadline.cap(_LOOK_SECONDS))
        for part in receipt.parts:
            if part.stage is Stage.CANCELLED and part.message == _ON_ITS_WAY:
                with suppress(BackendError):
                    for service_id in self._remote.find(part.tag, soon):
                        self._remote.cancel(service_id, soon)

    def _fetch(self, deadline: Deadline) -> None:
        """Store the results of all parts; where one has failed, those that there are by now: they are paid for."""
        parts = self._current_parts(deadline)
        if any(part.stage in (Stage.PREPARED, Stage.SENDING) for part in parts):
            raise JobError(f"job {self.id} was never sent; Job.send() sends it, or `qkd-pl send {self.id}`")
        has_failed = any(part.stage in (Stage.FAILED, Stage.CANCELLED) for part in parts)
        for part in parts:
            if part.stage is not Stage.SUBMITTED:
                continue
            self._settle(part, deadline)
            try:
                self._fetch_part(part.index, deadline, Deadline(0.0) if has_failed else deadline)
            except (JobFailedError, JobCancelledError):
                has_failed = True
            except (BackendError, JobResultError, JobTimeoutError):
                if not has_failed:
                    raise

    def _settle(self, part: Part, deadline: Deadline) -> None:
        """Cancel doubles, unless another process is at it just now."""
        with suppress(JobError), self.ledger.exclusive(self.id, deadline.cap(_LOOK_SECONDS)):
            submission.settle(self.receipt.parts[part.index], self.ledger, self._remote, deadline)

    def _fetch_part(self, index: int, deadline: Deadline, patience: Deadline) -> None:
        payload = Payload.decode(self.ledger.payload(self.receipt.parts[index]))

        def read() -> list[np.ndarray] | None:
            status = self._ask(self.receipt.parts[index], deadline)
            part = self.receipt.parts[index]
            self._refuse_ended(part)
            if status is not Status.DONE:
                return None
            return self._remote.values(str(part.service_id), payload, deadline)

        values = self._poll(read, patience)
        self.ledger.store(self.receipt.parts[index], values)

    def _run(self, deadline: Deadline) -> None:
        """Run the job on its simulator, here, unless it has been."""
        # Another process that runs it may take as long as this one may wait.
        with self.ledger.exclusive(self.id, deadline.cap(_ENDLESS_SECONDS)):
            target = self.receipt.target
            for part in self.receipt.parts:
                self._refuse_ended(part)
                if part.stage is not Stage.DONE:
                    payload = Payload.decode(self.ledger.payload(part))
                    backend = open_backend(target["backend"], payload.pubs[0].circuit.num_qubits)
                    finished = primitives.send(payload, backend).result()
                    self.ledger.store(part, primitives.values(finished, payload))

    def _refuse_ended(self, part: Part) -> None:
        if part.stage is Stage.FAILED:
            raise JobFailedError(f"job {self.id} ({part.service_id}) failed: {part.message}")
        if part.stage is Stage.CANCELLED:
            raise JobCancelledError(f"job {self.id} ({part.service_id or 'never sent'}) was cancelled")

    def _poll(self, read: Callable[[], Any], deadline: Deadline) -> Any:
        return polling.poll(read, deadline, f"job {self.id}")

    @contextmanager
    def _working(self, deadline: Deadline) -> Iterator[None]:
        with self.ledger.exclusive(self.id, deadline.cap(CALL_SECONDS)):
            yield

    @contextmanager
    def _naming_itself(self) -> Iterator[None]:
        """Say in an error how to come back to this job."""
        try:
            yield
        except QKDError as error:
            error.add_note(f"The receipt is kept: attach({self.id!r}).send() sends the job if the service lacks it.")
            raise


def submit(plan: Plan, ledger: Ledger | None = None, timeout: float = CALL_SECONDS) -> Job:
    """Write the plan's receipt, send it with the receipt's unique tag, and return at once.

    A plan for a simulator is only written down: it runs when its result is first asked for.

    Args:
        plan: from :func:`qkd_pl.deployment.planning.plan`.
        ledger: where the receipt goes; by default the user's.
        timeout: seconds for sending.

    Raises:
        CostLimitError: the plan costs more QPU time than its device allows; there is no receipt.
        ServiceError, CredentialsError: nothing was sent, or the service could not say; the error's note names the job
            to come back to.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> import qkd_pl as kd
        >>> network = kd.QNN(n_qubits=2, n_layers=1)
        >>> model = kd.trained(network, np.zeros(network.weights_shape))
        >>> with TemporaryDirectory() as directory:
        ...     job = submit(kd.plan(model, np.eye(4), device="aer"), Ledger(Path(directory) / "ledger.sqlite"))
        ...     job.result().shape
        (4, 2)
    """
    plan.check_limit()
    ledger = ledger or Ledger()
    payloads = [payload.encode() for payload in plan.payloads]
    job = Job(ledger.add(payloads, plan.target, plan.summary(), plan.arrays()).id, ledger)
    job.send(timeout)
    return job


def attach(job: str, ledger: Ledger | None = None) -> Job:
    """Come back to the job of this id.

    Args:
        job: the id, as :func:`submit` gave it.
        ledger: where its receipt is; by default the user's.

    Raises:
        UnknownJobError: the ledger has no such job.
        InvalidInputError: ``job`` is not an id.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> import qkd_pl as kd
        >>> network = kd.QNN(n_qubits=2, n_layers=1)
        >>> model = kd.trained(network, np.zeros(network.weights_shape))
        >>> with TemporaryDirectory() as directory:
        ...     ledger = Ledger(Path(directory) / "ledger.sqlite")
        ...     id_to_note = submit(kd.plan(model, np.eye(4), device="aer"), ledger).id
        ...     attach(id_to_note, ledger).result().shape  # maybe a day later, in another process
        (4, 2)
    """
    if not isinstance(job, str):
        raise InvalidInputError(f"job is a {type(job).__name__}; attach takes the id of a job, a text")
    handle = Job(job, ledger or Ledger())
    handle.ledger.receipt(job)
    return handle


def jobs(ledger: Ledger | None = None) -> list[Job]:
    """All jobs in the ledger, newest first; asks no service."""
    ledger = ledger or Ledger()
    return [Job(receipt.id, ledger) for receipt in ledger.receipts()]
