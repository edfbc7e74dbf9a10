import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from loss_references import assert_gradient

from qkd_pl import QNN, Distillation, KDTrainer, Relational
from qkd_pl.errors import InvalidInputError
from qkd_pl.training.losses import Targets

points = arrays(np.float64, (4, 2), elements=st.floats(-1.0, 1.0))


def reference(outputs, teacher, weights, delta=1.0) -> float:
    """Park et al., Eqs. 4–6, pair by pair at 50 digits, with weights of the pairs."""
    with mp.workdps(50):
        pairs = [(i, j) for i in range(len(outputs)) for j in range(i)]
        omega = [mp.mpf(weights[i]) * mp.mpf(weights[j]) for i, j in pairs]

        def relative(rows):
            lengths = [
                mp.sqrt(sum((mp.mpf(a) - mp.mpf(b)) ** 2 for a, b in zip(rows[i], rows[j], strict=True)))
                for i, j in pairs
            ]
            average = mp.fdot(omega, lengths) / mp.fsum(omega)
            return [length / average for length in lengths]

        def huber(d):
            return d * d / 2 if abs(d) <= delta else delta * (abs(d) - mp.mpf(delta) / 2)

        terms = [huber(s - t) for s, t in zip(relative(outputs.tolist()), relative(teacher.tolist()), strict=True)]
        return float(mp.fdot(omega, terms) / mp.fsum(omega))


@pytest.mark.parametrize("delta", [0.05, 1.0])
def test_it_agrees_with_a_sum_over_pairs(rng, delta):
    outputs, teacher = rng.uniform(-1, 1, (5, 2)), rng.normal(size=(5, 3))
    weights = np.array([0.0, 1.0, 2.0, 1.5, 0.5])
    value, _ = Relational(delta)(outputs, Targets(teacher=teacher, sample_weight=weights))
    assert value == pytest.approx(reference(outputs, teacher, weights, delta), rel=1e-12)


def test_golden_number():
    """Three points on a line, once equally spaced (1, 1, 2)/(4/3), once (1, 2, 3)/2; Σ d²/2 over three pairs."""
    outputs, teacher = np.array([[0.0], [0.1], [0.2]]), np.array([[0.0], [1.0], [3.0]])
    assert Relational()(outputs, Targets(teacher=teacher))[0] == pytest.approx((0.25**2 / 2 * 2) / 3)


def test_cotangent(rng):
    for _ in range(20):
        outputs, teacher = rng.uniform(-1, 1, (6, 3)), rng.normal(size=(6, 2))
        assert_gradient(Relational(), outputs, Targets(teacher=teacher, sample_weight=rng.uniform(0, 2, 6)), atol=1e-8)


@given(outputs=points, factor=st.floats(0.1, 10.0), turn=st.floats(0.0, 6.3))
def test_it_is_zero_for_the_same_relations_in_other_units(outputs, factor, turn):
    """Moved, turned, scaled and put into more dimensions."""
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    teacher = np.pad(factor * outputs @ rotation + 3.0, ((0, 0), (0, 1)))
    spread = np.abs(outputs - outputs.mean(axis=0)).max()
    value, cotangent = Relational()(outputs, Targets(teacher=teacher))
    assert value < 1e-12 or spread < 1e-6
    assert np.isfinite(cotangent).all()


def test_equal_outputs_and_single_samples_are_finite():
    same = np.full((4, 2), 0.5)
    value, cotangent = Relational()(same, Targets(teacher=np.arange(8.0).reshape(4, 2)))
    assert np.isfinite(value)
    assert not cotangent.any()
    two_equal = np.array([[0.1, 0.1], [0.1, 0.1], [0.9, -0.9]])
    assert np.isfinite(Relational()(two_equal, Targets(teacher=np.eye(3)))[1]).all()
    assert Relational()(same[:1], Targets(teacher=np.eye(1))) == (0.0, pytest.approx(np.zeros((1, 2))))


def test_a_teacher_with_other_outputs_teaches():
    """Three outputs of the teacher, two of the student; cross-entropy alone could not take them."""
    inputs = np.random.default_rng(0).uniform(-1.5, 1.5, (30, 2))
    teacher = np.column_stack([np.sin(inputs[:, 0]), np.cos(inputs[:, 0]), np.zeros(30)])
    trainer = KDTrainer(iterations=60, learning_rate=0.1, seed=2)
    model = trainer.fit(QNN(2, 2, embedding="angle"), (inputs, None), teacher=teacher, loss=Relational())
    losses = [record["loss"] for record in model.history]
    assert losses[-1] < 0.3 * losses[0]
    with pytest.raises(InvalidInputError, match=r"\(30, 3\); the student needs \(30, 2\)"):
        trainer.fit(QNN(2, 2, embedding="angle"), (inputs, None), teacher=teacher, loss=Distillation() + Relational())


def test_without_a_teacher_it_is_refused():
    with pytest.raises(InvalidInputError, match=r"teacher is None; Relational\(delta=1\.0\)"):
        Relational().prepare(Targets())
