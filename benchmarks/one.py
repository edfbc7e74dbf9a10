"""Time one contestant in a process of its own; the result is one line of JSON on standard output.

STARTED is the reading of the monotonic clock when this process was launched, so that imports count.

python -m benchmarks.one NAME N_QUBITS N_LAYERS ENTANGLER PRECISION WORKERS STARTED
"""

import json
import statistics
import sys
import time

import numpy as np

from benchmarks.contestants import CONTESTANTS, Problem, Step

BATCH, ITERATIONS, MAX_SECONDS = 64, 50, 40.0


def _adam_training(step: Step, problem: Problem) -> tuple[list[float], float, np.ndarray]:
    """Seconds of each iteration of a training, and loss and gradient of its first; it stops early if it takes long."""
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, (BATCH * 8, problem.n_qubits)).astype(float)
    targets = rng.uniform(-1, 1, (BATCH * 8, 2))
    weights = rng.uniform(0, 2 * np.pi, (problem.n_layers + 1, problem.n_qubits, 3))
    first, second, seconds = np.zeros_like(weights), np.zeros_like(weights), []
    for iteration in range(ITERATIONS):
        start = time.perf_counter()
        chosen = np.arange(BATCH) + BATCH * (iteration % 8)
        loss, gradient = step(weights, bits[chosen], targets[chosen])
        first, second = 0.9 * first + 0.1 * gradient, 0.99 * second + 0.01 * gradient**2
        scale = 0.3 * np.sqrt(1 - 0.99 ** (iteration + 1)) / (1 - 0.9 ** (iteration + 1))
        weights = weights - scale * first / (np.sqrt(second) + 1e-8)
        seconds.append(time.perf_counter() - start)
        if iteration == 0:
            reference = loss, gradient
        if iteration >= 3 and sum(seconds) > MAX_SECONDS:
            break
    return seconds, *reference


def main(name: str, n_qubits: str, n_layers: str, entangler: str, precision: str, workers: str, started: str) -> None:
    """Print seconds per step, seconds of a cold training, and loss and norm of the first gradient.

    The fastest step counts: others on the same machine can only make a step slower.
    """
    problem = Problem(int(n_qubits), int(n_layers), entangler, precision, int(workers))
    step = CONTESTANTS[name](problem)
    seconds, loss, gradient = _adam_training(step, problem)
    elapsed = time.clock_gettime(time.CLOCK_MONOTONIC) - float(started)
    typical = statistics.median(seconds[2:])
    result = {
        "seconds_per_step": min(seconds[2:]),
        "median_seconds_per_step": typical,
        "seconds_of_cold_training": elapsed + typical * (ITERATIONS - len(seconds)),
        "iterations_run": len(seconds),
        "loss": loss,
        "gradient_norm": float(np.linalg.norm(gradient)),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
