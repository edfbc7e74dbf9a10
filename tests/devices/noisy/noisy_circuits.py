"""Truth for ``qkd.noisy`` that it did not make: Aer's density matrix of the same compiled circuit."""

from collections.abc import Sequence

import numpy as np
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qiskit.transpiler import PassManager
from qiskit.transpiler.passes import Optimize1qGatesDecomposition
from qiskit_aer import AerSimulator
from qiskit_aer.library import SaveDensityMatrix, SetDensityMatrix
from qiskit_aer.noise import NoiseModel

Word = tuple[str, tuple[int, ...], float]
#: One compilation instead of the best of several: results here do not depend on how good it is.
ATTEMPTS = {"transpile_attempts": 1}


def aer_expectation(
    isa: QuantumCircuit,
    noise_model,
    backend,
    words: Sequence[Word],
    state: tuple[Sequence[int], np.ndarray] | None = None,
) -> float:
    """Σ weight · ⟨word⟩ by Aer's density matrix, each word measured in its basis, read-out errors applied by hand.

    Args:
        isa: compiled, with numbers for all parameters.
        noise_model: Aer's, or None.
        backend: whose gates change the basis.
        words: on physical qubits.
        state: pure, on some physical qubits (first most significant), instead of |0…0⟩.
    """
    return sum(weight * _word(isa, noise_model, backend, word, places, state) for word, places, weight in words)


def _word(isa, noise_model, backend, word, places, state) -> float:
    full = QuantumCircuit(isa.num_qubits)
    full.compose(isa.remove_final_measurements(inplace=False) if isa.num_clbits else isa, inplace=True)
    change = QuantumCircuit(isa.num_qubits)
    for letter, qubit in zip(word, places, strict=True):
        if letter == "Y":
            change.sdg(qubit)
        if letter in "XY":
            change.h(qubit)
    full.compose(PassManager([Optimize1qGatesDecomposition(target=backend.target)]).run(change), inplace=True)
    entered = () if state is None else state[0]
    used = sorted({full.find_bit(q).index for each in full.data for q in each.qubits} | set(places) | set(entered))
    rho = density_matrix(full, noise_model, used, state)
    labels = []
    for flags in np.ndindex(*[2] * len(places)):
        # Z as the detector sees it: (p10 − p01) I + (1 − p01 − p10) Z on every qubit that is read.
        factor = 1.0
        letters = ["I"] * len(used)
        for flag, qubit in zip(flags, places, strict=True):
            p01, p10 = flips(noise_model, qubit)
            factor *= 1 - p01 - p10 if flag else p10 - p01
            if flag:
                letters[len(used) - 1 - used.index(qubit)] = "Z"
        labels.append(("".join(letters), factor))
    return float(np.real(np.trace(rho @ SparsePauliOp.from_list(labels).to_matrix())))


def flips(noise_model, qubit: int) -> tuple[float, float]:
    """P(read 1 | prepared 0) and P(read 0 | prepared 1)."""
    error = None if noise_model is None else noise_model._local_readout_errors.get((qubit,))
    return (0.0, 0.0) if error is None else (error.probabilities[0, 1], error.probabilities[1, 0])


def density_matrix(circuit: QuantumCircuit, noise_model, used: Sequence[int], state=None) -> np.ndarray:
    """Density matrix of the ``used`` qubits, in Qiskit's order, by Aer."""
    simulator = AerSimulator(method="density_matrix", noise_model=_of_qubits(noise_model, used))
    start = QuantumCircuit(len(used))
    if state is not None:
        qubits, amplitudes = state
        tensor = np.zeros([2] * len(used), dtype=complex)
        index = np.zeros(len(used), dtype=int)
        for bits in np.ndindex(*[2] * len(qubits)):
            for qubit, bit in zip(qubits, bits, strict=True):
                index[len(used) - 1 - used.index(qubit)] = bit
            tensor[tuple(index)] = amplitudes.reshape([2] * len(qubits))[bits]
        vector = tensor.ravel()
        start.append(SetDensityMatrix(np.outer(vector, vector.conj())), range(len(used)))
    for each in circuit.data:
        if each.operation.name != "barrier":
            start.append(each.operation, [used.index(circuit.find_bit(qubit).index) for qubit in each.qubits])
    start.append(SaveDensityMatrix(len(used)), range(len(used)))
    return np.asarray(simulator.run(start).result().data()["density_matrix"])


def _of_qubits(noise_model, used: Sequence[int]) -> NoiseModel | None:
    """The same errors for the ``used`` qubits, numbered from 0: Aer copies all errors for every circuit."""
    if noise_model is None:
        return None
    small = NoiseModel(basis_gates=noise_model.basis_gates)
    for name, error in noise_model._default_quantum_errors.items():
        small.add_all_qubit_quantum_error(error, name)
    for name, errors in noise_model._local_quantum_errors.items():
        for qubits, error in errors.items():
            if set(qubits) <= set(used):
                small.add_quantum_error(error, name, [used.index(qubit) for qubit in qubits], warnings=False)
    return small
