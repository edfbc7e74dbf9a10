"""What went wrong between us and the service, in errors of ours: which part failed, and nothing secret."""

import re
import socket
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import requests
import urllib3.exceptions
from ibm_cloud_sdk_core import ApiException
from qiskit_ibm_runtime.api.exceptions import RequestsApiError
from qiskit_ibm_runtime.exceptions import IBMNotAuthorizedError

from qkd_pl.errors import BackendError, CredentialsError, QKDError, ServiceError

#: A service that asks for a longer wait is not believed.
LONGEST_WAIT = 86400.0
_LENGTH = 1000  # characters of a message
_NETWORK = (requests.RequestException, ApiException, RequestsApiError, urllib3.exceptions.HTTPError)
_CLIENTS = (
    *("qiskit_ibm_runtime", "qiskit.providers"),
    *("requests", "urllib3", "ibm_cloud_sdk_core", "ibm_platform_services"),
)
# What they raise themselves, over brackets within brackets, numbers of thousands of digits, bytes that are no text.
_READERS = ("json", "simplejson", "codecs")
# The client says "check that you are using a valid API token" for whatever fails while it looks for instances.
_GUESSES = "qiskit_ibm_runtime.accounts"
_ACCESS_TOKEN = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]*")
_HINT = "set the environment variable that the device's token_env names, or save a Qiskit account"
_CAUSES: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...] = (
    ((requests.exceptions.ProxyError, urllib3.exceptions.ProxyError), "the proxy refuses or cannot be reached"),
    ((requests.exceptions.SSLError, urllib3.exceptions.SSLError), "TLS fails"),
    ((urllib3.exceptions.NameResolutionError, socket.gaierror), "DNS does not know the host"),
    ((requests.exceptions.ConnectTimeout, urllib3.exceptions.ConnectTimeoutError), "the host does not answer"),
    ((requests.exceptions.ReadTimeout, urllib3.exceptions.ReadTimeoutError), "no answer in time"),
    ((requests.exceptions.ContentDecodingError, requests.exceptions.ChunkedEncodingError), "the answer is damaged"),
)


def translate(error: BaseException, what: str, secrets: Iterable[str] = ()) -> BaseException:
    """One of our errors for what the client raised, free of ``secrets`` and access tokens, of a sensible length.

    Errors that are ours already, or that do not come from the service, are returned as they are.
    """
    if isinstance(error, QKDError):
        return error
    chain = list(_chain(error))
    ours = next((each for each in chain if isinstance(each, QKDError)), None)
    if ours is not None and type(error).__module__.startswith(_GUESSES):
        return ours
    if isinstance(error, (ValueError, RecursionError)) and _raised_in(error, _READERS):
        return ServiceError(f"{what}: the answer is not readable ({type(error).__name__}: {error!s:.200})")
    if isinstance(error, (LookupError, TypeError, AttributeError)) and _raised_in(error, _CLIENTS):
        return ServiceError(f"{what}: the answer lacks what it should hold ({type(error).__name__}: {error!s:.200})")
    if not any(type(each).__module__.startswith(_CLIENTS) for each in chain):
        return error
    message = f"{what}: {_cause(chain)}{_text(error, chain, secrets)}"
    if any(isinstance(each, IBMNotAuthorizedError) for each in chain):
        return CredentialsError(f"{message}; {_HINT}")
    response = next((found for each in chain if (found := _response(each)) is not None), None)
    if response is None:
        return ServiceError(message) if any(isinstance(each, _NETWORK) for each in chain) else BackendError(message)
    if _refuses_key(response):
        return CredentialsError(f"{message}; {_HINT}")
    return ServiceError(message, response.status_code, retry_after(response))


def retry_after(response: requests.Response) -> float | None:
    """Seconds that the service asks to wait; ``None`` if it does not, or asks for something nonsensical."""
    text = response.headers.get("Retry-After", "")
    if re.fullmatch(r"[0-9]{1,9}", text):
        seconds = float(text)
    else:
        try:
            until = parsedate_to_datetime(text)
            seconds = (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError, OverflowError, IndexError):
            return None
    return seconds if 0 <= seconds <= LONGEST_WAIT else None


def redacted(text: str, secrets: Iterable[str]) -> str:
    """Without secrets and access tokens, cut at a sensible length."""
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    text = _ACCESS_TOKEN.sub("***", text)
    return text if len(text) <= _LENGTH else f"{text[: _LENGTH - 1]}…"


def _cause(chain: list[BaseException]) -> str:
    # requests and urllib3 keep what they wrap as an argument or as a reason.
    everything = list(chain)
    for each in everything:
        held = (*each.args, getattr(each, "reason", None))
        everything += [one for one in held if isinstance(one, BaseException) and one not in everything]
    for kinds, words in _CAUSES:
        if any(isinstance(each, kinds) for each in everything):
            return f"{words}: "
    return ""


def _text(error: BaseException, chain: list[BaseException], secrets: Iterable[str]) -> str:
    told = error
    if type(error).__module__.startswith(_GUESSES):
        told = next((each for each in chain if isinstance(each, _NETWORK)), error)
    # Qiskit's errors print themselves in quotes, once more for each time that they are wrapped.
    return redacted(str(getattr(told, "message", None) or told), secrets)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """``error`` and everything it was raised from or while handling, also where the client hides it."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _raised_in(error: BaseException, modules: tuple[str, ...]) -> bool:
    """Whether one of these stumbled, as the client does over a well-formed answer with other contents."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith(modules)


def _response(error: BaseException) -> requests.Response | None:
    found = getattr(error, "response", None)
    if found is None:
        found = getattr(error, "http_response", None)
    return found if isinstance(found, requests.Response) else None


def _refuses_key(response: requests.Response) -> bool:
    """IAM answers 400 to an API key that it does not know."""
    from_iam = (response.url or "").endswith("/identity/token")
    return response.status_code == 401 or (from_iam and response.status_code in (400, 403))
