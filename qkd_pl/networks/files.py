"""Model files: what they hold, and how it is checked."""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from qkd_pl.datasets.image_pipeline import pipeline_state, restore_pipeline
from qkd_pl.errors import FileFormatError, InvalidInputError
from qkd_pl.networks.checking import is_ours, probe_outputs
from qkd_pl.networks.manifest import from_manifest, to_manifest
from qkd_pl.networks.probes import probe
from qkd_pl.networks.protocol import Network
from qkd_pl.networks.weights import checked_shape, joined_weights, split_weights
from qkd_pl.storage import read_tensors, write_tensors

FORMAT_VERSION = 2
_PACKAGES = ("pennylane", "pennylane-lightning", "numpy", "scikit-learn")
_WEIGHTS = "weights"
_PREPROCESSING = "preprocessing."  # prefix of the pipeline's tensors
_PROBE_TOLERANCE = 1e-6


def write_model(model: Any, path: Path) -> None:
    """Write a :class:`~qkd_pl.networks.base.TrainedNetwork` to one file, atomically."""
    network = model.network
    steps, arrays = (None, {}) if model.preprocessing is None else pipeline_state(model.preprocessing)
    manifest = {
        "format_version": FORMAT_VERSION,
        "network": to_manifest(network),
        "task": model.task,
        "settings": model.settings(),
        "training": dict(model.training),
        "history": list(model.history),
        "wire_order": [str(wire) for wire in network.wires],
        "observables": _observables(network),
        "preprocessing": steps,
        "calibration": None if model.calibration is None else model.calibration.to_json(),
        "versions": {package: version(package) for package in _PACKAGES},
    }
    tensors = _weight_tensors(model.weights, network)
    tensors |= {f"{_PREPROCESSING}{name}": array for name, array in arrays.items()}
    if not is_ours(network):
        inputs = probe(network).inputs
        tensors |= {"probe.inputs": inputs, "probe.outputs": probe_outputs(network, inputs, model.weights)}
    write_tensors(path, "model", tensors, manifest)


def read_model(path: Path, network: Network | None) -> tuple[str, Network, np.ndarray, dict[str, Any]]:
    """Task, network, weights, and the further arguments of the model's class.

    Raises:
        FileNotFoundError: there is no such file.
        FileFormatError: the file is damaged, of another kind or format, or of another network than the one given.
    """
    tensors, manifest = read_tensors(path, "model")
    if manifest["format_version"] != FORMAT_VERSION:
        raise FileFormatError(
            f"{path}: model format {manifest['format_version']}; this version of qkd_pl reads format {FORMAT_VERSION}"
        )
    try:
        found = from_manifest(manifest["network"], network)
        weights = _weights(tensors, found)
    except InvalidInputError as error:
        raise FileFormatError(f"{path}: {error}") from error
    order = [str(wire) for wire in found.wires]
    if manifest["observables"] != _observables(found) or manifest["wire_order"] != order:
        raise FileFormatError(f"{path}: wire order or observables differ from those that {found} measures")
    if "probe.inputs" in tensors:
        _check_probes(path, found, weights, tensors)
    keywords = {**manifest["settings"], "training": manifest["training"], "history": manifest["history"]}
    if (steps := manifest["preprocessing"]) is not None:
        prefixed = {name: array for name, array in tensors.items() if name.startswith(_PREPROCESSING)}
        arrays = {name.removeprefix(_PREPROCESSING): array for name, array in prefixed.items()}
        keywords["preprocessing"] = restore_pipeline(steps, arrays)
    if (stored := manifest.get("calibration")) is not None:
        keywords["calibration"] = _calibration(path, stored, found)
    return manifest["task"], found, weights, keywords


def _calibration(path: Path, stored: Any, network: Network) -> Any:
    from qkd_pl.devices.calibration import Calibration  # imports scipy.stats, which takes a while

    try:
        calibration = Calibration.from_json(stored)
    except FileFormatError as error:
        raise FileFormatError(f"{path}: calibration: {error}") from None
    lengths = {len(getattr(calibration, name)) for name in ("slope", "intercept", "interval", "residual", "misfit")}
    if lengths != {network.n_outputs}:
        raise FileFormatError(f"{path}: calibration: has not the network's {network.n_outputs} outputs")
    return calibration


def _check_probes(path: Path, network: Network, weights: np.ndarray, tensors: Mapping[str, np.ndarray]) -> None:
    """Refuse a circuit that does something else than the one that was saved."""
    stored = tensors["probe.outputs"]
    outputs = probe_outputs(network, tensors["probe.inputs"], weights)
    if outputs.shape != stored.shape or not np.allclose(outputs, stored, rtol=0.0, atol=_PROBE_TOLERANCE):
        raise FileFormatError(
            f"{path}: the network given is another one: for the file's inputs it gives outputs that differ from the "
            f"stored ones by up to {np.abs(outputs - stored).max():.3g}"
        )


def _weight_tensors(weights: np.ndarray, network: Network) -> dict[str, np.ndarray]:
    arrays = split_weights(weights, checked_shape(network.weights_shape))
    if not isinstance(arrays, Mapping):
        return {_WEIGHTS: arrays}
    return {f"{_WEIGHTS}.{name}": np.asarray(array) for name, array in arrays.items()}


def _weights(tensors: Mapping[str, np.ndarray], network: Network) -> np.ndarray:
    shape = checked_shape(network.weights_shape)
    prefix = f"{_WEIGHTS}."
    named = {name.removeprefix(prefix): array for name, array in tensors.items() if name.startswith(prefix)}
    return joined_weights(named if isinstance(shape, Mapping) else tensors.get(_WEIGHTS), shape)


def _observables(network: Network) -> list[str]:
    """Names of the measured observables, in the order of the outputs."""
    return [str(measurement.obs) for measurement in probe(network).tape.measurements]
