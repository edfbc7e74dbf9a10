"""Prices against the formula by hand, and circuits against a count of measurement bases."""

import dataclasses
from contextlib import nullcontext
from importlib import import_module

import numpy as np
import pennylane as qml
import pytest

from qkd_pl.devices.ibm.compile.cost import price, qpu_seconds, repetitions
from qkd_pl.devices.ibm.device import IBMDevice
from qkd_pl.devices.ibm.service import primitives
from qkd_pl.devices.ibm.service.backends import open_backend
from qkd_pl.errors import InvalidInputError
from qkd_pl.upstream import runtime
from qkd_pl.upstream.runtime import Generation

V2 = pytest.mark.skipif(Generation.V2 not in runtime.installed(), reason="the client has no EstimatorV2 any more")
EXECUTOR = pytest.mark.skipif(Generation.EXECUTOR not in runtime.installed(), reason="the client has no Executor yet")


def cost(measurements, shots, rows=10, backend="aer", **options):
    operations = [qml.RY(np.linspace(0.1, 1, rows), 0), qml.RX(0.3, 1), qml.CNOT([0, 1])]
    tape = qml.tape.QuantumScript(operations, measurements, shots=shots)
    device = IBMDevice(wires=2, backend=backend, **options)
    return device.plan([tape]).cost()


def test_ibms_quick_formula():
    assert qpu_seconds([2000 * 1000]) == pytest.approx(702)
    assert qpu_seconds([1000] * 2000) == pytest.approx(2000 * 2.35)
    assert qpu_seconds([]) == 0


@pytest.mark.parametrize(
    ("observables", "bases"),
    [
        ([qml.Z(0), qml.Z(1), qml.Z(0) @ qml.Z(1)], 1),
        ([qml.Z(0), qml.X(1)], 1),
        ([qml.Z(0), qml.X(0)], 2),
        ([qml.X(0) @ qml.X(1) + qml.Y(0) @ qml.Y(1), qml.Z(0)], 3),
        ([qml.Projector([0, 0], wires=[0, 1])], 1),
    ],
)
def test_circuits_are_rows_times_bases(observables, bases):
    found = cost([qml.expval(each) for each in observables], shots=1000, resilience_level=0)
    assert (found.jobs, found.circuits, found.shots) == (1, 10 * bases, 10_000 * bases)
    assert found.qpu_seconds == pytest.approx(2 + 0.00035 * 10_000 * bases)


def test_sampler_is_one_circuit_for_each_row():
    assert cost([qml.probs(wires=[0])], shots=100).circuits == 10


def test_exact_simulation_has_no_shots():
    assert dataclasses.astuple(cost([qml.expval(qml.Z(0))], shots=None))[:4] == (1, 10, 0, 2.0)


@pytest.mark.parametrize(
    ("options", "factor"),
    [
        ({}, 1),
        ({"resilience_level": 1}, 1),
        ({"resilience_level": 2}, 3),
        ({"resilience_level": 2, "resilience": {"zne_mitigation": False}}, 1),
        ({"resilience": {"zne_mitigation": True, "zne": {"noise_factors": [1, 2, 3, 4]}}}, 4),
        ({"resilience": {"pec_mitigation": True}}, 100),
        ({"resilience": {"pec_mitigation": True, "pec": {"max_overhead": 20}}}, 20),
        ({"resilience": {"pec_mitigation": True, "pec": {"max_overhead": 1.9}}}, 2),
        ({"resilience": {"pec_mitigation": True, "pec": {"max_overhead": 0.5}}}, 1),
    ],
)
@V2
def test_mitigation_repeats_circuits(options, factor):
    assert repetitions(options) == factor
    assert cost([qml.expval(qml.Z(0))], shots=100, primitives="v2", **options).circuits == 10 * factor


@pytest.mark.parametrize(
    ("resilience", "executions"),
    [
        ({"zne_mitigation": True}, 0),
        ({"zne_mitigation": True, "zne": {"amplifier": "pea"}}, 9 * 6 * 32 * 128),
        ({"pec_mitigation": True}, 9 * 6 * 32 * 128),
        (
            {
                "pec_mitigation": True,
                "layer_noise_learning": {
                    "layer_pair_depths": [0, 4],
                    "num_randomizations": 1000,
                    "shots_per_randomization": 10,
                    "max_layers_to_learn": None,
                },
            },
            9 * 2 * 1000 * 10,
        ),
        ({"pec_mitigation": True, "layer_noise_learning": {"max_layers_to_learn": 0}}, 0),
    ],
)
@V2
def test_learning_the_noise_is_priced(resilience, executions):
    """The circuit has one layer of two-qubit gates."""
    found = cost([qml.expval(qml.Z(0))], shots=100, resilience=resilience, primitives="v2")
    assert found.qpu_seconds == pytest.approx(2 + 0.00035 * (found.shots + executions))


@V2
def test_learning_the_readout_is_priced():
    chosen = {"num_randomizations": 1000, "shots_per_randomization": 10_000}
    resilience = {"measure_mitigation": True, "measure_noise_learning": chosen}
    # The newer client announces that the number of shots will not be chosen for ever.
    announced = Generation.EXECUTOR in runtime.installed()
    with pytest.deprecated_call(match="shots_per_randomization") if announced else nullcontext():
        found = cost([qml.expval(qml.Z(0))], shots=100, resilience=resilience, primitives="v2")
    assert found.qpu_seconds == pytest.approx(2 + 0.00035 * (found.shots + 10_000_000))


