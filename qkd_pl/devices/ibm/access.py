"""By which account and by which way IBM's service is reached: the keys of an entry that say so, and no secret.

Entries are written into receipts and come from a file in the current folder. Hence an API key and a proxy's password
stand in environment variables that an entry names, and an address is one of IBM's.
"""

import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlsplit

from pydantic import AfterValidator, Field, model_validator

from qkd_pl.checks import check_variable_name
from qkd_pl.devices.ibm.addresses import DOMAIN, is_service
from qkd_pl.devices.ibm.keys import Keys, Name
from qkd_pl.errors import CredentialsError

_CHANNEL = "ibm_quantum_platform"


def _variable(name: str) -> str:
    check_variable_name("the value", name)
    return name


def _address(url: str) -> str:
    parts = urlsplit(url)
    if not is_service(url) or parts.netloc != parts.hostname or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(f"must be https://{DOMAIN} or https://….{DOMAIN}, without a port, a path or a user")
    return url.rstrip("/")


def _proxy(url: str) -> str:
    try:
        parts = urlsplit(url)
        complete = parts.scheme in ("http", "https") and parts.hostname and (parts.port or True)
    except ValueError:
        complete = False
    if "@" in url:
        raise ValueError("must hold no user and no password; see username and password_env")
    if not complete:
        raise ValueError("must be like http://proxy.example.org:3128")
    return url


Variable = Annotated[str, AfterValidator(_variable)]


class Proxies(Keys):
    """Proxies on the way to the service.

    Attributes:
        urls: by protocol, as ``requests`` takes them.
        username, password_env: for proxies that ask for them; the password's environment variable.
    """

    urls: dict[Literal["http", "https", "all"], Annotated[str, AfterValidator(_proxy)]] = Field(min_length=1)
    username: Name | None = None
    password_env: Variable | None = None

    @model_validator(mode="after")
    def _check_both(self) -> "Proxies":
        if (self.username is None) != (self.password_env is None):
            raise ValueError("username and password_env go together")
        return self

    def with_password(self) -> dict[str, str]:
        """URLs as ``requests`` takes them, with the password.

        Raises:
            CredentialsError: the variable is not set.
        """
        if self.username is None or self.password_env is None:
            return {str(each): url for each, url in self.urls.items()}
        if (password := os.environ.get(self.password_env)) is None:
            raise CredentialsError(f"{self.password_env}, the password of the proxies, is not set")
        user = f"{quote(self.username, safe='')}:{quote(password, safe='')}@"
        return {each: url.replace("://", f"://{user}", 1) for each, url in self.urls.items()}


class Access(Keys):
    """Account and way; the defaults are the saved Qiskit account and no proxy but the environment's.

    Attributes:
        token_env: environment variable with the API key.
        account: name of a saved Qiskit account, which has its own key.
        instance: IBM Cloud instance that pays; None for the account's own choice.
        url: IBM Cloud's address, where it is not the usual one; for the key in ``token_env`` only.
        proxies: see :class:`Proxies`.
    """

    token_env: Variable | None = None
    account: Name | None = None
    instance: Name | None = None
    url: Annotated[str, AfterValidator(_address)] | None = None
    proxies: Proxies | None = None

    @model_validator(mode="after")
    def _check_combination(self) -> "Access":
        if self.account is not None and self.token_env is not None:
            raise ValueError("account: names a saved account, which has a key of its own; leave token_env out")
        if self.url is not None and self.token_env is None:
            raise ValueError("url: needs token_env; a saved account has an address of its own")
        return self

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Access":
        """From those of an entry's keys, or of a receipt's target, that are about access; others are ignored.

        Raises:
            InvalidInputError: names the key and what is allowed, and repeats no value: it may be a secret.

        Example:
            >>> Access.of({"token_env": "QISKIT_IBM_TOKEN", "shots": 10}).token_env
            'QISKIT_IBM_TOKEN'
        """
        return cls.made({key: settings[key] for key in cls.model_fields if key in settings})

    @property
    def token(self) -> str | None:
        """The API key; None for that of a saved account."""
        return os.environ.get(self.token_env) if self.token_env else None

    def settings(self) -> dict[str, Any]:
        """Keyword arguments of the client's service, with secrets.

        Raises:
            CredentialsError: a variable is not set that has to be.
        """
        token = self.token
        if self.url is not None and not token:
            raise CredentialsError(f"{self.token_env} is not set, and url: holds for the key in it only")
        optional = {"name": self.account, "url": self.url}
        proxies = None if self.proxies is None else {"urls": self.proxies.with_password()}
        return {
            "channel": _CHANNEL if token else None,
            "token": token,
            "instance": self.instance,
            **{key: value for key, value in {**optional, "proxies": proxies}.items() if value is not None},
        }

    def secrets(self) -> list[str]:
        """What no message may repeat."""
        password = os.environ.get(self.proxies.password_env) if self.proxies and self.proxies.password_env else None
        return [each for secret in (self.token, password) if secret for each in (secret, quote(secret, safe=""))]


#: The saved Qiskit account.
SAVED = Access()
