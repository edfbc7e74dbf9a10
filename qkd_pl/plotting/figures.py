"""Figures of single networks: training curves, confusion matrices, circuits, and the phase transition."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pennylane as qml
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qkd_pl.checks import nearest
from qkd_pl.datasets.phases import CRITICAL_FIELD
from qkd_pl.errors import InvalidInputError
from qkd_pl.networks.probes import probe, probe_weights
from qkd_pl.networks.protocol import Network
from qkd_pl.networks.weights import checked_shape, split_weights
from qkd_pl.plotting.arms import ARM_COLOURS, ARM_LABELS

_COLOURS = {label: ARM_COLOURS[arm] for arm, label in ARM_LABELS.items()} | {"teacher": "black"}


def plot_history(histories: Mapping[str, Sequence[Mapping[str, Any]]], quantity: str = "loss") -> Figure:
    """Training curves of several runs: one quantity against the iteration.

    Args:
        histories: label → ``model.history``.
        quantity: key of the records: ``"loss"``, ``"gradient_norm"``, ``"learning_rate"``, or a name that the callback
            :class:`qkd_pl.training.callbacks.Accuracy` was given. Records without it are left out.

    Raises:
        InvalidInputError: no record of a run has the quantity.

    Example:
        >>> history = [{"iteration": 1, "loss": 0.7}, {"iteration": 2, "loss": 0.5}]
        >>> plot_history({"teacher": history}).axes[0].lines[0].get_ydata().tolist()
        [0.7, 0.5]
    """
    figure = Figure(figsize=(5.0, 3.2), layout="constrained")
    axes = figure.subplots()
    for label, history in histories.items():
        records = [record for record in history if quantity in record]
        if not records:
            recorded = sorted({key for record in history for key in record})
            raise InvalidInputError(
                f"quantity={quantity!r}: not in the history of {label!r}, which has {recorded}"
                f"{nearest(quantity, recorded)}"
            )
        values = [record[quantity] for record in records]
        axes.plot([record["iteration"] for record in records], values, color=_COLOURS.get(label), label=label)
    axes.set_xlabel("iteration")
    axes.set_ylabel(quantity.replace("_", " "))
    axes.legend(fontsize="small")
    return figure


def plot_confusion(labels: Sequence[Any] | np.ndarray, predictions: Sequence[Any] | np.ndarray) -> Figure:
    """Confusion matrix: how many samples of each class (row) were taken for which class (column).

    Args:
        labels, predictions: shape ``(n,)``, of the same type; classes are sorted.

    Raises:
        InvalidInputError: there is not one prediction for each label.

    Example:
        >>> figure = plot_confusion([0, 0, 1], [0, 1, 1])
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['1', '1', '0', '1']
    """
    if np.shape(labels) != np.shape(predictions) or np.ndim(labels) != 1:
        raise InvalidInputError(
            f"labels have shape {np.shape(labels)}, predictions {np.shape(predictions)}; there must be one of each"
        )
    classes, indices = np.unique(np.concatenate([labels, predictions]), return_inverse=True)
    counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(counts, tuple(indices.reshape(2, -1)), 1)
    side = 2.2 + 0.4 * len(classes)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    axes.imshow(counts, cmap="Blues", vmin=0)
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if count > counts.max() / 2 else "black"
        axes.text(column, row, str(count), ha="center", va="center", color=colour)
    names = [str(name) for name in classes]
    axes.set_xticks(range(len(classes)), names)
    axes.set_yticks(range(len(classes)), names)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    return figure


def plot_circuit(network: Network) -> Figure:
    """The circuit as PennyLane draws it, gate by gate: embedding, ansatz, measurements.

    Args:
        network: a QNN, QAE or CircuitNetwork.

    Example:
        >>> from qkd_pl import QNN
        >>> [text.get_text() for text in plot_circuit(QNN(n_qubits=2, n_layers=1, rotations="Y")).axes[0].texts]
        ['0', '1', '|Ψ⟩', 'RY', 'RY', 'RY', 'RY']
    """
    inputs = probe(network).batch.circuit_inputs[0]
    weights = split_weights(probe_weights(network), checked_shape(network.weights_shape))
    device = qml.device("default.qubit", wires=network.wires)
    # At the level of the device, because the ansatz is a single template above it.
    draw = qml.draw_mpl(qml.QNode(network.circuit, device), level="device")
    figure, _ = draw(inputs, weights)
    plt.close(figure)  # PennyLane draws through pyplot, which would keep the figure, and show it twice in a notebook
    return figure


def plot_phase_transition(h1: np.ndarray, logits: Mapping[str, np.ndarray], bins: int = 10) -> Figure:
    """Logits and accuracy of classifiers of the topological phases as functions of the field.

    Above, the difference of the logits, whose sign is the prediction; below, the accuracy in intervals of the field.

    Args:
        h1: fields in units of J, shape ``(n,)``.
        logits: label of a classifier → its logits ``(n, 2)`` for the ground states at these fields; class 1 is the
            topological phase.
        bins: number of intervals, of equal width.

    Raises:
        InvalidInputError: logits are not of shape ``(n, 2)``.

    Example:
        >>> h1 = np.linspace(0, 2, 40)
        >>> upper, lower = plot_phase_transition(h1, {"ideal": np.stack([h1 - 1, 1 - h1], axis=1)}).axes
        >>> bool((lower.lines[0].get_ydata() == 1.0).all())
        True
    """
    edges = np.linspace(h1.min(), h1.max(), bins + 1)
    interval = np.clip(np.searchsorted(edges, h1, side="right") - 1, 0, bins - 1)
    occupied = np.unique(interval)
    figure = Figure(figsize=(5.5, 4.8), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    for label, values in logits.items():
        if values.shape != (len(h1), 2):
            raise InvalidInputError(f"logits of {label!r} have shape {values.shape}; expected {(len(h1), 2)}")
        correct = values.argmax(axis=1) == (h1 < CRITICAL_FIELD)
        accuracy = [correct[interval == index].mean() for index in occupied]
        order = np.argsort(h1)
        colour = _COLOURS.get(label)
        upper.plot(h1[order], (values[:, 1] - values[:, 0])[order], color=colour, label=label)
        lower.plot((edges[occupied] + edges[occupied + 1]) / 2, accuracy, "o-", color=colour, markersize=4, label=label)
    upper.axhline(0.0, color="black", linewidth=0.5)
    upper.set_ylabel("logit difference $z_1 - z_0$")
    upper.legend(fontsize="small")
    lower.set_ylabel("accuracy")
    lower.set_xlabel("transverse field $h_1 / J$")
    for axes in (upper, lower):
        _mark_transition(axes)
    return figure


def _mark_transition(axes: Axes) -> None:
    axes.axvline(CRITICAL_FIELD, color="black", linestyle=":", linewidth=1)
