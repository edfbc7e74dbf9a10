"""qiskit-ibm-runtime: both generations of its primitives, its connections, and its answers before it interprets them.

The old generation, ``EstimatorV2`` and ``SamplerV2``, sends PUBs that the service prepares and evaluates. The new one
(client 0.50 and later) does both in this process, and sends a quantum program to the service's Executor.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from functools import cache, reduce
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, Literal

import qiskit_ibm_runtime
import requests
from qiskit.providers.exceptions import QiskitBackendNotFoundError
from qiskit_ibm_runtime import QiskitRuntimeService, RuntimeDecoder

from qkd_pl.checks import check_choice
from qkd_pl.errors import BackendError, InvalidInputError, ServiceError

Primitive = Literal["estimator", "sampler"]
_PAGE = 200
_DISCOVERY_MODULES = (
    "qiskit_ibm_runtime.accounts.account",
    "qiskit_ibm_runtime.accounts.utils",
    "qiskit_ibm_runtime.utils.utils",
)
_DISCOVERY_CLIENTS = ("GlobalSearchV2", "GlobalCatalogV1", "ResourceControllerV2")
_discovering = threading.RLock()


class Generation(StrEnum):
    """Of the client's primitives."""

    V2 = "v2"
    EXECUTOR = "executor"


_CLASSES = {
    (Generation.V2, "estimator"): ("qiskit_ibm_runtime", "EstimatorV2", "options"),
    (Generation.V2, "sampler"): ("qiskit_ibm_runtime", "SamplerV2", "options"),
    (Generation.EXECUTOR, "estimator"): ("qiskit_ibm_runtime.executor_estimator", "Estimator", "options_models"),
    (Generation.EXECUTOR, "sampler"): ("qiskit_ibm_runtime.executor_sampler", "Sampler", "options_models"),
}


@cache
def installed() -> tuple[Generation, ...]:
    """The generations that the installed client has, the one to prefer first: the old one is deprecated beside the new.

    Example:
        >>> len(installed()) > 0
        True
    """
    executor = find_spec("qiskit_ibm_runtime.executor_estimator") is not None
    v2 = hasattr(qiskit_ibm_runtime, "EstimatorV2")
    found = [(executor, Generation.EXECUTOR), (v2, Generation.V2)]
    return tuple(generation for there, generation in found if there)


def generation(name: str | None = None) -> Generation:
    """The generation of this name; the one to prefer for ``None``.

    Raises:
        InvalidInputError: there is no such generation, or the installed client does not have it.
    """
    if name is None:
        return installed()[0]
    check_choice("primitives", name, map(str, Generation))
    if name not in installed():
        raise InvalidInputError(
            f"primitives={name!r}: qiskit-ibm-runtime {version('qiskit-ibm-runtime')} has only "
            f"{', '.join(map(repr, map(str, installed())))}"
        )
    return Generation(name)


def primitive_type(primitive: Primitive, of: Generation) -> type:
    """The client's class; ``(mode=…, options=…)`` makes one and ``run(pubs)`` sends a job."""
    module, name, _ = _CLASSES[of, primitive]
    found: type = getattr(import_module(module), name)
    return found


def options_type(primitive: Primitive, of: Generation) -> type:
    """The client's class of options, which validates its keyword arguments."""
    module = import_module(f"qiskit_ibm_runtime.{_CLASSES[of, primitive][2]}")
    found: type = getattr(module, f"{primitive.capitalize()}Options")
    return found


def can_rehearse() -> bool:
    """Whether ``run(pubs, dry_run=True)`` exists: the service estimates the usage of a job without running it."""
    return Generation.EXECUTOR in installed()


def decode_result(text: str) -> Any:
    """The client's result object for the service's text, of a job of either generation.

    Raises:
        BackendError: the installed client is too old for it.
        Exception: whatever the client raises over a text that is damaged.
    """
    document = json.loads(text)
    if not (isinstance(document, dict) and "schema_version" in document):
        return json.loads(text, cls=RuntimeDecoder)
    if Generation.EXECUTOR not in installed():
        raise BackendError(
            "the result is that of an Executor job, which a newer client sent; reading it needs qiskit-ibm-runtime "
            f"0.50 or later, installed is {version('qiskit-ibm-runtime')}"
        )
    decoders = import_module("qiskit_ibm_runtime.decoders.defaults").DEFAULT_DECODERS["executor"]
    return reduce(lambda found, each: each.decode(found) if each.is_applicable(found) else found, decoders, text)


