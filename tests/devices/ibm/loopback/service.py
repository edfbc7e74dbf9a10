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
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit_aer.primitives import EstimatorV2, SamplerV2
from qiskit_ibm_runtime.utils import RuntimeDecoder, RuntimeEncoder

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
        }


@dataclass
class Service:
    """The whole state of the service.

    Attributes:
        polls_until_done: how often a job's status must be read before it has run.
        outcome: status, reason and reason code that a job ends with.
        jobs: accepted jobs by id, oldest first.
        raw_key_seen: whether a request ever carried the API key itself instead of an access token.
    """

    backend: str = "ibm_manila"
    polls_until_done: int = 0
    outcome: tuple[str, str | None, int | None] = ("Completed", None, None)
    jobs: dict[str, StoredJob] = field(default_factory=dict)
    raw_key_seen: bool = False
    access_tokens: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._numbers = count(1)
        self._lock = threading.Lock()

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
        """Run the job's PUBs exactly, without noise, and return the encoded result."""
        if job.result is None:
            params = json.loads(json.dumps(job.body["params"]), cls=RuntimeDecoder)
            run = _estimate if job.body["program_id"] == "estimator" else _sample
            job.result = json.dumps(run(params["pubs"]), cls=RuntimeEncoder)
        return job.result

    def configuration(self) -> dict[str, Any]:
        return _manila("conf_manila.json") | {"backend_name": self.backend}

    def properties(self) -> dict[str, Any]:
        return _manila("props_manila.json") | {"backend_name": self.backend}


def _estimate(pubs: list[Any]) -> Any:
    exact = [EstimatorPub.coerce((circuit, observables, values, 0)) for circuit, observables, values, *_ in pubs]
    return EstimatorV2().run(exact).result()


def _sample(pubs: list[Any]) -> Any:
    return SamplerV2(seed=7).run([SamplerPub.coerce(tuple(pub)) for pub in pubs]).result()


def _manila(name: str) -> dict[str, Any]:
    folder = files("qiskit_ibm_runtime.fake_provider.backends.manila")
    loaded: dict[str, Any] = json.loads(folder.joinpath(name).read_text())
    return loaded
