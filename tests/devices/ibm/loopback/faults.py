"""Ways in which the service can fail, injected by method and path."""

import re
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from loopback.replies import Exchange, Reply

Action = Callable[[Exchange, Callable[[], Reply]], None]


@dataclass
class Fault:
    """One breakdown: the first ``times`` requests that match are answered by ``action``.

    Attributes:
        method: ``"GET"``, ``"POST"``, ….
        path: regular expression, matched against the whole path without the ``/api/v1`` prefix.
        action: called with the exchange and with the function that performs the request as the service would.
        times: how many requests it breaks.
        hit: set when it has struck at least once.
    """

    method: str
    path: str
    action: Action
    times: int = 1_000_000
    hit: threading.Event = field(default_factory=threading.Event)

    def strikes(self, method: str, path: str) -> bool:
        if self.times < 1 or method != self.method or not re.fullmatch(self.path, path):
            return False
        self.times -= 1
        self.hit.set()
        return True


def respond(status: int, body: Any = None, headers: Mapping[str, str] | None = None) -> Action:
    """Answer with an error instead of doing anything; the body may be a function of the request."""

    def action(exchange: Exchange, _perform: Callable[[], Reply]) -> None:
        content = body(exchange) if callable(body) else body
        default = {"errors": [{"code": 1000, "message": f"injected {status}"}]}
        exchange.send(Reply(status, default if content is None else content, dict(headers or {})))

    return action


def reset_before(exchange: Exchange, _perform: Callable[[], Reply]) -> None:
    """Reset the connection without having done anything."""
    _reset(exchange)


def reset_after(exchange: Exchange, perform: Callable[[], Reply]) -> None:
    """Do what was asked, then reset the connection instead of answering."""
    perform()
    _reset(exchange)


def truncate(exchange: Exchange, perform: Callable[[], Reply]) -> None:
    """Promise the whole body, send half of it and close."""
    reply = perform()
    content = reply.encoded()
    exchange.send(Reply(reply.status, content[: len(content) // 2], {"Content-Length": str(len(content))}))
    exchange.close()


def cut_json(exchange: Exchange, perform: Callable[[], Reply]) -> None:
    """Answer 200 with half of the JSON, its length stated consistently."""
    reply = perform()
    content = reply.encoded()
    exchange.send(Reply(reply.status, content[: len(content) // 2], {}))


def redirect_to(target: str, status: int) -> Action:
    """Lead elsewhere instead of answering."""
    return respond(status, {}, {"Location": target})


def listing_everything(exchange: Exchange, perform: Callable[[], Reply]) -> None:
    """List jobs whatever their tags."""
    exchange.query.pop("tags", None)
    exchange.send(perform())


def with_id(told: Any) -> Action:
    """Do what was asked, but tell another id."""

    def action(exchange: Exchange, perform: Callable[[], Reply]) -> None:
        exchange.send(Reply(200, {**perform().body, "id": told}))

    return action


def hang(accept: bool = False) -> Action:
    """Never answer, until the server stops; with ``accept`` the request is performed first."""

    def action(exchange: Exchange, perform: Callable[[], Reply]) -> None:
        if accept:
            perform()
        exchange.stopping.wait()
        exchange.close()

    return action


def _reset(exchange: Exchange) -> None:
    """Close so that the peer sees ECONNRESET rather than an orderly end."""
    exchange.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    exchange.close()
