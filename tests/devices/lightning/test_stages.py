"""Circuits whose wires enter one after the other."""

import numpy as np
import pennylane as qml
import pytest
from batched_circuits import NATIVE, OBSERVABLES, assert_agrees, outputs_and_gradient
from hypothesis import given
from hypothesis import strategies as st

from qkd_pl.devices.lightning import BatchedLightning, layout, stages
from qkd_pl.devices.lightning.stages import entries

N_WIRES = 5
KINDS = [qml.RX, qml.RZ, qml.PhaseShift, qml.Hadamard, qml.CZ, qml.CNOT, qml.CY, qml.ISWAP]
KINDS += [qml.CRX, qml.CRY, qml.IsingZZ, qml.SingleExcitation]
gates = st.lists(
    st.tuples(
        st.sampled_from(KINDS),
        st.permutations(range(N_WIRES)),
        st.floats(-3, 3),
    ),
    min_size=1,
    max_size=12,
)


@pytest.fixture(autouse=True)
def _always_wait(monkeypatch):
    """Let every group of wires enter as late as possible, however little that saves."""
    monkeypatch.setattr(layout, "_layouts", {})
    for price in ("_GATES", "_SHARE_OF_GATES", "_UPDATES"):
        monkeypatch.setattr(stages, price, 0.0)


# In default.qubit, autograd casts the derivative of a PhaseShift to real numbers.
@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")
@given(gates, st.integers(1, 3))
def test_circuits_in_stages_agree_with_default_qubit(chosen, batch_size):
    rng = np.random.default_rng(0)
    inputs = rng.uniform(0, 6, (batch_size, N_WIRES, 2))
    weights = np.array([0.3, *(angle for kind, _, angle in chosen if kind.num_params)])

    def circuit(inputs, weights, wires):
        for wire in wires:
            qml.RY(inputs[:, wire, 0], wire)
            qml.RZ(inputs[:, wire, 1], wire)
        angles = iter(weights)
        qml.RX(next(angles), wires[0])
        for kind, order, _ in chosen:
            parameters = [next(angles)] if kind.num_params else []
            operation = kind(*parameters, wires=order[: kind.num_wires])
            if order[0] > order[-1]:
                qml.adjoint(operation)

    def observables(wires):
        return [qml.Z(0), qml.X(1) @ qml.Z(3)]

    arguments = (circuit, observables, inputs, weights, range(N_WIRES))
    ours = outputs_and_gradient(BatchedLightning(wires=N_WIRES), "adjoint", *arguments, device_vjp=True)
    exact = outputs_and_gradient(qml.device("default.qubit"), "backprop", *arguments)
    for here, there in zip(ours, exact, strict=True):
        np.testing.assert_allclose(here, there, rtol=0, atol=1e-10)


@pytest.mark.parametrize("observables", OBSERVABLES)
@pytest.mark.parametrize("circuit", NATIVE)
def test_every_form_of_circuit_can_run_in_stages(circuit, observables):
    for batch_size in (1, 6):
        assert_agrees(circuit, observables, batch_size, None, 0)


def ring(n_qubits, n_layers, entangler):
    operations = [qml.RZ(np.zeros(64), wire) for wire in range(n_qubits)]
    for layer in range(n_layers + 1):
        operations += [kind(0.1, wire) for wire in range(n_qubits) for kind in (qml.RX, qml.RY, qml.RZ)]
        if layer < n_layers:
            operations += [entangler([wire, (wire + 1) % n_qubits]) for wire in range(n_qubits)]
    trainable = list(range(n_qubits, n_qubits + 3 * n_qubits * (n_layers + 1)))
    return qml.tape.QuantumScript(operations, [qml.expval(qml.Z(wire)) for wire in (0, 1)], trainable_params=trainable)


@pytest.mark.parametrize(("entangler", "share"), [(qml.CZ, 0.5), (qml.CNOT, 0.7)])
def test_most_gates_of_a_ring_act_on_few_wires(entangler, share):
    found = layout.layout_of(ring(12, 3, entangler), True, False).stages
    whole = sum(len(stage.kernels.names) * 2**stage.kernels.n_wires for stage in found)
    assert len(found) == 1
    found = layout.layout_of(ring(12, 3, entangler), True, True).stages
    assert sum(len(stage.kernels.names) * 2**stage.kernels.n_wires for stage in found) < share * whole


@given(
    st.lists(st.tuples(st.sets(st.integers(0, 4), min_size=1, max_size=2), st.booleans()), max_size=15),
    st.sampled_from([[(0,), (1,), (2,), (3,), (4,)], [(0, 3), (1,), (2, 4)], [(0, 1, 2, 3, 4)]]),
)
def test_each_gate_acts_once_on_wires_that_are_there(acting, groups):
    found = entries(acting, groups, 8)
    assert sorted(gate for entry in found for gate in entry.gates) == list(range(len(acting)))
    assert sorted(group for entry in found for group in entry.groups) == list(range(len(groups)))
    there: set[int] = set()
    for entry in found:
        there |= {wire for group in entry.groups for wire in groups[group]}
        assert entry.n_wires == len(there)
        assert all(acting[gate][0] <= there for gate in entry.gates)
