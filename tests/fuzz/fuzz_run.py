"""Damages files of one format, reads them, and counts what comes of it."""

import random
import signal
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuzz_formats import FORMATS

from qkd_pl.errors import QKDError

SECONDS = 2.5  # of processor time for one file
MEGABYTES = 300
_LONGEST_MESSAGE = 4000


class Hang(BaseException):
    """Reading took too long."""


@dataclass
class Report:
    """What came of the damaged files of one format.

    Attributes:
        accepted: files that were read, because the damage does not matter.
        refused: files that were refused by an error of ours.
        raw: where other exceptions came from → number of the first file, and how often.
        hangs: numbers of the files that took too long.
        slowest: seconds of processor time for one file.
        megabytes: peak of the memory above what the process had before; None where the system does not say.
    """

    accepted: int = 0
    refused: int = 0
    raw: dict[str, list[int]] = field(default_factory=dict)
    hangs: list[int] = field(default_factory=list)
    slowest: float = 0.0
    megabytes: float | None = None

    @property
    def is_good(self) -> bool:
        """No raw exception, no hang, little memory."""
        return not self.raw and not self.hangs and (self.megabytes or 0.0) < MEGABYTES

    def __str__(self) -> str:
        memory = "?" if self.megabytes is None else f"{self.megabytes:.0f} MB"
        n_raw = sum(map(len, self.raw.values()))
        return (
            f"accepted {self.accepted}, refused {self.refused}, raw exceptions {n_raw}, "
            f"hangs {len(self.hangs)}, slowest {self.slowest:.2f} s, peak {memory}"
        )


def fuzz(name: str, numbers: Iterable[int], seed: int, *, show: bool = False) -> Report:
    """Read damaged files of a format; each depends on its number and the seed alone.

    Args:
        name: of the format.
        numbers: of the files.
        seed: of the damage.
        show: print the traceback of each raw exception, once for each place.
    """
    report, form = Report(), FORMATS[name]
    with tempfile.TemporaryDirectory() as directory, warnings.catch_warnings():
        warnings.simplefilter("error")
        # Qiskit's own, over what it reads in a ledger.
        warnings.simplefilter("ignore", DeprecationWarning)
        folder = Path(directory) / "sound"
        folder.mkdir()
        sound = form.sound(folder)
        path = Path(directory) / "damaged"
        for source, content in sound.items():  # imports, and proves that they are sound
            path.write_bytes(content)
            form.read(path, source)
        before = _peak(reset=True)
        for number in numbers:
            rng = random.Random(f"{seed} {name} {number}")
            source = rng.choice(sorted(sound))
            path.write_bytes(form.damage(sound[source], rng))
            _read(report, form, path, source, number, show)
    if before is not None:
        report.megabytes = ((_peak() or before) - before) / 1024
    return report


def _read(report: Report, form: Any, path: Path, source: str, number: int, show: bool) -> None:
    start = time.process_time()
    try:
        with _limited():
            form.read(path, source)
        report.accepted += 1
    except QKDError as error:
        report.refused += 1
        if len(str(error)) > _LONGEST_MESSAGE:
            report.raw.setdefault(f"a message of {len(str(error)):,} letters: {error!s:.300}", []).append(number)
    except Hang:
        report.hangs.append(number)
        if show:
            traceback.print_exc()
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)
        ours = [each for each in place if "qkd_pl" in each.filename or "reproduction" in each.filename] or place
        key = f"{type(error).__name__} in {Path(ours[-1].filename).name}:{ours[-1].lineno}: {error!s:.100}"
        if show and key not in report.raw:
            traceback.print_exc()
        report.raw.setdefault(key, []).append(number)
    seconds = time.process_time() - start
    report.slowest = max(report.slowest, seconds)
    if seconds > SECONDS and number not in report.hangs:
        report.hangs.append(number)


@contextmanager
def _limited() -> Iterator[None]:
    """Break off after twice the time allowed, where the system can."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def stop(*_: Any) -> None:
        raise Hang

    previous = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, 2 * SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, previous)


def _peak(*, reset: bool = False) -> int | None:
    """Highest memory of this process so far, in kB; with ``reset``, from now on (Linux)."""
    status = Path("/proc/self/status")
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0])
    except (OSError, KeyError):
        return None
