"""Circuits whose wires enter one after the other."""

import numpy as np
import pennylane as qml
import pytest
from batched_circuits import NATIVE, OBSERVABLES, assert_agrees, outputs_and_gradient
from hypothesis import given
from hypothesis import strategies as st

from qkd_pl.devices.lightning import BatchedLightning
from qkd_pl.errors import DeviceConfigError

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
    ours = outputs_and_gradient(
        BatchedLightning(wires=N_WIRES, stages="always"), "adjoint", *arguments, device_vjp=True
    )
    exact = outputs_and_gradient(qml.device("default.qubit"), "backprop", *arguments)
    for here, there in zip(ours, exact, strict=True):
        np.testing.assert_allclose(here, there, rtol=0, atol=1e-10)


@pytest.mark.parametrize("observables", OBSERVABLES)
@pytest.mark.parametrize("circuit", NATIVE)
def test_every_form_of_circuit_can_run_in_stages(circuit, observables):
    for batch_size in (1, 6):
        assert_agrees(circuit, observables, batch_size, None, 0, stages="always")


def test_results_do_not_depend_on_when_wires_enter():
    """A circuit that is large enough for wires to enter late by themselves."""
    rng = np.random.default_rng(0)
    inputs, weights = rng.uniform(0, 6, (64, 12)), rng.uniform(0, 6, (3, 12, 3))

    def circuit(inputs, weights, wires):
        qml.AngleEmbedding(inputs, wires=wires)
        qml.StronglyEntanglingLayers(weights, wires=wires, ranges=(1, 1, 1), imprimitive=qml.CZ)
        qml.RX(weights[0, 0, 0], 0)

    arguments = (circuit, lambda wires: [qml.Z(0), qml.X(1)], inputs, weights, range(12))
    late, never = (
        outputs_and_gradient(BatchedLightning(wires=12, stages=stages), "adjoint", *arguments, device_vjp=True)
        for stages in ("auto", "never")
    )
    for here, there in zip(late, never, strict=True):
        np.testing.assert_allclose(here, there, rtol=0, atol=1e-10)


def test_other_words_for_stages_are_refused():
    with pytest.raises(DeviceConfigError, match="stages='late': must be one of"):
        BatchedLightning(wires=2, stages="late")
