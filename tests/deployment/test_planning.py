"""Plans: what they cost, and that what they compute is what the model computes."""

from pathlib import Path

import numpy as np
import pennylane as qml
import pytest
from loopback import Server
from plans import TOLERANCE

from qkd_pl.datasets import ground_states, topological_phases
from qkd_pl.datasets.dataset import Dataset
from qkd_pl.deployment.planning import plan
from qkd_pl.devices.ibm.jobs.jobs import attach, jobs, submit
from qkd_pl.devices.spec import DeviceSpec
from qkd_pl.errors import CostLimitError, DeviceConfigError, InvalidInputError, LowFidelityWarning
from qkd_pl.networks.custom import CircuitNetwork
from qkd_pl.networks.models import TrainedQNN, trained
from qkd_pl.networks.networks import QAE, QNN
from qkd_pl.training.losses import CrossEntropy
from qkd_pl.training.schedules import Step
from qkd_pl.training.trainer import KDTrainer
from qkd_pl.upstream.runtime import Generation

EXACT = DeviceSpec(name="exact", plugin="qkd.ibm", options={"backend": "aer"})
LOOPBACK = DeviceSpec(
    name="loopback",
    plugin="qkd.ibm",
    shots=1000,
    max_qpu_seconds=1000,
    options={"backend": "ibm_manila", "token_env": "QISKIT_IBM_TOKEN", "transpile_attempts": 2},
)


def make_model(n_qubits: int, embedding: str = "state", n_layers: int = 1, topology: str = "ring") -> TrainedQNN:
    network = QNN(n_qubits, n_layers, embedding=embedding, topology=topology)
    weights = np.random.default_rng(n_qubits).uniform(0, 2 * np.pi, network.weights_shape)
    model = trained(network, weights)
    assert isinstance(model, TrainedQNN)
    return model


