"""How the time of a step on ``qkd.noisy`` grows with qubits and with the batch.

One layer on a line of ``fake_guadalupe``, exact noise, gradient included, inputs that are product states (bits) or
entangled (random real and complex vectors, which enter from outside). All qubits are read out, so that nothing lies
outside the light cone: K = n outputs.

    python -m benchmarks.noisy_growth [--qubits 4 5 6 7 8 9 10]
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import pennylane as qml

import qkd_pl as kd
from qkd_pl.gradients import vjp
from qkd_pl.networks.checking import quantum_function
from qkd_pl.storage import write_json

RESULTS = Path(__file__).parents[1] / "results" / "benchmarks" / "noisy_growth.json"
_BATCHES = (64, 512)


def main() -> None:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--qubits", type=int, nargs="+", default=[4, 5, 6, 7, 8, 9, 10])
    parser.add_argument("--repetitions", type=int, default=3)
    chosen = parser.parse_args()
    rows = []
    for n_qubits in chosen.qubits:
        for inputs in ("bits", "real states", "complex states"):
            rows.append(_measured(n_qubits, inputs, chosen.repetitions))
            print(rows[-1], flush=True)
            write_json(RESULTS, rows)


def _measured(n_qubits: int, kind: str, repetitions: int) -> dict[str, Any]:
    embedding = "phase" if kind == "bits" else "state"
    network = kd.QNN(
        n_qubits, 1, topology="line", embedding=embedding, observables=[qml.Z(wire) for wire in range(n_qubits)]
    )
    options = {"backend": "fake_guadalupe", "preparation": "ideal"}
    spec = kd.DeviceSpec(name="growth", plugin="qkd.noisy", options=options)
    inputs = _inputs(kind, n_qubits)
    batch = network.encode(inputs)
    node = spec.qnode(quantum_function(network, batch.rows.shape[-1]), network.wires)
    weights = np.random.default_rng(1).uniform(0, 2 * np.pi, network.weights_shape)
    row: dict[str, Any] = {"qubits": n_qubits, "inputs": kind, "outputs": n_qubits}
    for size in _BATCHES:
        part, seconds = batch.take(np.arange(size)), []
        for _ in range(repetitions + 1):  # the first one compiles
            start = time.perf_counter()
            outputs, pullback = vjp(node, weights, part)
            pullback(outputs)
            seconds.append(time.perf_counter() - start)
        row[f"seconds_{size}"] = min(seconds[1:])
    row["ratio"] = row[f"seconds_{_BATCHES[1]}"] / row[f"seconds_{_BATCHES[0]}"]
    return row


def _inputs(kind: str, n_qubits: int) -> np.ndarray:
    random = np.random.default_rng(0)
    if kind == "bits":
        return random.integers(0, 2, (max(_BATCHES), n_qubits))
    states = random.normal(size=(max(_BATCHES), 2**n_qubits)).astype(complex)
    if kind == "complex states":
        states += 1j * random.normal(size=states.shape)
    return states / np.linalg.norm(states, axis=1, keepdims=True)


if __name__ == "__main__":
    main()