@EXECUTOR
@pytest.mark.parametrize("shots", [1, 1000, 5000])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"resilience_level": 0},
        {"resilience_level": 2},
        {"resilience_level": 0, "twirling": {"enable_gates": True}},
        {"resilience_level": 0, "resilience": {"measure_mitigation": True}},
        {"resilience": {"measure_mitigation": False}},
        {"twirling": {"num_randomizations": 10}},
        {"twirling": {"shots_per_randomization": 7}},
        {"twirling": {"num_randomizations": 3, "shots_per_randomization": 50}},
        {"resilience": {"measure_noise_learning": {"num_randomizations": 5}}},
        {"resilience_level": 2, "resilience": {"zne": {"noise_factors": "auto"}}},
        {"resilience_level": 2, "resilience": {"zne": {"noise_factors": [1, 2, 3, 4]}}},
    ],
)
def test_the_new_estimators_price_is_that_of_the_program_it_sends(options, shots):
    prepare = import_module("qiskit_ibm_runtime.executor_estimator.prepare").prepare
    device = IBMDevice(wires=2, backend="fake_manila", transpile_attempts=1, primitives="executor", **options)
    operations = [qml.RY(np.linspace(0.1, 1, 7), 0), qml.RX(0.3, 1), qml.CNOT([0, 1])]
    measurements = [qml.expval(qml.Z(0)), qml.expval(qml.X(0) @ qml.Y(1) + qml.Z(1))]
    plan = device.plan([qml.tape.QuantumScript(operations, measurements, shots=shots)])
    (payload,) = plan.payloads
    client_options = runtime.options_type("estimator", Generation.EXECUTOR)(**options)
    program, _ = prepare(primitives.sendable(payload), client_options)
    executions = program.shots * sum(item.size() for item in program.items)
    assert plan.cost().quick_seconds == pytest.approx(2 + 0.00035 * executions)


@EXECUTOR
@pytest.mark.parametrize("twirling", [{}, {"enable_gates": True}, {"enable_measure": True, "num_randomizations": 7}])
def test_the_new_samplers_price_is_that_of_the_program_it_sends(twirling):
    prepare = import_module("qiskit_ibm_runtime.executor_sampler.prepare").prepare
    chosen = {"transpile_attempts": 1, "primitives": "executor", "twirling": twirling}
    device = IBMDevice(wires=2, backend="fake_manila", **chosen)
    operations = [qml.RY(np.linspace(0.1, 1, 7), 0), qml.CNOT([0, 1])]
    plan = device.plan([qml.tape.QuantumScript(operations, [qml.probs(wires=[0, 1])], shots=1000)])
    client_options = runtime.options_type("sampler", Generation.EXECUTOR)(twirling=twirling)
    program, _ = prepare(primitives.sendable(plan.payloads[0]), client_options)
    executions = program.shots * sum(item.size() for item in program.items)
    assert plan.cost().quick_seconds == pytest.approx(2 + 0.00035 * executions)


def test_a_longer_repetition_delay_is_priced():
    found = cost([qml.expval(qml.Z(0))], shots=100, execution={"rep_delay": 0.5}, resilience_level=0)
    assert found.qpu_seconds == pytest.approx(2 + 1000 * (0.0001 + 0.5))
    short = cost([qml.expval(qml.Z(0))], shots=100, execution={"rep_delay": 0.0001}, resilience_level=0)
    assert short.qpu_seconds == pytest.approx(2.35)


@V2
def test_mitigation_without_a_bound_is_for_simulators_only(direct):
    unbounded = {"pec_mitigation": True, "pec": {"max_overhead": None}}
    assert cost([qml.expval(qml.Z(0))], shots=100, resilience=unbounded, primitives="v2").circuits == 1000
    with pytest.raises(InvalidInputError, match=r"resilience\.pec\.max_overhead: null has no bound"):
        IBMDevice(2, "ibm_manila", token_env="QISKIT_IBM_TOKEN", resilience=unbounded, primitives="v2")


def test_cost_reports_circuit_and_calibration():
    found = cost([qml.expval(qml.Z(0))], shots=100, backend="fake_manila")
    assert found.two_qubit_gates == 1
    assert 3 <= found.depth <= 12
    assert 0.9 < found.estimated_fidelity < 1.0
    assert str(found).startswith("1 job, 10 circuits, 1,000 shots, about 2 QPU seconds by IBM's quick formula (")


def test_no_jobs_cost_nothing():
    assert dataclasses.astuple(price([], open_backend("aer", 1).target)) == (0, 0, 0, 0, 0, 0, 0, 0, 1.0, ())


@V2
def test_the_larger_of_two_prices_counts():
    """One shot on manila lasts a few microseconds, and the pause between two 250."""
    short = cost([qml.expval(qml.Z(0))], shots=100, backend="fake_manila", primitives="v2")
    assert short.quick_seconds == short.qpu_seconds == pytest.approx(2.35)
    assert 2 + 1000 * 0.00025 < short.timed_seconds < 2 + 1000 * 0.00027
    assert "by IBM's quick formula (2 by the circuits' durations)" in str(short)
    unknown = cost([qml.expval(qml.Z(0))], shots=100, backend="aer", primitives="v2")
    assert unknown.timed_seconds is None
    assert unknown.qpu_seconds == unknown.quick_seconds


@V2
def test_long_circuits_are_priced_by_their_durations():
    gates = [qml.CNOT([0, 1]), qml.RY(0.3, 1)] * 400
    tape = qml.tape.QuantumScript(gates, [qml.expval(qml.Z(0))], shots=1000)
    device = IBMDevice(2, "fake_manila", transpile_attempts=1, warn_below_fidelity=0, primitives="v2")
    found = device.plan([tape]).cost()
    cnot = min(each.duration for each in device.backend.target["cx"].values())
    assert found.qpu_seconds == found.timed_seconds > 2 + 1000 * (0.00025 + 400 * cnot) > found.quick_seconds
    assert "by the circuits' durations" in str(found)
