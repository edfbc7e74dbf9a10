"""A training run on disk, so that a killed one goes on bit for bit."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qkd_pl.errors import FileFormatError, InvalidInputError
from qkd_pl.schema import parsed
from qkd_pl.storage import checked_tensor, read_tensors, write_tensors
from qkd_pl.training.callbacks.base import Callback, stateful
from qkd_pl.training.checkpoint_schema import CheckpointManifest
from qkd_pl.training.records import storable
from qkd_pl.training.run import Run
from qkd_pl.upstream.pennylane import optimizer_memory, optimizer_state, restore_optimizer

_KIND = "checkpoint"
_OPTIMIZER = "optimizer."
_CALLBACK = "callback."


def checkpoint_path(path: str | Path) -> Path:
    """Where a checkpoint is, or will be; ``~`` is the user's home.

    Raises:
        InvalidInputError: there is a directory.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        raise InvalidInputError(f"checkpoint={str(path)!r} is a directory; give the path of a file")
    return path


def save_checkpoint(run: Run, path: Path, callbacks: Sequence[Callback] = ()) -> None:
    """Write everything that changes in a run to one file, atomically.

    Raises:
        InvalidInputError: a callback's state is neither JSON-able nor an array.
    """
    tensors = {"weights": run.weights}
    tensors |= {f"{_OPTIMIZER}{name}": array for name, array in optimizer_state(run.optimizer).items()}
    states = []
    for number, callback in enumerate(stateful(callbacks)):
        kind, state = type(callback).__name__, callback.state()
        arrays = {name: value for name, value in state.items() if isinstance(value, np.ndarray)}
        tensors |= {f"{_CALLBACK}{number}.{name}": array for name, array in arrays.items()}
        rest = {name: value for name, value in state.items() if name not in arrays}
        states.append({"type": kind, "state": storable(rest, f"the state of {kind}")})
    manifest = {
        "fingerprint": run.fingerprint,
        "iteration": run.iteration,
        "stopped": run.stopped,
        "history": run.history,
        "callbacks": states,
        "random_states": {name: rng.bit_generator.state for name, rng in run.random.items()},
    }
    write_tensors(path, _KIND, tensors, manifest)


def restore_checkpoint(run: Run, path: Path, callbacks: Sequence[Callback] = ()) -> list[dict[str, Any]]:
    """Set ``run`` to where :func:`save_checkpoint` left off.

    Returns:
        the states of those callbacks that have one, in their order.

    Raises:
        FileFormatError: the file is damaged, or belongs to a run with other settings, data or callbacks, or has gone
            further than this one will.
    """
    tensors, stored = read_tensors(path, _KIND)
    manifest = parsed(CheckpointManifest, stored, path)
    _check_same_run(run, path, manifest, callbacks)
    weights = checked_tensor(tensors, "weights", run.weights.shape, path)
    memory = _memory(run, path, _with_prefix(tensors, _OPTIMIZER), manifest.iteration)
    run.iteration, run.stopped, run.weights = manifest.iteration, manifest.stopped, weights
    run.history[:] = manifest.history
    restore_optimizer(run.optimizer, memory)
    for name, state in manifest.random_states.items():
        run.random[name].bit_generator.state = state.model_dump()
    return [
        {**each.state, **_with_prefix(tensors, f"{_CALLBACK}{number}.")}
        for number, each in enumerate(manifest.callbacks)
    ]


def _check_same_run(run: Run, path: Path, manifest: CheckpointManifest, callbacks: Sequence[Callback]) -> None:
    advice = "Give another path, or remove the file to start afresh"
    if changes := _changes(manifest.fingerprint, run.fingerprint):
        raise FileFormatError(
            f"{path}: the checkpoint belongs to another run, which differs in {' and '.join(changes)}. {advice}"
        )
    theirs = [each.type for each in manifest.callbacks]
    ours = [type(callback).__name__ for callback in stateful(callbacks)]
    if theirs != ours:
        raise FileFormatError(
            f"{path}: the checkpoint holds the states of these callbacks: {', '.join(theirs)[:500] or 'none'}; this "
            f"run has {', '.join(ours) or 'none'}. {advice}"
        )
    if manifest.iteration > run.iterations:
        raise FileFormatError(
            f"{path}: the checkpoint stands after iteration {manifest.iteration}, and this run has only "
            f"{run.iterations}. {advice}"
        )
    if manifest.random_states.keys() != run.random.keys():
        raise FileFormatError(f"{path}: random_states: must be those of {', '.join(run.random)}")


def _memory(run: Run, path: Path, tensors: Mapping[str, np.ndarray], iteration: int) -> dict[str, np.ndarray]:
    """What the optimizer remembered, if it is what this optimizer can remember after so many iterations."""
    memory = {}
    for name in optimizer_memory(run.optimizer):
        if name != "steps":
            memory[name] = checked_tensor(tensors, name, run.weights.shape, f"{path}: optimizer")
            continue
        steps = tensors.get(name)
        if steps is None or steps.dtype != np.int64 or steps.size != 1 or int(steps.ravel()[0]) != iteration:
            raise FileFormatError(f"{path}: optimizer: steps must be {iteration}, as many as there were iterations")
        memory[name] = steps
    return memory


def _with_prefix(tensors: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in tensors.items() if name.startswith(prefix)}


def _changes(stored: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """What differs, by name: parts of the fingerprint, and in brackets which of their entries."""
    changes = []
    for part in ours:
        one, other = stored.get(part), ours[part]
        if _equal(one, other):
            continue
        if isinstance(one, Mapping) and isinstance(other, Mapping) and one.get("type") == other.get("type"):
            names = sorted(name for name in {*one, *other} if not _equal(one.get(name), other.get(name)))
            changes.append(f"{part} ({', '.join(names):.500})")
        else:
            changes.append(part)
    return changes


def _equal(one: Any, other: Any) -> bool:
    """Whether two descriptions agree; the values of a function as far as both go (a longer run has more of them)."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        if isinstance(one.get("values"), list) and isinstance(other.get("values"), list):
            common = min(len(one["values"]), len(other["values"]))
            return one["values"][:common] == other["values"][:common]
        return one.keys() == other.keys() and all(_equal(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other)
