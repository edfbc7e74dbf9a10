"""``qkd.noisy`` against Aer's density matrix, finite differences, ``qkd.lightning`` and its own other paths."""

import warnings

import numpy as np
import pennylane as qml
import pennylane.numpy as pnp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from noisy_circuits import ATTEMPTS, aer_expectation
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, ReadoutError, depolarizing_error, thermal_relaxation_error

from qkd_pl import QAE, QNN, DeviceSpec
from qkd_pl.devices.ibm.service.backends import open_backend
from qkd_pl.devices.noisy.device import NoisyDevice
from qkd_pl.errors import DeviceConfigError, InvalidInputError
from qkd_pl.gradients import vjp


def spec(plugin="qkd.noisy", causal_cone=True, **options) -> DeviceSpec:
    if plugin == "qkd.noisy":
        options = {**ATTEMPTS, **options}
    return DeviceSpec(name=plugin, plugin=plugin, diff_method="adjoint", causal_cone=causal_cone, options=options)


def inputs_for(network, count: int, rng: np.random.Generator):
    n, embedding = len(network.wires), getattr(network, "embedding", "state")
    if embedding in ("state", "amplitude"):
        rows = rng.normal(size=(count, 2**n))
        if embedding == "state" and rng.integers(2):
            rows = rows + 1j * rng.normal(size=rows.shape)
        return network.encode(rows / np.linalg.norm(rows, axis=1, keepdims=True))
    if embedding == "angle":
        return network.encode(rng.normal(size=(count, n)))
    return network.encode(rng.integers(0, 2, (count, n)))


def by_aer(device: NoisyDevice, tape: qml.tape.QuantumScript, sample: int) -> list[float]:
    """Each expectation value of one sample by Aer, from the circuit that the device compiled."""
    reading = device._read(tape)
    circuit = device._circuit(reading)
    isa = circuit.lowered.circuit
    angles = reading.table()[sample] if reading.batch else reading.shared_angles()
    columns = circuit.lowered.columns
    bound = isa.assign_parameters({each: angles[columns[each.index]] for each in isa.parameters})
    states = None
    if reading.states:
        places = tuple(circuit.lowered.initial[wire] for wire in reading.states[0].wires)
        states = places, reading.amplitudes(0)[sample]
    model = device.backend.options.noise_model
    values = []
    rows = iter(circuit.words)
    for (part,) in circuit.measured:
        value = part.constant
        if part.operator is not None:
            value += aer_expectation(bound, model, device.backend, next(rows), states)
        values.append(value)
    return values


def check_against_aer(network, batch, weights, **options) -> None:
    device = spec(**options).create(network.wires)
    tape = qml.tape.make_qscript(network.circuit)(batch.circuit_inputs, weights)
    found = np.stack(device.execute((tape,))[0], axis=-1)
    for sample in range(min(2, len(found))):
        np.testing.assert_allclose(found[sample], by_aer(device, tape, sample), atol=1e-9)


def check_gradient(network, batch, weights, rng, **options) -> None:
    qnode = spec(**options).qnode(network.circuit, network.wires)
    outputs, pullback = vjp(qnode, weights, batch)
    cotangent = rng.normal(size=outputs.shape)
    direction = rng.normal(size=weights.shape)
    step = 1e-5

    def along(distance: float) -> float:
        return float(np.sum(cotangent * vjp(qnode, weights + distance * direction, batch)[0]))

    expected = (along(step) - along(-step)) / (2 * step)
    assert np.sum(pullback(cotangent) * direction) == pytest.approx(expected, abs=1e-6)


# --- right


@settings(max_examples=8)
@given(
    n_qubits=st.integers(2, 4),
    n_layers=st.integers(1, 2),
    embedding=st.sampled_from(["state", "amplitude", "phase", "angle", "basis"]),
    entangler=st.sampled_from(["cz", "cnot"]),
    topology=st.sampled_from(["ring", "line"]),
    backend=st.sampled_from(["fake_manila", "fake_nairobi", "fake_guadalupe"]),
    preparation=st.sampled_from(["exact", "staircase", "ideal"]),
    seed=st.integers(0, 999),
)
def test_logits_agree_with_aer_and_gradients_with_finite_differences(
    n_qubits, n_layers, embedding, entangler, topology, backend, preparation, seed
):
    rng = np.random.default_rng(seed)
    network = QNN(n_qubits, n_layers, embedding=embedding, entangler=entangler, topology=topology)
    batch = inputs_for(network, 3, rng)
    weights = rng.uniform(0, 2 * np.pi, network.weights_shape)
    check_against_aer(network, batch, weights, backend=backend, preparation=preparation)
    check_gradient(network, batch, weights, rng, backend=backend, preparation=preparation)


