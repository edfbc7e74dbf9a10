"""qiskit-aer: the errors that a noise model holds, which its public interface only prints."""

from typing import Any


def gate_error(noise_model: Any, name: str, qubits: tuple[int, ...]) -> Any:
    """The ``QuantumError`` that Aer applies behind gate ``name`` on ``qubits``, or None.

    An error given for these qubits takes precedence over one for all qubits.
    """
    local = noise_model._local_quantum_errors.get(name, {})
    return local.get(qubits, noise_model._default_quantum_errors.get(name))


def readout_error(noise_model: Any, qubit: int) -> Any:
    """The ``ReadoutError`` of one qubit, or None."""
    return noise_model._local_readout_errors.get((qubit,), noise_model._default_readout_error)


def has_joint_readout_errors(noise_model: Any) -> bool:
    """Whether a read-out error is given for several qubits at once."""
    return any(len(qubits) > 1 for qubits in noise_model._local_readout_errors)
