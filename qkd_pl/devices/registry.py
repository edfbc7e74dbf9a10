"""``devices.yaml`` → :class:`DeviceSpec` → PennyLane device and QNode."""

import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pennylane as qml
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from qkd_pl.checks import check_variable_name
from qkd_pl.devices.causal_cone import causal_cone
from qkd_pl.errors import DeviceConfigError

DEVICES_VARIABLE = "QKD_PL_DEVICES"
_FILE_NAME = "devices.yaml"
_EXACT_METHODS = ("adjoint", "backprop")
_SAMPLING_PLUGINS = ("qkd.ibm", "qiskit.remote", "qiskit.aer", "qiskit.basicsim")


class DeviceSpec(BaseModel):
    """One entry of ``devices.yaml``: which PennyLane device, how many shots, how to differentiate.

    Attributes:
        name: the key of the entry.
        plugin: short name of an installed PennyLane device, for example ``lightning.qubit``.
        shots: shots per circuit, or None for exact expectation values.
        diff_method: ``adjoint``, ``parameter-shift``, ``spsa`` or ``backprop``, as in ``qml.QNode``.
        seed: seed of a simulator's sampling when a model is evaluated; training draws from the trainer's seed instead.
        causal_cone: do not run gates that no measured observable depends on (exact).
        gradient_options: further keyword arguments of the differentiation, for example ``num_directions`` of SPSA.
        max_qpu_seconds: jobs with a higher estimate are refused before anything is sent; a limit for every single job,
            of which a training on hardware sends one in each iteration.
        options: further keyword arguments of the PennyLane device; in ``devices.yaml`` they stand among the other keys.

    Raises:
        pydantic.ValidationError: the values cannot go together; :func:`load_devices` raises ``DeviceConfigError``.

    Example:
        >>> spec = DeviceSpec(name="mine", plugin="default.qubit", shots=None, diff_method="backprop")
        >>> float(spec.qnode(lambda: qml.expval(qml.Z(0)), wires=1)())
        1.0
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)

    name: str
    plugin: str
    shots: int | None = Field(default=None, gt=0)
    diff_method: Literal["adjoint", "parameter-shift", "spsa", "backprop"] = "parameter-shift"
    seed: int | None = Field(default=None, ge=0)
    causal_cone: bool = True
    gradient_options: dict[str, Any] = {}
    max_qpu_seconds: float | None = Field(default=None, gt=0)
    options: dict[str, Any] = {}

    @model_validator(mode="after")
    def _check_combination(self) -> "DeviceSpec":
        if (token_env := self.options.get("token_env")) is not None:
            check_variable_name("token_env", token_env)
        if self.plugin not in qml.plugin_devices:
            raise ValueError(
                f"plugin: {self.plugin!r} is not installed; allowed: {', '.join(sorted(qml.plugin_devices))}"
            )
        if self.diff_method in _EXACT_METHODS and self.shots is not None:
            raise ValueError(
                f"diff_method: {self.diff_method!r} needs exact expectation values, but shots is {self.shots}; "
                "use shots: null, or diff_method: parameter-shift or spsa"
            )
        if self.diff_method == "backprop" and self.plugin != "default.qubit":
            raise ValueError(f"diff_method: 'backprop' needs plugin default.qubit, not {self.plugin!r}")
        exact = self.plugin == "qkd.ibm" and self.options.get("backend", "aer") == "aer"
        if self.plugin in _SAMPLING_PLUGINS and self.shots is None and not exact:
            raise ValueError(f"shots: {self.plugin!r} samples, so that a positive number of shots is needed, not null")
        if self.plugin in _SAMPLING_PLUGINS and self.diff_method == "adjoint":
            raise ValueError(f"diff_method: {self.plugin!r} has no adjoint method; use parameter-shift or spsa")
        return self

    def create(self, wires: int | Sequence[Any], rng: np.random.Generator | None = None) -> qml.devices.Device:
        """The PennyLane device on ``wires``.

        Args:
            wires: number of wires, or their labels.
            rng: source of a simulator's sampling noise, instead of the entry's seed.

        Raises:
            DeviceConfigError: the device does not take one of the options, or cannot be made.
        """
        keywords = dict(self.options)
        own = {
            "seed": self.seed if rng is None else rng,
            "causal_cone": self.causal_cone,
            "max_qpu_seconds": self.max_qpu_seconds,
        }
        keywords |= {key: value for key, value in own.items() if value is not None and key in _keywords(self.plugin)}
        if self.plugin == "qiskit.remote" and isinstance(name := keywords.get("backend"), str):
            from qkd_pl.devices.ibm.service.backends import open_backend  # imports Qiskit, which takes seconds

            keywords["backend"] = open_backend(name, wires if isinstance(wires, int) else len(wires))
        try:
            return qml.device(self.plugin, wires=wires, **keywords)
        except (TypeError, ValueError, AttributeError, ImportError, qml.exceptions.DeviceError) as error:
            raise DeviceConfigError(
                f"device {self.name!r}: {self.plugin} with options {self.options} cannot be made: {error}"
            ) from error

    def qnode(
        self, quantum_function: Callable, wires: int | Sequence[Any], rng: np.random.Generator | None = None
    ) -> qml.QNode:
        """A QNode of ``quantum_function`` on this device, with its shots and differentiation method.

        Args:
            quantum_function: queues operations and returns measurements.
            wires: number of wires, or their labels.
            rng: source of sampling noise (see :meth:`create`) and of the directions of SPSA.
        """
        gradient_options = dict(self.gradient_options)
        if self.diff_method == "spsa" and rng is not None:
            gradient_options["sampler_rng"] = rng
        node = qml.QNode(
            quantum_function,
            self.create(wires, rng),
            interface="autograd",
            diff_method=self.diff_method,
            device_vjp=self.diff_method == "adjoint",
            gradient_kwargs=gradient_options,
        )
        node = qml.set_shots(node, shots=self.shots)
        return causal_cone(node) if self.causal_cone and "causal_cone" not in _keywords(self.plugin) else node


#: Exact simulation, whatever the registry's default is.
EXACT = DeviceSpec(name="exact", plugin="qkd.lightning", diff_method="adjoint")

_ENTRY_KEYS = tuple(key for key in DeviceSpec.model_fields if key not in ("name", "options"))


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
            raise DeviceConfigError(f"{self.path}: no device {name!r}; there are: {', '.join(self._specs)}") from None
        # Only now, because knowing what a plugin's device takes means importing it, and Qiskit takes seconds.
        _check_keywords(self.path, spec)
        return spec

    def __contains__(self, name: object) -> bool:
        return name in self._specs

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)


def load_devices(path: str | os.PathLike | None = None) -> DeviceRegistry:
    """Read the device registry.

    Looked up in this order: ``path``, ``$QKD_PL_DEVICES``, ``./devices.yaml``, the copy shipped with the package. The
    file is data: nothing in it is ever executed. Which further keys an entry's device takes is checked when the entry
    is looked up.

    Raises:
        DeviceConfigError: the file is missing or has an error; the message names file, entry, key and what is allowed.

    Example:
        >>> load_devices()["lightning"].diff_method
        'adjoint'
    """
    source = _locate(path)
    try:
        content = yaml.load(source.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)  # noqa: S506 - a SafeLoader
    except FileNotFoundError:
        raise DeviceConfigError(f"{source}: no such device file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DeviceConfigError(f"{source}: cannot be read ({error})") from error
    except (yaml.YAMLError, ValueError) as error:  # a ValueError comes from scalars such as 2001-13-01
        raise DeviceConfigError(f"{source}: not valid YAML: {error}") from error
    return _parse(source, content)


def resolve_device(device: str | DeviceSpec | None = None) -> DeviceSpec:
    """A spec as it is, the registry's entry of that name, or the registry's default for None."""
    if isinstance(device, DeviceSpec):
        return device
    registry = load_devices()
    return registry[registry.default if device is None else device]


def _locate(path: str | os.PathLike | None) -> Path:
    if path is not None:
        return Path(path)
    if chosen := os.environ.get(DEVICES_VARIABLE):
        return Path(chosen)
    if (local := Path(_FILE_NAME)).is_file():
        return local
    shipped = Path(str(files("qkd_pl") / _FILE_NAME))
    # In a source checkout the registry stands at the top level, beside the package.
    return shipped if shipped.is_file() else shipped.parent.parent / _FILE_NAME


def _parse(source: Path, content: Any) -> DeviceRegistry:
    if not isinstance(content, dict) or set(content) != {"default", "devices"}:
        found = ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise DeviceConfigError(f"{source}: needs the top-level keys default, devices and no other; found: {found}")
    devices, default = content["devices"], content["default"]
    if not isinstance(devices, dict) or not devices:
        raise DeviceConfigError(f"{source}: devices must map names to entries")
    specs = {str(name): _parse_entry(source, str(name), entry) for name, entry in devices.items()}
    if not isinstance(default, str) or default not in specs:
        raise DeviceConfigError(
            f"{source}: default is {default!r}, but there is no such device; allowed: {', '.join(specs)}"
        )
    return DeviceRegistry(source, default, specs)


def _parse_entry(source: Path, name: str, entry: Any) -> DeviceSpec:
    if not isinstance(entry, dict):
        raise DeviceConfigError(f"{source}: device {name!r}: must be a mapping of keys to values, not {entry!r}")
    common = {key: value for key, value in entry.items() if key in _ENTRY_KEYS}
    options = {key: value for key, value in entry.items() if key not in _ENTRY_KEYS}
    try:
        return DeviceSpec.model_validate({**common, "name": name, "options": options})
    except ValidationError as error:
        problems = "; ".join(_describe(problem) for problem in error.errors())
        raise DeviceConfigError(
            f"{source}: device {name!r}: {problems} (allowed keys: {', '.join(_ENTRY_KEYS)}, and what the device takes)"
        ) from None


def _check_keywords(source: Path, spec: DeviceSpec) -> None:
    """Refuse keys and gradient options that nothing takes."""
    of_device = _keywords(spec.plugin)
    gradient = _gradient_keywords(spec.diff_method)
    if unknown := set(spec.options) - of_device:
        allowed = [*_ENTRY_KEYS, *sorted(of_device - set(_ENTRY_KEYS))]
        problem = f"{', '.join(sorted(unknown))}: unknown key; allowed: {', '.join(allowed)}"
    elif unknown := set(spec.gradient_options) - gradient:
        allowed_options = ", ".join(sorted(gradient)) or "none"
        problem = (
            f"gradient_options: {spec.diff_method} takes no {', '.join(sorted(unknown))}; allowed: {allowed_options}"
        )
    elif spec.seed is not None and "seed" not in of_device:
        problem = f"seed: {spec.plugin} takes none; allowed: null"
    elif spec.max_qpu_seconds is not None and "max_qpu_seconds" not in of_device:
        problem = f"max_qpu_seconds: {spec.plugin} knows no such limit; allowed: null, or plugin qkd.ibm"
    else:
        return
    raise DeviceConfigError(f"{source}: device {spec.name!r}: {problem}")


def _describe(problem: Any) -> str:
    key = ".".join(map(str, problem["loc"]))
    message = problem["msg"].removeprefix("Value error, ")
    return f"{key}: {message}, not {problem['input']!r}" if key else message


@cache
def _keywords(plugin: str) -> set[str]:
    """Keyword arguments of a device's constructor and, where it passes them on, of its parents'."""
    keywords: set[str] = set()
    for parent in inspect.getmro(qml.plugin_devices[plugin].load()):
        if "__init__" not in vars(parent):
            continue
        parameters = inspect.signature(vars(parent)["__init__"]).parameters.values()
        keywords |= {p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return keywords - {"self", "wires", "shots"}


def _gradient_keywords(diff_method: str) -> set[str]:
    """Keyword arguments of PennyLane's gradient transform; the exact methods of simulators have none."""
    transforms = {"parameter-shift": qml.gradients.param_shift, "spsa": qml.gradients.spsa_grad}
    if diff_method not in transforms:
        return set()
    return set(inspect.signature(transforms[diff_method]).parameters) - {"tape", "argnum", "sampler_rng"}


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML's safe loader, which builds plain data only, and here refuses a key that stands twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key_node, _ in node.value:
            merge = key_node.tag == "tag:yaml.org,2002:merge"
            key = "<<" if merge else self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is not a string", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"duplicate key {key!r}", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)
