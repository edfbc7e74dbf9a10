"""The client's connection, made safe: timeouts, no hidden retries, and no API key outside IAM.

qiskit-ibm-runtime 0.45 reads without a timeout, repeats a POST behind a proxy after the connection broke (two jobs),
and sends the API key itself to the service when IAM fails, after which the next call blocks for a minute.
"""

import re
from collections.abc import Iterable
from typing import Any

import requests
from ibm_cloud_sdk_core import ApiException
from qiskit_ibm_runtime.api.exceptions import RequestsApiError
from qiskit_ibm_runtime.exceptions import IBMNotAuthorizedError
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3 import Retry

from qkd_pl.devices.ibm.service import deadline
from qkd_pl.errors import BackendError, CredentialsError, QKDError, ServiceError
from qkd_pl.upstream.runtime import WatchedService

CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0
REPEATS = 2
_NETWORK = (requests.RequestException, ApiException, RequestsApiError)
_CLIENTS = (
    *("qiskit_ibm_runtime", "qiskit.providers"),
    *("requests", "urllib3", "ibm_cloud_sdk_core", "ibm_platform_services"),
)
_ACCESS_TOKEN = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*")
_HINT = "set the environment variable that the device's token_env names, or save a Qiskit account"


class SafeService(WatchedService):
    """The client's service, with connections that are safe before they are used."""

    def secure(self, session: requests.Session) -> None:
        """Once is enough, twice does no harm."""
        session.mount("https://", _PatientAdapter())
        if not isinstance(session.auth, _BearerAuth):
            session.auth = _BearerAuth(session.auth)


def translate(error: BaseException, what: str, secrets: Iterable[str] = ()) -> BaseException:
    """One of our errors for what the client raised, free of ``secrets`` and access tokens.

    Errors that are ours already, or that do not come from the service, are returned as they are.
    """
    if isinstance(error, QKDError):
        return error
    chain = list(_chain(error))
    if isinstance(error, (LookupError, TypeError, AttributeError)) and _raised_by_client(error):
        return ServiceError(f"{what}: the answer lacks what it should hold ({type(error).__name__}: {error})")
    if not any(type(each).__module__.startswith(_CLIENTS) for each in chain):
        return error
    # Qiskit's errors print themselves in quotes, once more for each time that they are wrapped.
    message = f"{what}: {_redact(str(getattr(error, 'message', None) or error), secrets)}"
    if any(isinstance(each, IBMNotAuthorizedError) for each in chain):
        return CredentialsError(f"{message}; {_HINT}")
    response = next((found for each in chain if (found := _response(each)) is not None), None)
    if response is None:
        return ServiceError(message) if any(isinstance(each, _NETWORK) for each in chain) else BackendError(message)
    if _refuses_key(response):
        return CredentialsError(f"{message}; {_HINT}")
    return ServiceError(message, response.status_code, _retry_after(response))


class _PatientAdapter(HTTPAdapter):
    """Bounds every wait, and repeats GETs only: whether a POST may be repeated, only its job's tag can tell."""

    def __init__(self) -> None:
        # ``other`` is what urllib3 counts errors behind a proxy as, whatever the method.
        super().__init__(
            max_retries=Retry(
                total=REPEATS,
                other=0,
                backoff_factor=0.2,
                status_forcelist=(500, 502, 503, 504),
                raise_on_status=False,
                respect_retry_after_header=False,
            )
        )

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        limit = deadline.current()
        if limit.passed:
            raise requests.ConnectionError("the time for this request is over; it was not sent")
        kwargs["timeout"] = (limit.cap(CONNECT_SECONDS), limit.cap(READ_SECONDS))
        return super().send(request, *args, **kwargs)


class _BearerAuth(AuthBase):
    """The client's authentication, without its fallback to the API key."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        manager = self._inner.tm
        manager.http_config = {**manager.http_config, "timeout": deadline.current().cap(READ_SECONDS)}
        # After a failure the token manager would wait a minute for a request that nobody makes any more.
        manager.request_time = 0
        try:
            token = manager.get_token()
        except (ApiException, requests.RequestException, ValueError, KeyError) as error:
            raise _token_error(error, manager.apikey) from None
        request.headers.update({"Service-CRN": self._inner.crn, "Authorization": f"Bearer {token}"})
        return request


def _token_error(error: Exception, key: str) -> QKDError:
    problem = translate(error, "no access token from IBM Cloud IAM", [key])
    if isinstance(problem, QKDError):
        return problem
    return ServiceError(f"no access token from IBM Cloud IAM: {type(error).__name__}")


def _chain(error: BaseException) -> Iterable[BaseException]:
    """``error`` and everything it was raised from or while handling, also where the client hides it."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _raised_by_client(error: BaseException) -> bool:
    """Whether the client itself stumbled, as it does over a well-formed answer with other contents."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith(_CLIENTS)


def _response(error: BaseException) -> requests.Response | None:
    found = getattr(error, "response", None)
    if found is None:
        found = getattr(error, "http_response", None)
    return found if isinstance(found, requests.Response) else None


def _refuses_key(response: requests.Response) -> bool:
    """IAM answers 400 to an API key that it does not know."""
    from_iam = (response.url or "").endswith("/identity/token")
    return response.status_code == 401 or (from_iam and response.status_code in (400, 403))


def _retry_after(response: requests.Response) -> float | None:
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isdigit() else None


def _redact(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, "***")
    return _ACCESS_TOKEN.sub("***", text)
