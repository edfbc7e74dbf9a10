"""Zero-noise extrapolation of a QNN's outputs, with PennyLane's folding, on the circuit that the device runs.

A folded circuit U U† U is the identity of a compiler, which would leave U of it. So the circuit is compiled first, and
the native gates are folded; then the device runs them as they are. That is what makes the noise of U† that of U.
"""

from collections.abc import Sequence

import numpy as np
import pennylane as qml
from pennylane.noise import fold_global, richardson_extrapolate
from qiskit import QuantumCircuit, transpile

from qkd_pl.devices.ibm.service.backends import open_backend
from qkd_pl.devices.spec import DeviceSpec
from qkd_pl.networks.models import TrainedQNN
from qkd_pl.networks.networks import QNN

_SEED = 0


def folded_expectations(
    model: TrainedQNN, inputs: np.ndarray, device: DeviceSpec, scales: Sequence[float]
) -> np.ndarray:
    """⟨Z_0⟩, ⟨Z_1⟩ and ⟨Z_0 Z_1⟩ with the noise of the ansatz made larger, float64 ``(scales, n, 3)``.

    Args:
        model: a QNN for state vectors, on a device with as many qubits as it has, or without couplings.
        inputs: state vectors ``(n, 2**n_qubits)``, which enter without noise.
        device: of the plugin ``qkd.noisy``, with ``preparation="ideal"``.
        scales: factors of the noise; 1 leaves the circuit as it is.
    """
    network = model.network
    assert isinstance(network, QNN)
    backend = open_backend(device.backend, network.n_qubits)
    compiled, initial, final = _compiled(model, backend)
    native = qml.tape.make_qscript(qml.from_qiskit(compiled))()
    fixed = {"optimization_level": 0, "transpile_attempts": 1, "initial_layout": list(range(network.n_qubits))}
    runner = device.changed(options={**device.options, **fixed})
    observables = [qml.Z(final[0]), qml.Z(final[1]), qml.Z(final[0]) @ qml.Z(final[1])]

    def expectations(scale: float) -> np.ndarray:
        (folded,), _ = fold_global(native, scale)
        gates = [gate for operation in folded.operations for gate in _native(operation)]

        def circuit(states: np.ndarray) -> list[qml.measurements.ExpectationMP]:
            qml.StatePrep(states, wires=initial)
            for gate in gates:
                qml.apply(gate)
            return [qml.expval(observable) for observable in observables]

        return np.stack(runner.qnode(circuit, network.n_qubits)(inputs), axis=1)

    return np.array([expectations(scale) for scale in scales])


def extrapolated(outputs: np.ndarray, scales: Sequence[float]) -> np.ndarray:
    """Richardson's extrapolation to zero noise: ``(scales, n, K)`` to ``(n, K)``."""
    return richardson_extrapolate(np.array(scales, dtype=float), outputs)


def _compiled(model: TrainedQNN, backend: object) -> tuple[QuantumCircuit, list[int], list[int]]:
    """The ansatz in native gates, and the physical qubits of its wires at the start and at the end."""
    network = model.network
    assert isinstance(network, QNN)
    ansatz = qml.tape.make_qscript(network.ansatz.apply)(model.weights)
    text = qml.to_openqasm(ansatz, wires=qml.wires.Wires(network.wires), measure_all=False, rotations=False)
    compiled = transpile(QuantumCircuit.from_qasm_str(text), backend, optimization_level=3, seed_transpiler=_SEED)
    if compiled.layout is None:  # nothing is routed
        return compiled, list(network.wires), list(network.wires)
    return compiled, compiled.layout.initial_index_layout(filter_ancillas=True), compiled.layout.final_index_layout()


def _native(operation: qml.operation.Operator) -> list[qml.operation.Operator]:
    """An operation of a folded circuit by native gates: the same number of noisy ones for an inverse."""
    if not isinstance(operation, qml.ops.Adjoint):
        return [operation]
    if isinstance(operation.base, qml.SX):  # up to a phase; RZ has no noise
        half_turns = [qml.RZ(np.pi, wires=operation.wires) for _ in range(2)]
        return [half_turns[0], operation.base, half_turns[1]]
    return [operation.base.adjoint()]
