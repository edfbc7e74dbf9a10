"""Ground states of the generalised cluster chain and their phases (Eq. 11 of arXiv 2603.21586).

H = -J Σ Z_i X_{i+1} Z_{i+2} - h1 Σ X_i - h2 Σ X_i X_{i+1} on an open chain with J = 1.

The product of X over all even sites, and the one over all odd sites, commute with H. With open ends the cluster phase
has four ground states whose energies differ by an amount exponentially small in the length of the chain, one in each of
the four sectors of this Z2 × Z2 symmetry. Diagonalising each sector by itself therefore makes the ground state unique,
where a plain Lanczos run would return an arbitrary mixture of the four. In the X basis a sector is a subset of the
basis states, and its Hamiltonian a quarter of the size.
"""

from functools import lru_cache
from typing import Literal

import numpy as np
import scipy.sparse as sparse
from scipy.sparse.linalg import eigsh
from tqdm import tqdm

from qkd_pl.checks import check_choice, check_count
from qkd_pl.datasets.cache import cached
from qkd_pl.datasets.dataset import Dataset
from qkd_pl.errors import InvalidInputError
from qkd_pl.threads import one_blas_thread

#: Transition between the two phases at h2 = 0: the value of h1, in units of J.
CRITICAL_FIELD = 1.0
_MAX_QUBITS = 20
_DENSE_LIMIT = 128  # ARPACK needs matrices larger than its Krylov space
_FIELDS_AT_ONCE = 64
_PROGRESS_DELAY = 5.0  # seconds
_DEGENERATE = 1e-9  # sectors closer in energy than this count as equal, and the first one is taken


def topological_phases(
    n_qubits: int,
    n_train: int,
    n_test: int,
    seed: int,
    h1: tuple[float, float] = (0.0, 2.0),
    h2: float = 0.0,
    *,
    targets: Literal["phase", "field"] = "phase",
    progress: bool = True,
) -> tuple[Dataset, Dataset]:
    """Ground states of Eq. 11 with h1 uniform in an interval, labelled by their phase, or with h1 itself to predict.

    Label 1 is the symmetry-protected topological phase (h1 < J = 1), label 0 the paramagnet. States are computed once
    and kept in the cache directory (``$QKD_PL_CACHE``, by default the user's).

    Args:
        n_qubits: length of the chain, 3 to 20.
        n_train, n_test: number of states in either split. Both are cut from one sequence of fields, the test states
            after the training states: with another ``n_train`` the test states are others. Compare models that were
            trained on different numbers of states on a test set of another seed.
        seed: seed of the draw of h1; the same arguments give the same bytes.
        h1: interval of the transverse field, in units of J.
        h2: strength of the Ising coupling, in units of J. The position of the transition is known for h2 = 0 only,
            so that other values are refused here; :func:`ground_states` takes them.
        targets: ``"phase"`` for classification, or ``"field"``: the labels are then the fields h1, for regression.
        progress: show a progress bar where computing the states takes more than a few seconds.

    Returns:
        ``(train, test)``, each with inputs ``(n, 2**n_qubits)`` complex128 and labels ``(n,)``, int64 classes or
        float64 fields in units of J.

    Raises:
        InvalidInputError: an argument is out of its range.

    Example:
        >>> train, test = topological_phases(n_qubits=3, n_train=4, n_test=2, seed=0)
        >>> train.inputs.shape, test.labels.shape
        ((4, 8), (2,))
    """
    _check(n_qubits, n_train, n_test, seed, h1)
    check_choice("targets", targets, ("phase", "field"))
    if h2 != 0.0:
        raise InvalidInputError(
            f"h2={h2}: the phase boundary, and with it the labels, is known for h2=0 only; "
            "use datasets.ground_states() for unlabelled states at other couplings"
        )
    fields = np.random.default_rng(seed).uniform(*h1, size=n_train + n_test)
    sizes = {"n_qubits": int(n_qubits), "n": [int(n_train), int(n_test)]}
    key = {**sizes, "seed": int(seed), "h1": [float(h) for h in h1], "h2": float(h2)}
    stored = cached(
        "topological-phases",
        key,
        lambda: {"states": ground_states(n_qubits, fields, h2, progress=progress)[1]},
        shapes={"states": (n_train + n_test, 2**n_qubits)},
    )
    states = stored["states"].astype(np.complex128)
    labels = fields if targets == "field" else (fields < CRITICAL_FIELD).astype(np.int64)
    return Dataset(states[:n_train], labels[:n_train]), Dataset(states[n_train:], labels[n_train:])


