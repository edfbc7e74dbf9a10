"""What PennyLane's optimizers remember, and how a QNode runs its circuits."""

import autograd
import autograd.numpy as anp
import numpy as np
import pennylane as qml
import pytest

from qkd_pl.upstream.pennylane import (
    execution_keywords,
    flattened,
    has_transforms,
    optimizer_memory,
    optimizer_state,
    restore_optimizer,
    run_differentiably,
)

KINDS = [
    qml.GradientDescentOptimizer,
    qml.MomentumOptimizer,
    qml.AdagradOptimizer,
    qml.RMSPropOptimizer,
    qml.AdamOptimizer,
]


def steps(optimizer, weights, gradients):
    for gradient in gradients:
        arguments = (qml.numpy.array(weights, requires_grad=True),)
        weights = np.array(optimizer.apply_grad((gradient,), arguments)[0])
    return weights


@pytest.mark.parametrize("kind", KINDS)
def test_a_restored_optimizer_goes_on_as_if_it_had_not_stopped(kind, rng):
    gradients, start = rng.normal(size=(7, 2, 3)), rng.normal(size=(2, 3))
    whole = steps(kind(0.1), start, gradients)
    first = kind(0.1)
    middle = steps(first, start, gradients[:4])
    second = kind(0.1)
    restore_optimizer(second, {name: value.copy() for name, value in optimizer_state(first).items()})
    assert steps(second, middle, gradients[4:]).tobytes() == whole.tobytes()
    if kind is not qml.GradientDescentOptimizer:
        assert steps(kind(0.1), middle, gradients[4:]).tobytes() != whole.tobytes(), "there is nothing to restore"


@pytest.mark.parametrize("kind", KINDS)
def test_before_the_first_step_there_is_nothing(kind):
    assert optimizer_state(kind(0.1)) == {}


@qml.qnode(qml.device("default.qubit", wires=1), diff_method="spsa", gradient_kwargs={"h": 0.3}, max_diff=2)
def plain(angle):
    qml.RX(angle, 0)
    return qml.expval(qml.Z(0))


def test_a_qnode_tells_its_transforms():
    assert not has_transforms(plain)
    assert has_transforms(qml.transforms.merge_rotations(plain))


def test_a_qnode_tells_how_it_executes():
    keywords = execution_keywords(plain)
    assert keywords["gradient_kwargs"] == {"h": 0.3}
    assert keywords["max_diff"] == 2
    tape = qml.tape.make_qscript(plain.func)(0.4)
    (result,) = qml.execute([tape], plain.device, diff_method=plain.diff_method, interface="autograd", **keywords)
    np.testing.assert_allclose(result, np.cos(0.4))


class ByHand:
    """Runs RX(angle) and returns ⟨Z⟩; its vector-Jacobian products are those of the closed form."""

    def execute(self, tapes):
        return tuple(np.cos(tape.get_parameters()[0]) for tape in qml_numbers(tapes))

    def compute_vjp(self, tapes, cotangents):
        pairs = zip(qml_numbers(tapes), cotangents, strict=True)
        return tuple((-np.sin(tape.get_parameters()[0]) * cotangent,) for tape, cotangent in pairs)


def qml_numbers(tapes):
    return [qml.transforms.convert_to_numpy_parameters(tape)[0][0] for tape in tapes]


def test_results_are_differentiated_by_the_products_given():
    def total(angles):
        tapes = []
        for i in range(2):
            tape = qml.tape.QuantumScript([qml.RX(angles[i] ** 2, 0)], [qml.expval(qml.Z(0))])
            tape.trainable_params = [0]
            tapes.append(tape)
        first, second = run_differentiably(tapes, ByHand())
        return anp.sum(2.0 * first + 3.0 * second)

    angles = np.array([0.3, 0.7])
    expected = -2 * angles * np.sin(angles**2) * [2.0, 3.0]
    np.testing.assert_allclose(autograd.grad(total)(angles), expected, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_an_optimizer_remembers_what_is_said_of_its_kind(kind):
    optimizer = kind()
    weights = qml.numpy.ones(3, requires_grad=True)
    optimizer.apply_grad((np.ones(3),), (weights,))
    assert set(optimizer_state(optimizer)) == set(optimizer_memory(optimizer))


def test_an_operation_falls_apart_into_parameters_and_settings():
    leaves, settings = flattened(qml.RX(0.3, wires="a"))
    assert list(leaves) == [0.3]
    assert hash(settings) == hash(flattened(qml.RX(0.7, wires="a"))[1])
    assert settings != flattened(qml.RX(0.3, wires="b"))[1]
    (inner, *_), _ = flattened(qml.adjoint(qml.RX(0.3, wires=0)))
    assert isinstance(inner, qml.RX)
    words = [flattened(qml.PauliRot(0.1, word, wires=[0, 1]))[1] for word in ("XY", "XZ")]
    assert words[0] != words[1]
