"""Grouping, packing into jobs within the limits, and reading the results back."""

import numpy as np
import pennylane as qml
import pytest
from qiskit_aer import AerSimulator

from qkd_pl.devices.ibm.compile import batching
from qkd_pl.devices.ibm.compile.batching import group_tapes
from qkd_pl.devices.ibm.compile.transpile import Transpiler
from qkd_pl.devices.ibm.service import primitives
from qkd_pl.devices.ibm.service.results import values
from qkd_pl.errors import InvalidInputError

Z0, X1 = qml.expval(qml.PauliZ(0)), qml.expval(qml.PauliX(1))


def tape(angle, measurements=(Z0,), shots=100, second="RX"):
    operations = [qml.RY(angle, 0), getattr(qml, second)(0.4, 1), qml.CNOT([0, 1])]
    return qml.tape.QuantumScript(operations, measurements, shots=shots)


def plan(tapes, **options):
    return group_tapes(tapes, 2, Transpiler(AerSimulator()), options)


def run(made):
    jobs = [primitives.send(payload, AerSimulator()) for payload in made.payloads]
    return made.results([values(job.result(), each) for job, each in zip(jobs, made.payloads, strict=True)])


def exact(tapes):
    return qml.execute([each.copy(shots=None) for each in tapes], qml.device("default.qubit", wires=2))


def test_tapes_of_one_structure_are_rows_of_one_pub():
    made = plan([tape(0.1), tape(np.array([0.2, 0.3])), tape(0.4)])
    assert len(made.compiled) == 1
    (payload,) = made.payloads
    (pub,) = payload.pubs
    np.testing.assert_allclose(pub.parameter_values.as_array(pub.circuit.parameters)[:, 0], [0.1, 0.2, 0.3, 0.4])


def test_structures_share_a_job_but_not_with_other_shots_or_primitives():
    tapes = [tape(0.1), tape(0.2, second="RZ"), tape(0.3, (qml.probs(wires=0),)), tape(0.4, shots=50), tape(0.5, (X1,))]
    made = plan(tapes)
    assert [(each.primitive, each.shots, len(each.pubs)) for each in made.payloads] == [
        ("estimator", 100, 3),
        ("sampler", 100, 1),
        ("estimator", 50, 1),
    ]
    assert len(made.compiled) == 3  # RX and RZ, and RX measured


def test_results_come_back_in_the_order_of_the_tapes():
    rng = np.random.default_rng(0)
    tapes = [
        tape(
            rng.uniform(0, 3, 3) if index % 3 == 0 else rng.uniform(0, 3), (Z0, X1) if index % 2 else (X1,), None, gate
        )
        for index, gate in enumerate(["RX", "RZ", "RX", "RX", "RZ", "RX", "RX"])
    ]
    for found, wanted in zip(run(plan(tapes)), exact(tapes), strict=True):
        assert np.shape(found) == np.shape(wanted)
        np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_many_parameters_keep_their_order():
    angles = np.random.default_rng(0).uniform(0, 3, 24)
    operations = [gate(angle, index % 2) for index, angle in enumerate(angles) for gate in (qml.RX, qml.RY)]
    tapes = [qml.tape.QuantumScript(operations, [Z0, X1])]
    np.testing.assert_allclose(run(plan(tapes))[0], exact(tapes)[0], atol=1e-12)


def test_circuits_without_parameters_are_run_as_often_as_asked():
    fixed = qml.tape.QuantumScript([qml.Hadamard(0), qml.CNOT([0, 1])], [qml.expval(qml.PauliZ(0))], shots=1000)
    estimates = run(plan([fixed] * 5, seed=3))
    assert len(set(estimates)) > 1
    assert max(np.abs(estimates)) < 5 / np.sqrt(1000)  # 3e-6 by chance


def test_constants_cost_nothing():
    made = plan([tape(0.1, (qml.expval(qml.Identity(0)), qml.var(qml.PauliX(0) @ qml.PauliX(0))))])
    assert made.payloads == ()
    assert made.cost().qpu_seconds == 0
    np.testing.assert_allclose(made.results([])[0], (1.0, 0.0))


@pytest.mark.parametrize(
    ("limit", "value", "jobs"), [("MAX_EXECUTIONS", 2000, 3), ("MAX_EXECUTIONS", 2199, 3), ("MAX_INPUT_BYTES", 200, 6)]
)
def test_limits_split_into_the_fewest_jobs(monkeypatch, limit, value, jobs):
    """50 rows × 100 shots, two angles of 32/3 bytes each."""
    monkeypatch.setattr(batching, limit, value)
    angles = np.linspace(0, 3, 30)
    tapes = [tape(angles, shots=100), *(tape(angle, shots=100) for angle in angles[:20])]
    made = plan(tapes)
    assert len(made.payloads) == jobs
    results = run(made)
    assert results[0].shape == (30,)
    # 50 estimates at 5 standard errors: 3e-5 by chance.
    np.testing.assert_allclose(results[0], np.cos(angles), atol=5 / np.sqrt(100))
    np.testing.assert_allclose(results[1:], np.cos(angles[:20]), atol=5 / np.sqrt(100))


def test_mitigation_counts_against_the_limit(monkeypatch):
    monkeypatch.setattr(batching, "MAX_EXECUTIONS", 3000)
    assert len(plan([tape(np.zeros(10) + 0.1)], resilience_level=2).payloads) == 1
    assert len(plan([tape(np.zeros(11) + 0.1)], resilience_level=2).payloads) == 2


def test_an_input_beyond_the_limit_is_refused():
    with pytest.raises(InvalidInputError, match="10,000,001 executions"):
        plan([tape(0.1, shots=10_000_001)])


def test_an_input_larger_than_a_job_is_refused(monkeypatch):
    monkeypatch.setattr(batching, "MAX_INPUT_BYTES", 20)
    with pytest.raises(InvalidInputError, match="21 bytes"):
        plan([tape(0.1)])
