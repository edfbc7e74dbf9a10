"""``devices.yaml`` → :class:`~qkd_pl.devices.spec.DeviceSpec`, and what people call a device → the same."""

import os
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from qkd_pl.checks import cut, nearest
from qkd_pl.devices.plugins import SAMPLING_PLUGINS, UNFIT_PLUGINS, installed_plugins, is_simulated
from qkd_pl.devices.spec import ENTRY_KEYS, DeviceSpec
from qkd_pl.devices.yaml_file import read_yaml
from qkd_pl.errors import DeviceConfigError

if TYPE_CHECKING:
    from pennylane.devices import Device

    from qkd_pl.devices.given import GivenDevice

#: What ``device=`` takes everywhere.
AnyDevice = Union[str, DeviceSpec, "Device", "GivenDevice", None]

DEVICES_VARIABLE = "QKD_PL_DEVICES"
_FILE_NAME = "devices.yaml"
_SHOTS = 4096


class DeviceRegistry(Mapping[str, DeviceSpec]):
    """The entries of one ``devices.yaml``, by name.

    Attributes:
        path: the file that was read.
        default: name of the default device.
    """

    def __init__(self, path: Path, default: str, specs: dict[str, DeviceSpec]) -> None:
        self.path = path
        self.default = default
        self._specs = specs

    def __repr__(self) -> str:
        return f"<DeviceRegistry {self.path}: {', '.join(self._specs)}; default {self.default}>"

    def __getitem__(self, name: str) -> DeviceSpec:
        try:
            spec = self._specs[name]
        except KeyError:
            close = nearest(name, self._specs)
            raise DeviceConfigError(
                f"{self.path}: no device {cut(name)}{close}; there are: {', '.join(self._specs)}"
            ) from None
        spec.check_keywords(where=f"{self.path}: ")
        return spec

    def __contains__(self, name: object) -> bool:
        return name in self._specs

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)

    def values(self) -> Any:
        """The entries; unlike a look-up by name, this imports no plugin."""
        return self._specs.values()

    def items(self) -> Any:
        """Names and entries; see :meth:`values`."""
        return self._specs.items()


def load_devices(path: str | os.PathLike | None = None) -> DeviceRegistry:
    """Read the device registry.

    Looked up in this order: ``path``, ``$QKD_PL_DEVICES``, ``./devices.yaml``, the copy shipped with the package. The
    file is data: nothing in it is ever executed. Which further keys an entry's device takes is read from the source of
    its plugin; where that does not tell, it is checked when the entry is looked up. So is what only an import of the
    plugin can tell: whether ``gradient_options`` fit, and whether a key is missing. A file that has not changed is read
    once.

    Raises:
        DeviceConfigError: the file is missing or has an error; the message names file, entry, key and what is allowed.

    Example:
        >>> load_devices()["lightning"].diff_method
        'adjoint'
    """
    source = _locate(path)
    try:
        status = source.stat()
    except FileNotFoundError:
        raise DeviceConfigError(f"{source}: no such device file") from None
    except OSError as error:
        raise DeviceConfigError(f"{source}: cannot be read ({error})") from error
    return _loaded(source, (status.st_mtime_ns, status.st_size, status.st_ino))


def resolve_device(device: AnyDevice = None) -> "DeviceSpec | GivenDevice":
    """What a user calls a device, as something that makes QNodes.

    Nothing here calls the network, and no name leads to hardware by itself: what costs QPU time needs an entry with a
    limit.

    Args:
        device: None for the registry's default; a name in the registry; a plugin's name, exact with the best
            differentiation (4096 shots where the plugin samples); ``aer`` or a ``fake_…`` backend, with 4096 shots and
            parameter shift; a spec; or a PennyLane device.

    Raises:
        DeviceConfigError: there is no such device, or it is hardware that the registry has no entry for.

    Example:
        >>> resolve_device("lightning.qubit").diff_method, resolve_device("fake_manila").shots
        ('adjoint', 4096)
    """
    if isinstance(device, DeviceSpec):
        return device
    if not isinstance(device, str | None):
        from qkd_pl.devices.given import given_device

        return given_device(device)
    registry = load_devices()
    name = registry.default if device is None else device
    if name in registry:
        return registry[name]
    return _by_plugin(name) or _by_backend(name) or _unknown(name, registry)


