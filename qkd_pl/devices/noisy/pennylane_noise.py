"""A PennyLane noise model: nothing is transpiled or routed, noise follows PennyLane's own gates."""

from collections.abc import Iterator

import numpy as np
import pennylane as qml
from pennylane.operation import Channel, Operator
from pennylane.tape import QuantumScript

from qkd_pl.devices.ibm.compile.structure import Expectation
from qkd_pl.devices.noisy import transfer
from qkd_pl.devices.noisy.detectors import Detectors
from qkd_pl.devices.noisy.elements import Angle, Element, Fixed, Rotation
from qkd_pl.devices.noisy.lowering import Lowered
from qkd_pl.devices.noisy.noise import QiskitNoise
from qkd_pl.errors import InvalidInputError

#: Gates that are exp(−iθP/2) up to a global phase.
_ROTATIONS = {
    "RX": "X",
    "RY": "Y",
    "RZ": "Z",
    "PhaseShift": "Z",
    "U1": "Z",
    "IsingXX": "XX",
    "IsingYY": "YY",
    "IsingZZ": "ZZ",
}
_SKIPPED = ("Barrier", "GlobalPhase", "WireCut")


class PennyLaneLowering:
    """The tape itself, with the channels that a noise model inserts; detectors without error.

    Args:
        model: its channels may depend on a gate's type and wires, not on its angles.

    Raises:
        InvalidInputError: the model has noise before measurements.
    """

    is_noiseless = False

    def __init__(self, model: qml.NoiseModel) -> None:
        if model.meas_map:
            raise InvalidInputError(
                "noise model: meas_map is not supported; give read-out errors by a Qiskit NoiseModel"
            )
        self._model = model
        self.detectors = Detectors(QiskitNoise(None))

    def lower(self, tape: QuantumScript, n_wires: int, measured: tuple[tuple[Expectation, ...], ...]) -> Lowered:
        """See :class:`qkd_pl.devices.noisy.lowering.Lowering`."""
        operations = self._noisy(tape)
        # The same with other angles: what differs then is noise that follows the angles.
        shifted = [_shifted(op) for op in tape.operations]
        for one, other in zip(operations, self._noisy(tape.copy(operations=shifted)), strict=True):
            if isinstance(one, Channel) and not qml.equal(one, other):
                raise InvalidInputError(
                    f"noise model: {one.name} depends on a gate's angle; qkd.noisy needs fixed errors"
                )
        elements = [element for op in operations for element in _elements(op)]
        wires = tuple(range(n_wires))
        return Lowered(elements, wires, wires, n_wires)

    def _noisy(self, tape: QuantumScript) -> list[Operator]:
        (noisy,), _ = qml.noise.add_noise(QuantumScript(tape.operations, [qml.expval(qml.Z(0))]), self._model)
        return list(noisy.operations)


def _elements(op: Operator) -> Iterator[Element]:
    qubits = tuple(op.wires)
    if op.name in _SKIPPED:
        return
    if isinstance(op, Channel):
        yield Fixed(qubits, transfer.of_kraus(op.kraus_matrices()))
    elif op.name in _ROTATIONS:
        yield Rotation(qubits, _ROTATIONS[op.name], Angle((round(float(op.data[0])),), (1.0,), 0.0))
    elif op.name in ("U2", "U3"):
        yield from _euler(op)
    elif not op.data or any(op.ndim_params):
        yield Fixed(qubits, transfer.of_kraus([qml.matrix(op, wire_order=op.wires)]))
    else:
        raise InvalidInputError(f"{op.name}: qkd.noisy cannot take its angles under a PennyLane noise model")


def _euler(op: Operator) -> Iterator[Element]:
    """U3(θ, φ, δ) = RZ(φ) RY(θ) RZ(δ) up to a global phase, and U2(φ, δ) = U3(π/2, φ, δ)."""
    angles = [Angle((round(float(value)),), (1.0,), 0.0) for value in op.data]
    theta, phi, delta = angles if op.name == "U3" else [Angle((), (), np.pi / 2), *angles]
    for word, angle in zip("ZYZ", (delta, theta, phi), strict=True):
        yield Rotation(tuple(op.wires), word, angle)


def _shifted(op: Operator) -> Operator:
    if not op.data or any(op.ndim_params):
        return op
    return qml.ops.functions.bind_new_parameters(op, [value + 0.37 for value in op.data])
