"""Rows put together to one broadcast circuit."""

import numpy as np
import pennylane as qml
import pytest
from pennylane.tape import make_qscript

from qkd_pl.circuits.rows import RowByRow, RowsDifferError, measuring_also


def circuit(inputs, weights):
    qml.StatePrep(np.array([np.cos(inputs[0]), np.sin(inputs[0])]), wires=0)
    qml.RX(inputs[1], wires=0)
    qml.RY(weights[0], wires=0)
    qml.adjoint(qml.RZ(inputs[1] * weights[1], wires=0))
    return qml.expval(qml.Z(0))


def test_one_circuit_does_what_each_row_does(rng):
    inputs, weights = rng.uniform(0, 3, (4, 2)), rng.uniform(0, 6, 2)
    qnode = qml.QNode(RowByRow(circuit), qml.device("default.qubit"))
    single = qml.QNode(circuit, qml.device("default.qubit"))
    expected = [single(row, weights) for row in inputs]
    np.testing.assert_allclose(np.squeeze(qnode(inputs, weights)), expected, atol=1e-12)
    np.testing.assert_allclose(qnode(inputs[0], weights), expected[0])
    tape = make_qscript(RowByRow(circuit))(inputs, weights)
    assert [op.batch_size for op in tape.operations] == [4, 4, None, 4]  # what all rows share stays one parameter


@pytest.mark.parametrize(
    "differing",
    [
        lambda row, _: [qml.RX(row[0], wires=0) for _ in range(int(row[1]))] and qml.expval(qml.Z(0)),
        lambda row, _: (qml.RX if row[0] else qml.RY)(0.1, wires=0) and qml.expval(qml.Z(0)),
        lambda row, _: qml.RX(0.3, wires=int(row[0])) and qml.expval(qml.Z(0)),
        lambda row, _: qml.BasisState(row.astype(int) % 2, wires=[0, 1]) and qml.expval(qml.Z(0)),
        lambda row, _: qml.RX(0.3, wires=0) and qml.expval(row[0] * qml.Z(0)),
    ],
    ids=["number", "kind", "wires", "no batch", "observable"],
)
def test_rows_that_differ_are_not_put_together(differing):
    with pytest.raises(RowsDifferError):
        make_qscript(RowByRow(differing))(np.array([[0.0, 1.0], [1.0, 2.0]]), np.zeros(1))


def test_further_observables_stand_behind_the_circuits_own(rng):
    inputs, weights = rng.uniform(0, 3, (3, 2)), rng.uniform(0, 6, 2)
    for own in (RowByRow(circuit), circuit):
        given = inputs if isinstance(own, RowByRow) else inputs[0]
        tape = make_qscript(measuring_also(own, [qml.X(0)]))(given, weights)
        assert [measurement.obs for measurement in tape.measurements] == [qml.Z(0), qml.X(0)]