def states(n: int, n_qubits: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    amplitudes = generator.normal(size=(n, 2**n_qubits)) + 1j * generator.normal(size=(n, 2**n_qubits))
    return amplitudes / np.linalg.norm(amplitudes, axis=1, keepdims=True)


def mixtures(n: int, n_qubits: int) -> np.ndarray:
    """Density matrices of full rank, the first of rank two."""
    probabilities = np.random.default_rng(1).dirichlet(np.ones(2**n_qubits), size=n)
    probabilities[0] = [0.25, 0.75] + [0.0] * (2**n_qubits - 2)
    vectors = np.stack([np.linalg.qr(states(2**n_qubits, n_qubits, seed))[0] for seed in range(n)])
    return np.einsum("nik,nk,njk->nij", vectors, probabilities, vectors.conj())


INPUTS = {
    "state": states(6, 3),
    "amplitude": np.random.default_rng(2).normal(size=(6, 7)),
    "phase": np.random.default_rng(3).integers(0, 2, (6, 3)),
    "basis": np.random.default_rng(4).integers(0, 2, (6, 3)),
    "angle": np.random.default_rng(5).uniform(-3, 3, (6, 3)),
}


@pytest.mark.parametrize("embedding", INPUTS)
def test_logits_are_those_of_default_qubit(embedding: str) -> None:
    model = make_model(3, embedding)
    logits = submit(plan(model, INPUTS[embedding], EXACT)).result()
    np.testing.assert_allclose(logits, model.logits(INPUTS[embedding], "default"), atol=1e-9)


def test_mixed_inputs_are_those_of_default_mixed() -> None:
    """Against PennyLane's density-matrix simulator, which runs the mixture itself."""
    model, inputs = make_model(2, n_layers=2), mixtures(5, 2)
    planned = plan(model, inputs, EXACT)
    assert planned.cost.circuits == 2 + 4 * 4, "eigenstates of weight zero are not run"

    @qml.qnode(qml.device("default.mixed", wires=2))
    def reference(matrix: np.ndarray) -> object:
        qml.QubitDensityMatrix(matrix, wires=[0, 1])
        model.network.ansatz.apply(model.weights)
        return [qml.expval(qml.Z(wire)) for wire in range(2)]

    np.testing.assert_allclose(submit(planned).result(), [reference(each) for each in inputs], atol=1e-9)


def test_all_inputs_are_one_job_and_one_circuit() -> None:
    planned = plan(make_model(3), states(300, 3), "manila")
    assert planned.cost.jobs == len(planned.payloads) == 1
    assert len(planned.layouts) == 1
    assert (planned.cost.circuits, planned.cost.shots) == (300, 300 * 4096)
    # The newer client measures the read-out errors in the job itself, with one more circuit of as many shots.
    learning = planned.payloads[0].generation is Generation.EXECUTOR
    assert planned.cost.qpu_seconds == pytest.approx(2 + 0.00035 * (300 + learning) * 4096)


def test_a_line_costs_less_than_a_ring() -> None:
    models = [make_model(5, "phase", 2, topology) for topology in ("ring", "line")]
    ring, line = (plan(model, np.zeros((1, 5)), "manila") for model in models)
    assert line.cost.two_qubit_gates < ring.cost.two_qubit_gates
    assert line.cost.estimated_fidelity > ring.cost.estimated_fidelity


def test_the_devices_limit_holds() -> None:
    limited = DeviceSpec(name="limited", plugin="qkd.ibm", shots=4096, max_qpu_seconds=30, options={"backend": "aer"})
    model = make_model(2)
    with pytest.raises(CostLimitError, match="max_qpu_seconds: 30"):
        submit(plan(model, states(64, 2), limited))
    assert jobs() == []
    submit(plan(model, states(8, 2), limited))


def test_runs_on_the_service(direct: Server) -> None:
    model, inputs = make_model(2), mixtures(4, 2)
    planned = plan(model, inputs, LOOPBACK, labels=np.array([0, 1, 1, 0]))
    assert direct.count("POST /jobs") == 0
    job = submit(planned)
    assert attach(job.id).receipt.target["instance"].startswith("crn:")
    np.testing.assert_allclose(attach(job.id).result(timeout=60), model.logits(inputs), atol=TOLERANCE)
    assert direct.count("POST /jobs") == 1


def test_mitigation_is_part_of_the_receipt_and_of_the_job(direct: Server) -> None:
    options = {**LOOPBACK.options, "resilience_level": 2, "dynamical_decoupling": {"enable": True}}
    job = submit(plan(make_model(2), states(3, 2), LOOPBACK.model_copy(update={"options": options})))
    (sent,) = direct.service.jobs.values()
    params = sent.body["params"]
    if sent.body["program_id"] == "executor":  # the client has done it all; what it did travels with the program
        params["options"] = params["quantum_program"]["passthrough_data"]["post_processor"]["options"]
        params["resilience_level"] = params["options"]["resilience_level"]
    assert params["resilience_level"] == 2
    assert params["options"]["dynamical_decoupling"]["enable"] is True
    assert '"resilience_level": 2' in job.ledger.payload(job.receipt.parts[0])


@pytest.mark.parametrize(
    ("inputs", "labels"),
    [
        (np.empty((0, 4)), None),
        (np.eye(4), np.zeros(3, dtype=int)),
        (np.eye(4), np.eye(4)),
        (np.eye(4), np.array([5, 5, 5, 5])),
        (np.eye(4), np.array(["0", "1", "0", "1"])),
    ],
)
def test_no_inputs_or_other_labels_are_refused(inputs: np.ndarray, labels: np.ndarray | None) -> None:
    with pytest.raises(InvalidInputError, match=r"inputs|labels"):
        plan(make_model(2), inputs, EXACT, labels)


@pytest.mark.parametrize("calibrate", ["yes", None, 2.5])
def test_what_says_nothing_of_a_calibration_is_refused(calibrate: object) -> None:
    with pytest.raises(InvalidInputError, match=f"calibrate={calibrate!r}: must be True, False, a number"):
        plan(make_model(2), states(4, 2), "fake_manila", calibrate=calibrate)


def test_only_classifiers_are_planned() -> None:
    qae = QAE(2, 1, 1)
    with pytest.raises(InvalidInputError, match="model is a TrainedQAE"):
        plan(trained(qae, np.zeros(qae.weights_shape)), np.eye(4), "aer")  # type: ignore[arg-type]


def test_other_plugins_are_refused() -> None:
    with pytest.raises(DeviceConfigError, match=r"default\.qubit"):
        plan(make_model(2), np.eye(4), "default")


def test_compressed_student_keeps_its_accuracy_on_a_noisy_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 5-qubit chain, compressed to 2 qubits, classified by a 2-qubit student on a simulated 5-qubit IBM device."""
    monkeypatch.setenv("QKD_PL_CACHE", str(tmp_path))
    train, test = topological_phases(n_qubits=5, n_train=150, n_test=60, seed=0)
    settings = {"batch_size": 32, "seed": 1, "device": "lightning"}
    qae = KDTrainer(iterations=40, learning_rate=Step(0.1), **settings).fit(QAE(5, 2, 2), train)
    compressed_train = Dataset(qae.compress(train.inputs), train.labels)
    trainer = KDTrainer(iterations=50, learning_rate=Step(0.2), **settings)
    student = trainer.fit(QNN(2, 2), compressed_train, loss=CrossEntropy(logit_scale=10.0))
    compressed = qae.compress(test.inputs)
    exact = student.score(compressed, test.labels)
    logits = submit(plan(student, compressed, "manila", test.labels)).result()
    assert exact > 0.9
    assert np.mean(logits.argmax(axis=1) == test.labels) > exact - 0.04


@pytest.mark.parametrize("topology", ["line", "ring"])
def test_entanglers_in_the_observables_change_no_output(topology: str) -> None:
    model = make_model(4, "angle", topology=topology)
    inputs = np.random.default_rng(5).uniform(-3, 3, (6, 4))
    planned = plan(model, inputs, EXACT, absorb=True)
    assert planned.cost.two_qubit_gates == 0
    assert planned.absorption is not None
    assert planned.summary()["absorption"]["chosen"] is True
    np.testing.assert_allclose(submit(planned).result(), model.logits(inputs, "default"), atol=1e-9)


def test_absorption_is_chosen_by_the_predicted_error_at_equal_cost() -> None:
    model = make_model(4, "angle", topology="line")
    inputs = np.random.default_rng(5).uniform(-3, 3, (6, 4))
    chosen = {}
    for shots in (100, 1_000_000):
        device = DeviceSpec(name="m", plugin="qkd.ibm", shots=shots, options={"backend": "fake_manila"})
        run, moved, free = (plan(model, inputs, device, absorb=each) for each in (False, True, None))
        assert 0.9 * run.cost.shots < moved.cost.shots <= run.cost.shots
        assert moved.cost.circuits == 4 * run.cost.circuits
        assert free.absorption is not None
        chosen[shots] = free.absorption.chosen
        assert free.absorption.chosen == (free.absorption.absorbed < free.absorption.direct)
        assert free.cost == (moved if free.absorption.chosen else run).cost
    assert chosen == {100: False, 1_000_000: True}


@pytest.mark.parametrize("inputs", ["state", "amplitude"])
def test_the_plan_tells_how_states_are_prepared(inputs: str) -> None:
    device = DeviceSpec(name="m", plugin="qkd.ibm", shots=100, options={"backend": "fake_manila"})
    planned = plan(make_model(3, inputs), INPUTS[inputs], device)
    (preparation,) = planned.preparations
    assert preparation.fidelities.shape == (6,)
    assert planned.summary()["preparations"][0]["min_fidelity"] >= 0.99
    assert plan(make_model(3, "angle"), INPUTS["angle"], device).preparations == ()


def test_the_causal_cone_reaches_into_the_preparation() -> None:
    """Two staircases on 5 qubits are 8 gates, of which two outputs on the first wires need 5."""
    _, states = ground_states(5, np.linspace(0.2, 1.8, 4))
    device = DeviceSpec(name="m", plugin="qkd.ibm", shots=100, options={"backend": "fake_guadalupe"})
    model = make_model(5, "state", topology="line")
    cone = plan(model, states, device)
    whole = plan(model, states, device.changed(causal_cone=False))
    assert whole.cost.two_qubit_gates >= 15 + 4
    assert cone.cost.two_qubit_gates <= 15


def test_rows_of_one_structure_are_one_circuit(rng):
    """A circuit for single rows, whose rows have the same gates: one transpilation, one job, the exact outputs."""

    def uploaded_again(inputs, weights):
        for layer in range(2):
            qml.RX(weights[layer] * inputs[0], wires=0)
            qml.RY(inputs[1], wires=1)
            qml.CZ([0, 1])
        return [qml.expval(qml.X(0)), qml.expval(qml.Z(1))]

    network = CircuitNetwork(uploaded_again, wires=2, weights_shape=2)
    model, inputs = trained(network, rng.uniform(0, 6, 2)), rng.uniform(0, 3, (5, 2))
    planned = plan(model, inputs, EXACT)
    assert (len(planned.payloads), len(planned.layouts)) == (1, 1)
    np.testing.assert_allclose(submit(planned).result(), model.outputs(inputs), atol=1e-9)


def test_rows_of_several_structures_are_refused():
    """A job's result is one table; the device itself runs them."""

    def following_the_data(inputs, weights):
        qml.RY(weights[0], wires=0)
        if inputs[0] > 1.5:
            qml.RX(inputs[0], wires=0)
        return qml.expval(qml.Z(0))

    model = trained(CircuitNetwork(following_the_data, wires=1, weights_shape=1), [0.4])
    inputs = np.array([[0.3], [2.0], [0.6], [2.5]])
    with pytest.raises(InvalidInputError, match="gates depend on its inputs"):
        plan(model, inputs, EXACT)
    np.testing.assert_allclose(model.outputs(inputs, EXACT), model.outputs(inputs), atol=1e-9)


@pytest.mark.parametrize(
    "network",
    [
        QNN(2, 1, n_classes=4),
        QNN(2, 1, observables=[qml.Z(0) + 0.5 * qml.Identity(1), qml.Identity(0), 2.0 * qml.X(1)]),
    ],
    ids=["projectors", "constants"],
)
def test_observables_with_constants(network, rng):
    """The service measures no multiples of the identity; the results have them."""
    model = trained(network, rng.uniform(0, 6, network.weights_shape))
    states = np.eye(2**network.n_qubits)
    np.testing.assert_allclose(submit(plan(model, states, EXACT)).result(), model.outputs(states), atol=1e-9)


def test_only_plans_are_submitted(ledger_path):
    for something in (make_model(2), "a plan", None):
        with pytest.raises(InvalidInputError, match=r"plan is (a \w+|None); submit takes what kd.plan"):
            submit(something)
    assert not ledger_path.exists()


def test_constants_alone_are_nothing_to_measure(rng):
    network = QNN(1, 1, observables=[0.25 * qml.Identity(0)])
    with pytest.raises(InvalidInputError, match="nothing to measure"):
        plan(trained(network, rng.uniform(0, 6, network.weights_shape)), np.eye(2), EXACT)


@pytest.mark.filterwarnings("ignore:Since backends now support")  # the client's own plugin, on being loaded
@pytest.mark.parametrize("absorb", [None, True, False])
def test_a_low_fidelity_is_told_once_and_at_the_users_line(absorb: bool | None) -> None:
    spec = DeviceSpec(
        name="faint", plugin="qkd.ibm", shots=100, options={"backend": "fake_manila", "warn_below_fidelity": 0.999}
    )
    with pytest.warns(LowFidelityWarning) as caught:
        plan(make_model(3), states(2, 3), spec, absorb=absorb)
    assert [each.filename for each in caught if each.category is LowFidelityWarning] == [__file__]
