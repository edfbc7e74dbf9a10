"""Errors of gates and detectors: those of a Qiskit noise model, or of a backend's current calibration."""

from functools import cached_property
from typing import Any

import numpy as np

from qkd_pl.checks import kind_of
from qkd_pl.errors import InvalidInputError
from qkd_pl.upstream import aer


class QiskitNoise:
    """The errors of a Qiskit Aer ``NoiseModel``, as transfer matrices.

    Errors of idling qubits are not part of it: they exist only in scheduled circuits with delays.

    Args:
        model: a ``NoiseModel``, or None for no noise.

    Raises:
        InvalidInputError: the model has read-out errors of several qubits at once.
    """

    def __init__(self, model: Any) -> None:
        if model is not None and aer.has_joint_readout_errors(model):
            raise InvalidInputError(
                "noise model: read-out errors must be those of single qubits, not of several at once"
            )
        self._model = model
        self._known: dict[tuple[str, tuple[int, ...]], np.ndarray | None] = {}

    def after(self, name: str, qubits: tuple[int, ...]) -> np.ndarray | None:
        """See :class:`qkd_pl.devices.noisy.elements.Noise`."""
        if (name, qubits) not in self._known:
            self._known[name, qubits] = self._transfer_matrix(name, qubits)
        return self._known[name, qubits]

    def flips(self, qubit: int) -> tuple[float, float]:
        """See :class:`qkd_pl.devices.noisy.elements.Noise`."""
        error = None if self._model is None else aer.readout_error(self._model, qubit)
        if error is None:
            return 0.0, 0.0
        probabilities = np.asarray(error.probabilities)
        return float(probabilities[0, 1]), float(probabilities[1, 0])

    @cached_property
    def is_noiseless(self) -> bool:
        """Whether there is no error at all."""
        return self._model is None or bool(self._model.is_ideal())

    def _transfer_matrix(self, name: str, qubits: tuple[int, ...]) -> np.ndarray | None:
        from qiskit.quantum_info import PTM

        error = None if self._model is None else aer.gate_error(self._model, name, qubits)
        if error is None:
            return None
        if error.num_qubits != len(qubits):
            raise InvalidInputError(
                f"noise model: the error of {name!r} acts on {error.num_qubits} qubits, the gate on {len(qubits)}"
            )
        matrix = np.ascontiguousarray(PTM(error.to_quantumchannel()).data.real)
        # Calibrations give channels that keep the trace up to rounding; here it is kept exactly.
        matrix[0] = np.eye(len(matrix))[0]
        return matrix


def noise_of_backend(backend: Any) -> QiskitNoise:
    """The noise of ``backend``: of a simulator its noise model, of hardware that of its current calibration.

    Hardware's is ``NoiseModel.from_backend``: for each gate a depolarising error and thermal relaxation over its
    duration, which together give the reported error rate, and the reported read-out errors.
    """
    from qiskit_aer import AerSimulator
    from qiskit_aer.noise import NoiseModel

    if isinstance(backend, AerSimulator):
        return QiskitNoise(backend.options.noise_model)
    return QiskitNoise(NoiseModel.from_backend(backend))


def simulator_of(model: Any, n_wires: int) -> Any:
    """A backend for a noise model, without couplings; any other backend as it is.

    Raises:
        InvalidInputError: it is neither.
    """
    from qiskit.providers import BackendV2
    from qiskit_aer import AerSimulator
    from qiskit_aer.noise import NoiseModel

    if isinstance(model, NoiseModel):
        return AerSimulator(noise_model=model)
    if isinstance(model, BackendV2):
        if model.num_qubits is not None and model.num_qubits < n_wires:
            raise InvalidInputError(f"backend {model.name!r} has {model.num_qubits} qubits, {n_wires} are asked for")
        return model
    raise InvalidInputError(
        f"backend: {kind_of(model)}; must be a name, a Qiskit backend, or a noise model of Qiskit or PennyLane"
    )
