"""What a search is about: inputs, a teacher's answers, a device and its limits; checked before the first trial."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from qkd_pl.checks import any_array, check_count, check_number, checked_labels
from qkd_pl.circuits.ansatz import Ansatz
from qkd_pl.devices.ibm.access import Access
from qkd_pl.devices.ibm.sending import Sending
from qkd_pl.devices.ibm.service.backends import open_backend
from qkd_pl.devices.registry import AnyDevice, resolve_device
from qkd_pl.devices.spec import DeviceSpec
from qkd_pl.errors import DeviceConfigError, InvalidInputError
from qkd_pl.networks.models import TrainedRegressor
from qkd_pl.networks.schema import MOST_LATENT
from qkd_pl.search.couplings import couplings_of
from qkd_pl.search.evaluation import noisy_spec
from qkd_pl.search.space import DEVICE, SearchSpace
from qkd_pl.teachers import is_array, teacher_logits, teacher_predictions

# Shares of the inputs by which students are chosen, and of those by which the choice is confirmed.
_HELD_OUT, _CONFIRMING = 0.25, 0.15
_FEWEST = 8


@dataclass(frozen=True, eq=False)
class Question:
    """What every trial of a search shares.

    Attributes:
        train: inputs that students learn from.
        held_out: inputs by which they are stopped early, proposed and chosen.
        confirming: inputs that nothing depends on, so that what is measured by them is not too good.
        taught, held_out_taught, confirming_taught: the teacher's outputs for them, ``(n, K)``.
        confirming_labels: int64, or None.
        task: ``"classification"`` or ``"regression"``.
        embedding: of the students.
        full: qubits that take the inputs whole.
        widths: numbers of qubits that students can have.
        couplings: of the device, by number of qubits.
        spec, noise: the device, and the simulation of its noise.
        limits: largest ``qpu_seconds``, ``two_qubit_gates`` and ``depth`` allowed.
        n_inputs: how many inputs are priced.
        ideal_preparation: whether states enter from outside.
        seed: of what trials share.
    """

    train: np.ndarray
    held_out: np.ndarray
    confirming: np.ndarray
    taught: np.ndarray
    held_out_taught: np.ndarray
    confirming_taught: np.ndarray
    confirming_labels: np.ndarray | None
    task: str
    embedding: Any
    full: int
    widths: tuple[int, ...]
    couplings: Mapping[int, Any]
    spec: DeviceSpec
    noise: DeviceSpec
    limits: Mapping[str, float]
    n_inputs: int
    ideal_preparation: bool
    seed: int

    @property
    def compresses(self) -> bool:
        """Whether students with fewer qubits stand behind an autoencoder."""
        return self.embedding == "state"

    @property
    def inputs(self) -> np.ndarray:
        """Of all three kinds."""
        return np.concatenate([self.train, self.held_out, self.confirming])

    @property
    def encodes(self) -> bool:
        """Whether some of the students do."""
        return self.compresses and any(width < self.full for width in self.widths)

    def features_of(self, n_qubits: int) -> int:
        """How many features so many qubits take."""
        return 2**n_qubits if self.embedding == "amplitude" else n_qubits

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
    widths = _widths(embedding, inputs, full, space)
    options = {"backend": spec.backend} | spec.options
    backend = open_backend(spec.backend, full, Access.of(options), Sending.of(options))
    # A student behind an autoencoder has the couplings of the latter that lie among its own wires.
    wanted = {full, *widths} if DEVICE in space.named_topologies else set()
    order = np.random.default_rng(seed).permutation(len(inputs))
    ends = np.cumsum([max(2, round(share * len(inputs))) for share in (_HELD_OUT, _CONFIRMING)])
    out, confirming, kept = np.split(order, ends)
    if regression and any(not np.ptp(taught[each], axis=0).all() for each in (out, confirming)):
        raise InvalidInputError("the teacher predicts the same number for all held-out inputs, so that R² has no value")
    return Question(
        train=inputs[kept],
        held_out=inputs[out],
        confirming=inputs[confirming],
        taught=taught[kept],
        held_out_taught=taught[out],
        confirming_taught=taught[confirming],
        confirming_labels=None if labels is None else labels[confirming],
        task="regression" if regression else "classification",
        embedding=embedding,
        full=full,
        widths=widths,
        couplings={width: couplings_of(backend, width) for width in sorted(wanted)},
        spec=spec,
        noise=noisy_spec(spec, ideal_preparation),
        limits={name: float(value) for name, value in limits.items() if value is not None},
        n_inputs=len(inputs) if n_inputs is None else n_inputs,
        ideal_preparation=ideal_preparation,
        seed=seed,
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


def _widths(embedding: Any, inputs: np.ndarray, full: int, space: SearchSpace) -> tuple[int, ...]:
    """Numbers of qubits of the students, checked against the inputs and the topologies given by pairs."""
    encodes = embedding == "state"
    fewer = full if space.networks or inputs.ndim > 2 else MOST_LATENT if encodes else full - 1
    for pairs in () if space.networks else space.pairs:
        Ansatz(full if encodes or not space.n_qubits else min(space.n_qubits), 1, "Y", "cz", pairs, True)
    if space.n_qubits is None:
        whole_only = space.networks or space.pairs or inputs.ndim > 2
        smaller = {full // 2, 2} if encodes else {-(-full // 2)}
        allowed = sorted((each for each in smaller if 1 < each < full and each <= fewer), reverse=True)
        return (full,) if whole_only else (full, *allowed)
    for width in space.n_qubits:
        if width > full or (width < full and (width > fewer or inputs.ndim > 2)):
            how = f"; behind an autoencoder at most {fewer}" if encodes and fewer < full else ""
            raise InvalidInputError(
                f"n_qubits={width}: the inputs have {full} qubits with embedding={embedding!r}{how}"
            )
    return tuple(space.n_qubits)
