"""What a row of the ledger must look like; whatever else stands there is refused before anything is built from it."""

import re
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from qkd_pl.bounded import parse_json
from qkd_pl.devices.ibm.service.job_status import Stage
from qkd_pl.errors import FileFormatError

MOST_JSON = 1 << 20  # bytes of a target or cost
MOST_PARTS = 10_000
MOST_SAMPLES = 10_000_000

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
    account: Short | None = None
    url: Short | None = None
    use_fractional_gates: bool = False
    job_tags: list[Short] = []
    max_qpu_seconds_total: Amount | None = None


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
    part_seconds: list[Amount] = []


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


def rows(database: sqlite3.Connection, key: str, value: Any) -> tuple[tuple, list[tuple]] | None:
    """The row of a job and those of its parts, as :func:`read_receipt` takes them; ``None`` if there is no such job."""
    head = database.execute(f"SELECT id, created, target, cost FROM jobs WHERE {key} = ?", (value,)).fetchone()
    query = (
        "SELECT job, part, tag, stage, service_id, message FROM parts"
        f" WHERE job = (SELECT id FROM jobs WHERE {key} = ?) ORDER BY part"
    )
    return None if head is None else (head, database.execute(query, (value,)).fetchall())


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


def check_arrays(arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse arrays that do not say which circuit belongs to which sample; a job without any has no samples.

    Raises:
        FileFormatError: says what is wrong.
    """
    if "n_samples" in arrays:
        n_samples = _number("n_samples", arrays, 1, MOST_SAMPLES)
        _indices("sample", arrays, n_samples)
        _finite("weight", arrays, arrays["sample"].shape)
    if "reference_sample" in arrays:
        n_samples = _number("n_samples", arrays, 1, MOST_SAMPLES)
        _indices("reference_sample", arrays, n_samples)
        _finite("reference_exact", arrays, (len(arrays["reference_sample"]), None))
        _number("reference_extra", arrays, 0, n_samples)
    if "exact_logits" in arrays:
        _finite("exact_logits", arrays, (None, None))
    if "labels" in arrays and (arrays["labels"].ndim != 1 or arrays["labels"].dtype.kind not in "iu"):
        raise FileFormatError("labels: must be whole numbers, one for each sample")


def _number(name: str, arrays: Mapping[str, np.ndarray], low: int, high: int) -> int:
    found = arrays.get(name)
    if found is None or found.shape != () or found.dtype.kind not in "iu" or not low <= int(found) <= high:
        raise FileFormatError(f"{name}: must be one whole number from {low} to {high:,}")
    return int(found)


def _indices(name: str, arrays: Mapping[str, np.ndarray], below: int) -> None:
    found = arrays.get(name)
    if found is None or found.ndim != 1 or found.dtype.kind not in "iu" or found.size == 0:
        raise FileFormatError(f"{name}: must be whole numbers, one for each circuit")
    if not 0 <= int(found.min()) <= int(found.max()) < below:
        raise FileFormatError(f"{name}: must be from 0 to {below - 1}")


def _finite(name: str, arrays: Mapping[str, np.ndarray], shape: tuple[int | None, ...]) -> None:
    found = arrays.get(name)
    fits = found is not None and len(found.shape) == len(shape)
    if found is None or not fits or any(w not in (None, h) for w, h in zip(shape, found.shape, strict=True)):
        raise FileFormatError(f"{name}: must have the shape {shape}, not {getattr(found, 'shape', None)}")
    if found.dtype.kind not in "fiu" or not np.isfinite(found).all():
        raise FileFormatError(f"{name}: must be finite numbers")


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
