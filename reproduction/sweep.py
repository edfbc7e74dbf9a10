"""Runs an experiment's units of work, over processes, resumably: a finished unit is never computed again."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed
from tqdm import tqdm

from qkd_pl.errors import InvalidInputError
from reproduction.results import Results, finished_file, write_finished
from reproduction.results_schema import check_result


@dataclass(frozen=True)
class Unit:
    """One piece of an experiment: a function of JSON-able arguments with a JSON-able result.

    Attributes:
        name: of the unit within its folder; may contain slashes.
        function: module-level function, so that worker processes can import it; it is called with the arguments and
            with ``directory``, the unit's folder.
        arguments: keyword arguments; stored with the result, and a stored result counts only for equal ones.
        folder: part of the experiment that the unit belongs to, relative to the experiment's folder.
        artifact: file that the function writes in its folder, a model for example. The result counts without it, as
            in a clone that has no models; it is made again only for a unit that needs it.
        scratch: file in its folder, a checkpoint for example, that is removed once the result is stored.
        needs: units whose artifacts must be there when this one is computed. Those without an artifact, which fill a
            cache for example, are run once before.
    """

    name: str
    function: Callable[..., Mapping[str, Any]]
    arguments: Mapping[str, Any]
    folder: str = ""
    artifact: str | None = None
    scratch: str | None = None
    needs: tuple["Unit", ...] = ()

    @property
    def key(self) -> str:
        """Name within the experiment."""
        return f"{self.folder}/{self.name}" if self.folder else self.name


def run_units(
    units: Sequence[Unit], results: Results, *, workers: int = 1, title: str = "units"
) -> list[dict[str, Any]]:
    """Compute what is missing and return the results of all units, in their order.

    Each result is written atomically by the process that computed it, as soon as it is there, so that after a kill the
    same call goes on with the next unit.

    Args:
        units: what to compute.
        results: what has been computed.
        workers: number of processes (joblib); inside a ``joblib.parallel_config`` its backend is used.
        title: for the progress bar.

    Raises:
        InvalidInputError: there are results of the same name with other arguments, or results are missing that may
            only be read.
    """
    missing = [unit for unit in units if _stored(unit, results) is None]
    if missing and results.is_frozen:
        raise InvalidInputError(f"{results.file}: {len(missing)} results are missing, such as that of {missing[0].key}")
    if missing:
        _compute(missing, results, workers, title, finished=len(units) - len(missing))
    return [results.records[unit.key]["result"] for unit in units]


def _compute(units: Sequence[Unit], results: Results, workers: int, title: str, finished: int = 0) -> None:
    absent = {need.key: need for unit in units for need in unit.needs if _is_absent(need, results)}
    if absent:
        _compute(list(absent.values()), results, workers, "data and models needed")
        units = [unit for unit in units if unit.key not in results.prepared]  # some need each other
    tasks = (delayed(_run_unit)(unit, results.folder) for unit in units)
    try:
        running = Parallel(n_jobs=workers, return_as="generator_unordered", batch_size=1)(tasks)
        for _ in tqdm(running, desc=title, total=finished + len(units), initial=finished):
            pass
    finally:
        results.pack()
    results.prepared.update(unit.key for unit in units)


def _is_absent(unit: Unit, results: Results) -> bool:
    if unit.artifact is None:
        return unit.key not in results.prepared
    return not (results.folder / unit.folder / unit.artifact).is_file()


def _run_unit(unit: Unit, folder: Path) -> None:
    if finished_file(folder, unit.key).is_file():  # a cluster repeats a unit whose worker died, maybe after storing it
        return
    directory = folder / unit.folder
    directory.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    result = unit.function(**unit.arguments, directory=directory)
    seconds = round(time.perf_counter() - start, 3)
    if unit.artifact is not None and not (directory / unit.artifact).is_file():
        raise FileNotFoundError(f"{unit.key} was computed, but did not write {directory / unit.artifact}")
    write_finished(folder, unit.key, unit.arguments, result, seconds)
    if unit.scratch is not None:
        (directory / unit.scratch).unlink(missing_ok=True)


def _stored(unit: Unit, results: Results) -> dict[str, Any] | None:
    record = results.records.get(unit.key)
    if record is None:
        return None
    stored, expected = record["arguments"], json.loads(json.dumps(dict(unit.arguments)))
    if stored != expected:
        changed = sorted(key for key in {*stored, *expected} if stored.get(key) != expected.get(key))
        raise InvalidInputError(
            f"{results.file}: {unit.key} was computed with other settings ({', '.join(changed):.500}); "
            "choose another --out"
        )
    check_result(unit.function, record["result"], f"{results.file}: {unit.key}")
    return record["result"]
