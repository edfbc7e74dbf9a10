"""What we rely on in Lightning's compiled state vectors."""

import numpy as np
import pennylane as qml
import pytest

from qkd_pl.upstream.lightning import kernel, state_vector

pytestmark = pytest.mark.parametrize("c_dtype", [np.complex64, np.complex128])


def states(c_dtype, n_wires=3):
    rng = np.random.default_rng(0)
    return (rng.normal(size=2**n_wires) + 1j * rng.normal(size=2**n_wires)).astype(c_dtype)


def read(vector, n_wires=3, c_dtype=np.complex128):
    out = np.empty(2**n_wires, dtype=c_dtype)
    vector.getState(out)
    return out


def test_amplitudes_go_in_and_out_unchanged(c_dtype):
    """They need not be normalised."""
    vector, amplitudes = state_vector(3, c_dtype), 5 * states(c_dtype)
    vector.updateData(amplitudes)
    np.testing.assert_array_equal(read(vector, c_dtype=c_dtype), amplitudes)
    amplitudes[:] = 0
    assert read(vector, c_dtype=c_dtype).any(), "the amplitudes were copied"


@pytest.mark.parametrize("wires", [[0], [2], [0, 2], [2, 1], [1, 2, 0]])
def test_matrices_act_on_wires_in_order_and_as_their_adjoint(c_dtype, wires):
    matrix = states(c_dtype, 2 * len(wires)).reshape(2 ** len(wires), -1)
    for inverse, acting in ((False, matrix), (True, matrix.conj().T)):
        vector = state_vector(3, c_dtype)
        vector.updateData(states(c_dtype))
        vector.applyMatrix(matrix, wires, inverse)
        expected = qml.matrix(qml.QubitUnitary(acting, wires, unitary_check=False), [0, 1, 2]) @ states(c_dtype)
        np.testing.assert_allclose(read(vector, c_dtype=c_dtype), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["CNOT", "CZ", "CY", "SWAP", "CSWAP", "Toffoli"])
@pytest.mark.parametrize("inverse", [False, True])
def test_kernels_do_what_pennylanes_gates_do_and_undo_themselves(c_dtype, name, inverse):
    wires = [2, 0, 1][: getattr(qml, name).num_wires]
    vector = state_vector(3, c_dtype)
    vector.updateData(states(c_dtype))
    call, extra = kernel(vector, name)
    call(wires, inverse, *extra)
    expected = qml.matrix(getattr(qml, name)(wires=wires), [0, 1, 2]) @ states(c_dtype)
    np.testing.assert_allclose(read(vector, c_dtype=c_dtype), expected, atol=1e-6)
