"""Fixtures: the loopback service, reached directly or through a proxy, and a ledger of its own for every test."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback import API_KEY, Network, Server, Service
from loopback.network import Certificates


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def server(certificates: Certificates) -> Iterator[Server]:
    """A fresh service; its state is ``server.service``."""
    running = Server(Service(), certificates.tls)
    yield running
    running.stop()


@pytest.fixture
def network(server: Server, certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    """Credentials and certificates for the client; how it reaches the server is up to the next two fixtures."""
    running = Network(server.port)
    for variable in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates.bundle))
    monkeypatch.setenv("QISKIT_IBM_TOKEN", API_KEY)
    yield running
    running.stop()


@pytest.fixture
def direct(network: Network, server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server, reached in this process by overriding name resolution."""
    monkeypatch.setattr(socket, "getaddrinfo", network.resolve)
    return server


@pytest.fixture
def proxied(network: Network, server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server, reached from this process and its children through a CONNECT proxy."""
    monkeypatch.setenv("HTTPS_PROXY", network.proxy)
    return server


@pytest.fixture(autouse=True)
def ledger_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ledger of this test's own; the user's is never touched."""
    path = tmp_path / "ledger.sqlite"
    monkeypatch.setenv("QKD_PL_LEDGER", str(path))
    return path
