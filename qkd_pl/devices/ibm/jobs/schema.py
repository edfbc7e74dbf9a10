"""What a row of the ledger must look like; whatever else stands there is refused before anything is built from it."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from qkd_pl.bounded import parse_json
from qkd_pl.devices.ibm.service.job_status import Stage
from qkd_pl.errors import FileFormatError

MOST_JSON = 1 << 20  # bytes of a target or cost
MOST_PARTS = 10_000

Text = Annotated[str, StringConstraints(max_length=10_000)]
Short = Annotated[str, StringConstraints(max_length=500)]
Count = Annotated[int, Field(ge=0, lt=2**53)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Closed(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class _Device(_Closed):
    model_config = ConfigDict(strict=True, extra="allow")
    name: Short


class _Target(_Closed):
    model_config = ConfigDict(strict=True, extra="allow")
    device: _Device
    backend: Short
    remote: bool
    instance: Short | None = None
    token_env: Short | None = None


class _Cost(_Closed):
    """Those that are there are numbers; versions may add others."""

    model_config = ConfigDict(strict=True, extra="allow")
    jobs: Count = 0
    circuits: Count = 0
    shots: Count = 0
    qpu_seconds: Amount = 0.0
    depth: Count = 0
    two_qubit_gates: Count = 0
    estimated_fidelity: Amount = 0.0
    layouts: list[list[Count]] = []


class _Head(_Closed):
    id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
    created: Short
    target: _Target
    cost: _Cost


class _Part(_Closed):
    job: Short
    index: Count
    tag: Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]{1,100}$")]
    stage: Stage
    service_id: Text | None
    message: Text | None


_HEAD, _PART = TypeAdapter(_Head), TypeAdapter(_Part)


@dataclass(frozen=True)
class Part:
    """One service job of a receipt.

    Attributes:
        tag: unique; the service finds the job by it, whatever happened to the answer.
        service_id: the service's own id, once known.
        message: why it failed.
    """

    job: str
    index: int
    tag: str
    stage: Stage
    service_id: str | None
    message: str | None


@dataclass(frozen=True)
class Receipt:
    """Everything about a job but its payloads and arrays.

    Attributes:
        created: ISO 8601, UTC.
        target: JSON-able; the device's entry and the backend it was resolved to.
        cost: JSON-able; what the plan said.
    """

    id: str
    created: str
    target: dict[str, Any]
    cost: dict[str, Any]
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Damaged:
    """A receipt that cannot be read."""

    id: str
    reason: str


def read_receipt(head: Sequence[Any], parts: Sequence[Sequence[Any]]) -> Receipt:
    """The receipt in a row of jobs and the rows of its parts, whose texts may be bytes of any kind.

    Raises:
        FileFormatError: says what is wrong.
    """
    try:
        job, created, target, cost = map(_decoded, head)
        values = {
            "id": job,
            "created": created,
            "target": parse_json(target, MOST_JSON, "target"),
            "cost": parse_json(cost, MOST_JSON, "cost"),
        }
        _HEAD.validate_python(values)
        if datetime.fromisoformat(created).tzinfo is None:
            raise FileFormatError(f"created={created!r:.50}: has no time zone")
        if not 1 <= len(parts) <= MOST_PARTS:
            raise FileFormatError(f"{len(parts):,} parts; allowed are 1 to {MOST_PARTS:,}")
        return Receipt(**values, parts=tuple(_read_part(index, row) for index, row in enumerate(parts)))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise FileFormatError(f"{where:.200}: {first['msg']:.200}") from None
    except FileFormatError:
        raise
    except (ValueError, TypeError, OverflowError) as error:
        raise FileFormatError(f"{error!s:.200}") from None


def _read_part(expected: int, row: Sequence[Any]) -> Part:
    job, index, tag, stage, service_id, message = map(_decoded, row)
    if index != expected:
        raise FileFormatError(f"part {expected} is missing")
    if stage not in list(Stage):
        raise FileFormatError(f"stage {stage!r:.50}: allowed are {', '.join(Stage)}")
    part = Part(job, index, tag, Stage(stage), service_id, message)
    _PART.validate_python(asdict(part))
    return part


def _decoded(value: Any) -> Any:
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise FileFormatError(f"a text that is not UTF-8: {re.sub(rb'[^ -~]', b'?', value[:40]).decode()!r}") from None