def ground_states(
    n_qubits: int, h1: np.ndarray, h2: float = 0.0, *, progress: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Ground states of Eq. 11 at the given fields.

    Args:
        n_qubits: length of the chain, 3 to 20.
        h1: fields in units of J, shape ``(n,)``.
        h2: Ising coupling in units of J.
        progress: show a progress bar where it takes more than a few seconds.

    Returns:
        energies ``(n,)`` in units of J and real amplitudes ``(n, 2**n_qubits)`` in the computational basis, wire 0
        being the most significant bit. Of each state, the first amplitude that is larger than half the largest one in
        magnitude is positive. Where sectors of the Z2 × Z2 symmetry are degenerate, the most symmetric one is taken.

    Raises:
        InvalidInputError: ``n_qubits`` is out of its range, or the fields are not a list of numbers.

    Example:
        >>> energies, states = ground_states(3, np.array([0.0]))  # at h1 = 0 the energy is -1 for each ZXZ
        >>> energies.round(6).tolist(), states.shape
        ([-1.0], (1, 8))
    """
    if not 3 <= n_qubits <= _MAX_QUBITS:
        raise InvalidInputError(f"n_qubits={n_qubits}: the chain needs 3 to {_MAX_QUBITS} qubits")
    if np.ndim(h1) != 1 or not np.isfinite(h1).all():
        raise InvalidInputError(f"h1={h1!r}: expected a list of finite fields")
    fields = np.asarray(h1, dtype=np.float64)
    energies = np.empty(len(fields))
    states = np.empty((len(fields), 2**n_qubits))
    # Small sectors are diagonalised many at a time, in one call of LAPACK.
    size = _FIELDS_AT_ONCE if 2 ** (n_qubits - 2) <= _DENSE_LIMIT else 1
    with (
        one_blas_thread(),
        tqdm(
            total=len(fields), desc=f"ground states, {n_qubits} qubits", disable=not progress, delay=_PROGRESS_DELAY
        ) as bar,
    ):
        for start in range(0, len(fields), size):
            rows = slice(start, start + size)
            energies[rows], states[rows] = _lowest_of_sectors(n_qubits, fields[rows], h2)
            bar.update(len(fields[rows]))
    return energies, states


def _check(n_qubits: int, n_train: int, n_test: int, seed: int, h1: tuple[float, float]) -> None:
    check_count("n_qubits", n_qubits)
    if not 3 <= n_qubits <= _MAX_QUBITS:
        raise InvalidInputError(f"n_qubits={n_qubits}: the chain needs 3 to {_MAX_QUBITS} qubits")
    check_count("n_train", n_train, 0)
    check_count("n_test", n_test, 0)
    check_count("seed", seed, 0)  # NumPy takes None for a random draw, which a cache must not keep
    if len(h1) != 2 or not 0 <= h1[0] <= h1[1] < np.inf:
        raise InvalidInputError(f"h1={h1}: expected an interval (low, high) with 0 <= low <= high")


def _lowest_of_sectors(n_qubits: int, fields: np.ndarray, h2: float) -> tuple[np.ndarray, np.ndarray]:
    """Energies ``(n,)`` and real states ``(n, 2**n_qubits)`` at n fields, each from the sector that lies lowest."""
    lowest = np.full(len(fields), np.inf)
    states = np.zeros((len(fields), 2**n_qubits))
    for sector in range(4):
        basis, cluster, field, ising = _sector(n_qubits, sector)
        diagonals = -fields[:, None] * field - h2 * ising
        energies, vectors = _lowest(cluster, diagonals)
        lower = energies < lowest - _DEGENERATE
        lowest[lower] = energies[lower]
        states[lower] = 0.0
        states[np.ix_(lower, basis)] = vectors[lower]
    return lowest, _fix_signs(_x_to_z_basis(states, n_qubits))


def _lowest(matrix: sparse.sparray, diagonals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest eigenvalue ``(n,)`` and eigenvector ``(n, size)`` of ``matrix + diag(d)`` for n diagonals d."""
    size = matrix.shape[0]
    if size <= _DENSE_LIMIT:
        values, vectors = np.linalg.eigh(matrix.toarray() + diagonals[:, :, None] * np.eye(size))
        return values[:, 0], vectors[:, :, 0]
    # A fixed start vector makes ARPACK reproducible; it is random so that no symmetry makes it orthogonal.
    start = np.random.default_rng(0).normal(size=size)
    found = [
        eigsh((matrix + sparse.diags_array(diagonal)).tocsr(), k=1, which="SA", v0=start) for diagonal in diagonals
    ]
    return np.array([values[0] for values, _ in found]), np.array([vectors[:, 0] for _, vectors in found])


@lru_cache(maxsize=8)
def _sector(n_qubits: int, sector: int) -> tuple[np.ndarray, sparse.sparray, np.ndarray, np.ndarray]:
    """Basis states of a symmetry sector in the X basis, and there -Σ ZXZ, Σ X and Σ XX (the last two diagonal)."""
    states = np.arange(2**n_qubits)
    signs = np.stack([1 - 2 * ((states >> (n_qubits - 1 - site)) & 1) for site in range(n_qubits)])
    even, odd = signs[0::2].prod(axis=0), signs[1::2].prod(axis=0)
    basis = states[(even == 1 - 2 * (sector % 2)) & (odd == 1 - 2 * (sector // 2))]
    signs = signs[:, basis]
    position = np.empty(2**n_qubits, dtype=np.int64)
    position[basis] = np.arange(len(basis))

    rows, values = [], []
    for site in range(n_qubits - 2):  # Z_i X_{i+1} Z_{i+2} flips sites i and i + 2 and is signed by site i + 1
        flips = (1 << (n_qubits - 1 - site)) | (1 << (n_qubits - 3 - site))
        rows.append(position[basis ^ flips])
        values.append(-signs[site + 1].astype(float))
    columns = np.tile(np.arange(len(basis)), n_qubits - 2)
    entries = (np.concatenate(values), (np.concatenate(rows), columns))
    cluster = sparse.csr_array(entries, shape=(len(basis), len(basis)))
    return basis, cluster, signs.sum(axis=0).astype(float), (signs[:-1] * signs[1:]).sum(axis=0).astype(float)


def _x_to_z_basis(states: np.ndarray, n_qubits: int) -> np.ndarray:
    """Apply a Hadamard gate to every qubit of each of ``(n, 2**n_qubits)`` states."""
    for site in range(n_qubits):
        pairs = states.reshape(len(states), 2**site, 2, -1)
        states = np.stack([pairs[:, :, 0] + pairs[:, :, 1], pairs[:, :, 0] - pairs[:, :, 1]], axis=2)
    return states.reshape(len(states), -1) / 2 ** (n_qubits / 2)


def _fix_signs(states: np.ndarray) -> np.ndarray:
    magnitudes = np.abs(states)
    first = np.argmax(magnitudes > magnitudes.max(axis=1, keepdims=True) / 2, axis=1)
    return states * np.sign(np.take_along_axis(states, first[:, None], axis=1))