def test_an_autoencoder_agrees_with_aer():
    rng = np.random.default_rng(1)
    network = QAE(3, 1, 2)
    batch, weights = inputs_for(network, 2, rng), rng.uniform(0, 6, network.weights_shape)
    check_against_aer(network, batch, weights, backend="fake_nairobi", preparation="ideal")
    check_gradient(network, batch, weights, rng, backend="fake_nairobi", preparation="ideal")
    # More inputs than observables: the other direction of the sweep.
    check_gradient(network, inputs_for(network, 12, rng), weights, rng, backend="fake_nairobi")


@pytest.mark.parametrize(("backend", "gate"), [("fake_fez", "cz"), ("fake_brisbane", "ecr")])
def test_large_devices(backend, gate):
    """156 qubits with CZ and 127 with ECR; a ring of four needs routing."""
    rng = np.random.default_rng(5)
    network = QNN(4, 2, entangler="cnot")
    batch, weights = inputs_for(network, 2, rng), rng.uniform(0, 6, network.weights_shape)
    device = spec(backend=backend, preparation="ideal").create(network.wires)
    tape = qml.tape.make_qscript(network.circuit)(batch.circuit_inputs, weights)
    circuit = device._circuit(device._read(tape))
    assert gate in circuit.lowered.circuit.count_ops()
    assert circuit.lowered.final != circuit.lowered.initial
    check_against_aer(network, batch, weights, backend=backend, preparation="ideal")
    check_gradient(network, batch, weights, rng, backend=backend, preparation="ideal")


def test_routing_through_qubits_of_no_wire():
    """Two wires at opposite ends of a device: their gate passes through three qubits that start in |0⟩."""
    rng = np.random.default_rng(8)
    network = QNN(2, 2)
    batch, weights = inputs_for(network, 3, rng), rng.uniform(0, 6, network.weights_shape)
    options = {"backend": "fake_nairobi", "initial_layout": [0, 6], "preparation": "ideal"}
    device = spec(**options).create(network.wires)
    tape = qml.tape.make_qscript(network.circuit)(batch.circuit_inputs, weights)
    circuit = device._circuit(device._read(tape))
    program, _ = circuit._cone(circuit._qubits)
    assert {qubit for qubits in program.qubits for qubit in qubits} > {0, 6}
    check_against_aer(network, batch, weights, **options)
    check_gradient(network, batch, weights, rng, **options)


def test_one_qubit():
    device = NoisyDevice(1, backend="fake_manila", **ATTEMPTS)
    tape = qml.tape.QuantumScript([qml.RX(0.4, 0), qml.RZ(0.3, 0)], [qml.expval(qml.Y(0)), qml.expval(qml.Z(0))])
    np.testing.assert_allclose(device.execute((tape,))[0], by_aer(device, tape, 0), atol=1e-9)


def test_seven_qubits_through_a_layout_that_routing_changes():
    rng = np.random.default_rng(7)
    network = QNN(7, 1, embedding="phase", entangler="cnot")
    batch, weights = inputs_for(network, 2, rng), rng.uniform(0, 6, network.weights_shape)
    check_against_aer(network, batch, weights, backend="fake_nairobi")
    check_gradient(network, batch, weights, rng, backend="fake_nairobi")


def skewed_model() -> NoiseModel:
    """Strong noise of several kinds, read-out that errs one way more than the other, and an error of rz."""
    model = NoiseModel(basis_gates=["cx", "rz", "sx", "x", "id"])
    model.add_all_qubit_quantum_error(depolarizing_error(0.05, 2), ["cx"])
    model.add_all_qubit_quantum_error(thermal_relaxation_error(50, 40, 5, 0.1), ["sx", "x"])
    model.add_quantum_error(depolarizing_error(0.03, 1), ["rz"], [0])
    model.add_quantum_error(thermal_relaxation_error(30, 20, 9).tensor(depolarizing_error(0.1, 1)), ["cx"], [0, 1])
    model.add_readout_error(ReadoutError([[0.97, 0.03], [0.2, 0.8]]), [0])
    model.add_readout_error(ReadoutError([[0.8, 0.2], [0.1, 0.9]]), [1])
    return model


