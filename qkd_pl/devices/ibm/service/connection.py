"""The client's connections, made safe: bounded waits and answers, no hidden repetitions, no redirect to elsewhere.

qiskit-ibm-runtime reads without a timeout, repeats a POST behind a proxy after the connection broke (two jobs), and
unpacks an answer of any size.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from qkd_pl.devices.ibm.addresses import check_service
from qkd_pl.devices.ibm.service import deadline
from qkd_pl.devices.ibm.service.tokens import BearerAuth, SafeAuthenticator
from qkd_pl.upstream.http import leads_away, read_within
from qkd_pl.upstream.runtime import WatchedService, discovery

CONNECT_SECONDS = 10.0
READ_SECONDS = 60.0
REPEATS = 2


class PatientAdapter(HTTPAdapter):
    """Bounds every wait and answer, sends to IBM Cloud alone, and repeats GETs only.

    Whether a POST may be repeated, its job's tag can tell.
    """

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
        check_service(request.url or "")
        limit = deadline.current()
        if limit.passed:
            raise requests.ConnectionError("the time for this request is over; it was not sent")
        kwargs["timeout"] = (limit.cap(CONNECT_SECONDS), limit.cap(READ_SECONDS))
        response = super().send(request, *args, **kwargs)
        if (elsewhere := leads_away(response)) is not None:
            response.close()
            raise requests.ConnectionError(f"the service redirects to {elsewhere}, which is not followed")
        read_within(response, deadline.most_bytes())
        return response


def secure(session: requests.Session) -> requests.Session:
    """Once is enough, twice does no harm."""
    adapter = PatientAdapter()
    session.mount("https://", adapter)
    session.mount("http://", adapter)  # which refuses it
    return session


class SafeService(WatchedService):
    """The client's service, with connections that are safe before they are used."""

    def __init__(self, *args: Any, proxies: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        # The client itself looks for the account's instances without the proxies that it is given.
        urls = dict(proxies["urls"]) if proxies else {}

        def session() -> requests.Session:
            made = secure(requests.Session())
            made.proxies = urls
            return made

        with discovery(partial(SafeAuthenticator, proxies=urls or None), session):
            super().__init__(*args, proxies=proxies, **kwargs)
        self.secure_all()

    def secure(self, session: requests.Session) -> None:
        secure(session)
        if not isinstance(session.auth, BearerAuth):
            session.auth = BearerAuth(session.auth)
