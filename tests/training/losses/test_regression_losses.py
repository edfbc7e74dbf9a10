import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from loss_references import assert_gradient
from scipy.special import huber as scipy_huber

from qkd_pl import Huber, Infidelity, SquaredError
from qkd_pl.circuits.readout import fidelity
from qkd_pl.errors import InvalidInputError
from qkd_pl.training.losses import Targets

numbers = arrays(np.float64, (3, 2), elements=st.floats(-1.0, 1.0))


@given(outputs=numbers, labels=numbers)
def test_squared_error_is_numpys(outputs, labels):
    assert SquaredError()(outputs, Targets(labels=labels))[0] == pytest.approx(np.mean((outputs - labels) ** 2))
    assert_gradient(SquaredError(), outputs, Targets(labels=labels, sample_weight=np.array([0.0, 1.0, 2.0])))


@given(outputs=numbers, labels=numbers, delta=st.floats(0.01, 3.0))
def test_huber_is_scipys(outputs, labels, delta):
    value = Huber(delta)(outputs, Targets(labels=labels))[0]
    assert value == pytest.approx(scipy_huber(delta, outputs - labels).mean(), abs=1e-15)
    assert_gradient(Huber(delta), outputs, Targets(labels=labels), atol=1e-5)


@pytest.mark.parametrize("loss", [SquaredError(), Huber()])
def test_missing_targets_do_not_count(loss):
    outputs = np.array([[0.5], [0.1], [-0.3]])
    labels = np.array([[0.2], [np.nan], [0.0]])
    value, cotangent = loss(outputs, Targets(labels=labels))
    alone = loss(outputs[[0, 2]], Targets(labels=labels[[0, 2]]))
    assert value == pytest.approx(alone[0])
    np.testing.assert_allclose(cotangent, [alone[1][0], [0.0], alone[1][1]])


@pytest.mark.parametrize("loss", [SquaredError(), Huber()])
def test_it_is_zero_at_equality_and_finite_at_extremes(loss):
    same = np.array([[0.3], [-1.0]])
    value, cotangent = loss(same, Targets(labels=same))
    assert value == 0.0
    assert not cotangent.any()
    value, cotangent = loss(same, Targets(labels=np.array([[1e150], [-1e150]])))
    assert np.isfinite(value)
    assert np.isfinite(cotangent).all()


def test_a_teachers_predictions_come_before_the_labels():
    outputs, labels, teacher = np.array([[0.5]]), np.array([[0.0]]), np.array([[0.4]])
    assert SquaredError()(outputs, Targets(labels=labels, teacher=teacher))[0] == pytest.approx(0.01)


def test_what_does_not_fit_is_named():
    with pytest.raises(InvalidInputError, match="labels are None and there is no teacher"):
        SquaredError().prepare(Targets())
    with pytest.raises(InvalidInputError, match=r"targets have shape \(2, 1\); the network's outputs \(2, 3\)"):
        SquaredError()(np.zeros((2, 3)), Targets(labels=np.zeros(2)))
    with pytest.raises(InvalidInputError, match="delta=0"):
        Huber(0)


@given(expectations=arrays(np.float64, (3, 8), elements=st.floats(-1.0, 1.0)))
def test_infidelity(expectations):
    assert Infidelity()(expectations, Targets())[0] == pytest.approx(1.0 - fidelity(expectations).mean())
    assert_gradient(Infidelity(), expectations, Targets(sample_weight=np.array([0.0, 1.0, 2.0])), atol=1e-9)