@pytest.mark.parametrize("words", [[qml.Z(0), qml.Y(1)], [qml.X(0) @ qml.Y(1) - 0.3 * qml.Z(2), qml.Z(0) @ qml.X(2)]])
def test_words_in_every_basis_under_a_noise_model_of_ones_own(words):
    def circuit(angles):
        for wire in range(3):
            qml.RY(angles[wire], wires=wire)
            qml.RZ(angles[wire + 3], wires=wire)
        qml.CNOT([0, 1])
        qml.IsingZZ(angles[6], wires=[1, 2])
        qml.CRX(angles[7], wires=[0, 2])
        return [qml.expval(word) for word in words]

    device = NoisyDevice(3, backend=skewed_model(), **ATTEMPTS)
    angles = np.random.default_rng(3).uniform(0, 6, 8)
    node = qml.QNode(circuit, device, diff_method="adjoint", device_vjp=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (tape,), _ = qml.workflow.construct_batch(node, level="device")(angles)
    np.testing.assert_allclose(node(angles), by_aer(device, tape, 0), atol=1e-9)

    def total(angles):
        return sum(node(angles))

    gradient = qml.grad(total)(pnp.array(angles, requires_grad=True))
    for column in range(8):
        step = 1e-5 * np.eye(8)[column]
        expected = (total(angles + step) - total(angles - step)) / 2e-5
        assert gradient[column] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    "network",
    [QNN(3, 2), QNN(4, 1, embedding="phase", entangler="cnot"), QNN(3, 1, embedding="amplitude"), QAE(3, 1, 2)],
    ids=repr,
)
@pytest.mark.parametrize("preparation", ["exact", "ideal"])
def test_without_noise_it_is_qkd_lightning(network, preparation):
    rng = np.random.default_rng(2)
    batch, weights = inputs_for(network, 6, rng), rng.uniform(0, 6, network.weights_shape)
    found = {}
    for device in (spec(backend="aer", preparation=preparation), spec("qkd.lightning")):
        outputs, pullback = vjp(device.qnode(network.circuit, network.wires), weights, batch)
        found[device.name] = outputs, pullback(np.cos(np.arange(outputs.size)).reshape(outputs.shape))
    for ours, exact in zip(found["qkd.noisy"], found["qkd.lightning"], strict=True):
        np.testing.assert_allclose(ours, exact, atol=1e-10)


def test_the_light_cone_changes_nothing_but_the_gates_that_are_sent():
    """Gates outside it commute through to nothing: all of them kept, the values are those of Aer, too."""
    rng = np.random.default_rng(4)
    network = QNN(4, 1, topology="line")
    batch, weights = inputs_for(network, 4, rng), rng.uniform(0, 6, network.weights_shape)
    whole = vjp(spec(backend="aer", causal_cone=False).qnode(network.circuit, network.wires), weights, batch)[0]
    part = vjp(spec(backend="aer").qnode(network.circuit, network.wires), weights, batch)[0]
    np.testing.assert_allclose(whole, part, atol=1e-12)


def test_a_pennylane_noise_model_agrees_with_default_mixed():
    model = qml.NoiseModel(
        {
            qml.noise.op_in([qml.RX, qml.RY, qml.RZ]): qml.noise.partial_wires(qml.AmplitudeDamping, 0.07),
            qml.noise.op_eq(qml.CNOT): lambda op, **_: qml.DepolarizingChannel(0.1, wires=op.wires[1]),
        }
    )

    def circuit(x, w):
        for wire in range(3):
            qml.RX(x[..., wire], wires=wire)
            qml.RZ(w[wire], wires=wire)
            qml.RY(w[wire + 3], wires=wire)
        qml.CNOT([0, 1])
        qml.U3(w[6], w[7], w[8], wires=1)
        qml.IsingZZ(w[9], wires=[1, 2])
        qml.CNOT([2, 0])
        return qml.expval(qml.X(0) @ qml.Z(1)), qml.expval(qml.Y(2))

    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(4, 3)), pnp.array(rng.normal(size=10), requires_grad=True)
    ours = qml.QNode(circuit, NoisyDevice(3, backend=model), diff_method="adjoint", device_vjp=True)
    mixed = qml.add_noise(qml.QNode(circuit, qml.device("default.mixed", wires=3), diff_method="backprop"), model)

    def total(node, w):
        return qml.math.sum(qml.math.stack(node(x, w)) * np.arange(8).reshape(2, 4))

    np.testing.assert_allclose(np.stack(ours(x, w)), np.stack([mixed(row, w) for row in x], axis=1), atol=1e-9)
    gradient = qml.grad(lambda w: total(ours, w))(w)
    for index in range(10):
        step = 1e-5 * np.eye(10)[index]
        assert gradient[index] == pytest.approx((total(ours, w + step) - total(ours, w - step)) / 2e-5, abs=1e-6)


