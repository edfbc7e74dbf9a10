"""What qkd_pl relies on in qiskit-aer beyond its documentation: where a noise model keeps its errors."""

import numpy as np
from qiskit_aer.noise import NoiseModel, ReadoutError, depolarizing_error

from qkd_pl.upstream import aer


def test_errors_of_gates_and_readout_are_found_by_name_and_qubits():
    model = NoiseModel()
    everywhere, here = depolarizing_error(0.1, 1), depolarizing_error(0.2, 1)
    pair = depolarizing_error(0.3, 2)
    readout = ReadoutError([[0.9, 0.1], [0.2, 0.8]])
    model.add_all_qubit_quantum_error(everywhere, ["sx"])
    model.add_quantum_error(pair, ["cx"], [1, 0])
    model.add_readout_error(readout, [2])
    assert aer.gate_error(model, "sx", (5,)) == everywhere
    assert aer.gate_error(model, "cx", (1, 0)) == pair
    assert aer.gate_error(model, "cx", (0, 1)) is None
    assert aer.gate_error(model, "rz", (0,)) is None
    np.testing.assert_array_equal(aer.readout_error(model, 2).probabilities, readout.probabilities)
    assert aer.readout_error(model, 0) is None
    assert not aer.has_joint_readout_errors(model)

    local = NoiseModel()
    local.add_quantum_error(here, ["sx"], [1])
    assert aer.gate_error(local, "sx", (1,)) == here
    assert aer.gate_error(local, "sx", (0,)) is None


def test_readout_errors_of_several_qubits_are_recognised():
    model = NoiseModel()
    model.add_readout_error(ReadoutError(np.full((4, 4), 0.25)), [0, 1])
    assert aer.has_joint_readout_errors(model)


def test_a_readout_error_of_all_qubits_holds_for_each():
    model = NoiseModel()
    model.add_all_qubit_readout_error(ReadoutError([[0.9, 0.1], [0.2, 0.8]]))
    assert aer.readout_error(model, 7).probabilities[1, 0] == 0.2
