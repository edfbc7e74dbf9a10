"""The formats: sound files of each, how they are damaged, and how they are read."""

import os
import random
import tempfile
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
import test_ledger_fuzz
from fuzz_archives import damaged_archive
from fuzz_tensors import damaged_tensors, foreign_types
from fuzz_texts import damaged_lines, damaged_yaml
from fuzz_training import read_checkpoint, read_model, sound_checkpoints, sound_models

import qkd_pl as kd
from qkd_pl.cli.data_files import read_samples
from qkd_pl.datasets import mnist_file
from qkd_pl.datasets.cache import cached
from qkd_pl.devices.registry import load_devices
from qkd_pl.errors import FileFormatError, QKDError
from qkd_pl.storage import checksum
from reproduction.experiments import EXPERIMENTS, stored_run

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Format:
    """One kind of file.

    Attributes:
        sound: from an empty folder to sound files, by name.
        damage: from the content of one to that of a damaged one.
        read: all that a user can ask of a file, given its path and which of the sound ones it was made of; raises our
            errors.
    """

    sound: Callable[[Path], Mapping[str, bytes]]
    damage: Callable[[bytes, random.Random], bytes]
    read: Callable[[Path, str], None]


def _tensors(content: bytes, rng: random.Random) -> bytes:
    return foreign_types(content, rng) if rng.random() < 0.05 else damaged_tensors(content, rng)


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def _archives(folder: Path, *members: Mapping[str, np.ndarray]) -> dict[str, bytes]:
    for number, arrays in enumerate(members):
        np.savez_compressed(folder / f"{number}.npz", **arrays)
        np.savez(folder / f"{number}-plain.npz", **arrays)
    return _contents(folder)


_INPUTS = np.eye(4)[:3]


def _sound_samples(folder: Path) -> Mapping[str, bytes]:
    mixed = {"inputs": np.stack([np.diag([0.5, 0.5, 0.0, 0.0]), np.eye(4) / 4])}
    return _archives(folder, {"inputs": _INPUTS, "labels": np.array([0, 1, 0])}, {"inputs": np.eye(4)[:3] * 1j}, mixed)


def _read_samples(path: Path, source: str) -> None:
    inputs, _ = read_samples(path)
    kd.QNN(2, 1).encode(inputs)


def _images() -> dict[str, np.ndarray]:
    rng, arrays = np.random.default_rng(0), {}
    for split, count in _FEW.items():
        arrays[f"x_{split}"] = rng.integers(0, 256, (count, 28, 28)).astype(np.uint8)
        arrays[f"y_{split}"] = rng.integers(0, 10, count).astype(np.uint8)
    return arrays


_FEW = {"train": 30, "test": 20}
_SIZES = {"N_TRAIN": 30, "N_TEST": 20, "SHA256": checksum(_images())}


def _sound_mnist(folder: Path) -> Mapping[str, bytes]:
    return _archives(folder, _images())


def _read_mnist(path: Path, source: str) -> None:
    with patch.multiple(mnist_file, **_SIZES):  # as of a MNIST of fifty images
        mnist_file._read(path)


def _cached(folder: Path) -> np.ndarray:
    with patch.dict(os.environ, QKD_PL_CACHE=str(folder)), warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # that it is damaged, and is made again
        return cached("fuzzed", {"n": 3}, lambda: {"states": np.ones((3, 4))}, {"states": (3, 4)})["states"]


def _sound_cache(folder: Path) -> Mapping[str, bytes]:
    _cached(folder)
    return _contents(folder)


def _read_cache(path: Path, source: str) -> None:
    folder = path.with_name("cache")
    folder.mkdir(exist_ok=True)
    path.replace(folder / source)
    try:
        assert _cached(folder).shape == (3, 4)
    except RuntimeWarning as warning:
        raise FileFormatError(str(warning)) from None


def _sound_devices(folder: Path) -> Mapping[str, bytes]:
    return {"devices.yaml": (ROOT / "devices.yaml").read_bytes()}


def _read_devices(path: Path, source: str) -> None:
    registry = load_devices(path)
    for name in registry:
        with suppress(QKDError):
            _ = registry[name].runs_on_hardware


_RUNS = ("figure5-mlp", "figure6-short", "dark-knowledge-figure6", "figure4")


def _sound_results(folder: Path) -> Mapping[str, bytes]:
    return {name: (ROOT / "results" / f"{name}.jsonl").read_bytes() for name in _RUNS}


def _read_results(path: Path, source: str) -> None:
    renamed = path.replace(path.with_name("it.jsonl"))
    run = stored_run(renamed)
    EXPERIMENTS[run.experiment].describe(run.summary)


def _ledger_damage(content: bytes, rng: random.Random) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.sqlite"
        path.write_bytes(content)
        rng.choice(test_ledger_fuzz.KINDS)(path, rng)
        return path.read_bytes()


def _sound_ledger(folder: Path) -> Mapping[str, bytes]:
    return {"ledger": test_ledger_fuzz.whole(folder).read_bytes()}


def _read_ledger(path: Path, source: str) -> None:
    if test_ledger_fuzz.read_everything(path):
        raise FileFormatError("a part of the ledger was refused")


FORMATS: Mapping[str, Format] = {
    "models": Format(sound_models, _tensors, read_model),
    "checkpoints": Format(sound_checkpoints, _tensors, read_checkpoint),
    "devices": Format(_sound_devices, damaged_yaml, _read_devices),
    "mnist": Format(_sound_mnist, damaged_archive, _read_mnist),
    "data": Format(_sound_samples, damaged_archive, _read_samples),
    "cache": Format(_sound_cache, _tensors, _read_cache),
    "results": Format(_sound_results, damaged_lines, _read_results),
    "ledger": Format(_sound_ledger, _ledger_damage, _read_ledger),
}