def test_noise_that_follows_the_angles_is_refused():
    model = qml.NoiseModel({qml.noise.op_eq(qml.RX): lambda op, **_: qml.BitFlip(op.data[0] / 10, wires=op.wires)})
    node = qml.QNode(lambda: (qml.RX(0.3, 0), qml.expval(qml.Z(0)))[1], NoisyDevice(1, backend=model))
    with pytest.raises(InvalidInputError, match="BitFlip depends on a gate's angle"):
        node()


# --- refusals


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preparation": "none"}, "preparation='none'"),
        ({"transpile_attempts": 0}, "transpile_attempts=0"),
        ({"optimization_level": 4}, "optimization_level=4"),
        ({"memory_limit": -1.0}, "memory_limit=-1.0"),
        ({"token_env": "secret"}, "token_env"),
        ({"preparation_layers": 0}, "preparation_layers=0"),
    ],
)
def test_options_that_cannot_be_meant(options, message):
    with pytest.raises(DeviceConfigError, match=message):
        NoisyDevice(2, **options)


def test_a_backend_that_is_none():
    with pytest.raises(InvalidInputError, match="backend: an int; must be a name"):
        NoisyDevice(2, backend=3)


def test_joint_readout_errors_are_refused():
    model = NoiseModel()
    model.add_readout_error(ReadoutError(np.full((4, 4), 0.25)), [0, 1])
    with pytest.raises(InvalidInputError, match="read-out errors must be those of single qubits"):
        NoisyDevice(2, backend=model)


def test_too_large_a_register_is_refused_before_memory_is_taken():
    """Twenty qubits are 8 TiB for each Pauli vector."""
    network = QNN(20, 10, embedding="phase")
    qnode = spec(backend="aer").qnode(network.circuit, network.wires)
    with pytest.raises(InvalidInputError, match=r"on 20 qubits .* GiB are free; about 1\d qubits would fit"):
        vjp(qnode, np.zeros(network.weights_shape), network.encode(np.zeros((2, 20))))


def test_a_limit_of_memory_is_kept():
    network = QNN(5, 2, embedding="phase")
    weights, rows = np.zeros(network.weights_shape), network.encode(np.zeros((2, 5)))
    with pytest.raises(InvalidInputError, match=r"9\.54e-07 GiB are free"):
        vjp(spec(backend="aer", memory_limit=1024 / 2**30).qnode(network.circuit, network.wires), weights, rows)


def test_the_noise_of_an_open_backend_is_that_of_its_simulator():
    backend = open_backend("fake_manila", 5)
    assert isinstance(backend, AerSimulator)
    assert NoisyDevice(2, backend=backend)._setup.lowering._noise.flips(0) == pytest.approx((0.0353, 0.0353), abs=1e-4)


def test_a_batch_of_states_stays_whole_at_shots():
    """One tape for all inputs, whose outcomes scatter about the exact values as one tape's for each input do."""
    network = QNN(2, 1)
    weights = np.random.default_rng(0).uniform(0, 6, network.weights_shape)
    device = NoisyDevice(2, backend="fake_manila", preparation="ideal", seed=1, **ATTEMPTS)
    tape = qml.tape.make_qscript(network.circuit)(np.eye(4), weights)
    tapes, join = device.preprocess_transforms()((tape.copy(shots=4096),))
    assert len(tapes) == 1
    sampled = np.stack(join(device.execute(tapes))[0])
    exact = np.stack(device.execute((tape,))[0])
    np.testing.assert_allclose(sampled, exact, atol=5 / 64)
