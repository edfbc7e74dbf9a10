import matplotlib.pyplot as plt
import numpy as np
import pytest

from qkd_pl import QAE, QNN
from qkd_pl.errors import InvalidInputError
from qkd_pl.plotting import plot_circuit, plot_confusion, plot_history, plot_phase_transition


def test_training_curves_show_the_recorded_values():
    histories = {
        "teacher": [{"iteration": 1, "loss": 0.7}, {"iteration": 2, "loss": 0.4, "accuracy": 0.8}],
        "student": [{"iteration": 1, "loss": 0.9, "accuracy": 0.5}, {"iteration": 2, "loss": 0.6, "accuracy": 0.9}],
    }
    (axes,) = plot_history(histories).axes
    drawn = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
    assert drawn == {"teacher": [[1, 0.7], [2, 0.4]], "student": [[1, 0.9], [2, 0.6]]}
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("iteration", "loss")
    (axes,) = plot_history(histories, "accuracy").axes
    assert axes.lines[0].get_xydata().tolist() == [[2, 0.8]]


def test_a_quantity_that_was_not_recorded_is_named():
    with pytest.raises(InvalidInputError, match=r"'accuracy': not in the history of 'teacher', which has \['iter"):
        plot_history({"teacher": [{"iteration": 1}]}, "accuracy")


def test_the_confusion_matrix_needs_a_prediction_for_each_label():
    with pytest.raises(InvalidInputError, match=r"labels have shape \(4,\), predictions \(2,\)"):
        plot_confusion([0, 0, 0, 0], [1, 1])


@pytest.mark.parametrize("names", [np.array([0, 1, 2]), np.array(["a", "b", "c"])])
def test_the_confusion_matrix_counts_true_against_predicted(names):
    (axes,) = plot_confusion(names[[0, 0, 0, 1, 1, 2]], names[[0, 0, 1, 2, 1, 2]]).axes
    counts = [[2, 1, 0], [0, 1, 1], [0, 0, 1]]
    np.testing.assert_array_equal(axes.images[0].get_array(), counts)
    assert {text.get_position(): text.get_text() for text in axes.texts} == {
        (column, row): str(counts[row][column]) for row in range(3) for column in range(3)
    }
    assert [tick.get_text() for tick in axes.get_yticklabels()] == [str(name) for name in names]


@pytest.mark.parametrize(
    ("network", "gates", "preparation"),
    [
        (QNN(3, 2), 27, "|Ψ⟩"),
        (QNN(3, 1, rotations="YZ", closing_rotations=False, embedding="angle"), 6 + 3, "RX"),
        (QNN(3, 1, embedding="phase"), 18 + 3, "H"),
        (QAE(3, 1, 1), 18, "|Ψ⟩"),
    ],
)
def test_the_circuit_is_drawn_gate_by_gate(network, gates, preparation):
    (axes,) = plot_circuit(network).axes
    texts = [text.get_text() for text in axes.texts]
    assert texts[:3] == ["0", "1", "2"]
    assert preparation in texts
    assert sum(text in ("RX", "RY", "RZ") for text in texts) == gates
    assert plt.get_fignums() == []


def test_accuracy_and_logits_across_the_transition():
    h1 = np.array([1.9, 0.1, 0.4, 1.2, 1.6, 0.9])
    cluster = h1 < 1.3  # a classifier that puts the transition at 1.3
    logits = np.column_stack([np.where(cluster, -0.2, 0.3), np.where(cluster, 0.2, -0.3)])
    upper, lower = plot_phase_transition(h1, {"late": logits, "inverted": logits[:, ::-1]}, bins=2).axes
    late, inverted = upper.lines[:2]
    np.testing.assert_array_equal(late.get_xdata(), np.sort(h1))
    np.testing.assert_allclose(late.get_ydata(), [0.4, 0.4, 0.4, 0.4, -0.6, -0.6])
    np.testing.assert_allclose(inverted.get_ydata(), -late.get_ydata())
    np.testing.assert_allclose(lower.lines[0].get_xydata(), [[0.55, 1.0], [1.45, 2 / 3]])
    np.testing.assert_allclose(lower.lines[1].get_ydata(), [0.0, 1 / 3])
    for axes in (upper, lower):
        assert any(np.allclose(line.get_xdata(), 1.0) for line in axes.lines)


def test_intervals_of_the_field_without_states_are_left_out():
    h1 = np.array([0.0, 0.1, 1.9, 2.0])
    _, lower = plot_phase_transition(h1, {"one": np.tile([0.0, 1.0], (4, 1))}, bins=10).axes
    np.testing.assert_allclose(lower.lines[0].get_xydata(), [[0.1, 1.0], [1.9, 0.0]])


def test_logits_of_another_shape_are_named():
    with pytest.raises(InvalidInputError, match=r"logits of 'ten' have shape \(4, 10\); expected \(4, 2\)"):
        plot_phase_transition(np.linspace(0, 2, 4), {"ten": np.zeros((4, 10))})
