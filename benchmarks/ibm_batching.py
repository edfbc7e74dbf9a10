"""qkd.ibm against the stock plugin's qiskit.remote, on the same simulated IBM device, in one run.

Two tasks on a classifier with a phase embedding, one layer and a closing block: evaluate some inputs, and take one
parameter-shift step on a batch. Counted for both: jobs, transpilations, circuits and seconds (simulation included).

    python -m benchmarks.ibm_batching [--qubits 3] [--inputs 16] [--batch 4] [--shots 256]
"""

import argparse
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pennylane as qml
import pennylane_qiskit.qiskit_device as stock
from pennylane_qiskit import RemoteDevice

from qkd_pl import QNN
from qkd_pl.devices.ibm.device import IBMDevice
from qkd_pl.devices.ibm.service.backends import open_backend
from qkd_pl.gradients import evaluate, vjp
from qkd_pl.storage import write_json

BACKEND = "fake_manila"
RESULTS = Path(__file__).parents[1] / "results" / "benchmarks" / "ibm_batching.json"
Counts = dict[str, float]


@contextmanager
def counted(device: Any) -> Iterator[Counts]:
    """Jobs, transpilations, circuits and seconds of what runs on ``device`` inside."""
    counts: Counts = {}
    transpile = mock.Mock(side_effect=stock.transpile)
    run = mock.Mock(side_effect=stock.Estimator.run, autospec=True)

    def estimator_run(self: Any, *arguments: Any, **options: Any) -> Any:
        return run(self, *arguments, **options)

    patches = mock.patch.object(stock, "transpile", transpile), mock.patch.object(stock.Estimator, "run", estimator_run)
    start = time.perf_counter()
    with patches[0], patches[1], qml.Tracker(device) as tracker:
        yield counts
    counts["seconds"] = round(time.perf_counter() - start, 2)
    if isinstance(device, IBMDevice):
        counts |= {key: int(tracker.totals[key]) for key in ("jobs", "transpilations", "circuits")}
    else:
        # The stock device runs one circuit in each job.
        counts |= {"jobs": run.call_count, "transpilations": transpile.call_count, "circuits": run.call_count}


def measure(device: Any, arguments: argparse.Namespace) -> dict[str, Counts]:
    """Counts of both tasks on ``device``."""
    rng = np.random.default_rng(0)
    network = QNN(arguments.qubits, 1, embedding="phase", topology="line")
    weights = rng.uniform(0, 2 * np.pi, network.weights_shape)
    inputs = network.encode(rng.integers(0, 2, (arguments.inputs, arguments.qubits)))
    node = qml.set_shots(qml.QNode(network.circuit, device, diff_method="parameter-shift"), arguments.shots)
    with counted(device) as evaluation:
        evaluate(node, weights, inputs)
    with counted(device) as step:
        logits, pullback = vjp(node, weights, inputs.take(np.arange(arguments.batch)))
        pullback(2 * logits)
    return {"evaluation": evaluation, "parameter-shift step": step}


def main() -> None:
    """Run both devices, print a table, and store it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in [("qubits", 3), ("inputs", 16), ("batch", 4), ("shots", 256)]:
        parser.add_argument(f"--{name}", type=int, default=default)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    backend = open_backend(BACKEND, arguments.qubits)
    devices = {
        "qkd.ibm": IBMDevice(wires=arguments.qubits, backend=backend, seed=1),
        "qiskit.remote": RemoteDevice(wires=arguments.qubits, backend=backend),
    }
    results = {name: measure(device, arguments) for name, device in devices.items()}
    for name, tasks in results.items():
        for task, counts in tasks.items():
            print(f"{name:14} {task:21}", *(f"{key}: {value}" for key, value in counts.items()), sep="  ")
    settings = {"backend": BACKEND, **vars(arguments), "pennylane": qml.version()}
    write_json(RESULTS, {"settings": settings, "results": results})
    print(f"stored in {RESULTS}")


if __name__ == "__main__":
    main()
