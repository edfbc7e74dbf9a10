"""Handles of jobs: submit, come back from any process, read the result once and keep it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

import numpy as np

from qkd_pl.checks import kind_of
from qkd_pl.devices.calibration import Calibration
from qkd_pl.devices.ibm.compile.plan import Plan
from qkd_pl.devices.ibm.compile.recombination import Recombination
from qkd_pl.devices.ibm.compile.reference import Reference
from qkd_pl.devices.ibm.jobs.calibrated import calibration_of, wanted_outputs
from qkd_pl.devices.ibm.jobs.connection import Connection
from qkd_pl.devices.ibm.jobs.ledger import Damaged, Ledger, Receipt
from qkd_pl.devices.ibm.jobs.work import Work
from qkd_pl.devices.ibm.service.deadline import CALL_SECONDS, Deadline
from qkd_pl.devices.ibm.service.job_status import Status
from qkd_pl.errors import FileFormatError, InvalidInputError, JobError, JobTimeoutError, QKDError, ServiceError
from qkd_pl.warning import warn


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
    _connection: Connection = field(default_factory=Connection, repr=False, compare=False)

    @property
    def receipt(self) -> Receipt:
        """What was written before the job was sent: target, cost and how far each part is."""
        return self.ledger.receipt(self.id)

    @property
    def used_seconds(self) -> float | None:
        """QPU seconds that the job has used, attempts that failed included; None until the service has told."""
        return self.ledger.used(self.receipt)

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
        work = self._work(timeout)
        if work.is_remote:
            with self._naming_itself(), _unanswered():
                work.send()

    def resend(self, timeout: float = CALL_SECONDS) -> None:
        """Send again, alone, the parts that failed or were cancelled; they are paid again, all others are not.

        Nothing does this by itself. If the service has a job for such a part after all, that one is taken up instead.
        :meth:`result` then waits for what was sent again.

        Args:
            timeout: seconds for everything.

        Raises:
            JobError: no part has failed or was cancelled, or another process is sending the job.
            CostLimitError: ``max_qpu_seconds_total`` does not allow it.
            ServiceError, CredentialsError: the service could not be asked, or refuses; :meth:`send` goes on with it.
        """
        work = self._work(timeout)
        with _unanswered():
            work.reopen()
        self.send(timeout)

    def status(self, timeout: float = CALL_SECONDS) -> Status:
        """What has become of the job; asks the service unless the ledger knows the end of it.

        For a day it also asks for requests that were on their way when the job was cancelled, and cancels what has
        become of them.

        Raises:
            ServiceError, CredentialsError: the service could not be asked within ``timeout`` seconds.
        """
        with _unanswered():
            return self._work(timeout).status()

    def result(self, timeout: float | None = None, calibrated: bool = True) -> np.ndarray:
        """Logits, float64 (n, K); waits until there are some.

        They are checked and stored, so that a second call needs no network.

        Args:
            timeout: seconds; ``None`` waits as long as the service says that the job is under way. A simulator runs
                here and now, and is not interrupted.
            calibrated: whether to correct them where the job was planned with a calibration, or its model has one that
                is valid here; with a warning where it is not. False for the raw expectation values.

        Raises:
            JobTimeoutError: the time is over; the job goes on and the call may be repeated.
            JobFailedError, JobCancelledError: there will be no result.
            JobError: the job was never sent, or by a QNode rather than :func:`submit`.
            ServiceError, CredentialsError, JobResultError: the service could not be asked, or sends damaged results.
        """
        work = self._work(timeout)
        arrays = work.ledger.arrays(self.id)
        outputs = self._outputs(work, arrays)
        with self._read_from_ledger():
            return wanted_outputs(self.receipt, arrays, outputs, calibrated)

    @property
    def calibration(self) -> Calibration | None:
        """The calibration that :meth:`result` corrects by, None if there is none; waits for the result.

        Raises:
            CalibrationError: the inputs planned for it allow no correction.
            Exception: as :meth:`result`.
        """
        work = self._work(None)
        arrays = work.ledger.arrays(self.id)
        reference = Reference.from_arrays(arrays)
        outputs = self._outputs(work, arrays) if reference else np.empty(0)
        with self._read_from_ledger():
            return calibration_of(self.receipt, reference, outputs)

    def _outputs(self, work: Work, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        """The raw outputs of all samples."""
        recombination = Recombination.from_arrays(arrays)
        if recombination is None:
            raise JobError(f"job {self.id} was sent by a QNode, and has no logits; Job.values() has its numbers")
        values = [array for arrays in _values(work) for array in arrays]
        if not values or len({array.shape[:-1] for array in values}) > 1 or any(array.ndim != 2 for array in values):
            raise FileFormatError(f"{self.ledger.path}: the results of job {self.id} are damaged")
        return recombination.apply(values)

    def values(self, timeout: float | None = None) -> list[list[np.ndarray]]:
        """The numbers behind :meth:`result`: for each part, one array for each PUB (:func:`results.values`)."""
        return _values(self._work(timeout))

    def cancel(self, timeout: float = CALL_SECONDS) -> Status:
        """Cancel what has not ended, and return the status after that.

        Raises:
            ServiceError, CredentialsError: the service could not be asked within ``timeout`` seconds, or refuses; what
                it did not refuse is cancelled.
            JobError: another process is still sending it.
        """
        work = self._work(timeout)
        with _unanswered():
            # Whoever is sending the job finishes first; what runs on a simulator is cancelled under its hands.
            with work.exclusive() if work.is_remote else nullcontext():
                work.cancel_unsent()
            work.cancel_sent()
            return work.status()

    @contextmanager
    def _read_from_ledger(self) -> Iterator[None]:
        """What cannot be made of a calibration that was read is a damage of the ledger."""
        try:
            yield
        except QKDError:
            raise
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            where = f"{self.ledger.path}: the calibration of job {self.id}"
            raise FileFormatError(f"{where} is damaged ({type(error).__name__}: {error!s:.200})") from error

    def _work(self, timeout: float | None) -> Work:
        return Work(self.id, self.ledger, Deadline(timeout), self._connection)

    @contextmanager
    def _naming_itself(self) -> Iterator[None]:
        """Say in an error how to come back to this job."""
        try:
            yield
        except QKDError as error:
            error.add_note(f"The receipt is kept: attach({self.id!r}).send() sends the job if the service lacks it.")
            raise


def _values(work: Work) -> list[list[np.ndarray]]:
    if work.is_remote:
        work.fetch()
    else:
        work.run()
    return work.values()


@contextmanager
def _unanswered() -> Iterator[None]:
    """Where the time for asking is over, the service has not answered."""
    try:
        yield
    except JobTimeoutError as error:
        raise ServiceError(str(error)) from None


def submit(plan: Plan, ledger: Ledger | None = None, timeout: float = CALL_SECONDS) -> Job:
    """Write the plan's receipt, send it with the receipt's unique tag, and return at once.

    A plan for a simulator is only written down: it runs when its result is first asked for.

    Args:
        plan: from :func:`qkd_pl.deployment.planning.plan`.
        ledger: where the receipt goes; by default the user's.
        timeout: seconds for sending.

    Raises:
        InvalidInputError: ``plan`` is something else.
        CostLimitError: the plan costs more QPU time than its device allows at once, or in 28 days; there is no receipt.
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
    if not isinstance(plan, Plan):
        raise InvalidInputError(f"plan is {kind_of(plan)}; submit takes what kd.plan(model, inputs, device) returns")
    plan.check_limit()
    Deadline(timeout)  # one that makes no sense is refused before there is a receipt
    job = record(plan, ledger or Ledger())
    job.send(timeout)
    return job


def record(plan: Plan, ledger: Ledger, fingerprint: str | None = None, connection: Connection | None = None) -> Job:
    """Write the plan's receipt; sends nothing."""
    payloads = [payload.encode() for payload in plan.payloads]
    receipt = ledger.add(payloads, plan.target, plan.summary(), plan.arrays(), fingerprint)
    return Job(receipt.id, ledger, connection or Connection())


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
        raise InvalidInputError(f"job is {kind_of(job)}; attach takes the id of a job, a text")
    handle = Job(job, ledger or Ledger())
    handle.ledger.receipt(job)
    return handle


def jobs(ledger: Ledger | None = None) -> list[Job]:
    """All jobs in the ledger, newest first; asks no service, and leaves damaged receipts out with a warning."""
    ledger = ledger or Ledger()
    found = []
    for receipt in ledger.receipts():
        if isinstance(receipt, Damaged):
            warn(f"left out: {receipt.reason}")
        else:
            found.append(Job(receipt.id, ledger))
    return found
