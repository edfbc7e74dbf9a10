"""What a noisy circuit is made of: fixed transfer matrices, and rotations whose angles depend on parameters."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from qkd_pl.devices.noisy import transfer
from qkd_pl.errors import InvalidInputError

#: Gates that are exp(−iθP/2) up to a global phase, and P in the order of their qubits.
_ROTATIONS = {"rz": "Z", "p": "Z", "u1": "Z", "rx": "X", "ry": "Y", "rzz": "ZZ", "rxx": "XX", "ryy": "YY", "rzx": "ZX"}


@dataclass(frozen=True)
class Angle:
    """constant + Σ_i coefficients[i] · parameters[columns[i]], in radians."""

    columns: tuple[int, ...]
    coefficients: tuple[float, ...]
    constant: float


@dataclass(frozen=True, eq=False)
class Fixed:
    """A channel that depends on no parameter.

    Attributes:
        qubits: the first is the most significant of ``matrix``.
        matrix: transfer matrix ``(4^k, 4^k)``.
    """

    qubits: tuple[int, ...]
    matrix: np.ndarray


@dataclass(frozen=True, eq=False)
class Rotation:
    """exp(−iθP/2) with the Pauli ``word`` P on ``qubits``."""

    qubits: tuple[int, ...]
    word: str
    angle: Angle


Element = Fixed | Rotation


class Noise(Protocol):
    """What happens behind gates and at the detectors."""

    def after(self, name: str, qubits: tuple[int, ...]) -> np.ndarray | None:
        """Transfer matrix of the error behind a gate, the last of ``qubits`` most significant; None without error."""

    def flips(self, qubit: int) -> tuple[float, float]:
        """Probabilities to read 1 where 0 was prepared, and 0 where 1 was."""


def elements_of(circuit: Any, noise: Noise) -> Iterator[Element]:
    """The elements of a compiled Qiskit circuit, each gate followed by its error, in the order of time.

    Args:
        circuit: measured, if at all, at its end; its parameters' indices are the columns of angles.
        noise: errors by the gate's name and qubits.

    Raises:
        InvalidInputError: an instruction is not a gate, or an angle is not affine in the parameters.
    """
    for instruction in circuit.data:
        name = instruction.operation.name
        if name in ("barrier", "measure"):
            continue
        qubits = tuple(circuit.find_bit(qubit).index for qubit in instruction.qubits)
        yield from _gate(instruction.operation, qubits)
        if (error := noise.after(name, qubits)) is not None:
            yield Fixed(qubits[::-1], error)


def remapped(elements: Sequence[Element], columns: Sequence[int]) -> list[Element]:
    """The same with parameter i called ``columns[i]``."""

    def moved(element: Element) -> Element:
        if isinstance(element, Fixed):
            return element
        angle = element.angle
        return Rotation(
            element.qubits,
            element.word,
            Angle(tuple(columns[i] for i in angle.columns), angle.coefficients, angle.constant),
        )

    return [moved(element) for element in elements]


def _gate(operation: Any, qubits: tuple[int, ...]) -> Iterator[Element]:
    expressions = [each for each in getattr(operation, "params", ()) if getattr(each, "parameters", None)]
    if not expressions:
        try:
            matrix = operation.to_matrix()
        except Exception as error:  # Qiskit raises CircuitError, AttributeError and others
            raise InvalidInputError(f"instruction {operation.name!r}: qkd.noisy runs gates only ({error})") from error
        # Qiskit reads a matrix's first qubit as the least significant.
        yield Fixed(qubits[::-1], transfer.of_kraus([matrix]))
    elif operation.name in _ROTATIONS:
        yield Rotation(qubits, _ROTATIONS[operation.name], _angle(expressions[0]))
    elif operation.name == "u":
        theta, phi, lam = operation.params
        yield from (Rotation(qubits, word, _angle(each)) for word, each in zip("ZYZ", (lam, theta, phi), strict=True))
    elif (definition := operation.definition) is not None:
        for part in definition.data:
            inner = tuple(qubits[definition.find_bit(qubit).index] for qubit in part.qubits)
            yield from _gate(part.operation, inner)
    else:
        raise InvalidInputError(f"gate {operation.name!r} with parameters: qkd.noisy knows no decomposition of it")


def _angle(expression: Any) -> Angle:
    if not getattr(expression, "parameters", None):
        return Angle((), (), float(expression))
    parameters = sorted(expression.parameters, key=lambda each: each.index)
    slopes = [expression.gradient(parameter) for parameter in parameters]
    if any(getattr(slope, "parameters", None) for slope in slopes):
        raise InvalidInputError(f"angle {expression}: must be affine in the circuit's parameters")
    constant = expression.bind(dict.fromkeys(parameters, 0.0))
    columns = tuple(parameter.index for parameter in parameters)
    return Angle(columns, tuple(float(np.real(complex(slope))) for slope in slopes), float(constant))
