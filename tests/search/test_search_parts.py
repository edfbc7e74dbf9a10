"""Widths, entrances, prices and simulators of a search, each against what it stands for."""

import builtins
from pathlib import Path

import numpy as np
import optuna
import pennylane as qml
import pytest
from test_student_search import SPACE, search_of

import qkd_pl as kd
from qkd_pl.datasets import ground_states
from qkd_pl.devices.spec import DeviceSpec
from qkd_pl.errors import InvalidInputError, TooLargeError
from qkd_pl.gradients import vjp
from qkd_pl.search.entrance import Entrance
from qkd_pl.search.evaluation import Evaluator, noisy_spec
from qkd_pl.search.found import Found
from qkd_pl.search.space import SearchSpace
from qkd_pl.search.student_search import StudentSearch
from qkd_pl.search.trial import Assignment, read_result, run_trial

MANILA = DeviceSpec(name="m", plugin="qkd.ibm", shots=256, options={"backend": "fake_manila", "transpile_attempts": 1})
ONE = {"n_layers": (1,), "rotations": ("XYZ",), "entangler": ("cz",), "train_on": ("lightning",), "margin": (1.0,)}


def row_of(found: Found):
    return next(row for row in found.table if row.path is not None)


@pytest.mark.parametrize("compress", ["device", "classically"])
def test_states_enter_fewer_qubits_through_an_autoencoder(compress, tmp_path: Path) -> None:
    space = SearchSpace(
        n_qubits=(2,), topology=("line",), encoder_layers=(1,), compress=(compress,), absorb=(False,), **ONE
    )
    search = search_of(space=space, trials=1)
    found = search.run(tmp_path)
    row, model = row_of(found), found.best
    # The file tells the same story as the table: the encoder's wires and entanglers, or the student's alone.
    in_circuit = compress == "device"
    assert str(row.entrance) == ("autoencoder in the circuit" if in_circuit else "autoencoder classical")
    assert len(model.network.wires) == (3 if in_circuit else 2)
    assert model.calibration is not None or not row.calibrated
    entered = row.entrance(search.inputs[:4])
    assert entered.shape == ((4, 8) if in_circuit else (4, 4, 4))
    planned = found.plan(search.inputs[:12])
    assert planned.cost.two_qubit_gates >= row.two_qubit_gates
    assert model.logits(entered).shape == (4, 2)
    few = found.plan(search.inputs[:4])
    assert planned.reference is not None
    assert few.reference is None
    assert few.calibration == model.calibration


def test_features_enter_fewer_qubits_by_the_leading_ones(tmp_path: Path) -> None:
    bits = np.random.default_rng(0).integers(0, 2, (40, 4))
    teacher = np.stack([1.0 - 2 * bits[:, 0], 2.0 * bits[:, 0] - 1], axis=1)
    space = SearchSpace(n_qubits=(1, 2), topology=("line",), readout=("single",), absorb=(False,), **ONE)
    found = StudentSearch(
        teacher, bits, MANILA, embedding="basis", space=space, trials=2, iterations=25, labels=bits[:, 0]
    ).run(tmp_path)
    row = found.best_row
    assert row.entrance.features in (1, 2)
    assert len(found.best.network.wires) == row.entrance.features
    assert row.confirmed == row.accuracy  # the teacher tells the first bit
    assert found.best.score(row.entrance(bits), bits[:, 0]) == 1.0


def test_a_topology_of_pairs_is_searched(tmp_path: Path) -> None:
    pairs = ((0, 1), (0, 2))
    found = search_of(space=SearchSpace(topology=[pairs], absorb=(False,), **ONE), trials=1).run(tmp_path)
    assert found.best.network.topology == pairs
    assert "topology 0-1 0-2" in found.best_row.setting
    with pytest.raises(InvalidInputError, match="no coupling"):
        search_of(space=SearchSpace(topology=[((0, 3),)]), trials=1).run(tmp_path / "other")


def test_own_networks_are_searched(tmp_path: Path) -> None:
    def circuit(weights):
        for wire in range(3):
            qml.RX(weights[0, wire], wires=wire)
        qml.CZ(wires=[0, 1])
        qml.RY(weights[1, 0], wires=0)
        return [qml.expval(qml.Z(0)), qml.expval(qml.Z(1))]

    own = kd.CircuitNetwork(circuit, wires=3, weights_shape=(2, 3), embedding="state")
    space = SearchSpace(networks=[own], absorb=(False,), train_on=("lightning",), margin=(1.0,))
    found = search_of(space=space, trials=2).run(tmp_path)
    assert found.best.network is own
    assert found.best_row.two_qubit_gates <= 1


def test_regression_under_noise(tmp_path: Path) -> None:
    h1 = np.random.default_rng(0).uniform(0, 2, 40)
    _, states = ground_states(3, h1)
    space = SearchSpace(n_qubits=(3,), topology=("line",), absorb=(False,), **{**ONE, "train_on": ("noisy",)})
    given = {"space": space, "task": "regression", "embedding": "state", "preparation": "ideal"}
    found = StudentSearch(h1, states, MANILA, trials=1, iterations=40, **given).run(tmp_path)
    assert found.best.task == "regression"
    assert found.best_row.agreement > 0.5  # R²
    assert found.best_row.accuracy is None
    constant = np.ones(40)
    with pytest.raises(InvalidInputError, match="same number"):
        StudentSearch(constant, states, MANILA, trials=1, **given).run(tmp_path / "constant")


