"""How jobs are sent: the keys of an entry that choose a machine, its gates, tags and the mode of execution."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from qkd_pl.devices.ibm.keys import Keys, Name

#: Tags that jobs are found by begin like this; nobody else's may.
OUR_TAG = "qkd-pl-"


def _tag(tag: str) -> str:
    if tag.startswith(OUR_TAG):
        raise ValueError(f"must not begin with {OUR_TAG}, by which jobs are found again")
    return tag


Tag = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,80}$"), AfterValidator(_tag)]


class LeastBusy(Keys):
    """Which machines ``backend: least_busy`` chooses from, besides being in operation and large enough.

    Attributes:
        min_num_qubits: at least so many qubits.
        among: names of machines.
        processor: family of the processor, such as ``Heron``.
    """

    min_num_qubits: int | None = Field(default=None, gt=0)
    among: list[Name] | None = Field(default=None, min_length=1)
    processor: Name | None = None

    def admits(self, backend: Any) -> bool:
        """Whether a backend of the service is one of them."""
        family = (getattr(backend, "processor_type", None) or {}).get("family", "")
        fits = self.processor is None or str(family).lower() == self.processor.lower()
        return fits and (self.among is None or backend.name in self.among)


class Sending(Keys):
    """How jobs are sent.

    Attributes:
        backend: name, where there is one.
        least_busy: see :class:`LeastBusy`.
        use_fractional_gates: whether to compile for and open the backend with RX and RZZ of any angle.
        job_tags: further tags of every job.
        execution_mode: ``"job"``, or ``"batch"`` for all jobs of one device in one batch.
    """

    backend: Any = None
    least_busy: LeastBusy | None = None
    use_fractional_gates: bool = False
    job_tags: list[Tag] = Field(default=[], max_length=20)
    execution_mode: Literal["job", "batch"] = "job"

    @model_validator(mode="before")
    @classmethod
    def _refuse_sessions(cls, settings: Any) -> Any:
        if isinstance(settings, dict) and settings.get("execution_mode") == "session":
            raise ValueError(
                "execution_mode: 'session' is billed by the clock, pauses between jobs included, which no price made "
                "before it can tell, and the Open Plan has none; allowed: 'job', 'batch'"
            )
        return settings

    @model_validator(mode="after")
    def _check_choice(self) -> "Sending":
        if self.least_busy is not None and self.backend != "least_busy":
            raise ValueError("least_busy: says what backend: least_busy chooses from; another backend is given")
        return self

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Sending":
        """As :meth:`Access.of`."""
        return cls.made({key: settings[key] for key in cls.model_fields if key in settings})


#: Each job by itself.
PLAIN = Sending()
