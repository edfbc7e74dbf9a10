"""Entanglers moved into the observables: exactly the same expectation values, by default.qubit."""

import numpy as np
import pennylane as qml
import pytest
from qiskit_aer import AerSimulator

from qkd_pl.devices.ibm.compile.absorption import absorbed, predicted_error
from qkd_pl.devices.ibm.compile.batching import group_tapes
from qkd_pl.devices.ibm.compile.transpile import Transpiler
from qkd_pl.devices.ibm.device import IBMDevice
from qkd_pl.networks.networks import QNN


def values(tape):
    return np.array(qml.execute([tape.copy(shots=None)], qml.device("default.qubit", wires=tape.wires))[0])


def network_tape(**settings):
    network = QNN(**{"n_qubits": 4, "n_layers": 1, "embedding": "angle", **settings})
    weights = np.random.default_rng(0).uniform(0, 6, network.weights_shape)
    tape = qml.tape.make_qscript(network.circuit)(np.random.default_rng(1).uniform(0, 3, (3, 4)), weights)
    return qml.transforms.decompose(tape, gate_set={"RX", "RY", "RZ", "CZ", "CNOT"})[0][0]


@pytest.mark.parametrize("topology", ["line", "ring"])
@pytest.mark.parametrize("entangler", ["cz", "cnot"])
@pytest.mark.parametrize("n_layers", [1, 2])
@pytest.mark.parametrize("closing", [True, False])
def test_networks_keep_their_outputs(topology, entangler, n_layers, closing):
    tape = network_tape(topology=topology, entangler=entangler, n_layers=n_layers, closing_rotations=closing)
    short = absorbed(tape)
    np.testing.assert_allclose(values(short), values(tape), atol=1e-12)
    count = [sum(len(gate.wires) == 2 for gate in each.operations) for each in (tape, short)]
    couplings = 3 if topology == "line" else 4
    assert count == [n_layers * couplings, (n_layers - 1) * couplings]


@pytest.mark.parametrize("seed", range(5))
def test_random_circuits_keep_their_expectation_values(seed):
    rng = np.random.default_rng(seed)
    operations = [qml.RY(rng.uniform(0, 3, 2), wire) for wire in range(4)]
    for _ in range(12):
        first, second = map(int, rng.choice(4, 2, replace=False))
        operations.append(
            [qml.CNOT([first, second]), qml.CZ([first, second]), qml.RX(rng.uniform(0, 6), first), qml.S(second)][
                rng.integers(4)
            ]
        )
    measured = [qml.expval(qml.Z(0) @ qml.X(2)), qml.expval(0.5 * qml.Y(1) + 2 * qml.Z(3))]
    tape = qml.tape.QuantumScript(operations, measured)
    short = absorbed(tape)
    assert short is None or len(short.operations) < len(operations)
    if short is not None:
        np.testing.assert_allclose(values(short), values(tape), atol=1e-12)


def test_z_behind_rotations_and_a_line_is_three_words():
    tape = network_tape(topology="line")
    first, second = (each.obs.pauli_rep for each in absorbed(tape).measurements)
    assert {"".join(word.values()) for word in first} == {"XZ", "YZ", "Z"}
    assert {len(word) for word in second} == {1, 3}


@pytest.mark.parametrize(
    "operations",
    [
        [qml.RX(0.3, 0), qml.RY(0.2, 1)],
        [qml.CZ([0, 1]), qml.RX(np.array([0.1, 0.2]), 0), qml.RX(np.array([0.1, 0.2]), 1)],
        [qml.CRX(0.3, [0, 1])],
    ],
    ids=["no entangler", "angles of the inputs behind it", "no Clifford gate"],
)
def test_other_circuits_stay(operations):
    assert absorbed(qml.tape.QuantumScript(operations, [qml.expval(qml.Z(0))])) is None


def test_without_noise_the_error_is_that_of_the_shots():
    tape = qml.tape.QuantumScript([qml.RX(0.3, 0)], [qml.expval(qml.Z(0)), qml.expval(0.6 * qml.X(0))], shots=400)
    jobs = group_tapes([tape], 1, Transpiler(AerSimulator()), {})
    wanted = np.sqrt((1 + 0.36) / 2 / 400)
    assert predicted_error(jobs, AerSimulator().target, 0.5, calibrated=False) == pytest.approx(wanted)


def test_noise_is_bias_or_variance():
    device = IBMDevice(2, "fake_manila", transpile_attempts=1)
    tape = qml.tape.QuantumScript([qml.CNOT([0, 1])], [qml.expval(qml.Z(0))], shots=100)
    jobs = device.plan([tape])
    fidelity = jobs.cost().estimated_fidelity
    target = device.transpiler.target
    bias = predicted_error(jobs, target, 0.5, calibrated=False)
    assert bias == pytest.approx(np.sqrt((1 - fidelity) ** 2 * 0.5 + 0.01))
    assert predicted_error(jobs, target, 0.5, calibrated=True) == pytest.approx(0.1 / fidelity)
