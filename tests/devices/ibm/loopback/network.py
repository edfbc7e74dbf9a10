"""Certificates, name resolution and the CONNECT proxy that lead the client to the loopback server."""

import contextlib
import socket
import ssl
import threading
from pathlib import Path

import trustme

_SERVICE_HOSTS = (
    "iam.cloud.ibm.com",
    "quantum.cloud.ibm.com",
    "globalcatalog.cloud.ibm.com",
    "api.global-search-tagging.cloud.ibm.com",
    # Of the addresses of another url.
    "iam.test.cloud.ibm.com",
    "quantum.test.cloud.ibm.com",
    "globalcatalog.test.cloud.ibm.com",
    "api.global-search-tagging.test.cloud.ibm.com",
)


class Certificates:
    """A certificate authority of our own and a server context for the service's host names."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.bundle = folder / "authority.pem"
        authority.cert_pem.write_to_path(str(self.bundle))
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(*_SERVICE_HOSTS).configure_cert(self.tls)


class Network:
    """How a client reaches the server: by name (in this process) or through a proxy (in any process).

    Attributes:
        credentials: that the proxy wants, in base64; None for none.
        tunnels: that the proxy has opened.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.credentials: str | None = None
        self.tunnels = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.proxy = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def resolve(self, host: str, port: object, *args: object, **kwargs: object) -> list[tuple[object, ...]]:
        """A replacement of ``socket.getaddrinfo`` that knows the service's hosts and loopback, and nothing else."""
        if host in _SERVICE_HOSTS:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", self.port))]
        if host == "127.0.0.1":
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", int(str(port))))]
        raise OSError(f"the tests must not leave this machine, but asked for {host}")

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._tunnel, args=(client,), daemon=True).start()

    def _tunnel(self, client: socket.socket) -> None:
        """Serve one ``CONNECT host:443``: pass bytes on to the server in both directions."""
        request = b""
        while b"\r\n\r\n" not in request:
            received = client.recv(4096)
            if not received:
                return
            request += received
        if self.credentials is not None and self.credentials.encode() not in request:
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            client.close()
            return
        self.tunnels += 1
        host = request.split()[1].rpartition(b":")[0].decode()
        if host not in _SERVICE_HOSTS:
            client.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")
            client.close()
            return
        server = socket.create_connection(("127.0.0.1", self.port))
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        threading.Thread(target=_pass, args=(client, server), daemon=True).start()
        _pass(server, client)


class Listener:
    """Somebody else's port, that counts who connects to it."""

    def __enter__(self) -> "Listener":
        self.connections = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                self.connections += 1
                client.close()


def _pass(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while received := source.recv(65536):
            target.sendall(received)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
