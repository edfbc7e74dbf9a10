"""The API key goes to IAM only: how access tokens are fetched, for the service and for the account's list of instances.

qiskit-ibm-runtime sends the API key itself to the service when IAM fails, after which the next call blocks for a
minute; and ``requests`` follows a redirect of the token request with the key in its body.
"""

import re
from typing import Any

import requests
from ibm_cloud_sdk_core import ApiException, IAMTokenManager
from ibm_cloud_sdk_core.authenticators import IAMAuthenticator
from requests.auth import AuthBase

from qkd_pl.devices.ibm.addresses import check_iam, check_service
from qkd_pl.devices.ibm.service import deadline
from qkd_pl.devices.ibm.service.failures import translate
from qkd_pl.errors import QKDError, ServiceError

SECONDS = 60.0
_NO_TOKEN = "no access token from IBM Cloud IAM"
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{1,20000}")


class SafeTokens(IAMTokenManager):
    """Access tokens for an API key; the key is sent over TLS to IAM alone, and follows no redirect."""

    def get_token(self) -> str:
        """A token that fits into a header.

        Raises:
            ServiceError: IAM's answer holds none.
        """
        try:
            token = super().get_token()
        except (QKDError, ApiException, requests.RequestException):
            raise
        except Exception as error:  # the SDK stumbles over an answer in as many ways as there are answers
            raise ServiceError(f"{_NO_TOKEN}: its answer holds none ({type(error).__name__})") from None
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise ServiceError(f"{_NO_TOKEN}: its answer holds none")
        return token

    def _request(self, method: str, url: str, **arguments: Any) -> requests.Response:
        check_iam(url)
        limit = deadline.current()
        if limit.passed:
            raise requests.ConnectionError("the time for this request is over; it was not sent")
        arguments |= {"allow_redirects": False, "timeout": limit.cap(SECONDS)}
        response: requests.Response = super()._request(method, url, **arguments)
        return response


class SafeAuthenticator(IAMAuthenticator):
    """The SDK's authenticator, which takes its tokens from :class:`SafeTokens`."""

    def __init__(self, apikey: str, **settings: Any) -> None:
        super().__init__(apikey, **settings)
        inner: IAMTokenManager = self.token_manager  # type: ignore[has-type]
        self.token_manager = like(inner)


class BearerAuth(AuthBase):
    """The client's authentication, without its fallback to the API key.

    Args:
        inner: the client's own; knows the key and the instance.
    """

    def __init__(self, inner: Any) -> None:
        self.tokens, self._crn = like(inner.tm), inner.crn

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        check_service(str(request.url))
        # After a failure the token manager would wait a minute for a request that nobody makes any more.
        self.tokens.request_time = 0
        try:
            token = self.tokens.get_token()
        except (ApiException, requests.RequestException) as error:
            raise translate(error, _NO_TOKEN, [self.tokens.apikey]) from None
        request.headers.update({"Service-CRN": self._crn, "Authorization": f"Bearer {token}"})
        return request


def like(manager: IAMTokenManager) -> SafeTokens:
    """Safe tokens for the same key."""
    return SafeTokens(
        manager.apikey,
        url=manager.url,
        disable_ssl_verification=manager.disable_ssl_verification,
        proxies=manager.proxies,
    )
