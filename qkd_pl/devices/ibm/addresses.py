"""Where requests may go: to IBM Cloud over TLS, and with the API key to its IAM alone.

The client makes host names out of what it is given: an instance's CRN holds a region, a saved account a URL. Both may
come from a file that somebody else has written, such as a ``devices.yaml`` in the working directory.
"""

import re
from urllib.parse import urlsplit

from qkd_pl.checks import cut
from qkd_pl.errors import ServiceError

DOMAIN = "cloud.ibm.com"
#: IAM itself, in the private network, and of IBM's own tests.
_IAM = frozenset({f"iam.{DOMAIN}", f"private.iam.{DOMAIN}", f"iam.test.{DOMAIN}"})
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_REFUSED = 400  # no wait helps


def is_service(url: str) -> bool:
    """Whether an address is within IBM Cloud, by TLS.

    Example:
        >>> is_service("https://quantum.cloud.ibm.com/api"), is_service("https://cloud.ibm.com.example.org")
        (True, False)
    """
    host = _host(url)
    return host is not None and (host == DOMAIN or host.endswith(f".{DOMAIN}"))


def check_service(url: str) -> None:
    """Refuse an address that is not within IBM Cloud: circuits and an access token would go there.

    Raises:
        ServiceError: says which host; asking again does not help.
    """
    if not is_service(url):
        raise ServiceError(
            f"nothing is sent to {_shown(url)}: must be https and {DOMAIN} or a host below it; it comes from the "
            "entry of the device, or from the URL of the saved Qiskit account",
            _REFUSED,
        )


def check_iam(url: str) -> None:
    """Refuse an address that is not IAM's: the API key would go there.

    Raises:
        ServiceError: says which host; asking again does not help.
    """
    if _host(url) not in _IAM:
        allowed = ", ".join(f"https://{host}" for host in sorted(_IAM))
        raise ServiceError(f"the API key is not sent to {_shown(url)}: must be one of {allowed}", _REFUSED)


def _host(url: str) -> str | None:
    """The host of an address over TLS at the usual port, without a user's name; ``None`` for any other address."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        plain = parts.scheme == "https" and parts.port in (None, 443) and "@" not in parts.netloc
    except ValueError:
        return None
    return host if plain and all(_LABEL.fullmatch(label) for label in host.split(".")) else None


def _shown(url: str) -> str:
    """Scheme and host alone: whatever follows may be secret."""
    return cut("/".join(url.split("/")[:3]).rpartition("@")[2], 100)
