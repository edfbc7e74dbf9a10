"""Fixtures of the fault matrix: impatient settings, and that no secret gets out."""

import logging
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from fault_checks import where
from loopback import API_KEY, Server

from qkd_pl.devices.ibm.service import connection, deadline, polling
from qkd_pl.devices.ibm.service.remote import open_remote


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "FIRST_SECONDS", 0.02)
    monkeypatch.setattr(polling, "LONGEST_SECONDS", 0.1)
    monkeypatch.setattr(connection, "READ_SECONDS", 0.5)
    # Handles of one test share one connection, which takes a while to open.
    shared = cache(lambda *target: open_remote(dict(target), deadline.Deadline(None)))
    monkeypatch.setattr("qkd_pl.devices.ibm.jobs.work.open_remote", lambda target, _deadline: shared(*where(target)))


@pytest.fixture
def no_secrets(
    server: Server, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[None]:
    """Neither the API key nor an access token in any log, output or file; the key itself only ever goes to IAM."""
    with caplog.at_level(logging.DEBUG):
        yield
    captured = capfd.readouterr()
    files = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    everything = caplog.text + captured.out + captured.err + files.decode(errors="replace")
    for secret in (API_KEY, *server.service.access_tokens):
        assert secret not in everything
    assert not server.service.raw_key_seen
