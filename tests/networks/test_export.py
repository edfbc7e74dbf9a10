"""Models outside of the library, checked in Qiskit's own simulator."""

import numpy as np
import pennylane as qml
import pytest
from own_circuits import own_network, random_weights
from qiskit import qasm2
from qiskit.quantum_info import Statevector

import qkd_pl as kd
from qkd_pl.errors import InvalidInputError


def simulated(circuit, observables) -> list[float]:
    state = Statevector(circuit)
    return [state.expectation_value(observable).real for observable in observables]


def inputs_for(model, rng, n=3):
    """In the form of the network."""
    embedding = getattr(model.network, "embedding", None)
    n_wires = len(model.network.wires)
    if embedding in ("state", "amplitude") or not hasattr(model.network, "embedding"):
        states = rng.normal(size=(n, 2**n_wires))
        return states / np.linalg.norm(states, axis=1, keepdims=True)
    if embedding in ("basis", "phase"):
        return rng.integers(0, 2, (n, n_wires))
    return rng.uniform(0, 3, (n, n_wires))


def made(network, seed=5):
    return kd.trained(network, random_weights(network.weights_shape, np.random.default_rng(seed)))


LINEAR = [
    kd.QNN(3, 2, embedding="angle"),
    kd.QNN(2, 1, embedding="basis", n_classes=4),
    kd.QNN(3, 1, embedding="phase", observables=[qml.Z(0) @ qml.X(2), 0.5 * qml.Y(1) + qml.Projector([1], wires=2)]),
    own_network("StronglyEntanglingLayers"),
    own_network("convolutional"),
    own_network("named arrays"),
]
STATES = [kd.QNN(3, 1), kd.QNN(2, 1, embedding="amplitude")]


@pytest.mark.parametrize("network", LINEAR, ids=lambda network: type(network).__name__)
def test_inputs_are_parameters_of_the_qiskit_circuit(network, rng):
    model = made(network)
    inputs = inputs_for(model, rng)
    circuit, observables = model.to_qiskit()
    rows = model.encode(inputs).circuit_inputs
    assert [parameter.name for parameter in circuit.parameters] == [f"inputs[{i}]" for i in range(rows.shape[1])]
    found = [simulated(circuit.assign_parameters(row), observables) for row in rows]
    np.testing.assert_allclose(found, model.outputs(inputs), atol=1e-9)


@pytest.mark.parametrize(
    "network", [*LINEAR, *STATES, own_network("data re-uploading")], ids=lambda network: type(network).__name__
)
def test_filled_in_circuits_and_openqasm(network, rng):
    model = made(network)
    inputs = inputs_for(model, rng)
    programs = model.to_openqasm(inputs)
    expected = model.outputs(inputs)
    assert len(programs) == len(inputs)
    for i, program in enumerate(programs):
        circuit, observables = model.to_qiskit(inputs[i : i + 1])
        assert not circuit.parameters
        np.testing.assert_allclose(simulated(circuit, observables), expected[i], atol=1e-9)
        again = qasm2.loads(program, custom_instructions=qasm2.LEGACY_CUSTOM_INSTRUCTIONS)
        np.testing.assert_allclose(simulated(again, observables), expected[i], atol=1e-9)


def test_what_has_no_parameters_for_its_inputs_is_refused(rng):
    with pytest.raises(InvalidInputError, match="prepares a state"):
        made(STATES[0]).to_qiskit()
    with pytest.raises(InvalidInputError, match="not a linear function"):
        made(own_network("data re-uploading")).to_qiskit()  # RZ(x²)
    with pytest.raises(InvalidInputError, match="mixed states"):
        made(kd.QNN(1, 1)).to_openqasm(np.eye(2)[None] / 2)
    with pytest.raises(InvalidInputError, match="hold 2 samples"):
        made(LINEAR[0]).to_qiskit(np.zeros((2, 3)))


def test_a_qnode_of_the_model(rng):
    model = made(own_network("StronglyEntanglingLayers"))
    inputs = rng.uniform(0, 3, (4, 3))
    for device in ("lightning", "default"):
        np.testing.assert_allclose(np.stack(model.qnode(device)(inputs), axis=-1), model.outputs(inputs), atol=1e-10)
    sampled = model.qnode("sampled")(inputs[0])
    np.testing.assert_allclose(np.ravel(sampled), model.outputs(inputs[:1])[0], atol=6 / np.sqrt(4096))
