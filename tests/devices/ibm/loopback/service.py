"""What the service knows and does, without any HTTP: accounts, backends, jobs and their execution."""

import json
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.resources import files
from itertools import count
from typing import Any

import jwt

from loopback.execution import execute

API_KEY = "loopback-api-key-0123456789abcdef"
INSTANCE = "crn:v1:bluemix:public:quantum-computing:us-east:a/account:instance::"
PLAN = "plan-open"
_SIGNING_KEY = "loopback-signing-key-of-32-bytes!!"


@dataclass
class StoredJob:
    """One accepted submission."""

    id: str
    body: dict[str, Any]
    created: str
    status: str = "Queued"
    reason: str | None = None
    reason_code: int | None = None
    polls: int = 0
    result: str | None = None
    estimate: float | None = 3.5

    @property
    def tags(self) -> list[str]:
        return list(self.body.get("tags", []))

    def describe(self) -> dict[str, Any]:
        """The service's JSON for this job, without its parameters."""
        state = {"status": self.status, "reason": self.reason, "reason_code": self.reason_code}
        return {
            "id": self.id,
            "backend": self.body["backend"],
            "program": {"id": self.body["program_id"]},
            "state": {key: value for key, value in state.items() if value is not None},
            "status": self.status,
            "created": self.created,
            "tags": self.tags,
            "estimated_running_time_seconds": self.estimate,
        }


@dataclass
class Service:
    """The whole state of the service.

    Attributes:
        polls_until_done: how often a job's status must be read before it has run.
        outcome: status, reason and reason code that a job ends with.
        jobs: accepted jobs by id, oldest first.
        raw_key_seen: whether a request ever carried the API key itself instead of an access token.
        snapshot: of the device that the backend is like.
        sessions: what was opened, batches included, by id; those that are closed take no jobs.
    """

    backend: str = "ibm_manila"
    polls_until_done: int = 0
    outcome: tuple[str, str | None, int | None] = ("Completed", None, None)
    jobs: dict[str, StoredJob] = field(default_factory=dict)
    raw_key_seen: bool = False
    snapshot: str = "manila"
    sessions: dict[str, dict[str, Any]] = field(default_factory=dict)
    access_tokens: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._numbers = count(1)
        self._lock = threading.Lock()

    @property
    def mock(self) -> str:
        """The backend's counterpart for rehearsals."""
        return self.backend.replace("ibm_", "mock_")

    @property
    def active(self) -> list[StoredJob]:
        """Jobs that were not cancelled: those that cost money."""
        return [job for job in self.jobs.values() if not job.status.startswith("Cancelled")]

    def issue_token(self) -> dict[str, Any]:
        """What IAM answers to a valid API key."""
        now = int(time.time())
        token = jwt.encode({"iat": now, "exp": now + 3600, "n": next(self._numbers)}, _SIGNING_KEY, algorithm="HS256")
        self.access_tokens.add(token)
        return {"access_token": token, "refresh_token": "none", "token_type": "Bearer", "expires_in": 3600}

    def accept(self, body: str) -> StoredJob:
        """Store a submission; it runs when its result is first read."""
        with self._lock:
            number = next(self._numbers)
            job = StoredJob(f"job-{number:04d}", json.loads(body), datetime.now(UTC).isoformat())
            self.jobs[job.id] = job
            return job

    def poll(self, job: StoredJob) -> StoredJob:
        """Advance a job by one status request."""
        if job.status in ("Queued", "Running"):
            job.polls += 1
            job.status = "Running"
            if job.polls > self.polls_until_done:
                job.status, job.reason, job.reason_code = self.outcome
        return job

    def cancel(self, job: StoredJob) -> bool:
        """Cancel a job; False when it has already ended."""
        if job.status not in ("Queued", "Running"):
            return False
        job.status = "Cancelled"
        return True

    def run(self, job: StoredJob) -> str:
        """Run the job without noise, once, and return the encoded result."""
        if job.result is None:
            job.result = execute(job.body["program_id"], job.body["params"])
        return job.result

    def open_session(self, body: str) -> dict[str, Any]:
        """A session or batch, by the mode that is asked for."""
        name = f"session-{len(self.sessions) + 1}"
        self.sessions[name] = {"id": name, "mode": json.loads(body)["mode"], "accepting_jobs": True, "state": "open"}
        return self.sessions[name]

    def close_session(self, name: str) -> None:
        self.sessions[name] |= {"accepting_jobs": False, "state": "closed"}

    def configuration(self, name: str) -> dict[str, Any]:
        return _file(self.snapshot, "conf") | {"backend_name": name}

    def properties(self, name: str) -> dict[str, Any]:
        return _file(self.snapshot, "props") | {"backend_name": name}


def _file(snapshot: str, kind: str) -> dict[str, Any]:
    folder = files(f"qiskit_ibm_runtime.fake_provider.backends.{snapshot}")
    loaded: dict[str, Any] = json.loads(folder.joinpath(f"{kind}_{snapshot}.json").read_text())
    return loaded
