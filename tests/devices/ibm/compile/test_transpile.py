"""The best of several transpilations, its figures, and what a closing CZ costs on hardware without one."""

import math

import numpy as np
import pennylane as qml
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import Operator, SparsePauliOp

from qkd_pl.devices.ibm.compile.transpile import Transpiler, estimated_fidelity
from qkd_pl.devices.ibm.device import IBMDevice
from qkd_pl.devices.ibm.service.backends import open_backend


def entangled(n_qubits=4, dropped=False):
    """A ring of CZ between parameterised rotations; ``dropped`` adds a parameter that no observable can see."""
    circuit = QuantumCircuit(n_qubits)
    angles = ParameterVector("angle", 2 * n_qubits + 1)
    if dropped:
        circuit.global_phase = 0.0
        circuit.rz(angles[0] - angles[0], 0)
    for qubit in range(n_qubits):
        circuit.ry(angles[qubit + 1], qubit)
    for qubit in range(n_qubits):
        circuit.cz(qubit, (qubit + 1) % n_qubits)
    for qubit in range(n_qubits):
        circuit.rx(angles[n_qubits + qubit + 1], qubit)
    return circuit


def test_keeps_the_best_of_all_attempts():
    backend = open_backend("fake_manila", 4)
    singles = []
    for seed in range(8):
        transpiler = Transpiler(backend, attempts=1)
        singles.append(transpiler._attempt(entangled(), seed))
    best = Transpiler(backend, attempts=8).compile("ring", entangled())
    figures = [(each.two_qubit_gates, each.depth, -each.estimated_fidelity) for each in singles]
    assert (best.two_qubit_gates, best.depth, -best.estimated_fidelity) == min(figures)
    assert len(set(figures)) > 1


def test_a_structure_is_transpiled_once():
    transpiler = Transpiler(open_backend("fake_manila", 4), attempts=2)
    first = transpiler.compile("ring", entangled())
    assert transpiler.compile("ring", entangled()) is first
    transpiler.compile("other", entangled(3))
    assert transpiler.count == 2


def test_layout_and_columns_reproduce_the_circuit():
    """⟨O⟩ of the compiled circuit under the layout equals ⟨O⟩ of the original, by qiskit.quantum_info."""
    original = entangled(dropped=True)
    compiled = Transpiler(open_backend("fake_manila", 5), attempts=3).compile("ring", original)
    table = np.random.default_rng(0).uniform(0, 3, 9)
    columns = [parameter.index for parameter in original.parameters]
    state = Operator(original.assign_parameters(table[columns])).data[:, 0]
    moved = Operator(compiled.circuit.assign_parameters(table[list(compiled.columns)])).data[:, 0]
    for word in ("IIIZ", "ZIII", "XYIZ"):
        operator = SparsePauliOp(word)
        wanted = np.vdot(state, operator.to_matrix() @ state).real
        found = np.vdot(moved, compiled.observable(operator).to_matrix() @ moved).real
        assert found == pytest.approx(wanted, abs=1e-12)


def test_estimated_fidelity_is_the_product_over_gates_and_readouts():
    backend = open_backend("fake_manila", 3)
    circuit = QuantumCircuit(3, 1)
    circuit.sx(0)
    circuit.cx(0, 1)
    circuit.rz(0.3, 1)
    circuit.barrier()
    circuit.cx(1, 2)
    circuit.measure(2, 0)
    errors = [backend.target["sx"][(0,)], backend.target["cx"][(0, 1)], backend.target["cx"][(1, 2)]]
    errors += [backend.target["measure"][(2,)], backend.target["measure"][(0,)]]
    wanted = math.prod(1 - each.error for each in errors)
    assert estimated_fidelity(circuit, backend, measured=[0, 2]) == pytest.approx(wanted)
    assert 0.8 < wanted < 0.97


def test_an_ideal_simulator_has_no_error():
    compiled = Transpiler(open_backend("aer", 4)).compile("ring", entangled())
    assert compiled.estimated_fidelity == 1.0
    assert compiled.layout == (0, 1, 2, 3)


def ansatz_cost(topology, backend):
    """Cost of one 5-qubit layer, whose entanglers form a line or a ring."""
    n = 5
    operations = [gate(0.1 * wire + 0.1, wire) for wire in range(n) for gate in (qml.RX, qml.RY)]
    operations += [qml.CZ([wire, (wire + 1) % n]) for wire in range(n if topology == "ring" else n - 1)]
    operations += [qml.RX(0.3 + wire, wire) for wire in range(n)]
    tape = qml.tape.QuantumScript(operations, [qml.expval(qml.PauliZ(0))], shots=100)
    return IBMDevice(wires=n, backend=backend, transpile_attempts=4).plan([tape]).cost(open_backend(backend, n))


@pytest.mark.parametrize("backend", ["fake_guadalupe", "fake_sherbrooke"])
def test_a_line_needs_no_swaps_on_heavy_hex(backend):
    line, ring = ansatz_cost("line", backend), ansatz_cost("ring", backend)
    assert line.two_qubit_gates == 4
    assert ring.two_qubit_gates > 2 * line.two_qubit_gates
    assert line.estimated_fidelity > ring.estimated_fidelity
    assert line.depth < ring.depth
