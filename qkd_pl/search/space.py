"""Which students a search may try."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from qkd_pl.checks import check_choice, check_count, check_number
from qkd_pl.circuits.ansatz import ENTANGLERS, TOPOLOGIES
from qkd_pl.errors import InvalidInputError
from qkd_pl.networks.networks import QNN

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

#: The coupling map of the device, restricted to as many of its qubits as the student has.
DEVICE = "device"
#: An autoencoder that runs on a classical computer, not in the student's circuit.
CLASSICALLY = "classically"
_COMPRESSED = ("device", CLASSICALLY)
_READOUTS = ("classes", "single")
_TRAINED_ON = ("lightning", "noisy")


@dataclass(frozen=True)
class SearchSpace:
    """The students that a search may try; each setting is a list of choices, and one choice fixes it.

    Attributes:
        n_qubits: of the students; None for all that the inputs have, then about half of them and, for states, 2. Fewer
            take the leading features (put those that matter first, as PCA does), for states what an autoencoder keeps.
        n_layers: L of the ansatz.
        rotations, entangler: see :class:`~qkd_pl.circuits.ansatz.Ansatz`.
        topology: ``"ring"``, ``"line"``, ``"device"``, couplings that the device has, or (control, target) pairs of
            wires.
        encoder_layers: of the autoencoder; it has the student's entangler and topology.
        compress: ``"device"``, the autoencoder is part of the student's circuit and trained further with it, or
            ``"classically"``, it is simulated and the device is given the compressed states.
        readout: ``"classes"``, one output for each class, or ``"single"``, one output z with logits (z, −z); two
            classes only.
        absorb: whether the last entanglers are moved into the observables, at equal QPU time.
        scale: lowest and highest s = 1/T, T being the temperature of the KD loss, as multiples of min(√shots, 30), at
            which every search begins; drawn logarithmically.
        margin: factors of the teacher's logits. Larger margins survive fewer shots, at a price in accuracy.
        train_on: ``"lightning"``, exactly, or ``"noisy"``, under the device's noise.
        networks: the user's own networks instead of all of the above but ``absorb``, ``scale``, ``margin`` and
            ``train_on``.

    Raises:
        InvalidInputError: a choice is not among those listed.

    Example:
        >>> SearchSpace(n_layers=(1,), topology=("line",)).n_layers
        (1,)
    """

    n_qubits: Sequence[int] | None = None
    n_layers: Sequence[int] = (1, 2, 3)
    rotations: Sequence[str] = ("XYZ", "YZ")
    entangler: Sequence[str] = ("cz", "cnot")
    topology: Sequence[Any] = ("line", DEVICE, "ring")
    encoder_layers: Sequence[int] = (2, 4)
    compress: Sequence[str] = ("device",)
    readout: Sequence[str] = _READOUTS
    absorb: Sequence[bool] = (False, True)
    scale: tuple[float, float] = (1 / 16, 1.0)
    margin: Sequence[float] = (1.0, 2.0, 4.0)
    train_on: Sequence[str] = _TRAINED_ON
    networks: Sequence[Any] = ()

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name == "n_qubits" and value is None:
                continue
            if isinstance(value, str) or not isinstance(value, Sequence) or (not value and each.name != "networks"):
                raise InvalidInputError(f"{each.name}={value!r}: must be a list of at least one choice")
            object.__setattr__(self, each.name, tuple(value))
        for name in ("n_qubits", "n_layers", "encoder_layers"):
            for count in getattr(self, name) or ():
                check_count(name, count)
        _check_choices("entangler", self.entangler, tuple(ENTANGLERS))
        _check_choices("topology", self.named_topologies, (*TOPOLOGIES, DEVICE))
        _check_choices("compress", self.compress, _COMPRESSED)
        _check_choices("readout", self.readout, _READOUTS)
        _check_choices("absorb", self.absorb, (False, True))
        _check_choices("train_on", self.train_on, _TRAINED_ON)
        for letters in self.rotations:
            QNN(1, 1, 1, rotations=letters)
        for margin in self.margin:
            check_number("margin", margin, 0, above=True)
        if len(self.scale) != 2 or not 0 < self.scale[0] <= self.scale[1] < float("inf"):
            raise InvalidInputError(f"scale={self.scale!r}: must be the lowest and the highest factor, both above 0")

    @property
    def named_topologies(self) -> tuple[Any, ...]:
        """Those that are told by a name."""
        return tuple(each for each in self.topology if isinstance(each, str) or not isinstance(each, tuple | list))

    @property
    def pairs(self) -> tuple[Any, ...]:
        """Topologies that are told by their couplings."""
        return tuple(each for each in self.topology if not isinstance(each, str))

    def distributions(
        self, widths: Sequence[int], n_classes: int | None, scale: float, encodes: bool
    ) -> "dict[str, BaseDistribution]":
        """What Optuna draws from.

        Args:
            widths: qubits that students of these inputs can have.
            n_classes: None for regression.
            scale: s at which the search begins.
            encodes: whether students with fewer qubits stand behind an autoencoder.
        """
        from optuna.distributions import CategoricalDistribution, FloatDistribution

        choices: dict[str, Sequence[Any]] = {"absorb": self.absorb, "train_on": self.train_on}
        if self.networks:
            choices["network"] = range(len(self.networks))
        else:
            readouts = self.readout if n_classes == 2 else ("classes",)
            choices |= {"n_qubits": widths, "n_layers": self.n_layers, "rotations": self.rotations}
            choices |= {"entangler": self.entangler, "topology": tuple(map(_written, self.topology))}
            choices["readout"] = readouts
            if encodes:
                choices |= {"encoder_layers": self.encoder_layers, "compress": self.compress}
        drawn: dict[str, BaseDistribution] = {}
        if n_classes is not None:
            choices["margin"] = self.margin
            drawn["scale"] = FloatDistribution(self.scale[0] * scale, self.scale[1] * scale, log=True)
        return drawn | {name: CategoricalDistribution(tuple(each)) for name, each in choices.items()}

    def first(self, distributions: "Mapping[str, Any]", scale: float) -> dict[str, Any]:
        """The student with which the search begins: the first of all choices, at the scale that the shots suggest."""
        begun = {name: each.choices[0] for name, each in distributions.items() if hasattr(each, "choices")}
        if "scale" in distributions:
            begun["scale"] = min(max(scale, distributions["scale"].low), distributions["scale"].high)
        return begun


def topology_of(text: str) -> Any:
    """A topology from what Optuna stores: ``"line"``, ``"ring"``, or pairs such as ``"0-1 1-2"``.

    Example:
        >>> topology_of("0-1 1-2")
        ((0, 1), (1, 2))
    """
    if text in TOPOLOGIES:
        return text
    return tuple((int(a), int(b)) for a, b in (pair.split("-") for pair in text.split()))


def _written(topology: Any) -> str:
    """Optuna stores choices as text."""
    return topology if isinstance(topology, str) else " ".join(f"{a}-{b}" for a, b in topology)


def _check_choices(name: str, given: Sequence[Any], allowed: Sequence[Any]) -> None:
    for each in given:
        check_choice(name, each, allowed)
