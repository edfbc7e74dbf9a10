"""The HTTPS server in front of :class:`~loopback.service.Service`."""

import contextlib
import socket
import ssl
import threading
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from loopback.faults import Fault
from loopback.replies import Exchange, Reply
from loopback.routes import answer
from loopback.service import Service


class Server:
    """Serve on a port of the system's choice, on 127.0.0.1 only, until :meth:`stop`.

    Attributes:
        faults: breakdowns, the first that matches a request applies.
        requests: ``"METHOD path"`` of every request so far.
        hosts: whom they were meant for.
    """

    def __init__(self, service: Service, tls: ssl.SSLContext) -> None:
        self.service = service
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.hosts: set[str] = set()
        self.stopping = threading.Event()
        self._http = _Http(("127.0.0.1", 0), _Handler)
        self._http.owner, self._http.tls = self, tls
        self.port: int = self._http.server_address[1]
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def break_on(self, method: str, path: str, action: object, times: int = 1_000_000) -> Fault:
        """Add a fault and return it."""
        fault = Fault(method, path, action, times)  # type: ignore[arg-type]
        self.faults.append(fault)
        return fault

    def count(self, request: str) -> int:
        """How many requests began with ``"METHOD path"``, compared exactly."""
        return self.requests.count(request)

    def handle(self, exchange: Exchange) -> None:
        """Answer one request, or break down."""
        self.requests.append(f"{exchange.method} {exchange.path}")
        self.hosts.add(exchange.headers.get("host", ""))

        def perform() -> Reply:
            try:
                return answer(self.service, exchange)
            except Exception:  # a mistake in the tests' own service must not look like a broken connection
                return Reply(500, {"errors": [{"code": 1, "message": traceback.format_exc()}]})

        for fault in self.faults:
            if fault.strikes(exchange.method, exchange.path):
                fault.action(exchange, perform)
                return
        exchange.send(perform())

    def stop(self) -> None:
        self.stopping.set()
        self._http.shutdown()
        self._http.server_close()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    owner: Server
    tls: ssl.SSLContext

    def handle_error(self, request: object, client_address: object) -> None:
        """Stay silent: clients that vanish are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body in one packet: in two, each reply would wait for a delayed acknowledgement.
    wbufsize = -1
    disable_nagle_algorithm = True
    server: _Http

    def setup(self) -> None:
        # The handshake runs in this request's own thread, so that a client that dies in it blocks nobody.
        self.request = self.server.tls.wrap_socket(self.request, server_side=True)
        super().setup()

    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().finish()
        with contextlib.suppress(OSError):
            self.request.close()

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test output clean."""

    def _handle(self) -> None:
        url = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        exchange = Exchange(
            method=self.command,
            path=url.path.removeprefix("/api/v1"),
            query=parse_qs(url.query),
            headers={key.lower(): value for key, value in self.headers.items()},
            body=self.rfile.read(length).decode(),
            socket=self.request,
            stopping=self.server.owner.stopping,
            send=self._send,
            close=self._close,
        )
        self.server.owner.handle(exchange)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815 - http.server's names

    def _send(self, reply: Reply) -> None:
        content = reply.encoded()
        default = {"Content-Length": str(len(content)), "Content-Type": "application/json"}
        self.send_response(reply.status)
        for key, value in (default | reply.headers).items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(content)

    def _close(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.wfile.flush()
        # A detached TLS layer sends no closing alert; what the peer sees is up to the socket's options.
        raw = socket.socket(fileno=self.request.detach())
        raw.close()
