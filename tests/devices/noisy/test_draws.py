"""Drawing the shots of one circuit again: no other sweep, and statistics as of independent runs."""

import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pennylane as qml
import pytest

from qkd_pl.devices.noisy.device import NoisyDevice
from qkd_pl.devices.noisy.sweep import Geometry
from qkd_pl.errors import TooLargeError

OPTIONS = {"backend": "fake_manila", "transpile_attempts": 1, "initial_layout": [0, 1]}
INPUTS = np.random.default_rng(0).uniform(0, 3, (40, 2))
SHOTS, DRAWS = 100, 400


def circuit(inputs, weight=0.7):
    qml.RY(inputs[:, 0], wires=0)
    qml.RY(inputs[:, 1], wires=1)
    qml.CNOT([0, 1])
    qml.RX(weight, wires=0)


def values(inputs, weight=0.7):
    circuit(inputs, weight)
    return qml.expval(qml.Z(0)), qml.expval(qml.Z(1))


def outcomes(inputs, weight=0.7):
    circuit(inputs, weight)
    return qml.probs(wires=[0, 1])


def drawing(function, shots=SHOTS, seed=5):
    return qml.set_shots(qml.QNode(function, NoisyDevice(2, seed=seed, **OPTIONS)), shots=shots)


def exact(function, *arguments):
    return np.array(qml.QNode(function, NoisyDevice(2, **OPTIONS))(*arguments))


def expected(joint, shots, generator):
    """z of both qubits from one draw of the four outcomes."""
    return (generator.multinomial(shots, joint) / shots @ [[1, 1], [1, -1], [-1, 1], [-1, -1]]).T


@pytest.fixture
def sweeps(monkeypatch):
    """Counts them, in either direction."""
    found = []
    for name in ("backwards", "forwards"):
        sweep = getattr(Geometry, name)

        def counted(*arguments, _sweep=sweep, **keywords):
            found.append(len(arguments[1]))
            return _sweep(*arguments, **keywords)

        monkeypatch.setattr(Geometry, name, counted)
    return found


def test_each_draw_is_the_next_of_the_seed(sweeps):
    """By NumPy from the exact probabilities of another device."""
    node, generator = drawing(values), np.random.default_rng(5)
    draws = [np.array(node(INPUTS)) for _ in range(3)]
    assert len(sweeps) == 1
    joint = exact(outcomes, INPUTS)
    for drawn in draws:
        np.testing.assert_allclose(drawn, expected(joint, SHOTS, generator), rtol=0, atol=1e-12)


def test_draws_scatter_as_the_binomial_says(sweeps):
    node = drawing(values)
    draws = np.array([node(INPUTS) for _ in range(DRAWS)])
    assert len(sweeps) == 1
    means = exact(values, INPUTS)
    variance = (1 - means**2) / SHOTS
    assert np.abs((draws.mean(axis=0) - means) / np.sqrt(variance / DRAWS)).max() < 5
    # The relative error of a sample's variance is √(2/n) for draws that are nearly normal, and the 80 are pooled.
    ratio = draws.var(axis=0, ddof=1) / variance
    assert ratio.mean() == pytest.approx(1, abs=5 * np.sqrt(2 / DRAWS / ratio.size) + 1 / SHOTS)
    # Neighbours in time are independent: 1/√n for each input's correlation.
    first, second = (part - part.mean(axis=0) for part in (draws[:-1], draws[1:]))
    correlation = (first * second).mean(axis=0) / draws.var(axis=0)
    assert np.abs(correlation).max() < 5 / np.sqrt(DRAWS)


@pytest.mark.parametrize("function", [values, outcomes])
def test_other_numbers_have_other_outcomes(function, sweeps):
    """Arrays that change in place, too."""
    node, inputs = drawing(function, shots=10_000), INPUTS.copy()
    node(inputs)
    inputs[3] += 1.0
    np.testing.assert_allclose(np.array(node(inputs)), exact(function, inputs), rtol=0, atol=5 / 100)
    np.testing.assert_allclose(np.array(node(inputs, 2.0)), exact(function, inputs, 2.0), rtol=0, atol=5 / 100)
    assert len(sweeps) == 3 + 2


def test_another_number_of_shots_draws_from_the_same_outcomes(sweeps):
    node, generator = drawing(values), np.random.default_rng(5)
    found = [np.array(qml.set_shots(node, shots=shots)(INPUTS)) for shots in (10, 1000)]
    assert len(sweeps) == 1
    joint = exact(outcomes, INPUTS)
    for shots, drawn in zip((10, 1000), found, strict=True):
        np.testing.assert_allclose(drawn, expected(joint, shots, generator), rtol=0, atol=1e-12)


def wide_circuit(inputs):
    for wire in range(7):
        qml.RY(inputs[:, wire], wires=wire)
    for wire in range(0, 6, 2):
        qml.CZ([wire, wire + 1])
    for wire in range(7):
        qml.RX(0.2 * wire, wires=wire)


WORDS = (list(range(7)), [3, 4, 5, 6], [0, 1, 2])  # the last is the product of the others


def wide_device(seed=5):
    return NoisyDevice(7, seed=seed, backend="fake_nairobi", transpile_attempts=1, initial_layout=list(range(7)))