@pytest.mark.parametrize(("others", "state"), [(1.01, "pruned"), (-0.01, "complete")])
def test_losers_are_stopped_early(others, state, tmp_path: Path) -> None:
    """Optuna's pruner, and trials before that were ahead, or behind, at a third of the training."""
    search = search_of()
    question = search._question()
    distributions = SPACE.distributions(question.widths, 2, question.first_scale, question.encodes)
    drawn = {**SPACE.first(distributions, 16.0), "n_qubits": 3}
    before = [optuna.trial.create_trial(value=others, intermediate_values={4: others}) for _ in range(8)]
    pruner = optuna.pruners.MedianPruner(n_startup_trials=8, n_min_trials=3)
    run_trial(Assignment(0, drawn, tmp_path / "trials" / "0", 1), question, SPACE, 12, pruner, before)
    result = read_result(tmp_path / "trials" / "0")
    assert result is not None
    assert result["state"] == state
    assert list(result["intermediate"]) == (["4"] if state == "pruned" else ["4", "8"])
    assert (tmp_path / "trials" / "0" / "student.safetensors").exists() == (state == "complete")


def test_workers_change_nothing(tmp_path: Path) -> None:
    alone, several = (search_of(trials=2, workers=workers).run(tmp_path / str(workers)).table for workers in (1, 2))
    assert str(alone) == str(several)


def test_without_optuna_the_extra_is_named(tmp_path: Path, monkeypatch) -> None:
    kept = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.partition(".")[0] == "optuna" or name == "qkd_pl.search.study":
            raise ImportError("No module named 'optuna'")
        return kept(name, *args, **kwargs)

    search = search_of(trials=1)
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(InvalidInputError, match=r"pip install qkd-pl\[search\]"):
        search.run(tmp_path)


def test_wide_circuits_are_measured_on_aer() -> None:
    network = kd.QNN(3, 1, topology="line", embedding="angle")
    weights = np.random.default_rng(0).uniform(0, 6, network.weights_shape)
    batch = network.encode(np.random.default_rng(1).uniform(0, 3, (4, 3)))
    held = Evaluator(network, noisy_spec(MANILA, False), MANILA, 4096, 0, False)
    exact = held.exact(weights, batch)
    tight = noisy_spec(MANILA, False)
    tight = tight.changed(options={**tight.options, "memory_limit": 1e-6})
    wide = Evaluator(network, tight, MANILA, 4096, 0, False)
    assert wide.exact(weights, batch) is None
    assert (held.simulator, wide.simulator) == ("qkd.noisy", "aer")
    np.testing.assert_allclose(wide.outputs(weights, batch), exact, atol=5 / 64)  # five standard errors
    # The same limit refuses the training, which then goes on without noise.
    with pytest.raises(TooLargeError):
        kd.KDTrainer(iterations=1, device=tight).fit(network, (np.ones((2, 3)), [0, 1]))


def test_evaluating_needs_no_memory_for_gradients() -> None:
    """A sweep that is kept whole would be refused, and its student sent to Aer."""
    network = kd.QNN(4, 6, topology="line", embedding="angle")
    weights = np.random.default_rng(0).uniform(0, 6, network.weights_shape)
    batch = network.encode(np.random.default_rng(1).uniform(0, 3, (8, 4)))
    noise = noisy_spec(MANILA, False)
    tight = noise.changed(options={**noise.options, "memory_limit": 50_000 / 2**30})
    with pytest.raises(TooLargeError):
        vjp(tight.qnode(network.circuit, network.wires), weights, batch)
    evaluator = Evaluator(network, tight, MANILA, 256, 0, False)
    exact = evaluator.exact(weights, batch)
    assert exact is not None
    draws = np.array([evaluator.outputs(weights, batch) for _ in range(64)])
    assert evaluator.simulator == "qkd.noisy"
    np.testing.assert_allclose(draws.mean(axis=0), exact, atol=5 / np.sqrt(256 * 64))


def test_states_cannot_enter_aer_from_outside() -> None:
    network = kd.QNN(2, 1)
    tight = noisy_spec(MANILA, True)
    tight = tight.changed(options={**tight.options, "memory_limit": 1e-7})
    evaluator = Evaluator(network, tight, MANILA, 64, 0, False)
    with pytest.raises(InvalidInputError, match="preparation='device'"):
        evaluator.outputs(np.zeros(network.weights_shape), network.encode(np.eye(4)))


def test_entrances_say_what_they_do() -> None:
    assert [str(each) for each in (Entrance(), Entrance(features=3))] == ["whole", "3 leading features"]
    np.testing.assert_array_equal(Entrance(features=1)(np.arange(6).reshape(2, 3)), [[0], [3]])


def test_widths_are_those_that_inputs_allow(tmp_path: Path) -> None:
    assert SPACE.n_qubits is None
    states = np.eye(128)[:16]
    teacher = np.stack([np.arange(16) % 2, 1 - np.arange(16) % 2], axis=1).astype(float)
    for n_qubits, message in ((6, "behind an autoencoder at most 5"), (8, "the inputs have 7 qubits")):
        with pytest.raises(InvalidInputError, match=message):
            StudentSearch(
                teacher, states, "fake_nairobi", embedding="state", space=SearchSpace(n_qubits=(n_qubits,))
            ).run(tmp_path)
    assert not list(tmp_path.iterdir())
