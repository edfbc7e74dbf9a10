"""What a search is about: inputs, a teacher's answers, a device and its limits; checked before the first trial."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from qkd_pl.checks import any_array, check_count, check_number, checked_labels
from qkd_pl.devices.ibm.access import Access
from qkd_pl.devices.ibm.sending import Sending
from qkd_pl.devices.ibm.service.backends import open_backend
from qkd_pl.devices.registry import AnyDevice, resolve_device
from qkd_pl.devices.spec import DeviceSpec
from qkd_pl.errors import DeviceConfigError, InvalidInputError
from qkd_pl.networks.models import TrainedRegressor
from qkd_pl.search.couplings import couplings_of
from qkd_pl.search.evaluation import noisy_spec
from qkd_pl.search.space import DEVICE, SearchSpace
from qkd_pl.teachers import is_array, teacher_logits, teacher_predictions

_HELD_OUT = 0.25
_FEWEST = 8


@dataclass(frozen=True, eq=False)
class Question:
    """What every trial of a search shares.

    Attributes:
        train, held_out: inputs.
        taught, held_out_taught: the teacher's outputs for them, ``(n, K)``.
        held_out_labels: int64, or None.
        task: ``"classification"`` or ``"regression"``.
        embedding: of the students.
        widths: numbers of qubits that they can have.
        couplings: of the device, by number of qubits.
        spec, noise: the device, and the simulation of its noise.
        limits: largest ``qpu_seconds``, ``two_qubit_gates`` and ``depth`` allowed.
        n_inputs: how many inputs are priced.
        ideal_preparation: whether states enter from outside.
    """

    train: np.ndarray
    held_out: np.ndarray
    taught: np.ndarray
    held_out_taught: np.ndarray
    held_out_labels: np.ndarray | None
    task: str
    embedding: Any
    widths: tuple[int, ...]
    couplings: Mapping[int, Any]
    spec: DeviceSpec
    noise: DeviceSpec
    limits: Mapping[str, float]
    n_inputs: int
    ideal_preparation: bool

    @property
    def first_scale(self) -> float:
        """s = min(√shots, 30)."""
        return 30.0 if self.spec.shots is None else min(float(np.sqrt(self.spec.shots)), 30.0)

    @property
    def n_outputs(self) -> int:
        """Classes, or predicted numbers."""
        return self.taught.shape[1]


def checked_device(device: AnyDevice) -> DeviceSpec:
    """The device's entry.

    Raises:
        DeviceConfigError: there is no such device, or none that jobs can be priced for.
    """
    spec = resolve_device(device)
    if not isinstance(spec, DeviceSpec) or spec.plugin != "qkd.ibm":
        raise DeviceConfigError(
            f"device {spec.name!r}: a search prices jobs, and so needs a device with plugin qkd.ibm, for example "
            "fake_torino"
        )
    return spec


def pose(
    teacher: Any,
    inputs: np.ndarray,
    labels: Any,
    spec: DeviceSpec,
    space: SearchSpace,
    *,
    embedding: Any,
    limits: Mapping[str, float | None],
    n_inputs: int | None,
    ideal_preparation: bool,
    regression: bool,
    seed: int,
) -> Question:
    """Check everything, ask the teacher once, and hold a quarter of the inputs out.

    Raises:
        InvalidInputError: names what does not fit.
        BackendError, CredentialsError: the backend cannot be opened.
    """
    inputs = any_array("inputs", inputs)
    if inputs.ndim < 2 or len(inputs) < _FEWEST:
        raise InvalidInputError(f"inputs have shape {inputs.shape}; a search needs (n, …) with at least {_FEWEST}")
    for name, value in limits.items():
        if value is not None:
            check_number(name, value, 0)
    check_count("n_inputs", len(inputs) if n_inputs is None else n_inputs)
    taught = _taught(teacher, inputs, regression)
    labels = None if labels is None or regression else checked_labels(labels, len(inputs), taught.shape[1])
    embedding = _embedding(embedding, teacher, space)
    full = _width(embedding, inputs) if not space.networks else len(space.networks[0].wires)
    widths = (full,) if space.n_qubits is None else tuple(space.n_qubits)
    if wrong := [each for each in widths if each != full]:
        raise InvalidInputError(f"n_qubits={wrong[0]}: the inputs have {full} qubits with embedding={embedding!r}")
    options = {"backend": spec.backend} | spec.options
    backend = open_backend(spec.backend, full, Access.of(options), Sending.of(options))
    wanted = widths if DEVICE in space.topology else ()
    order = np.random.default_rng(seed).permutation(len(inputs))
    n_held_out = max(2, round(_HELD_OUT * len(inputs)))
    out, kept = order[:n_held_out], order[n_held_out:]
    return Question(
        train=inputs[kept],
        held_out=inputs[out],
        taught=taught[kept],
        held_out_taught=taught[out],
        held_out_labels=None if labels is None else labels[out],
        task="regression" if regression else "classification",
        embedding=embedding,
        widths=widths,
        couplings={width: couplings_of(backend, width) for width in wanted},
        spec=spec,
        noise=noisy_spec(spec, ideal_preparation),
        limits={name: float(value) for name, value in limits.items() if value is not None},
        n_inputs=len(inputs) if n_inputs is None else n_inputs,
        ideal_preparation=ideal_preparation,
    )


def is_regression(teacher: Any) -> bool:
    """Whether a teacher is known to predict numbers."""
    return isinstance(teacher, TrainedRegressor)


def _taught(teacher: Any, inputs: np.ndarray, regression: bool) -> np.ndarray:
    if not regression:
        taught = teacher_logits(teacher, inputs, None)
        if taught.shape[1] == 1:
            raise InvalidInputError("the teacher has one logit; classification needs one for each class")
        if len(set(taught.argmax(axis=1))) < 2:
            raise InvalidInputError("the teacher finds the same class in all inputs: any constant agrees with it")
        return taught
    taught = np.asarray(teacher_predictions(teacher, inputs), dtype=np.float64)
    taught = taught[:, None] if taught.ndim == 1 else taught
    if len(taught) != len(inputs) or not np.isfinite(taught).all():
        raise InvalidInputError(f"the teacher's predictions have shape {taught.shape}, or are not finite")
    return taught


def _embedding(embedding: Any, teacher: Any, space: SearchSpace) -> Any:
    if space.networks:
        return None
    found = embedding or (None if is_array(teacher) else getattr(getattr(teacher, "network", None), "embedding", None))
    if found is None:
        raise InvalidInputError("embedding: the teacher does not tell how inputs enter; give one, for example 'state'")
    return found


def _width(embedding: Any, inputs: np.ndarray) -> int:
    features = inputs.shape[1]
    return max(1, int(np.ceil(np.log2(features)))) if embedding in ("state", "amplitude") else features
