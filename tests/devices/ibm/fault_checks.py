"""What the fault matrix shares."""

import time
import traceback
from collections.abc import Mapping
from typing import Any

import numpy as np
from loopback import API_KEY, Server
from plans import LOGITS, TOLERANCE

from qkd_pl.devices.ibm.jobs.jobs import Job
from qkd_pl.errors import QKDError

DEADLINE = 8.0  # also on a busy machine enough for a job that is repeated once
ALWAYS = 1_000_000


class Caught:
    """An expected error, its text and how long it took."""

    def __init__(self, *expected: type[QKDError]) -> None:
        self._expected = expected

    def __enter__(self) -> "Caught":
        self._start = time.monotonic()
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        assert isinstance(error, self._expected), f"expected {self._expected}, got {error!r}"
        self.error: Any = error
        self.seconds = time.monotonic() - self._start
        assert self.seconds < DEADLINE + 3, "it hung past its deadline"
        text = "".join(traceback.format_exception(error))
        assert API_KEY not in text
        assert "eyJ" not in text
        return True


def where(target: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(key, target[key]) for key in ("backend", "instance", "token_env")]


def assert_one_good_job(job: Job, server: Server) -> None:
    """Exactly one job that was not cancelled, and it gives the right numbers."""
    np.testing.assert_allclose(job.result(timeout=30), LOGITS, atol=TOLERANCE)
    assert len(server.service.active) == 1
    assert job.receipt.parts[0].service_id == server.service.active[0].id
