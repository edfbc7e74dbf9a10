"""All exceptions that qkd_pl raises on purpose, under one base class."""


class QKDError(Exception):
    """Base class of every error raised by qkd_pl."""


class InvalidInputError(QKDError, ValueError):
    """An argument has the wrong shape, type or value; the message names it and what is allowed."""


class TooLargeError(InvalidInputError):
    """A circuit does not fit the memory there is; the message says what it takes and what would fit."""


class DeviceConfigError(QKDError, ValueError):
    """``devices.yaml`` cannot be used; the message names the file, the entry, the key and what is allowed."""


class FileFormatError(QKDError, ValueError):
    """A model, checkpoint or cache file is damaged, altered, or of another kind."""


class TrainingDivergedError(QKDError, ArithmeticError):
    """The loss or its gradient became NaN or infinite; the message says at which iteration."""


class BackendError(QKDError, RuntimeError):
    """A quantum backend cannot be found or reached; the message names it and what is available."""


class CredentialsError(BackendError):
    """The IBM Quantum account is missing or refused; the message says how to provide one, never what was provided."""


class JobResultError(QKDError, RuntimeError):
    """A job's result is not what its circuits ask for: wrong type, shape, or number of shots."""


class ServiceError(BackendError):
    """IBM's service refused a request, broke down, or did not answer.

    Attributes:
        status: HTTP status of the answer, ``None`` when there was none.
        retry_after: seconds that the service asks to wait, if it said so.
    """

    def __init__(self, message: str, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after

    @property
    def transient(self) -> bool:
        """Whether the same request may well succeed later."""
        return self.status is None or self.status in (408, 429) or self.status >= 500


class CostLimitError(QKDError, ValueError):
    """A plan costs more QPU time than its device allows; nothing was sent."""


class JobError(QKDError, RuntimeError):
    """A job cannot do what was asked of it; the message names the job and says what can be done."""


class UnknownJobError(JobError, LookupError):
    """The ledger holds no job of this id."""


class LedgerBusyError(JobError):
    """Another process holds the ledger; nothing is damaged, and trying again helps."""


class JobFailedError(JobError):
    """The service could not run the job, or stopped it because it ran too long."""


class JobCancelledError(JobError):
    """The job was cancelled and has no result."""


class JobTimeoutError(JobError, TimeoutError):
    """The time given for waiting is over; the job itself goes on."""


class DownloadError(QKDError, OSError):
    """Data cannot be downloaded; the message says where to put it by hand."""


class ClusterError(QKDError, ConnectionError):
    """A Dask cluster cannot be used: Dask is not installed, or its scheduler cannot be reached."""


class WorkerLostError(QKDError, RuntimeError):
    """A worker process died before it returned its results."""


class LowFidelityWarning(UserWarning):
    """A circuit is likely to lose its signal on the device that it is about to run on."""


class CalibrationError(QKDError, ValueError):
    """A device's outputs cannot be corrected: too few inputs, or too little signal is left."""


class MisfitWarning(UserWarning):
    """A correction that was fitted to measured values describes them badly, or belongs to another device."""
