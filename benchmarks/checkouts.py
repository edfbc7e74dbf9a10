"""Outputs and gradient of one batch on ``qkd.lightning``: this checkout against another one, step by step in turn.

    python -m benchmarks.checkouts OTHER_PYTHON [--seconds 10] [--sizes 7x2 10x4 15x3 15x10] [--busy]

OTHER_PYTHON is the interpreter of an environment in which the other checkout is installed. Both processes stay alive
and take turns at each step, so that whatever else the machine does disturbs both alike. A step is what a training asks
of the device: build the tape, preprocess it, execute it, and pull back a cotangent, for a batch of 64. With ``--busy``
another process keeps one core busy meanwhile.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parents[1] / "results" / "benchmarks" / "checkouts.json"
SIZES = ["7x2", "10x4", "15x3", "15x10"]
BATCH = 64
MIN_STEPS, MAX_STEPS = 5, 2000


def step_of(n_qubits: int, n_layers: int, entangler: str, embedding: str, precision: str) -> Callable[[], float]:
    """A function that makes one step with other weights each time and returns the norm of the gradient."""
    import pennylane as qml
    from pennylane.devices import ExecutionConfig
    from pennylane.tape import make_qscript

    from qkd_pl import QNN

    rng = np.random.default_rng(0)
    network = QNN(n_qubits, n_layers, embedding=embedding, entangler=entangler)
    if embedding == "phase":
        inputs = rng.integers(0, 2, (BATCH, n_qubits)).astype(float)
    else:
        inputs = rng.normal(size=(BATCH, 2**n_qubits)) + 1j * rng.normal(size=(BATCH, 2**n_qubits))
        inputs /= np.linalg.norm(inputs, axis=1, keepdims=True)
    rows = network.encode(inputs).circuit_inputs
    device = qml.device("qkd.lightning", wires=n_qubits, c_dtype=precision)
    asked = ExecutionConfig(gradient_method="adjoint", use_device_gradient=True, use_device_jacobian_product=True)
    cotangents = tuple(rng.normal(size=(2, BATCH)))

    def step() -> float:
        weights = rng.uniform(0, 2 * np.pi, network.weights_shape)
        tape = make_qscript(network.circuit)(rows, weights)
        parameters = tape.get_parameters(trainable_only=False)
        tape.trainable_params = [i for i, parameter in enumerate(parameters) if parameter is weights]
        config = device.setup_execution_config(asked, tape)
        tapes, _ = device.preprocess_transforms(config)((tape,))
        device.execute(tapes, config)
        ((gradient,),) = device.compute_vjp(tapes, (cotangents,), config)
        return float(np.linalg.norm(gradient))

    return step


def serve() -> None:
    """Answer each line of settings with a step made ready, and each empty line with the seconds and norm of a step."""
    step: Callable[[], float] = float
    for line in sys.stdin:
        if line.strip():
            step = step_of(*json.loads(line))
            print(json.dumps([(0.0, 0.0), step()]), flush=True)
        else:
            start, worked = time.perf_counter(), time.process_time()
            norm = step()
            spent = time.perf_counter() - start, time.process_time() - worked
            print(json.dumps([spent, norm]), flush=True)


class Checkout:
    """A process that makes steps with what is installed in one environment."""

    def __init__(self, python: str):
        self._process = subprocess.Popen(
            [python, str(Path(__file__).resolve()), "--serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, line: str = "") -> tuple[tuple[float, float], float]:
        """Seconds on the clock and of the processor, and norm of the gradient, of the next step.

        Args:
            line: settings for which a first step is made, in no time.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        seconds, norm = json.loads(self._process.stdout.readline())
        return seconds, norm

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def compare(checkouts: dict[str, Checkout], settings: list[Any], seconds: float) -> dict[str, Any]:
    """Fastest step, median and 90th percentile of each checkout, and the ratios."""
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in checkouts}
    norms = [checkout.ask(json.dumps(settings))[1] for checkout in checkouts.values()]
    np.testing.assert_allclose(norms, norms[0], rtol=1e-8 if settings[-1] == "complex128" else 1e-3)
    start = time.perf_counter()
    for i in range(MAX_STEPS):
        if i >= MIN_STEPS and time.perf_counter() - start > seconds:
            break
        for name in list(checkouts) if i % 2 else reversed(checkouts):
            spent[name].append(checkouts[name].ask()[0])
    row: dict[str, Any] = dict(
        zip(("n_qubits", "n_layers", "entangler", "embedding", "precision"), settings, strict=True)
    )
    for name, measured in spent.items():
        wall, worked = np.array(measured).T
        row[name] = {"steps": len(measured), "fastest": wall.min(), "processor": worked.min()}
        row[name] |= {"median": float(np.median(wall)), "p90": float(np.quantile(wall, 0.9))}
    for key in ("fastest", "p90", "processor"):
        row[f"ratio_{key}"] = row["this"][key] / row["other"][key]
    return row


def main() -> None:
    """Compare all settings, print a table and store it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("other", help="interpreter of the other checkout's environment")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each setting")
    parser.add_argument("--sizes", nargs="*", default=SIZES, metavar="QUBITSxLAYERS")
    parser.add_argument("--store", action="store_true", help=f"in {RESULTS}")
    parser.add_argument("--busy", action="store_true", help="with another process that keeps one core busy")
    arguments = parser.parse_args()
    company = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if arguments.busy else None
    checkouts = {"this": Checkout(sys.executable), "other": Checkout(arguments.other)}
    rows = []
    for size in arguments.sizes:
        n_qubits, n_layers = map(int, size.split("x"))
        for settings in product(("cnot", "cz"), ("phase", "state"), ("complex128", "complex64")):
            row = compare(checkouts, [n_qubits, n_layers, *settings], arguments.seconds)
            rows.append(row)
            milliseconds = [f"{1e3 * row[name][key]:.2f}" for name in checkouts for key in ("fastest", "p90")]
            ratios = f"ratio {row['ratio_fastest']:.2f}, 90th percentile {row['ratio_p90']:.2f}, "
            ratios += f"processor {row['ratio_processor']:.2f}; "
            spread = [row[name]["p90"] / row[name]["median"] for name in checkouts]
            ratios += "90th percentile / median {:.2f} {:.2f}".format(*spread)
            print(f"{size:6}", *(f"{setting:10}" for setting in settings), *milliseconds, ratios, flush=True)
    for checkout in checkouts.values():
        checkout.close()
    if company is not None:
        company.kill()
        company.wait()
    if arguments.store:
        RESULTS.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    serve() if sys.argv[1:] == ["--serve"] else main()
