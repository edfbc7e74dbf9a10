"""What the client raises becomes an error of ours, without secrets; its connections are bounded."""

import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import requests
from loopback import API_KEY, Server, hang, respond
from qiskit_ibm_runtime.api.exceptions import RequestsApiError
from qiskit_ibm_runtime.exceptions import IBMInputValueError, IBMNotAuthorizedError, IBMRuntimeError

from qkd_pl.devices.ibm.access import Access
from qkd_pl.devices.ibm.service import connection
from qkd_pl.devices.ibm.service.backends import connect, open_backend
from qkd_pl.devices.ibm.service.connection import SafeService
from qkd_pl.devices.ibm.service.deadline import within
from qkd_pl.devices.ibm.service.failures import translate
from qkd_pl.errors import BackendError, CredentialsError, InvalidInputError, ServiceError

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJpYXQiOjF9.c2lnbmF0dXJl"


def raised(status: int, headers: dict[str, str] | None = None) -> Exception:
    """As the client raises it: wrapped, with the HTTP error only in its context."""
    response = requests.Response()
    response.status_code, response.url = status, "https://quantum.cloud.ibm.com/api/v1/jobs"
    response.headers.update(headers or {})
    try:
        try:
            raise requests.HTTPError("refused", response=response)
        except requests.HTTPError as error:
            raise RequestsApiError(f"{status} with {API_KEY} and {JWT}", status) from error
    except RequestsApiError as error:
        wrapped = IBMRuntimeError(f"Failed to run program: {error}")
        wrapped.__context__, wrapped.__suppress_context__ = error, True
        return wrapped


def test_finds_the_status_where_the_client_hides_it() -> None:
    found = translate(raised(429, {"Retry-After": "17"}), "sending", [API_KEY])
    assert isinstance(found, ServiceError)
    assert (found.status, found.retry_after, found.transient) == (429, 17.0, True)


@pytest.mark.parametrize(
    "told", ["", "soon", "²", "-5", "1e3", "nan", "9" * 400, "86401", "Mon, 01 Jan 1990 00:00:00 GMT", "1,5"]
)
def test_a_nonsensical_wait_is_ignored(told: str) -> None:
    found = translate(raised(429, {"Retry-After": told}), "sending")
    assert isinstance(found, ServiceError)
    assert (found.status, found.retry_after) == (429, None)


def test_a_wait_may_be_told_as_a_date() -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    found = translate(raised(503, {"Retry-After": until}), "sending")
    assert isinstance(found, ServiceError)
    assert found.retry_after == pytest.approx(90, abs=5)


def test_secrets_are_taken_out() -> None:
    text = str(translate(raised(403), "sending", [API_KEY]))
    assert text == "sending: Failed to run program: '403 with *** and ***'"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (raised(401), CredentialsError),
        (IBMNotAuthorizedError("no"), CredentialsError),
        (raised(500), ServiceError),
        (requests.ConnectionError("reset"), ServiceError),
        (IBMInputValueError("the circuit does not fit"), BackendError),
    ],
)
def test_kinds(error: Exception, kind: type[Exception]) -> None:
    assert type(translate(error, "sending")) is kind


@pytest.mark.parametrize("error", [InvalidInputError("ours"), KeyError("a bug"), ZeroDivisionError()])
def test_other_errors_are_left_alone(error: Exception) -> None:
    assert translate(error, "sending") is error


@pytest.fixture
def service(direct: Server) -> SafeService:
    opened: SafeService = connect(Access(token_env="QISKIT_IBM_TOKEN"))
    return opened


def test_gets_are_repeated_and_posts_are_not(service: SafeService, direct: Server) -> None:
    session = service._active_api_client._session
    direct.break_on("GET", "/instances/usage", respond(503), times=connection.REPEATS)
    assert session.get("/instances/usage").status_code == 200
    direct.break_on("POST", "/jobs", respond(503))
    with pytest.raises(RequestsApiError):
        session.post("/jobs", data="{}")
    assert direct.count("POST /jobs") == 1


def test_nothing_is_sent_when_time_is_over(service: SafeService, direct: Server) -> None:
    """A call that was given up must not submit a job later on."""
    session = service._active_api_client._session
    direct.break_on("GET", "/instances/usage", hang())
    outcome: list[Exception] = []

    def slow() -> None:
        for request in (lambda: session.get("/instances/usage"), lambda: session.post("/jobs", data="{}")):
            try:
                request()
            except RequestsApiError as error:
                outcome.append(error)

    with pytest.raises(ServiceError, match="no answer"):
        within(0.3, slow, "submitting")
    for _ in range(100):
        if len(outcome) == 2:
            break
        time.sleep(0.05)
    assert len(outcome) == 2
    assert direct.count("POST /jobs") == 0


def test_hardening_twice_does_no_harm(service: SafeService, direct: Server) -> None:
    session = service._active_api_client._session
    before = session.auth
    service.secure_all()
    assert session.auth is before
    assert session.get("/instances/usage").status_code == 200


@pytest.mark.parametrize("name", ["ibm_manila", "least_busy"])
@pytest.mark.parametrize("status", [503, 500, 403])
def test_an_outage_is_not_told_as_a_backend_that_is_missing(name: str, status: int, direct: Server) -> None:
    """The client asks every instance for its backends, and leaves out one that fails."""
    direct.break_on("GET", "/backends", respond(status))
    with pytest.raises(ServiceError, match=str(status)) as refused:
        open_backend(name, 2, Access(token_env="QISKIT_IBM_TOKEN"))
    assert refused.value.status == status


def test_a_backend_that_is_missing_is_told_as_that(direct: Server) -> None:
    with pytest.raises(BackendError, match="not available to this account") as refused:
        open_backend("ibm_nowhere", 2, Access(token_env="QISKIT_IBM_TOKEN"))
    assert not isinstance(refused.value, ServiceError)
