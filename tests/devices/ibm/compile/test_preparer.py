"""Which preparation a batch of states gets, and that it is the one reported."""

import numpy as np
import pennylane as qml
import pytest

from qkd_pl.datasets import ground_states
from qkd_pl.devices.ibm.compile import preparer
from qkd_pl.devices.ibm.compile.preparer import StatePreparer
from qkd_pl.devices.ibm.compile.tapes import prepared
from qkd_pl.errors import InvalidInputError

PHASES = ground_states(5, np.linspace(0.1, 1.9, 6))[1]
RANDOM = np.linalg.qr(np.random.default_rng(0).normal(size=(32, 32)))[0][:6]
LONG = np.random.default_rng(1).dirichlet(np.ones(256), size=1) ** 0.5 * np.resize([1, 1, -1], 256)
GHZ = np.eye(16)[[0, 15]].sum(axis=0, keepdims=True) / np.sqrt(2)


def states_of(operations, n_wires):
    tape = qml.tape.QuantumScript(operations, [qml.state()])
    return qml.execute([tape], qml.device("default.qubit", wires=n_wires))[0]


@pytest.mark.parametrize(
    ("settings", "states", "method", "layers"),
    [
        ({"method": "exact"}, PHASES, "exact", 0),
        ({"method": "staircase"}, PHASES, "staircase", 2),
        ({"method": "staircase", "layers": 1}, RANDOM, "staircase", 1),
        ({"method": "auto"}, GHZ, "staircase", 1),
        ({"method": "auto"}, PHASES, "staircase", 2),
        ({"method": "auto"}, RANDOM, "staircase", 3),
        ({"method": "auto"}, LONG, "exact", 0),
        ({"method": "auto"}, RANDOM[:, :4] / np.linalg.norm(RANDOM[:, :4], axis=1)[:, None], "exact", 0),
    ],
)
def test_methods(settings, states, method, layers):
    n_wires = int(np.log2(states.shape[1]))
    operations, preparation = StatePreparer(**settings).prepare(states, range(n_wires))
    assert (preparation.method, preparation.layers) == (method, layers)
    assert preparation.cnots == sum(each.name == "CNOT" for each in operations)
    found = states_of(operations, n_wires)
    overlaps = np.abs(np.einsum("bi,bi->b", states.conj(), found)) ** 2
    np.testing.assert_allclose(overlaps, preparation.fidelities, atol=1e-9)
    if settings["method"] == "auto":
        assert preparation.fidelities.min() >= settings.get("min_fidelity", 0.99)


@pytest.mark.parametrize("from_last", [False, True])
def test_either_end_prepares_the_same_states(from_last):
    phased = PHASES * np.exp(1j * np.arange(6))[:, np.newaxis]
    operations, preparation = StatePreparer("staircase").prepare(phased, ["a", "b", "c", "d", "e"], from_last)
    assert operations[-1].wires[0] in ("a", "b") if from_last else ("d", "e")
    found = states_of([qml.map_wires(each, dict(zip("abcde", range(5), strict=True))) for each in operations], 5)
    assert np.abs(np.einsum("bi,bi->b", phased.conj(), found)).min() ** 2 == pytest.approx(preparation.fidelities.min())
    assert preparation.cnots == 15


def test_one_state_keeps_its_form():
    operations, preparation = StatePreparer("staircase").prepare(PHASES[0], range(5))
    assert all(np.shape(value) == () for each in operations for value in each.data)
    assert preparation.fidelities.shape == (1,)
    assert states_of(operations, 5).shape == (32,)


def test_a_batch_is_fitted_once(monkeypatch):
    calls = []
    fit = preparer.fit_staircase
    monkeypatch.setattr(preparer, "fit_staircase", lambda *args: (calls.append(1), fit(*args))[1])
    one = StatePreparer("staircase")
    for _ in range(3):
        one.prepare(PHASES, range(5))
    one.prepare(PHASES, range(5), from_last=True)
    assert len(calls) == 2


@pytest.mark.parametrize(("measured", "starts_at"), [(0, 0), (4, 4)])
def test_the_staircase_ends_away_from_what_is_measured(measured, starts_at):
    operations = [qml.StatePrep(PHASES, wires=range(5)), qml.RX(0.3, measured)]
    tape, (preparation,) = prepared(
        qml.tape.QuantumScript(operations, [qml.expval(qml.Z(measured))]), StatePreparer("staircase")
    )
    assert preparation.method == "staircase"
    first = next(each for each in tape.operations if each.name == "CNOT")
    assert starts_at in first.wires


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "approximate"}, "preparation='approximate': must be one of 'exact', 'staircase', 'auto'"),
        ({"layers": 0}, "preparation_layers=0"),
        ({"min_fidelity": 1.1}, "preparation_fidelity=1.1"),
    ],
)
def test_other_settings_are_refused(settings, message):
    with pytest.raises(InvalidInputError, match=message):
        StatePreparer(**settings)
