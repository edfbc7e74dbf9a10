"""Circuits as users write them, and what stock ``default.qubit`` makes of them, sample by sample."""

from collections.abc import Mapping

import numpy as np
import pennylane as qml

import qkd_pl as kd


def entangled(inputs, weights):
    """A template of PennyLane, which takes the tensor of weights whole."""
    qml.AngleEmbedding(inputs, wires=range(3))
    qml.StronglyEntanglingLayers(weights, wires=range(3))
    return [qml.expval(qml.Z(0)), qml.expval(qml.Z(1) @ qml.Z(2)), qml.expval(qml.X(2))]


def convolutional(inputs, weights):
    """A quantum convolutional network: filters that share their weights, and pooling."""
    qml.AngleEmbedding(inputs, wires=range(4), rotation="Y")
    for layer, wires in enumerate([(0, 1, 2, 3), (1, 3)]):
        for first, second in zip(wires[::2], wires[1::2], strict=True):
            qml.RY(weights[layer, 0], wires=first)
            qml.RY(weights[layer, 1], wires=second)
            qml.IsingXX(weights[layer, 2], wires=[first, second])
            qml.CRZ(weights[layer, 3], wires=[first, second])
    return qml.expval(qml.Z(3))


def uploaded_again(inputs, weights):
    """The data enter between the layers, scaled by weights; written for one row."""
    for layer in range(2):
        for wire in range(2):
            qml.RX(weights[layer, wire, 0] * inputs[wire] + weights[layer, wire, 1], wires=wire)
            qml.RZ(inputs[wire] ** 2, wires=wire)
        qml.CNOT([0, 1])
    return [qml.expval(qml.Z(0)), qml.expval(qml.Y(1))]


def in_batches(inputs, weights):
    """The same for a batch."""
    return uploaded_again(qml.math.transpose(inputs) if qml.math.ndim(inputs) == 2 else inputs, weights)


def named(inputs, weights):
    """Several arrays, one of them used twice and scaled."""
    qml.AngleEmbedding(inputs, wires=range(2))
    qml.BasicEntanglerLayers(weights["layers"], wires=range(2))
    qml.RX(2.0 * weights["phase"], wires=0)
    qml.RZ(qml.math.sin(weights["phase"]), wires=1)
    qml.RY(weights["layers"][0, 1], wires=1)
    return [qml.expval(qml.Z(0)), qml.expval(qml.X(0) @ qml.Y(1))]


def after_state(weights):
    """What follows an embedding."""
    qml.StronglyEntanglingLayers(weights, wires=range(2))
    return [qml.expval(qml.Z(0)), qml.expval(qml.Hermitian(np.array([[1.0, 1j], [-1j, 0.0]]), wires=1))]


#: name → circuit, wires, shape of the weights, features.
CIRCUITS = {
    "StronglyEntanglingLayers": (entangled, 3, (2, 3, 3), 3),
    "convolutional": (convolutional, 4, (2, 4), 4),
    "data re-uploading": (uploaded_again, 2, (2, 2, 2), 2),
    "data re-uploading in batches": (in_batches, 2, (2, 2, 2), 2),
    "named arrays": (named, 2, {"layers": (2, 2), "phase": ()}, 2),
}


def own_network(name: str) -> kd.CircuitNetwork:
    circuit, wires, shape, _ = CIRCUITS[name]
    return kd.CircuitNetwork(circuit, wires=wires, weights_shape=shape)


def random_weights(shape, rng):
    if isinstance(shape, Mapping):
        return {key: rng.uniform(0, 6, each) for key, each in shape.items()}
    return rng.uniform(0, 6, shape)


def stock(circuit, wires, inputs, weights, cotangent=None):
    """Outputs ``(n, K)`` by a plain QNode, one sample after the other, and the gradient of cotangent · outputs.

    The gradient has the form of the weights.
    """
    qnode = qml.QNode(circuit, qml.device("default.qubit", wires=wires), interface="autograd", diff_method="backprop")
    outputs = np.array([np.ravel(qnode(row, weights)) for row in inputs])
    if cotangent is None:
        return outputs
    keys = list(weights) if isinstance(weights, Mapping) else [None]

    def cost(*arrays):
        given = arrays[0] if keys == [None] else dict(zip(keys, arrays, strict=True))
        total = 0.0
        for row, own in zip(inputs, cotangent, strict=True):
            values = qnode(row, given)
            values = qml.math.stack(values if isinstance(values, list | tuple) else [values])
            total = total + qml.math.sum(own * values)
        return total

    arrays = [weights] if keys == [None] else [weights[key] for key in keys]
    arguments = [qml.numpy.array(array, requires_grad=True) for array in arrays]
    gradient = qml.grad(cost, argnums=list(range(len(arguments))))(*arguments)
    return outputs, gradient[0] if keys == [None] else dict(zip(keys, gradient, strict=True))
