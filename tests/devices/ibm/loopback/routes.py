"""The REST API: which request does what."""

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from loopback.replies import Exchange, Reply
from loopback.service import API_KEY, INSTANCE, PLAN, Service

_USAGE = {"usage_limit_seconds": 600, "usage_consumed_seconds": 12, "usage_limit_reached": False}
_METRICS = {"usage": {"quantum_seconds": 3}, "timestamps": {}}


def answer(service: Service, exchange: Exchange) -> Reply:
    """Perform one request."""
    if exchange.headers.get("authorization", "").lower().startswith("apikey"):
        service.raw_key_seen = True
    if (exchange.method, exchange.path) == ("POST", "/identity/token"):
        return _identity(service, exchange)
    token = exchange.headers.get("authorization", "").removeprefix("Bearer ")
    if token not in service.access_tokens:
        return Reply(401, {"errors": [{"code": 1200, "message": "unauthorized"}]})
    for method, pattern, route in _ROUTES:
        match = re.fullmatch(pattern, exchange.path)
        if match and method == exchange.method:
            return route(service, exchange, *match.groups())
    return Reply(404, {"errors": [{"code": 1291, "message": f"no route {exchange.method} {exchange.path}"}]})


def _identity(service: Service, exchange: Exchange) -> Reply:
    key = parse_qs(exchange.body).get("apikey", [""])[0]
    if key != API_KEY:
        return Reply(400, {"errorCode": "BXNIM0415E", "errorMessage": "Provided API key could not be found."})
    return Reply(200, service.issue_token())


def _search(service: Service, exchange: Exchange) -> Reply:
    item = {
        "crn": INSTANCE,
        "service_plan_unique_id": PLAN,
        "name": "loopback",
        "doc": {"extensions": {"backends": [service.backend, service.mock]}},
        "tags": [],
    }
    return Reply(200, {"items": [item], "limit": 100})


def _plan(service: Service, exchange: Exchange) -> Reply:
    return Reply(
        200,
        {"overview_ui": {"en": {"display_name": "Open"}}, "metadata": {"pricing": {"type": "free"}}},
    )


def _backends(service: Service, exchange: Exchange) -> Reply:
    device = {"name": service.backend, "status": {"name": "online"}, "qubits": 5, "queue_length": 0}
    mock = {**device, "name": service.mock, "class": "mock"}
    return Reply(200, {"devices": [device, mock] if "include_mocks" in exchange.query else [device]})


def _configuration(service: Service, exchange: Exchange, name: str) -> Reply:
    return Reply(200, service.configuration(name))


def _properties(service: Service, exchange: Exchange, name: str) -> Reply:
    return Reply(200, service.properties(name))


def _status(service: Service, exchange: Exchange, name: str) -> Reply:
    return Reply(200, {"state": True, "status": "active", "length_queue": 0, "backend_version": "1.0.0"})


def _usage(service: Service, exchange: Exchange) -> Reply:
    return Reply(200, _USAGE)


def _submit(service: Service, exchange: Exchange) -> Reply:
    session = json.loads(exchange.body).get("session_id")
    if session is not None and not service.sessions[session]["accepting_jobs"]:
        return Reply(400, {"errors": [{"code": 1217, "message": "Session has been closed"}]})
    job = service.accept(exchange.body)
    return Reply(200, {"id": job.id, "backend": job.body["backend"]})


def _jobs(service: Service, exchange: Exchange) -> Reply:
    wanted = set(exchange.query.get("tags", []))
    found = [job.describe() for job in service.jobs.values() if wanted <= set(job.tags)]
    if exchange.query.get("sort") != ["ASC"]:
        found.reverse()
    start = int(exchange.query.get("offset", ["0"])[0])
    limit = int(exchange.query.get("limit", ["200"])[0])
    return Reply(200, {"jobs": found[start : start + limit], "count": len(found), "limit": limit, "offset": start})


def _on_job(route: Callable[[Service, Any], Reply]) -> Callable[..., Reply]:
    def with_job(service: Service, exchange: Exchange, job_id: str) -> Reply:
        if job_id not in service.jobs:
            return Reply(404, {"errors": [{"code": 1291, "message": f"Job not found: {job_id}"}]})
        return route(service, service.jobs[job_id])

    return with_job


def _results(service: Service, job: Any) -> Reply:
    if job.status == "Completed":
        return Reply(200, service.run(job))
    return Reply(200, job.reason or "")


def _cancel(service: Service, job: Any) -> Reply:
    if service.cancel(job):
        return Reply(204)
    return Reply(409, {"errors": [{"code": 1292, "message": "job is not running"}]})


def _close_session(service: Service, exchange: Exchange, name: str) -> Reply:
    service.close_session(name)
    return Reply(204)


_Route = tuple[str, str, Callable[..., Reply]]
_ROUTES: list[_Route] = [
    ("POST", "/v3/resources/search", _search),
    ("GET", f"/{PLAN}", _plan),
    ("GET", "/backends", _backends),
    ("GET", "/backends/([^/]+)/configuration", _configuration),
    ("GET", "/backends/([^/]+)/properties", _properties),
    ("GET", "/backends/([^/]+)/status", _status),
    ("GET", "/instances/usage", _usage),
    ("POST", "/jobs", _submit),
    ("GET", "/jobs", _jobs),
    ("GET", "/jobs/([^/]+)", _on_job(lambda service, job: Reply(200, service.poll(job).describe()))),
    ("GET", "/jobs/([^/]+)/results", _on_job(_results)),
    ("GET", "/jobs/([^/]+)/metrics", _on_job(lambda service, job: Reply(200, _METRICS))),
    ("GET", "/jobs/([^/]+)/logs", _on_job(lambda service, job: Reply(200, ""))),
    ("POST", "/jobs/([^/]+)/cancel", _on_job(_cancel)),
    ("POST", "/sessions", lambda service, exchange: Reply(200, service.open_session(exchange.body))),
    ("GET", "/sessions/([^/]+)", lambda service, exchange, name: Reply(200, service.sessions[name])),
    ("PATCH", "/sessions/([^/]+)", _close_session),
    ("DELETE", "/sessions/([^/]+)/close", _close_session),
]