def _by_plugin(name: str) -> DeviceSpec | None:
    if name not in installed_plugins():
        return None
    return DeviceSpec(name=name, plugin=name, shots=_SHOTS if name in SAMPLING_PLUGINS else None)


def _by_backend(name: str) -> DeviceSpec | None:
    if not is_simulated(name) or (name != "aer" and name not in _fake_backends()):
        return None
    return DeviceSpec(name=name, plugin="qkd.ibm", shots=_SHOTS, options={"backend": name})


def _unknown(name: str, registry: DeviceRegistry) -> DeviceSpec:
    if name in UNFIT_PLUGINS:
        raise DeviceConfigError(f"device {name!r} {UNFIT_PLUGINS[name]}")
    if name.lower().startswith("ibm_") or name == "least_busy":
        name = name.lower()
        copied = "./devices.yaml, a copy of " if registry.path == _shipped() else ""
        raise DeviceConfigError(
            f"device {cut(name)} is hardware, which is used only through an entry with a limit of QPU time; write in "
            f"{copied}{registry.path}, under devices:\n"
            f"  {name.removeprefix('ibm_')}:\n    plugin: qkd.ibm\n    backend: {name}\n    shots: {_SHOTS}\n"
            "    token_env: QISKIT_IBM_TOKEN\n    max_qpu_seconds: 60"
        )
    known = [*registry, *installed_plugins(), "aer"]
    if name.lower().startswith("fake"):
        known += _fake_backends()
    raise DeviceConfigError(
        f"{registry.path}: no device {cut(name)}{nearest(name, known)}; there are: {', '.join(registry)}; the plugins "
        f"{', '.join(installed_plugins())}; and the simulated backends aer and fake_…"
    )


def _fake_backends() -> Iterable[str]:
    from qkd_pl.devices.ibm.service.backends import fake_backends  # imports Qiskit, which takes seconds

    return fake_backends()


def _locate(path: str | os.PathLike | None) -> Path:
    if path is not None:
        return Path(path).expanduser()
    if chosen := os.environ.get(DEVICES_VARIABLE):
        return Path(chosen).expanduser()
    if (local := Path(_FILE_NAME)).is_file():
        return local.absolute()
    return _shipped()


def _shipped() -> Path:
    shipped = Path(str(files("qkd_pl") / _FILE_NAME))
    # In a source checkout the registry stands at the top level, beside the package.
    return shipped if shipped.is_file() else shipped.parent.parent / _FILE_NAME


@lru_cache(maxsize=16)
def _loaded(source: Path, version: tuple[int, ...]) -> DeviceRegistry:
    content = read_yaml(source)
    if not isinstance(content, dict) or set(content) != {"default", "devices"}:
        found = ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise DeviceConfigError(
            f"{source}: needs the top-level keys default, devices and no other; found: {cut(found)[1:-1]}"
        )
    devices, default = content["devices"], content["default"]
    if not isinstance(devices, dict) or not devices:
        raise DeviceConfigError(f"{source}: devices must map names to entries")
    specs = {name: _parse_entry(source, name, entry) for name, entry in devices.items()}
    if not isinstance(default, str) or default not in specs:
        close = nearest(default, specs)
        raise DeviceConfigError(
            f"{source}: default is {cut(default)}, but there is no such device{close}; allowed: {', '.join(specs)}"
        )
    return DeviceRegistry(source, default, specs)


def _parse_entry(source: Path, name: str, entry: Any) -> DeviceSpec:
    if not isinstance(entry, dict):
        raise DeviceConfigError(f"{source}: device {cut(name)}: must be a mapping of keys to values, not {cut(entry)}")
    common = {key: value for key, value in entry.items() if key in ENTRY_KEYS}
    options = {key: value for key, value in entry.items() if key not in ENTRY_KEYS}
    try:
        return DeviceSpec(**{**common, "name": name, "options": options})
    except DeviceConfigError as error:
        raise DeviceConfigError(f"{source}: {error}") from None
