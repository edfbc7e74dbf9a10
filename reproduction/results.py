"""The raw results of an experiment: one file with a line of JSON per unit, from which a run resumes.

While a run computes, every finished unit stands in a small file of its own, written by the process that computed it;
the process that started the run packs them into the one file. Each step replaces a file as a whole, so that a kill at
any moment loses nothing that was finished and leaves no torn line.
"""

import json
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qkd_pl.bounded import parse_json
from qkd_pl.checks import cut
from qkd_pl.errors import FileFormatError
from qkd_pl.schema import parsed
from qkd_pl.storage import atomic_path, write_json
from reproduction.results_schema import ResultLine

try:
    import fcntl
except ImportError:  # Windows: there, two runs at once must not share their results
    fcntl = None  # type: ignore[assignment]

_MOST_LINE = 1 << 24  # bytes
_FINISHED = "finished"
_ROUNDING = 1e-6


class Results:
    """Results in ``<out>.jsonl``; models, checkpoints and what is not packed yet in the folder ``<out>``.

    Attributes:
        file: a first line that describes the run, then one line per unit, sorted by its key.
        folder: of the experiment; exists only once something is computed.
        run: JSON-able description of the run, kept in the file by whichever run last computed something.
        is_frozen: nothing may be computed: the results are only read.
        records: key of a unit → its arguments, result and seconds.
        prepared: keys of the units that were run in the life of this object.

    Raises:
        FileFormatError: a line of the file is not one of ours.
        NotADirectoryError: in place of the folder there is a file.
    """

    def __init__(self, out: Path, run: Mapping[str, Any] | None = None, *, is_frozen: bool = False) -> None:
        self.folder = out.resolve()  # workers may stand elsewhere
        self.file = self.folder.with_name(f"{self.folder.name}.jsonl")
        if self.folder.exists() and not self.folder.is_dir():
            raise NotADirectoryError(f"{out} is a file; give a folder, which may be new")
        self.run = run
        self.is_frozen = is_frozen
        self.records: dict[str, dict[str, Any]] = {}
        self.prepared: set[str] = set()
        self._read()
        if not is_frozen and any(self._unpacked()):
            self.pack()

    def pack(self) -> None:
        """Move what is finished into the file.

        A unit that was computed again, because others need a file that it writes, keeps its first result; if the two
        differ by more than rounding, there is a warning.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with _locked(self.folder / "lock"):
            run, self.run = self.run, None
            self._read()
            self.run = run or self.run
            paths = sorted(self._unpacked())
            for path in paths:
                record = _line(path.read_bytes(), f"{path}", "remove the file").model_dump()
                known = self.records.setdefault(record.pop("name"), record)
                if not _agree(known["result"], record["result"]):
                    warnings.warn(
                        f"{path.name}: computed again as {record['result']}; the stored result {known['result']} stays",
                        stacklevel=2,
                    )
            if paths:
                self._write()
            for path in paths:
                path.unlink()

    def _unpacked(self) -> Iterator[Path]:
        paths = (self.folder / _FINISHED).rglob("*.json")
        return (path for path in paths if not path.name.startswith("."))  # such as a killed process left half written

    def _read(self) -> None:
        """Add what is in the file; its description of the run counts unless this run has one."""
        if not self.file.is_file():
            return
        with self.file.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(_MOST_LINE + 1), b""), start=1):
                source = f"{self.file}, line {number}"
                if number == 1 and b'"name"' not in line:
                    run = parse_json(line, _MOST_LINE, source)
                    if not isinstance(run, dict):
                        raise FileFormatError(f"{source}: not the description of a run, but {cut(run)}")
                    self.run = self.run or run
                    continue
                record = _line(line, source, "remove the line").model_dump()
                self.records[record.pop("name")] = record

    def _write(self) -> None:
        lines = [] if self.run is None else [self.run]
        lines += [{"name": key, **self.records[key]} for key in sorted(self.records)]
        with atomic_path(self.file) as temporary:
            temporary.write_text("".join(f"{_compact(line)}\n" for line in lines), encoding="utf-8")


def _line(content: bytes, source: str, remedy: str) -> ResultLine:
    try:
        return parsed(ResultLine, parse_json(content, _MOST_LINE, "not a result"), "not a result")
    except FileFormatError as error:
        raise FileFormatError(f"{source}: {error}; {remedy} to compute it again") from None


def finished_file(folder: Path, key: str) -> Path:
    """Where the result of a unit stands until it is packed."""
    return folder / _FINISHED / f"{key}.json"


def write_finished(folder: Path, key: str, arguments: Mapping[str, Any], result: Any, seconds: float) -> None:
    """Store a result; any process may do this."""
    record = {"name": key, "arguments": dict(arguments), "result": result, "seconds": seconds}
    write_json(finished_file(folder, key), record)


def _compact(line: Mapping[str, Any]) -> str:
    """One line, the same whoever writes it: the name first, everything below sorted."""
    ordered = {key: json.loads(json.dumps(value, sort_keys=True)) for key, value in line.items()}
    return json.dumps(ordered, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def _agree(first: Any, second: Any) -> bool:
    """Whether two results are equal up to what another machine's order of additions makes of them."""
    if isinstance(first, float) and isinstance(second, float):
        return math.isclose(first, second, rel_tol=_ROUNDING, abs_tol=_ROUNDING)
    if isinstance(first, dict) and isinstance(second, dict) and first.keys() == second.keys():
        return all(_agree(value, second[key]) for key, value in first.items())
    if isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        return all(map(_agree, first, second))
    return bool(first == second)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time; the system unlocks when a process ends, however it ends."""
    with path.open("w") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
