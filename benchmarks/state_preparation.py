"""How well staircases of two-qubit gates prepare amplitudes: fidelity against CNOTs, and how long the fit takes.

Ground states of the chain (7 and 15 qubits), complex random states, and MNIST's images as 784 amplitudes of 10 qubits.
CNOTs are counted before routing; exact preparation of 7, 10 and 15 qubits takes 126, 1,022 and 32,766.

    python -m benchmarks.state_preparation [--states 1000] [--long-states 100] [--images 20] [--layers 6]
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import qkd_pl as kd
from qkd_pl.devices.ibm.compile.staircase import fit_staircase, staircase_cnots
from qkd_pl.storage import write_json

RESULTS = Path(__file__).parents[1] / "results" / "benchmarks" / "state_preparation.json"


def main() -> None:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--states", type=int, default=1000, help="ground states of 7 qubits")
    parser.add_argument("--long-states", type=int, default=100, help="ground states of 15 qubits")
    parser.add_argument("--images", type=int, default=20, help="MNIST images; 0 for none")
    parser.add_argument("--layers", type=int, default=6, help="most layers for the images")
    chosen = parser.parse_args()
    rows = []
    for name, states, layers in _cases(chosen):
        rows.append(_measured(name, states, layers))
        print(
            "{name}: {states} states, {layers} layers, {cnots} CNOTs: fidelity {mean:.5f} on average, "
            "{minimum:.5f} at least; {seconds:.1f} s".format(**rows[-1]),
            flush=True,
        )
    write_json(RESULTS, rows)


def _cases(chosen: argparse.Namespace) -> Iterator[tuple[str, np.ndarray, int]]:
    for n_qubits, count, depths in ((7, chosen.states, (1, 2, 3)), (15, chosen.long_states, (2,))):
        _, states = kd.datasets.ground_states(n_qubits, np.random.default_rng(0).uniform(0, 2, count))
        for layers in depths:
            yield f"ground states, {n_qubits} qubits", states, layers
    rng = np.random.default_rng(1)
    states = rng.normal(size=(20, 64)) + 1j * rng.normal(size=(20, 64))
    for layers in (1, 2, 3):
        yield "complex random states, 6 qubits", states / np.linalg.norm(states, axis=1, keepdims=True), layers
    if chosen.images:
        pixels = kd.datasets.mnist(embedding="amplitude", n_train=chosen.images, n_test=1)[0].inputs
        images = np.pad(pixels, ((0, 0), (0, 1024 - pixels.shape[1])))
        for layers in range(1, chosen.layers + 1):
            yield "MNIST, 10 qubits", images / np.linalg.norm(images, axis=1, keepdims=True), layers


def _measured(name: str, states: np.ndarray, layers: int) -> dict[str, Any]:
    start = time.perf_counter()
    fidelities = fit_staircase(states, layers).fidelities
    seconds = time.perf_counter() - start
    n_qubits = states.shape[1].bit_length() - 1
    return {
        "name": name,
        "states": len(states),
        "layers": layers,
        "cnots": staircase_cnots(n_qubits, layers, not np.iscomplexobj(states)),
        "mean": float(fidelities.mean()),
        "minimum": float(fidelities.min()),
        "seconds": round(seconds, 2),
    }


if __name__ == "__main__":
    main()
