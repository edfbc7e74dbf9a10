"""Model files: what they hold, and how it is checked."""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from qkd_pl.checks import cut
from qkd_pl.datasets.image_pipeline import pipeline_state, restore_pipeline
from qkd_pl.errors import FileFormatError, InvalidInputError
from qkd_pl.networks.checking import is_ours, probe_outputs
from qkd_pl.networks.composed import EncodedNetwork
from qkd_pl.networks.manifest import from_manifest, to_manifest
from qkd_pl.networks.networks import QAE, QNN
from qkd_pl.networks.probes import N_PROBES, probe
from qkd_pl.networks.protocol import Network
from qkd_pl.networks.schema import FORMAT_VERSION, ModelManifest
from qkd_pl.networks.weights import checked_shape, joined_weights, split_weights
from qkd_pl.schema import parsed
from qkd_pl.storage import checked_tensor, plain_json, read_tensors, write_tensors

_PACKAGES = ("pennylane", "pennylane-lightning", "numpy", "scikit-learn")
_WEIGHTS = "weights"
_PREPROCESSING = "preprocessing."  # prefix of the pipeline's tensors
_PROBE_TOLERANCE = 1e-6


def write_model(model: Any, path: Path) -> None:
    """Write a :class:`~qkd_pl.networks.base.TrainedNetwork` to one file, atomically.

    Raises:
        InvalidInputError: the model is beyond what :func:`read_model` would take.
    """
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
        "observables": observable_names(network),
        "preprocessing": steps,
        "calibration": None if model.calibration is None else model.calibration.to_json(),
        "versions": {package: version(package) for package in _PACKAGES},
    }
    tensors = _weight_tensors(model.weights, network)
    tensors |= {f"{_PREPROCESSING}{name}": array for name, array in arrays.items()}
    if not is_ours(network):
        inputs = probe(network).inputs
        tensors |= {"probe.inputs": inputs, "probe.outputs": probe_outputs(network, inputs, model.weights)}
    try:
        parsed(ModelManifest, plain_json(manifest), "model")
    except FileFormatError as error:
        raise InvalidInputError(f"no file can hold this: {error}") from None
    write_tensors(path, "model", tensors, manifest)


def read_model(path: Path, network: Network | None) -> tuple[str, Network, np.ndarray, dict[str, Any]]:
    """Task, network, weights, and the further arguments of the model's class.

    Raises:
        FileNotFoundError: there is no such file.
        FileFormatError: the file is damaged, of another kind or format, or of another network than the one given.
    """
    tensors, stored = read_tensors(path, "model")
    if (version_found := stored.get("format_version")) != FORMAT_VERSION:
        raise FileFormatError(
            f"{path}: model format {cut(version_found, 50)}; this version of qkd_pl reads format {FORMAT_VERSION}"
        )
    manifest = parsed(ModelManifest, stored, path)
    try:
        found = from_manifest(manifest.network.model_dump(), network)
    except InvalidInputError as error:
        raise FileFormatError(f"{path}: {error}") from error
    weights = _weights(path, tensors, found)
    if not is_ours(found):
        _check_probes(path, found, weights, tensors)
    order = [str(wire) for wire in found.wires]
    if manifest.observables != observable_names(found) or manifest.wire_order != order:
        raise FileFormatError(f"{path}: wire order or observables differ from those that {found} measures")
    keywords = {**manifest.settings, "training": manifest.training, "history": manifest.history}
    if manifest.preprocessing is not None:
        steps = [step.model_dump() for step in manifest.preprocessing]
        keywords["preprocessing"] = _pipeline(path, steps, tensors)
    if manifest.calibration is not None:
        keywords["calibration"] = _calibration(path, manifest.calibration.model_dump(), found)
    return manifest.task, found, weights, keywords


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
    inputs = checked_tensor(tensors, "probe.inputs", _probe_shape(network), path)
    expected = checked_tensor(tensors, "probe.outputs", (len(inputs), network.n_outputs), path)
    try:
        outputs = probe_outputs(network, inputs, weights)
    except Exception as error:  # of the user's code, which may raise anything
        raise FileFormatError(
            f"{path}: the network given does not take the file's inputs ({type(error).__name__}: {error!s:.200})"
        ) from error
    if outputs.shape != expected.shape or not np.allclose(outputs, expected, rtol=0.0, atol=_PROBE_TOLERANCE):
        raise FileFormatError(
            f"{path}: the network given is another one: for the file's inputs it gives outputs that differ from the "
            f"stored ones by up to {np.abs(outputs - expected).max():.3g}"
        )


def _probe_shape(network: Network) -> tuple[int, ...]:
    """Of the probe's inputs; how long an encoder's state vectors are is told by the file, and nothing is made of it."""
    if isinstance(network, EncodedNetwork):
        return (N_PROBES, 2 ** len(network.wires))
    return probe(network).inputs.shape


def _pipeline(path: Path, steps: list[dict[str, Any]], tensors: Mapping[str, np.ndarray]) -> Pipeline:
    arrays = {
        name.removeprefix(_PREPROCESSING): each for name, each in tensors.items() if name.startswith(_PREPROCESSING)
    }
    try:
        return restore_pipeline(steps, arrays)
    except FileFormatError as error:
        raise FileFormatError(f"{path}: {error}") from None


def _weight_tensors(weights: np.ndarray, network: Network) -> dict[str, np.ndarray]:
    arrays = split_weights(weights, checked_shape(network.weights_shape))
    if not isinstance(arrays, Mapping):
        return {_WEIGHTS: arrays}
    return {f"{_WEIGHTS}.{name}": np.asarray(array) for name, array in arrays.items()}


def _weights(path: Path, tensors: Mapping[str, np.ndarray], network: Network) -> np.ndarray:
    shape = checked_shape(network.weights_shape)
    if not isinstance(shape, Mapping):
        return checked_tensor(tensors, _WEIGHTS, shape, path)
    named = {name: checked_tensor(tensors, f"{_WEIGHTS}.{name}", each, path) for name, each in shape.items()}
    return joined_weights(named, shape)


def observable_names(network: Network) -> list[str]:
    """Names of what a network measures, in the order of the outputs."""
    if isinstance(network, EncodedNetwork):
        return observable_names(network.student)
    if isinstance(network, QNN | QAE):  # without the state vectors that a probe would make
        return [str(observable) for observable in network.readout]
    return [str(measurement.obs) for measurement in probe(network).tape.measurements]
