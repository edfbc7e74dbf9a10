"""Couplings that a device has, as the topology of a student."""

from collections.abc import Iterable

Pairs = tuple[tuple[int, int], ...]


def device_couplings(edges: Iterable[tuple[int, int]], errors: dict[tuple[int, int], float], n_qubits: int) -> Pairs:
    """The couplings among ``n_qubits`` connected qubits of a device, numbered 0, 1, … in the order they were reached.

    From every qubit a set is grown by the coupling of smallest error; the set whose couplings have the smallest
    mean error is taken.

    Args:
        edges: pairs of coupled qubits, in any direction.
        errors: of two-qubit gates, by pair of ``edges``; pairs without one are taken as perfect.
        n_qubits: how many.

    Returns:
        pairs of wires, each once; empty if no connected set is as large, or a single qubit is asked for.

    Example:
        >>> device_couplings([(0, 1), (1, 2), (1, 3), (3, 5)], {(0, 1): 0.5}, 4)
        ((0, 1), (0, 2), (2, 3))
    """
    error: dict[frozenset[int], float] = {}
    for pair in edges:
        key, value = frozenset(pair), errors.get(pair, 0.0)
        error[key] = min(value, error.get(key, 1.0))
    qubits = sorted({qubit for pair in error for qubit in pair})
    best: tuple[float, list[int]] | None = None
    for start in qubits:
        order = _grown(start, error, n_qubits)
        if len(order) < n_qubits:
            continue
        inner = [value for pair, value in error.items() if pair <= set(order)]
        badness = sum(inner) / max(1, len(inner))
        if best is None or badness < best[0]:
            best = badness, order
    if best is None:
        return ()
    wire = {qubit: index for index, qubit in enumerate(best[1])}
    inside = (sorted(wire[qubit] for qubit in pair) for pair in error if pair <= set(best[1]))
    return tuple(sorted((low, high) for low, high in inside))


def _grown(start: int, error: dict[frozenset[int], float], n_qubits: int) -> list[int]:
    order = [start]
    while len(order) < n_qubits:
        taken = set(order)
        leaving = [(value, sorted(pair - taken)[0]) for pair, value in error.items() if len(pair & taken) == 1]
        if not leaving:
            break
        order.append(min(leaving)[1])
    return order


def couplings_of(backend: object, n_qubits: int) -> Pairs:
    """:func:`device_couplings` of a Qiskit backend; those of a line where it has no coupling map."""
    target = backend.target  # type: ignore[attr-defined]
    coupling = target.build_coupling_map()
    if coupling is None:
        return tuple((wire, wire + 1) for wire in range(n_qubits - 1))
    edges = [(int(a), int(b)) for a, b in coupling.get_edges()]
    errors: dict[tuple[int, int], float] = {}
    for name in target.operation_names:
        for qargs, properties in (target[name] or {}).items():
            if qargs is not None and len(qargs) == 2 and properties is not None and properties.error is not None:
                pair = (int(qargs[0]), int(qargs[1]))
                errors[pair] = min(properties.error, errors.get(pair, 1.0))
    return device_couplings(edges, errors, n_qubits)
