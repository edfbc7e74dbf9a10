"""A device as data, :class:`DeviceSpec`, and the PennyLane device and QNode that it stands for."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from qkd_pl.checks import cut, nearest, plain
from qkd_pl.devices.ibm.access import Access
from qkd_pl.devices.ibm.sending import Sending
from qkd_pl.devices.plugins import (
    IBM_PLUGINS,
    SAMPLING_PLUGINS,
    UNFIT_PLUGINS,
    best_diff_method,
    device_keywords,
    gradient_keywords,
    installed_plugins,
    is_simulated,
    may_take,
    needed_keywords,
    supports_backprop,
    unfit,
)
from qkd_pl.errors import DeviceConfigError

if TYPE_CHECKING:
    import numpy as np
    import pennylane as qml

_EXACT_METHODS = ("adjoint", "backprop")
DEFAULT_BACKEND = {"qkd.ibm": "aer"}


class DeviceSpec(BaseModel):
    """One entry of ``devices.yaml``: which PennyLane device, how many shots, how to differentiate.

    Attributes:
        name: the key of the entry.
        plugin: short name of an installed PennyLane device, for example ``lightning.qubit``.
        shots: shots per circuit, or None for exact expectation values.
        diff_method: ``adjoint``, ``parameter-shift``, ``spsa`` or ``backprop``, as in ``qml.QNode``; by default the
            cheapest that gives exact gradients on the device.
        seed: seed of a simulator's sampling when a model is evaluated; training draws from the trainer's seed instead.
        causal_cone: do not run gates that no measured observable depends on (exact).
        gradient_options: further keyword arguments of the differentiation, for example ``num_directions`` of SPSA.
        max_qpu_seconds: jobs with a higher estimate are refused before anything is sent; a limit for every single job,
            of which a training on hardware sends one in each iteration. Needed where the backend is hardware.
        options: further keyword arguments of the PennyLane device; in ``devices.yaml`` they stand among the other keys.

    Raises:
        DeviceConfigError: a value is not allowed, or the values cannot go together; the message names the key and what
            is allowed.

    Example:
        >>> import pennylane as qml
        >>> spec = DeviceSpec(name="mine", plugin="default.qubit")
        >>> spec.diff_method, float(spec.qnode(lambda: qml.expval(qml.Z(0)), wires=1)())
        ('backprop', 1.0)
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True, allow_inf_nan=False)

    name: str
    plugin: str
    shots: int | None = Field(default=None, gt=0, le=2**31 - 1)
    diff_method: Literal["adjoint", "parameter-shift", "spsa", "backprop"] = "parameter-shift"
    seed: int | None = Field(default=None, ge=0)
    causal_cone: bool = True
    gradient_options: dict[str, Any] = {}
    max_qpu_seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    options: dict[str, Any] = {}

    def __init__(self, **settings: Any) -> None:
        try:
            super().__init__(**{name: plain(value) for name, value in settings.items()})
        except ValidationError as error:
            problems = "; ".join(_describe(problem) for problem in error.errors())
        else:
            return
        raise DeviceConfigError(f"device {cut(settings.get('name'))}: {problems}")

    @model_validator(mode="before")
    @classmethod
    def _choose_diff_method(cls, settings: Any) -> Any:
        if isinstance(settings, dict) and "diff_method" not in settings and isinstance(settings.get("plugin"), str):
            return {**settings, "diff_method": best_diff_method(settings["plugin"], settings.get("shots"))}
        return settings

    @model_validator(mode="after")
    def _check_combination(self) -> "DeviceSpec":
        # Here, and not only by the device, since a secret in the wrong place must reach no message and no file.
        Access.of(self.options)
        if self.plugin == "qkd.ibm":
            Sending.of({"backend": self.backend} | self.options)
        if self.plugin in UNFIT_PLUGINS:
            raise ValueError(f"plugin: {self.plugin} {UNFIT_PLUGINS[self.plugin]}")
        if self.plugin not in installed_plugins():
            raise ValueError(
                f"plugin: {cut(self.plugin)} is not installed{nearest(self.plugin, installed_plugins())}; "
                f"allowed: {', '.join(installed_plugins())}"
            )
        self._check_options()
        self._check_differentiation()
        if self.runs_on_hardware and self.plugin not in ("qkd.ibm",):
            raise ValueError(f"plugin: {self.plugin!r} knows no limit of QPU time; on hardware use plugin qkd.ibm")
        if self.runs_on_hardware and self.max_qpu_seconds is None:
            raise ValueError(
                f"max_qpu_seconds: is missing; backend {cut(self.backend)} is hardware, where each job needs a limit, "
                "for example max_qpu_seconds: 60"
            )
        return self

    def _check_options(self) -> None:
        given = [key for key in ("seed", "max_qpu_seconds") if getattr(self, key) is not None]
        if may_take(self.plugin, [*self.options, *given]):
            return
        # The plugin is imported, which takes seconds, only where it seems not to take them, to say what it takes.
        with suppress(ImportError):  # told when it is used: an entry that nobody uses must not disable the others
            if (problem := self._problem()) is not None:
                raise ValueError(problem)

    def _check_differentiation(self) -> None:
        if self.diff_method in _EXACT_METHODS and self.shots is not None:
            raise ValueError(
                f"diff_method: {self.diff_method!r} needs exact expectation values, but shots is {self.shots}; "
                "use shots: null, or diff_method: parameter-shift or spsa"
            )
        if self.diff_method == "backprop" and not supports_backprop(self.plugin):
            raise ValueError(f"diff_method: 'backprop' needs plugin default.qubit, not {self.plugin!r}")
        exact = self.plugin == "qkd.ibm" and self.backend == "aer"
        if self.plugin in SAMPLING_PLUGINS and self.shots is None and not exact:
            raise ValueError(f"shots: {self.plugin!r} samples, so that a positive number of shots is needed, not null")
        if self.plugin in SAMPLING_PLUGINS and self.diff_method == "adjoint":
            raise ValueError(f"diff_method: {self.plugin!r} has no adjoint method; use parameter-shift or spsa")

    @property
    def backend(self) -> Any:
        """The Qiskit backend behind the device, a name or an object; None for devices that have none."""
        return self.options.get("backend", DEFAULT_BACKEND.get(self.plugin))

    @property
    def runs_on_hardware(self) -> bool:
        """Whether circuits go to IBM's service and cost QPU time. A backend given as an object is not looked into."""
        return self.plugin in IBM_PLUGINS and isinstance(self.backend, str) and not is_simulated(self.backend)

    @property
    def is_storable(self) -> bool:
        """Whether the spec can be written down, so that another process can make the same device of it."""
        return _is_storable({**self.gradient_options, **self.options})

    def to_json(self) -> dict[str, Any]:
        """The spec as JSON-able data; an object among the options, such as a backend, by the name of its type."""
        return _named_objects(self.model_dump())

    def changed(self, **settings: Any) -> "DeviceSpec":
        """The spec with some settings replaced, and checked like any other.

        Example:
            >>> DeviceSpec(name="mine", plugin="default.qubit", shots=10).changed(shots=20).shots
            20
        """
        return DeviceSpec(**{**dict(self), **settings})

    def check_keywords(self, where: str = "") -> None:
        """Refuse settings and options that the device does not take, whatever its source tells, and what it lacks.

        This imports the device's package, which takes seconds for Qiskit, so that it is done when a spec is used and
        not when it is read.

        Args:
            where: the file that the spec was read from, for the message.

        Raises:
            DeviceConfigError: names the key and what is allowed, or says why the package cannot be imported.
        """
        try:
            problem = self._problem()
        except ImportError as error:
            reason = f"plugin: {self.plugin} cannot be imported: {_one_line(error)}"
            raise DeviceConfigError(f"{where}device {self.name!r}: {reason}") from error
        if problem is not None:
            raise DeviceConfigError(f"{where}device {self.name!r}: {problem}")

    def _problem(self) -> str | None:
        return self._unknown_options() or self._unfit_settings()

    def _unknown_options(self) -> str | None:
        """What is wrong with the names of the options; imports the device's package."""
        of_device = device_keywords(self.plugin)
        if misplaced := sorted(set(self.options) & set(ENTRY_KEYS) - of_device):
            key = misplaced[0]
            return f"{key}: is a setting of its own, not an option; write {key}={cut(self.options[key])}"
        if unknown := sorted(set(self.options) - of_device):
            allowed = [*ENTRY_KEYS, *sorted(of_device - set(ENTRY_KEYS))]
            return f"{', '.join(unknown)}: unknown key{nearest(unknown[0], allowed)}; allowed: {', '.join(allowed)}"
        return None

    def _unfit_settings(self) -> str | None:
        """What the device needs, or cannot use."""
        of_device = device_keywords(self.plugin)
        of_gradient = gradient_keywords(self.diff_method) if self.gradient_options else set()
        if missing := needed_keywords(self.plugin) - set(self.options):
            example = {key: "fake_manila" if key == "backend" else "…" for key in sorted(missing)}
            return f"{', '.join(sorted(missing))}: is missing; {self.plugin} needs it, for example options={example}"
        if unknown := set(self.gradient_options) - of_gradient:
            return (
                f"gradient_options: {self.diff_method} takes no {', '.join(sorted(unknown))}"
                f"{nearest(min(unknown), of_gradient)}; allowed: {', '.join(sorted(of_gradient)) or 'none'}"
            )
        if self.seed is not None and "seed" not in of_device:
            return f"seed: {self.plugin} takes none; allowed: null"
        if self.max_qpu_seconds is not None and "max_qpu_seconds" not in of_device:
            return f"max_qpu_seconds: {self.plugin} knows no such limit; allowed: null, or plugin qkd.ibm"
        return None

    def create(self, wires: int | Sequence[Any], rng: "np.random.Generator | None" = None) -> "qml.devices.Device":
        """The PennyLane device on ``wires``.

        Args:
            wires: number of wires, or their labels.
            rng: source of a simulator's sampling noise, instead of the entry's seed.

        Raises:
            DeviceConfigError: the device does not take one of the options, or cannot be made.
        """
        import pennylane as qml

        self.check_keywords()
        keywords = dict(self.options)
        own = {
            "seed": self.seed if rng is None else rng,
            "causal_cone": self.causal_cone,
            "max_qpu_seconds": self.max_qpu_seconds,
        }
        taken = device_keywords(self.plugin)
        keywords |= {key: value for key, value in own.items() if value is not None and key in taken}
        if self.plugin == "qiskit.remote" and isinstance(name := keywords.get("backend"), str):
            from qkd_pl.devices.ibm.service.backends import open_backend  # imports Qiskit, which takes seconds

            keywords["backend"] = open_backend(name, wires if isinstance(wires, int) else len(wires))
        try:
            device = qml.device(self.plugin, wires=wires, **keywords)
        except (TypeError, ValueError, AttributeError, ImportError, qml.exceptions.DeviceError) as error:
            raise DeviceConfigError(
                f"device {self.name!r}: {self.plugin} with options {cut(self.options)} cannot be made: "
                f"{_one_line(error)}"
            ) from error
        if (reason := unfit(device)) is not None:
            raise DeviceConfigError(f"device {self.name!r}: plugin: {self.plugin} {reason}")
        return device

    def qnode(
        self, quantum_function: Callable, wires: int | Sequence[Any], rng: "np.random.Generator | None" = None
    ) -> "qml.QNode":
        """A QNode of ``quantum_function`` on this device, with its shots and differentiation method.

        Args:
            quantum_function: queues operations and returns measurements.
            wires: number of wires, or their labels.
            rng: source of sampling noise (see :meth:`create`) and of the directions of SPSA.
        """
        import pennylane as qml

        from qkd_pl.devices.causal_cone import causal_cone

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
        # qkd.ibm drops gates when it has decomposed them; shifted circuits for their weights must not arise before.
        by_device = "causal_cone" in device_keywords(self.plugin) and self.plugin != "qkd.ibm"
        return causal_cone(node) if self.causal_cone and not by_device else node


