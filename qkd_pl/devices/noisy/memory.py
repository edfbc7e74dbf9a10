"""How much memory an evaluation takes, found out before it is taken."""

import os
from collections.abc import Sequence

from qkd_pl.errors import TooLargeError

_BYTES = 8  # float64
_GIB = 2**30
# What transposes and products hold besides the kept vectors.
_WORKING_COPIES = 4


def size(count: int, qubits: Sequence[int]) -> int:
    """Bytes of ``count`` Pauli vectors on these qubits."""
    return _BYTES * count * 4 ** len(qubits)


def estimate(count: int, sizes: Sequence[int], keep: bool) -> int:
    """Bytes for a sweep of ``count`` vectors.

    Args:
        count: observables or states.
        sizes: 4^m before, between and behind the blocks.
        keep: whether the vectors are kept for a gradient.
    """
    largest = max(sizes, default=1)
    return _BYTES * count * (_WORKING_COPIES * largest + (sum(sizes) if keep else 0))


def check(needed: int, n_qubits: int, what: str, limit: int | None = None) -> None:
    """Refuse to begin what does not fit.

    Args:
        needed: bytes.
        n_qubits: that are simulated together.
        what: the arrays, for the message.
        limit: bytes; None for what is free now.

    Raises:
        TooLargeError: says what is needed, what there is, and how many qubits would fit.
    """
    limit = free_bytes() if limit is None else limit
    if needed <= limit:
        return
    fits, shrunk = n_qubits, float(needed)
    while shrunk > limit and fits > 0:
        fits, shrunk = fits - 1, shrunk / 4
    raise TooLargeError(
        f"qkd.noisy: {what} on {n_qubits} qubits (with those that routing passes through) take about "
        f"{needed / _GIB:.3g} GiB, {limit / _GIB:.3g} GiB are free; about {fits} qubits would fit. Fewer outputs, "
        "fewer inputs at once or a shallower network help, too"
    )


def free_bytes() -> int:
    """Memory that is free now, in bytes; that of a container's limit, if it is lower."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 2**33
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) * 1024
    limits, used = _lines("/sys/fs/cgroup/memory.max"), _lines("/sys/fs/cgroup/memory.current")
    if limits and used and limits[0].strip().isdigit():
        free = min(free, max(int(limits[0]) - int(used[0]), 0))
    return free


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - kernel interfaces, not files
            return file.read().splitlines()
    except OSError:
        return []
