"""What all commands of ``qkd-pl`` share: how errors are reported, and that they can print JSON."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from qkd_pl.errors import QKDError

#: What ``--device`` takes where anything can run, and where jobs are made.
ANY_DEVICE = "a name in devices.yaml, an installed PennyLane plugin, aer, or fake_…"
DEVICE_OF_JOBS = "aer, fake_…, or a name in devices.yaml of a device with plugin qkd.ibm"

Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts instead of text.")]


@contextmanager
def clear_errors() -> Iterator[None]:
    """Report the package's own errors, with their notes, and files that cannot be used, and exit with code 1."""
    try:
        yield
    except (QKDError, OSError) as error:
        for line in (f"error: {error}", *getattr(error, "__notes__", ())):
            print(line, file=sys.stderr)
        raise typer.Exit(code=1) from error