@pytest.mark.parametrize(("batch", "count", "swept"), [(9, 1, 1), (9, 2, 3), (9, 3, 3), (4, 2, 3)])
def test_wide_bases_are_drawn_by_the_parities_of_their_words(batch, count, swept, sweeps):
    """As from all 128 bit strings, of which only these parities are told."""
    inputs = np.random.default_rng(1).uniform(0, 3, (batch, 7))
    words = WORDS[:count]

    def parities(inputs):
        wide_circuit(inputs)
        return [qml.expval(qml.prod(*map(qml.Z, word))) for word in words]

    def strings(inputs):
        wide_circuit(inputs)
        return qml.probs(wires=range(7))

    drawn = np.array(qml.set_shots(qml.QNode(parities, wide_device()), shots=SHOTS)(inputs))
    assert sweeps == [swept]
    joint = np.array(qml.QNode(strings, wide_device())(inputs))
    bits = (np.arange(128)[:, None] >> np.arange(7)[::-1]) & 1
    signs = np.array([1 - 2 * (bits[:, word].sum(axis=1) % 2) for word in words])
    patterns = (1 - signs.T) // 2 @ 2 ** np.arange(count)[::-1]
    told = np.stack([joint[:, patterns == pattern].sum(axis=1) for pattern in range(2**count)], axis=1)
    frequencies = np.random.default_rng(5).multinomial(SHOTS, told) / SHOTS
    of_pattern = 1 - 2 * ((np.arange(2**count)[:, None] >> np.arange(count)[::-1]) & 1)
    np.testing.assert_allclose(drawn, (frequencies @ of_pattern).T, rtol=0, atol=1e-12)


def test_fewer_inputs_than_parities_are_swept_themselves(sweeps):
    inputs = np.random.default_rng(1).uniform(0, 3, (2, 7))

    def parities(inputs):
        wide_circuit(inputs)
        return [qml.expval(qml.prod(*map(qml.Z, word))) for word in WORDS]

    drawn = np.array(qml.set_shots(qml.QNode(parities, wide_device()), shots=10_000)(inputs))
    assert sweeps == [2]
    np.testing.assert_allclose(drawn, np.array(qml.QNode(parities, wide_device())(inputs)), rtol=0, atol=5 / 100)


@pytest.mark.parametrize("shots", [None, SHOTS])
def test_what_does_not_fit_is_refused_before_any_of_it_is_made(shots):
    inputs = np.random.default_rng(1).uniform(0, 3, (64, 10))

    def words(inputs):
        qml.AngleEmbedding(inputs, wires=range(10))
        for wire in range(9):
            qml.CNOT([wire, wire + 1])
        others = [qml.prod(*[qml.Z(wire) for wire in range(10) if wire != left_out]) for left_out in range(3)]
        return [qml.expval(each) for each in [qml.prod(*map(qml.Z, range(10))), *others]]

    node = qml.set_shots(qml.QNode(words, NoisyDevice(10, backend="aer", memory_limit=0.001)), shots=shots)
    tracemalloc.start()
    with pytest.raises(TooLargeError, match="on 10 qubits"):
        node(inputs)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * 4**10  # one vector


def test_threads_have_outcomes_of_their_own():
    """Each asks one device for its own state, of which only one outcome is possible."""
    interval = sys.getswitchinterval()
    device = NoisyDevice(2, preparation="ideal", backend="aer")

    def wrong(number):
        tape = qml.tape.QuantumScript(
            [qml.StatePrep(np.eye(4)[number % 4], wires=[0, 1])], [qml.probs(wires=[0, 1])], shots=20
        )
        return not np.array_equal(device.execute(tape), np.eye(4)[number % 4])

    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as threads:
            assert not any(threads.map(wrong, range(600)))
    finally:
        sys.setswitchinterval(interval)


def test_observables_are_swept_in_as_many_parts_as_memory_asks_for(sweeps):
    """A limit that holds two vectors on the six qubits of the light cone, and not three."""
    inputs = np.random.default_rng(1).uniform(0, 3, (9, 7))

    def outputs(inputs):
        wide_circuit(inputs)
        return [qml.expval(qml.Z(wire)) for wire in (0, 2, 4)]

    found = []
    for limit in (None, 2.5 * 4 * 8 * 4**6 / 2**30):
        device = NoisyDevice(7, seed=5, backend="aer", memory_limit=limit)
        node = qml.QNode(outputs, device, diff_method=None)
        found.append(np.array([node(inputs), qml.set_shots(node, shots=SHOTS)(inputs)]))
    assert sweeps == [3, 7, 2, 1, 2, 2, 2, 1]
    np.testing.assert_array_equal(found[0][1], found[1][1])
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=0, atol=1e-12)


def test_wide_words_in_other_bases_scatter_about_their_values():
    inputs = np.random.default_rng(1).uniform(0, 3, (9, 7))

    def words(inputs):
        wide_circuit(inputs)
        return [
            qml.expval(qml.prod(*[letter(wire) for wire, letter in enumerate(letters)]))
            for letters in ([qml.X] * 7, [qml.Y, qml.Z] * 3, [qml.X, qml.X])
        ]

    exact_values = np.array(qml.QNode(words, wide_device())(inputs))
    node = qml.set_shots(qml.QNode(words, wide_device()), shots=SHOTS)
    draws = np.array([node(inputs) for _ in range(DRAWS)])
    error = np.sqrt((1 - exact_values**2) / SHOTS / DRAWS)
    assert np.abs((draws.mean(axis=0) - exact_values) / error).max() < 5


def test_other_states_have_other_outcomes():
    """States that enter from outside are no angles."""

    def of_state(state):
        qml.StatePrep(state, wires=[0, 1])
        return qml.probs(wires=[0, 1])

    device = NoisyDevice(2, seed=5, preparation="ideal", backend="aer")
    node = qml.set_shots(qml.QNode(of_state, device), shots=20)
    for state in np.eye(4):
        np.testing.assert_array_equal(node(state), state)


def test_one_output_sweeps_one_observable(sweeps):
    """Of two outcomes, the second is what the first leaves."""

    def single(inputs):
        circuit(inputs)
        return qml.expval(qml.Z(1))

    drawing(single)(INPUTS)
    drawing(values)(INPUTS)
    assert sweeps == [1, 3]
