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
from qkd_pl.storage import write_json


@dataclass(frozen=True)
class Unit:
    """One piece of an experiment: a function of JSON-able arguments with a JSON-able result.

    Attributes:
        name: names the result file, ``<name>.json``; may contain slashes.
        function: module-level function, so that worker processes can import it; it is called with the arguments and
            with ``directory``, the sweep's directory.
        arguments: keyword arguments; stored with the result, and a stored result counts only for equal ones.
        artifact: file in the sweep's directory that the function writes; without it the unit counts as missing.
        scratch: file in the sweep's directory, a checkpoint for example, that is removed once the result is stored.
    """

    name: str
    function: Callable[..., dict[str, Any]]
    arguments: Mapping[str, Any]
    artifact: str | None = None
    scratch: str | None = None


def run_units(
    units: Sequence[Unit], directory: Path, *, workers: int = 1, title: str = "units"
) -> list[dict[str, Any]]:
    """Compute what is missing and return the results of all units, in their order.

    Each result is written atomically by the process that computed it, as soon as it is there, so that after a kill the
    same call goes on with the next unit.

    Args:
        units: what to compute.
        directory: where the result files stand.
        workers: number of processes (joblib); inside a ``joblib.parallel_config`` its backend is used.
        title: for the progress bar.

    Raises:
        InvalidInputError: the directory holds results of the same name with other arguments.
    """
    directory = directory.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    missing = [unit for unit in units if _stored(unit, directory) is None]
    tasks = (delayed(_run_unit)(unit, directory) for unit in missing)
    finished = Parallel(n_jobs=workers, return_as="generator_unordered", batch_size=1)(tasks)
    for _ in tqdm(finished, desc=title, total=len(units), initial=len(units) - len(missing), disable=not missing):
        pass
    results = []
    for unit in units:
        if (result := _stored(unit, directory)) is None:
            raise InvalidInputError(f"{directory}: the result of {unit.name} was computed, but is not there now")
        results.append(result)
    return results


def _path(unit: Unit, directory: Path) -> Path:
    return directory / f"{unit.name}.json"


def _run_unit(unit: Unit, directory: Path) -> None:
    if _stored(unit, directory) is not None:  # a cluster repeats a unit whose worker died, maybe after storing it
        return
    start = time.perf_counter()
    result = unit.function(**unit.arguments, directory=directory)
    seconds = round(time.perf_counter() - start, 3)
    write_json(_path(unit, directory), {"arguments": dict(unit.arguments), "result": result, "seconds": seconds})
    if unit.scratch is not None:
        (directory / unit.scratch).unlink(missing_ok=True)


def _stored(unit: Unit, directory: Path) -> dict[str, Any] | None:
    path = _path(unit, directory)
    if unit.artifact is not None and not (directory / unit.artifact).is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        stored, result = record["arguments"], record["result"]
    except FileNotFoundError:
        return None
    except (json.JSONDecodeError, TypeError, KeyError) as error:
        raise InvalidInputError(f"{path}: not a result file ({error}); remove it to compute it again") from error
    expected = json.loads(json.dumps(dict(unit.arguments)))
    if stored != expected:
        changed = sorted(key for key in {*stored, *expected} if stored.get(key) != expected.get(key))
        raise InvalidInputError(
            f"{path}: was computed with other settings ({', '.join(changed)}); choose another output directory"
        )
    return result