class Connections:
    """The client's connections to the service, one for each instance, and its plain requests about jobs.

    What the client makes of the answers costs further requests and fails over a single strange job in a list, hence
    the answers as they come.
    """

    def __init__(self, service: QiskitRuntimeService, instance: str | None = None) -> None:
        self._service, self._instance = service, instance

    def __iter__(self) -> Iterator[Any]:
        service = self._service
        return iter({id(each): each for each in (service._active_api_client, *service._api_clients.values())}.values())

    def jobs(self, tag: str, most: int) -> list[Any]:
        """What the service lists for a tag, oldest first, at most so many; it may hold anything."""
        found: list[Any] = []
        while len(found) < most:
            answer = self._client.jobs_get(limit=_PAGE, skip=len(found), job_tags=[tag], descending=False)
            page = answer.get("jobs") if isinstance(answer, dict) else None
            if not isinstance(page, list):
                raise ServiceError(f"the answer holds no list of jobs: {answer!r:.100}")
            found += page
            if len(page) < _PAGE:
                break
        return found[:most]

    def job(self, service_id: str) -> Mapping[str, Any]:
        """What the service knows about a job, without its circuits."""
        answer = self._client.job_get(service_id)
        if not isinstance(answer, dict):
            raise ServiceError(f"the answer about job {service_id} describes no job: {answer!r:.100}")
        return answer

    def result(self, service_id: str) -> str:
        """The text of a job's result, or of its error."""
        text: str = self._client.job_results(service_id)
        return text

    def metrics(self, service_id: str) -> Mapping[str, Any]:
        """What the service measured of a job, such as its usage."""
        answer = self._client.job_metadata(service_id)
        if not isinstance(answer, dict):
            raise ServiceError(f"the metrics of job {service_id} are none: {answer!r:.100}")
        return answer

    def cancel(self, service_id: str) -> None:
        self._client.job_cancel(service_id)

    @property
    def _client(self) -> Any:
        if self._instance is not None:
            self._service._get_or_create_cloud_client(self._instance)
        return self._service._active_api_client


@contextmanager
def discovery(authenticator: Callable[..., Any], session: Callable[[], requests.Session]) -> Iterator[None]:
    """Let the client look for the account's instances with these, not with its own, while it is being made.

    It asks IBM Cloud's search, catalogue and resource controller through the SDK, whose clients it names in modules of
    its own (which ones depends on the version). Others who make a service meanwhile get the same, each with their key.
    """

    def replaced(kind: type) -> Callable[..., Any]:
        def make(*args: Any, **kwargs: Any) -> Any:
            client = kind(*args, **kwargs)
            client.set_http_client(session())
            client.set_http_client = lambda _other: None  # the client would put its own session back
            return client

        return make

    places = [
        (module, name)
        for module in map(import_module, filter(find_spec, _DISCOVERY_MODULES))
        for name in ("IAMAuthenticator", *_DISCOVERY_CLIENTS)
        if hasattr(module, name)
    ]
    with _discovering:
        own = [getattr(module, name) for module, name in places]
        try:
            for (module, name), kind in zip(places, own, strict=True):
                setattr(module, name, authenticator if name == "IAMAuthenticator" else replaced(kind))
            yield
        finally:
            for (module, name), kind in zip(places, own, strict=True):
                setattr(module, name, kind)


class WatchedService(QiskitRuntimeService):
    """The client's service, whose subclass sees the HTTP session of every connection before it is used.

    Without an instance, the client's constructor asks every instance of the account for its backends.
    """

    def secure(self, session: requests.Session) -> None:
        """Called with the session of every connection that is opened after the first."""

    def secure_all(self) -> None:
        """Call :meth:`secure` with all sessions there are."""
        for client in Connections(self):
            self.secure(client._session)

    def backends(self, *arguments: Any, **settings: Any) -> list[Any]:
        """As the client's, but an outage is told as that: it takes an instance that fails for one without backends."""
        try:
            found: list[Any] = super().backends(*arguments, **settings)
        except QiskitBackendNotFoundError:
            self._let_failures_through()
            raise
        if not found:
            self._let_failures_through()
        return found

    def _let_failures_through(self) -> None:
        for client in Connections(self):
            client.list_backends()

    def _create_new_cloud_api_client(self, instance: str) -> Any:
        client = super()._create_new_cloud_api_client(instance)
        self.secure(client._session)
        return client
