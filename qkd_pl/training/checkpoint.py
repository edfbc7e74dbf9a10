"""A training run on disk, so that a killed one goes on bit for bit."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from qkd_pl.errors import FileFormatError, InvalidInputError
from qkd_pl.storage import read_tensors, write_tensors
from qkd_pl.training.run import Run

_KIND = "checkpoint"


def checkpoint_path(path: str | Path) -> Path:
    """Where a checkpoint is, or will be.

    Raises:
        InvalidInputError: there is a directory.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        raise InvalidInputError(f"checkpoint={str(path)!r} is a directory; give the path of a file")
    return path


def save_checkpoint(run: Run, path: Path) -> None:
    """Write weights, Adam's moments, random states and history to one file, atomically."""
    tensors = {"weights": run.weights}
    if run.optimizer.accumulation is not None:
        tensors["first_moment"] = np.asarray(run.optimizer.fm[0])
        tensors["second_moment"] = np.asarray(run.optimizer.sm[0])
    manifest = {
        "fingerprint": run.fingerprint,
        "iteration": run.iteration,
        "history": run.history,
        "random_states": {name: rng.bit_generator.state for name, rng in run.random.items()},
    }
    write_tensors(path, _KIND, tensors, manifest)


def restore_checkpoint(run: Run, path: Path) -> None:
    """Set ``run`` to where :func:`save_checkpoint` left off.

    Raises:
        FileFormatError: the file is damaged, or belongs to a run with other settings or data, or has gone further than
            this one will.
    """
    tensors, manifest = read_tensors(path, _KIND)
    if manifest["fingerprint"] != run.fingerprint:
        changes = _changes(manifest["fingerprint"], run)
        raise FileFormatError(
            f"{path}: the checkpoint belongs to another run, which differs in {changes}. "
            "Give another path, or remove the file to start afresh"
        )
    if manifest["iteration"] > run.iterations:
        raise FileFormatError(
            f"{path}: the checkpoint stands after iteration {manifest['iteration']}, and this run has only "
            f"{run.iterations}. Give another path, or remove the file to start afresh"
        )
    run.iteration = manifest["iteration"]
    run.weights = tensors["weights"]
    run.history[:] = manifest["history"]
    if run.iteration:
        moments = {"fm": [tensors["first_moment"]], "sm": [tensors["second_moment"]], "t": run.iteration}
        run.optimizer.accumulation = moments
    for name, state in manifest["random_states"].items():
        run.random[name].bit_generator.state = state


def _changes(stored: Mapping[str, Any], run: Run) -> str:
    """What differs, by name: parts of the fingerprint, and in brackets which of their entries."""
    changes = []
    for part, value in run.fingerprint.items():
        other = stored.get(part)
        if isinstance(value, Mapping) and isinstance(other, Mapping):
            if names := sorted(name for name in {*value, *other} if value.get(name) != other.get(name)):
                changes.append(f"{part} ({', '.join(names)})")
        elif value != other:
            changes.append(part)
    return " and ".join(changes)
