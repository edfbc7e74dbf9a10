"""Ground states of the transverse-field Ising chain, and the string order of cluster chains."""

import numpy as np

from qkd_pl.errors import InvalidInputError

#: Transition of the infinite chain, in units of its coupling.
CRITICAL_ISING_FIELD = 1.0
_PARITY = 1e-3  # energy that lifts the degeneracy of the ordered phase, and changes no eigenvector
_MAX_QUBITS = 10  # of dense matrices


def ising_ground_states(n_qubits: int, fields: np.ndarray) -> np.ndarray:
    """Ground states of −Σ Z_i Z_{i+1} − h Σ X_i on an open chain, in the even sector of the flip of all spins.

    In a finite chain the ground state is even at every h > 0, though in the ordered phase by less than rounding; at
    h = 0 it is made so.

    Args:
        n_qubits: 2 to 10.
        fields: h in units of the coupling, ``(n,)``, not negative.

    Returns:
        complex amplitudes ``(n, 2**n_qubits)``, all of them at least 0 up to rounding; wire 0 is the most significant
        bit.

    Raises:
        InvalidInputError: the chain is too short or too long.

    Example:
        >>> states = ising_ground_states(3, np.array([0.0, 100.0]))
        >>> (states[0, [0, 7]].real ** 2).round(6).tolist()  # the superposition of all up and all down
        [0.5, 0.5]
        >>> float((np.abs(states[1]) ** 2).max()) < 0.13  # nearly the uniform one, 1/8
        True
    """
    if not 2 <= n_qubits <= _MAX_QUBITS:
        raise InvalidInputError(f"n_qubits={n_qubits}: the chain needs 2 to {_MAX_QUBITS} qubits")
    basis = np.arange(2**n_qubits)
    spins = 1 - 2 * ((basis[:, None] >> np.arange(n_qubits)) & 1)
    coupling = np.diag(-(spins[:, 1:] * spins[:, :-1]).sum(axis=1).astype(float))
    coupling[basis, basis[::-1]] -= _PARITY  # the flip of all spins
    flips = np.zeros_like(coupling)
    for site in range(n_qubits):
        flips[basis, basis ^ (1 << site)] = -1.0
    states = np.linalg.eigh(coupling + np.asarray(fields)[:, None, None] * flips)[1][:, :, 0]
    return (states * np.sign(states.sum(axis=1, keepdims=True))).astype(np.complex128)


def string_order(states: np.ndarray) -> np.ndarray:
    """⟨Z_0 X_1 X_3 … X_{n−2} Z_{n−1}⟩, the string order of a cluster chain of an odd number n of qubits.

    It is the product of the stabilisers Z X Z centred on the odd sites: 1 in the cluster state, 0 deep in a paramagnet.

    Args:
        states: amplitudes ``(m, 2**n)``, wire 0 the most significant bit.

    Returns:
        expectation values ``(m,)``.

    Raises:
        InvalidInputError: the number of qubits is even.

    Example:
        >>> from qkd_pl.datasets import ground_states
        >>> string_order(ground_states(5, np.array([0.0, 100.0]))[1]).round(3).tolist()
        [1.0, 0.0]
    """
    n_qubits = int(np.log2(states.shape[1]))
    if n_qubits % 2 == 0:
        raise InvalidInputError(f"{n_qubits} qubits: this string needs an odd number of them")
    basis = np.arange(2**n_qubits)
    flipped = basis ^ sum(1 << (n_qubits - 1 - site) for site in range(1, n_qubits, 2))
    ends = ((basis >> (n_qubits - 1)) ^ basis) & 1
    return np.real(np.einsum("mi,mi,i->m", states[:, flipped].conj(), states, 1.0 - 2.0 * ends))
