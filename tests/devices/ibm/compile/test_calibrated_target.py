"""Missing error rates and excluded qubits, in targets whose calibration is incomplete."""

import copy
import math

import pytest
from qiskit import QuantumCircuit
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.transpiler import InstructionProperties

from qkd_pl.devices.ibm.compile.calibrated_target import error_rate, layout_target
from qkd_pl.devices.ibm.compile.transpile import Transpiler


@pytest.fixture
def backend():
    """Five qubits in a ring, of which the pair (0, 1) and the read-out of qubit 2 have no error rate."""
    ring = [(i, (i + 1) % 5) for i in range(5)] + [((i + 1) % 5, i) for i in range(5)]
    made = GenericBackendV2(5, basis_gates=["cx", "id", "rz", "sx", "x"], coupling_map=ring, seed=1)
    for name, qubits, error in [("cx", (0, 1), math.nan), ("cx", (1, 0), None), ("measure", (2,), math.nan)]:
        made.target.update_instruction_properties(name, qubits, InstructionProperties(error=error))
    return made


def test_a_complete_target_is_taken_as_it_is():
    complete = GenericBackendV2(3, seed=1)
    assert layout_target(complete) is complete.target


def test_missing_rates_are_the_median_of_the_others(backend):
    before = copy.deepcopy(backend.target)
    filled = layout_target(backend)
    known = sorted(each.error for qubits, each in before["cx"].items() if set(qubits) != {0, 1})
    assert len(known) == 8
    assert filled["cx"][(0, 1)].error == filled["cx"][(1, 0)].error == pytest.approx(sum(known[3:5]) / 2)
    assert filled["measure"][(2,)].error == pytest.approx(
        sorted(each.error for qubits, each in before["measure"].items() if qubits != (2,))[1] / 2
        + sorted(each.error for qubits, each in before["measure"].items() if qubits != (2,))[2] / 2
    )
    assert filled["cx"][(1, 2)].error == before["cx"][(1, 2)].error
    assert math.isnan(backend.target["cx"][(0, 1)].error), "the backend's own target is left alone"


def test_circuits_compile_and_have_a_fidelity(backend):
    circuit = QuantumCircuit(3)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.cx(1, 2)
    compiled = Transpiler(backend, attempts=2).compile("ghz", circuit, measured=range(3))
    assert 0 < compiled.estimated_fidelity < 1


def test_excluded_qubits_have_no_instruction_left(backend):
    reduced = layout_target(backend, excluded=[3])
    assert reduced.num_qubits == 5
    assert all(3 not in qubits for name in reduced.operation_names for qubits in reduced[name] or () if qubits)


@pytest.mark.parametrize(("error", "rate"), [(None, None), (math.nan, None), (0.2, 0.2), (1.5, 1.0)])
def test_error_rates(error, rate):
    assert error_rate(InstructionProperties(error=error)) == rate
    assert error_rate(None) is None
