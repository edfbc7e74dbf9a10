"""The length of a shot against sums by hand over the backend's own durations."""

import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from qkd_pl.devices.ibm.compile.durations import REPETITION_DELAY, shot_seconds
from qkd_pl.devices.ibm.service.backends import open_backend


@pytest.fixture
def target():
    return open_backend("fake_manila", 3).target


def duration(target, name, *qubits):
    return target[name][qubits].duration


def reset(target):
    return max(each.duration for each in target["reset"].values())


def test_gates_one_after_the_other_and_side_by_side(target):
    circuit = QuantumCircuit(5)
    circuit.sx(0)
    circuit.rz(Parameter("a"), 0)  # no time
    circuit.cx(0, 1)
    circuit.sx(3)  # meanwhile
    circuit.cx(1, 2)
    wanted = duration(target, "sx", 0) + duration(target, "cx", 0, 1) + duration(target, "cx", 1, 2)
    wanted += duration(target, "measure", 2) + reset(target) + REPETITION_DELAY
    assert shot_seconds(circuit, target, measured=[2]) == pytest.approx(wanted, abs=1e-9)


def test_measurements_of_the_circuit_itself_and_options(target):
    circuit = QuantumCircuit(5, 1)
    circuit.x(0)
    circuit.measure(0, 0)
    running = duration(target, "x", 0) + duration(target, "measure", 0)
    chosen = {"execution": {"rep_delay": 0.001, "init_qubits": False}}
    assert shot_seconds(circuit, target, options=chosen) == pytest.approx(running + 0.001, abs=1e-9)
    immediate = {"execution": {"rep_delay": 0.0}}
    assert shot_seconds(circuit, target, options=immediate) == pytest.approx(running + reset(target), abs=1e-9)


def test_unknown_durations(target):
    circuit = QuantumCircuit(1)
    circuit.h(0)
    assert shot_seconds(circuit, open_backend("aer", 1).target) is None
