import numpy as np
import pennylane as qml
import pytest
from scipy.sparse import csr_matrix

from qkd_pl.devices.measurements import measurement_key

EYE = np.eye(2)


@pytest.mark.parametrize("form", [np.asarray, csr_matrix], ids=["dense", "sparse"])
def test_matrices_of_equal_bytes_and_other_numbers_are_told_apart(form):
    def key(matrix):
        observable = qml.SparseHamiltonian if form is csr_matrix else qml.Hermitian
        return measurement_key(qml.expval(observable(form(matrix), wires=[0])))

    assert key(EYE) == key(EYE.copy())
    assert key(EYE) != key(EYE.view(np.int64))
    assert key(EYE) != key(2 * EYE)


def test_a_coefficient_that_is_differentiated_gives_no_key():
    keys = []

    def traced(coefficient):
        keys.append(measurement_key(qml.expval(qml.s_prod(coefficient, qml.Z(0)))))
        return coefficient

    qml.grad(traced)(qml.numpy.array(0.5))
    assert keys == [None]
