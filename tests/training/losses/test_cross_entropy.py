import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loss_references import LABELS, STUDENT, assert_gradient, logits, mean, mp_cross_entropies

from qkd_pl import CrossEntropy
from qkd_pl.errors import InvalidInputError
from qkd_pl.training.losses import Targets


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0, 1e3])
def test_it_agrees_with_mpmath(scale):
    value, cotangent = CrossEntropy(scale)(STUDENT, Targets(labels=LABELS))
    assert value == pytest.approx(float(mean(mp_cross_entropies(STUDENT, LABELS, scale))), rel=1e-13)
    assert np.isfinite(cotangent).all()


def test_golden_numbers():
    """log(1 + e^-1), log(1 + e^2) and log 3, to 16 digits."""
    loss = CrossEntropy(1.0)
    for outputs, label, expected in (
        ([0.5, -0.5], 0, 0.31326168751822286),
        ([1.0, -1.0], 1, 2.1269280110429727),
        ([0.0, 0.0, 0.0], 2, 1.0986122886681098),
    ):
        value, _ = loss(np.array([outputs]), Targets(labels=np.array([label])))
        assert value == pytest.approx(expected, rel=1e-15)


@given(outputs=logits, scale=st.floats(0.1, 30.0))
def test_cotangent(outputs, scale):
    assert_gradient(CrossEntropy(scale), outputs, Targets(labels=np.array([0, 3, 1])), atol=1e-6 * scale**2)


def test_of_a_partly_labelled_batch_the_labelled_samples_count():
    some = np.array([0, -1, 1, -1])
    value, cotangent = CrossEntropy()(STUDENT, Targets(labels=some))
    alone = CrossEntropy()(STUDENT[[0, 2]], Targets(labels=some[[0, 2]]))
    assert value == pytest.approx(alone[0])
    np.testing.assert_allclose(cotangent[[0, 2]], alone[1])
    assert not cotangent[[1, 3]].any()


def test_batches_are_unbiased_whatever_their_share_of_labels(rng):
    """The mean over all batches of one sample is the loss of all samples."""
    outputs, labels = rng.uniform(-1, 1, (6, 2)), np.array([0, -1, 1, -1, -1, 0])
    weights = rng.uniform(0, 2, 6)
    everything = Targets(labels=labels, sample_weight=weights / weights.mean())
    share = float(weights[labels >= 0].sum() / weights.sum())
    whole = CrossEntropy()(outputs, everything)[0]
    known = Targets(labels=labels, sample_weight=everything.sample_weight, labelled=share)
    single = [CrossEntropy()(outputs[[i]], known.take(np.array([i]), 0))[0] for i in range(6)]
    assert np.mean(single) == pytest.approx(whole)


def test_weights_count_like_repetitions(rng):
    outputs, counts = rng.uniform(-1, 1, (4, 3)), np.array([0, 1, 3, 2])
    weighted = CrossEntropy()(outputs, Targets(labels=LABELS, sample_weight=counts / counts.mean()))
    repeated = CrossEntropy()(outputs.repeat(counts, axis=0), Targets(labels=LABELS.repeat(counts)))
    assert weighted[0] == pytest.approx(repeated[0])
    np.testing.assert_allclose(weighted[1][3], repeated[1][-2:].sum(axis=0))
    assert not weighted[1][0].any()


def test_it_vanishes_for_a_sure_and_right_answer_and_stays_finite_for_a_wrong_one():
    outputs = np.array([[1.0, -1.0]])
    right = CrossEntropy(1e3)(outputs, Targets(labels=np.array([0])))
    wrong = CrossEntropy(1e3)(outputs, Targets(labels=np.array([1])))
    assert right[0] == 0.0
    assert not right[1].any()
    assert wrong[0] == pytest.approx(float(mp.mpf(2000)))
    np.testing.assert_allclose(wrong[1], [[1e3, -1e3]])


@pytest.mark.parametrize(
    ("labels", "message"), [(None, "labels are None"), (np.array([-1, -1]), "no sample has a label")]
)
def test_without_labels_it_is_refused(labels, message):
    with pytest.raises(InvalidInputError, match=message):
        CrossEntropy().prepare(Targets(labels=labels))


def test_no_label_in_a_batch_is_no_loss():
    value, cotangent = CrossEntropy()(STUDENT, Targets(labels=np.full(4, -1), labelled=0.5))
    assert value == 0.0
    assert not cotangent.any()


@pytest.mark.parametrize("scale", [0.0, -1.0, float("inf"), "a"])
def test_a_wrong_scale_is_named(scale):
    with pytest.raises(InvalidInputError, match="logit_scale="):
        CrossEntropy(scale)
