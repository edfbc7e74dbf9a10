"""Ground states of the transverse-field Ising chain, and the string order of cluster chains."""

import numpy as np

from qkd_pl.errors import InvalidInputError

_PARITY = 1e-3  # energy that lifts the degeneracy of the ordered phase, and changes no eigenvector
_MAX_QUBITS = 10  # of dense matrices


def critical_field(frustration: float) -> float:
    """Field h of the transition from the ordered phase of the infinite chain, in units of the coupling.

    From perturbation theory, h = (1 − κ)/κ · (1 − √((1 − 3κ + 4κ²)/(1 − κ))): the Ising transition of
    the axial next-nearest-neighbour chain below κ = 1/2 (Suzuki, Inoue and Chakrabarti, *Quantum Ising Phases and
    Transitions in Transverse Ising Models*, 2013, chapter 4). At κ = 0 it is exact.

    Args:
        frustration: κ, from 0 up to but not including 1/2.

    Raises:
        InvalidInputError: κ is outside.

    Example:
        >>> [round(critical_field(frustration), 3) for frustration in (0.0, 0.25)]
        [1.0, 0.551]
    """
    if not 0.0 <= frustration < 0.5:
        raise InvalidInputError(f"frustration={frustration}: must be 0 to less than 0.5")
    if frustration == 0.0:
        return 1.0
    left = 1.0 - frustration
    return float(left / frustration * (1.0 - np.sqrt((1.0 - 3.0 * frustration + 4.0 * frustration**2) / left)))


def ising_ground_states(n_qubits: int, fields: np.ndarray, frustration: float = 0.0) -> np.ndarray:
    """Ground states of −Σ Z_i Z_{i+1} + κ Σ Z_i Z_{i+2} − h Σ X_i on an open chain, even under the flip of all spins.

    In a finite chain the ground state is even at every h > 0, though in the ordered phase by less than rounding; at
    h = 0 it is made so.

    Args:
        n_qubits: 2 to 10.
        fields: h in units of the coupling, ``(n,)``, not negative.
        frustration: κ of the axial next-nearest-neighbour (ANNNI) chain; 0 for the transverse-field Ising chain.

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
    energies = frustration * (spins[:, 2:] * spins[:, :-2]).sum(axis=1) - (spins[:, 1:] * spins[:, :-1]).sum(axis=1)
    coupling = np.diag(energies.astype(float))
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
