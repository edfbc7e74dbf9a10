"""All exceptions that qkd_pl raises on purpose, under one base class."""


class QKDError(Exception):
    """Base class of every error raised by qkd_pl."""


class InvalidInputError(QKDError, ValueError):
    """An argument has the wrong shape, type or value; the message names it and what is allowed."""


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


class WorkerLostError(QKDError, RuntimeError):
    """A worker process died before it returned its results."""
