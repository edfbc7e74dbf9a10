"""What the tests of devices share."""

from pathlib import Path

import pytest


@pytest.fixture
def device_file(tmp_path):
    """Writes a text as ``mine.yaml``."""

    def device_file(text: str | bytes, name: str = "mine.yaml") -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return device_file
