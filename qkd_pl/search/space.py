"""Which students a search may try."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import pennylane as qml

from qkd_pl.checks import check_choice, check_count, check_number
from qkd_pl.circuits.ansatz import ENTANGLERS, TOPOLOGIES
from qkd_pl.errors import InvalidInputError
from qkd_pl.networks.networks import QNN

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

#: The coupling map of the device, restricted to as many of its qubits as the student has.
DEVICE = "device"
_READOUTS = ("classes", "single")
_TRAINED_ON = ("lightning", "noisy")


@dataclass(frozen=True)
class SearchSpace:
    """The students that a search may try; each setting is a list of choices, and one choice fixes it.

    Attributes:
        n_qubits: of the students; None for all that the inputs have. Fewer than these need an autoencoder (states) or
            take the leading components (features).
        n_layers: L of the ansatz.
        rotations, entangler: see :class:`~qkd_pl.circuits.ansatz.Ansatz`.
        topology: ``"ring"``, ``"line"``, or ``"device"``, couplings that the device has.
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
    topology: Sequence[str] = ("line", DEVICE, "ring")
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
        for name in ("n_qubits", "n_layers"):
            for count in getattr(self, name) or ():
                check_count(name, count)
        _check_choices("entangler", self.entangler, tuple(ENTANGLERS))
        _check_choices("topology", self.topology, (*TOPOLOGIES, DEVICE))
        _check_choices("readout", self.readout, _READOUTS)
        _check_choices("absorb", self.absorb, (False, True))
        _check_choices("train_on", self.train_on, _TRAINED_ON)
        for letters in self.rotations:
            QNN(1, 1, 1, rotations=letters)
        for margin in self.margin:
            check_number("margin", margin, 0, above=True)
        if len(self.scale) != 2 or not 0 < self.scale[0] <= self.scale[1] < float("inf"):
            raise InvalidInputError(f"scale={self.scale!r}: must be the lowest and the highest factor, both above 0")

    def distributions(
        self, widths: Sequence[int], n_classes: int | None, scale: float
    ) -> "dict[str, BaseDistribution]":
        """What Optuna draws from.

        Args:
            widths: qubits that students of these inputs can have.
            n_classes: None for regression.
            scale: s at which the search begins.
        """
        from optuna.distributions import CategoricalDistribution, FloatDistribution

        choices: dict[str, Sequence[Any]] = {"absorb": self.absorb, "train_on": self.train_on}
        if self.networks:
            choices["network"] = range(len(self.networks))
        else:
            readouts = self.readout if n_classes == 2 else ("classes",)
            choices |= {"n_qubits": widths, "n_layers": self.n_layers, "rotations": self.rotations}
            choices |= {"entangler": self.entangler, "topology": self.topology, "readout": readouts}
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

    def network(
        self, drawn: Mapping[str, Any], embedding: Any, n_outputs: int, couplings: Mapping[int, Any], regression: bool
    ) -> Any:
        """The network that a trial draws.

        Args:
            drawn: choices by name.
            embedding: how inputs enter.
            n_outputs: classes, or predicted numbers.
            couplings: of the device, by number of qubits.
            regression: whether outputs are numbers.
        """
        if self.networks:
            return self.networks[drawn["network"]]
        n_qubits, topology = drawn["n_qubits"], drawn["topology"]
        single = drawn["readout"] == "single" or (regression and n_outputs == 1)
        return QNN(
            n_qubits,
            drawn["n_layers"],
            embedding=embedding,
            rotations=drawn["rotations"],
            entangler=drawn["entangler"],
            topology=couplings[n_qubits] if topology == DEVICE else topology,
            **({"observables": [qml.Z(n_qubits // 2)]} if single else {"n_classes": n_outputs}),
        )


def _check_choices(name: str, given: Sequence[Any], allowed: Sequence[Any]) -> None:
    for each in given:
        check_choice(name, each, allowed)