#: Keys of an entry in ``devices.yaml`` that are the registry's own; all others go to the PennyLane device.
ENTRY_KEYS = tuple(key for key in DeviceSpec.model_fields if key not in ("name", "options"))

#: Exact simulation, whatever the registry's default is.
EXACT = DeviceSpec(name="exact", plugin="qkd.lightning")


def _describe(problem: Mapping[str, Any]) -> str:
    key = ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        settings = DeviceSpec.model_fields
        return (
            f"{key}: unknown setting{nearest(key, settings)}; allowed: {', '.join(settings)}; what the device "
            f"takes stands in options={{{key!r}: …}}"
        )
    if problem["type"] == "missing":
        return f"{key}: is missing" + (f"; allowed: {', '.join(installed_plugins())}" if key == "plugin" else "")
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "literal_error":
        close = nearest(problem["input"], get_args(DeviceSpec.model_fields["diff_method"].annotation))
        return f"{key}: {cut(problem['input'])}: must be one of {problem['ctx']['expected']}{close}"
    return f"{key}: {message}, not {cut(problem['input'])}" if key else message


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _is_storable(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_storable(each) for key, each in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_storable, value))
    return value is None or isinstance(value, bool | int | float | str)


def _named_objects(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _named_objects(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_named_objects(each) for each in value]
    return value if _is_storable(value) else f"<{type(value).__module__}.{type(value).__qualname__}>"
