"""Backends of any kind and any set of gates: the same circuit on each, against its values without noise."""

import os

import numpy as np
import pennylane as qml
import pytest
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit_aer import AerSimulator
from qiskit_ibm_runtime.fake_provider import FakeLimaV2, FakeManilaV2

from qkd_pl.devices.ibm.device import IBMDevice
from qkd_pl.devices.ibm.service.backends import fake_backends
from qkd_pl.errors import BackendError, InvalidInputError

ALL = sorted(fake_backends())
# Gates: cx; ecr; cz; u1, u2, u3, and a target without measurements.
SAMPLE = ["fake_manila", "fake_sherbrooke", "fake_marrakesh", "fake_essex"]
EVERY = pytest.mark.skipif("QKD_PL_ALL_BACKENDS" not in os.environ, reason="minutes; set QKD_PL_ALL_BACKENDS to run it")


def values(backend, shots=2000):
    device = IBMDevice(2, backend, seed=1, transpile_attempts=1, warn_below_fidelity=0)

    @qml.set_shots(shots)
    @qml.qnode(device)
    def circuit(x):
        qml.RX(x, 0)
        qml.RZ(0.4, 0)
        qml.CNOT([0, 1])
        qml.RY(0.3, 1)
        return qml.expval(qml.Z(0)), qml.expval(qml.X(1))

    return np.array(circuit(np.array([0.3, 1.9])))


EXACT = np.array([[np.cos(0.3), np.cos(1.9)], [np.sin(0.3) * np.cos(0.3), np.sin(0.3) * np.cos(1.9)]])


@pytest.mark.parametrize(
    "backend",
    [FakeManilaV2(), FakeLimaV2(), AerSimulator(), AerSimulator.from_backend(FakeManilaV2())],
    ids=["fake", "fake cx", "aer", "aer with noise"],
)
def test_backend_objects_run(backend):
    # Five standard errors of 2,000 shots, and the noise of two gates and read-outs.
    np.testing.assert_allclose(values(backend), EXACT, atol=0.22)


@pytest.mark.parametrize("gates", [["cx"], ["cz"], ["ecr"], ["cz", "rx", "rzz"]], ids=" ".join)
def test_generic_backends_run(gates):
    backend = GenericBackendV2(3, basis_gates=["id", "rz", "sx", "x", *gates], seed=1)
    np.testing.assert_allclose(values(backend), EXACT, atol=0.22)


@pytest.mark.parametrize("name", SAMPLE)
def test_sets_of_gates(name):
    np.testing.assert_allclose(values(name), EXACT, atol=0.3)


@EVERY
@pytest.mark.filterwarnings("ignore:Properties of fake_nighthawk are not intended to represent typical")
@pytest.mark.parametrize("name", ALL)
def test_every_fake_backend_opens_and_runs(name):
    n_qubits = fake_backends()[name]().num_qubits
    if n_qubits < 2:
        with pytest.raises(BackendError, match="has 1 qubits"):
            values(name)
        return
    found = values(name, shots=200)
    assert found.shape == (2, 2)
    assert np.isfinite(found).all()


@pytest.mark.parametrize(
    "backend", [3, None, AerSimulator, BasicSimulator()], ids=["number", "none", "class", "basic simulator"]
)
def test_other_objects_are_refused(backend):
    with pytest.raises(InvalidInputError, match=r"backend: (an? .*|None); must be a name"):
        IBMDevice(2, backend)


def test_a_backend_that_is_too_small_is_refused():
    with pytest.raises(BackendError, match="has 5 qubits, the device asks for 6 wires"):
        IBMDevice(6, FakeManilaV2())


def test_numpy_integers():
    device = IBMDevice(
        np.int64(2), "fake_manila", seed=np.int64(3), optimization_level=np.int64(1), initial_layout=np.array([1, 2])
    )
    assert device.wires.tolist() == [0, 1]


@pytest.mark.parametrize("inputs", [np.array([0.3]), np.array([0.3, 0.4])])
def test_a_batch_of_one_keeps_its_axis(inputs):
    @qml.set_shots(50)
    @qml.qnode(IBMDevice(2, "aer"))
    def circuit(x):
        qml.RX(x, 0)
        return qml.probs(wires=[0, 1]), qml.sample(wires=0), qml.counts(wires=0), qml.expval(qml.Z(0))

    probabilities, samples, counts, value = circuit(inputs)
    assert np.shape(probabilities) == (len(inputs), 4)
    assert np.shape(samples)[:2] == (len(inputs), 50)
    assert [sum(each.values()) for each in counts] == [50] * len(inputs)
    assert np.shape(value) == (len(inputs),)


def test_states_that_are_not_normalised_are_refused():
    @qml.qnode(IBMDevice(1, "aer"))
    def circuit(state):
        qml.StatePrep(state, wires=[0], validate_norm=False)
        return qml.expval(qml.Z(0))

    with pytest.raises(InvalidInputError, match=r"StatePrep: state 1 has norm 1\.11803; it must be 1"):
        circuit(np.array([[1.0, 0.0], [1.0, 0.5]]))


def test_measurements_inside_a_circuit_are_deferred():
    def circuit(x):
        qml.RX(x, 0)
        outcome = qml.measure(0, reset=True)
        qml.cond(outcome, qml.RY)(0.7, 1)
        return qml.expval(qml.Z(1)), qml.expval(qml.Z(0))

    exact = qml.QNode(circuit, qml.device("default.qubit"))(0.8)
    np.testing.assert_allclose(qml.QNode(circuit, IBMDevice(4, "aer"))(0.8), exact, atol=1e-9)
    with pytest.raises(qml.exceptions.WireError):
        qml.QNode(circuit, IBMDevice(2, "aer"))(0.8)


def test_selected_outcomes_are_refused():
    @qml.qnode(IBMDevice(3, "aer"))
    def circuit():
        qml.Hadamard(0)
        qml.measure(0, postselect=1)
        return qml.expval(qml.Z(0))

    with pytest.raises(InvalidInputError, match="postselect"):
        circuit()
