"""The service as several calls, or several jobs of one device, share it."""

from dataclasses import dataclass

from qkd_pl.devices.ibm.service.remote import Remote


@dataclass(eq=False)
class Connection:
    """Empty until the first call needs it.

    Attributes:
        remote: the service.
        one_batch: whether all jobs that are sent by it belong to one batch.
    """

    remote: Remote | None = None
    one_batch: bool = False

    def close(self) -> None:
        """End its batch, if there is one."""
        if self.remote is not None:
            self.remote.close()
