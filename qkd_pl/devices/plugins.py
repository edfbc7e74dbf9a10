"""What is known of a PennyLane device by its plugin's name alone, without importing PennyLane where that can be helped.

``import pennylane`` takes seconds, and listing the devices of a file needs no simulator.
"""

import inspect
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from qkd_pl.devices.constructors import read_keywords

_GROUP = "pennylane.plugins"
#: Devices that estimate from samples whatever they are asked for.
SAMPLING_PLUGINS = ("qkd.ibm", "qiskit.remote", "qiskit.aer", "qiskit.basicsim")
#: Devices whose ``backend`` may be IBM hardware.
IBM_PLUGINS = ("qkd.ibm", "qiskit.remote")
_BACKPROP_PLUGINS = ("default.qubit", "default.mixed")
_ADJOINT_PLUGINS = ("qkd.lightning", "qkd.noisy", "lightning.qubit", "lightning.gpu", "lightning.kokkos")


#: Devices that no network can run on, and why; they are not listed as installed.
UNFIT_PLUGINS = {
    "default.gaussian": "computes with modes of light, not with qubits",
    "default.qutrit": "computes with qutrits, not with qubits",
    "default.qutrit.mixed": "computes with qutrits, not with qubits",
    "default.clifford": "runs Clifford gates only, and a network's rotations are none",
    "null.qubit": "computes nothing: all its results are 0",
    "qiskit.basicaer": "is no longer part of Qiskit; qiskit.basicsim has taken its place",
}


@cache
def installed_plugins() -> Mapping[str, EntryPoint]:
    """The PennyLane devices of all installed packages that a network can run on, by short name."""
    points = sorted(entry_points(group=_GROUP), key=lambda point: point.name)
    return {point.name: point for point in points if point.name not in UNFIT_PLUGINS}


def unfit(device: Any) -> str | None:
    """Why no network can run on a PennyLane device; None if one can.

    Only devices with PennyLane's former interface say what they compute with.
    """
    if device.name in UNFIT_PLUGINS:
        return UNFIT_PLUGINS[device.name]
    former = getattr(device, "target_device", None)
    unit = "qubit" if former is None else former.capabilities().get("model", "qubit")
    return None if unit == "qubit" else f"computes with the model {unit!r}, not with qubits"


def best_diff_method(plugin: str, shots: int | None) -> str:
    """The cheapest method that gives exact gradients on a device: adjoint, backprop, or else parameter shift.

    Example:
        >>> best_diff_method("lightning.qubit", shots=None), best_diff_method("lightning.qubit", shots=100)
        ('adjoint', 'parameter-shift')
    """
    if shots is None and plugin in _ADJOINT_PLUGINS:
        return "adjoint"
    if shots is None and plugin in _BACKPROP_PLUGINS:
        return "backprop"
    return "parameter-shift"


def supports_backprop(plugin: str) -> bool:
    """Whether the device is a simulator through which derivatives can be propagated."""
    return plugin in _BACKPROP_PLUGINS


def is_simulated(backend: str) -> bool:
    """Whether a backend's name is that of a simulator on this machine: ``aer``, or a fake device of Qiskit.

    Example:
        >>> is_simulated("fake_torino"), is_simulated("ibm_torino"), is_simulated("least_busy")
        (True, False, False)
    """
    return backend == "aer" or backend.startswith("fake_")


#: Arguments of every device's constructor, which are no options.
_NO_OPTIONS = {"self", "wires", "shots"}


def may_take(plugin: str, keywords: Iterable[str]) -> bool:
    """Whether a device takes these keyword arguments, by the source of its constructor; True where that does not tell.

    Nothing is imported, unlike by :func:`device_keywords`, which knows for certain.

    Example:
        >>> may_take("default.qubit", ["max_workers"]), may_take("default.qubit", ["max_worker"])
        (True, False)
    """
    point = installed_plugins()[plugin]
    read = read_keywords(point.module, point.attr)
    return read is None or set(keywords) <= read - _NO_OPTIONS


@cache
def device_keywords(plugin: str) -> set[str]:
    """Keyword arguments of a device's constructor and, where it passes them on, of its parents'.

    Raises:
        ImportError: whatever the import of the device's package raises.
    """
    keywords: set[str] = set()
    for parent in inspect.getmro(_device_class(plugin)):
        if "__init__" not in vars(parent):
            continue
        parameters = inspect.signature(vars(parent)["__init__"]).parameters.values()
        keywords |= {p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return keywords - _NO_OPTIONS


def _device_class(plugin: str) -> type:
    try:
        return installed_plugins()[plugin].load()
    except Exception as error:  # others' code may raise anything
        raise ImportError(f"{type(error).__name__}: {error}") from error


@cache
def needed_keywords(plugin: str) -> set[str]:
    """Keyword arguments of a device's constructor that have no default."""
    parameters = inspect.signature(_device_class(plugin)).parameters.values()
    named = {p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty}
    return named - {"wires", "shots"}


@cache
def gradient_keywords(diff_method: str) -> set[str]:
    """Keyword arguments of PennyLane's gradient transform; the exact methods of simulators have none."""
    from pennylane import gradients

    transforms: dict[str, Any] = {"parameter-shift": gradients.param_shift, "spsa": gradients.spsa_grad}
    if diff_method not in transforms:
        return set()
    return set(inspect.signature(transforms[diff_method]).parameters) - {"tape", "argnum", "sampler_rng"}
