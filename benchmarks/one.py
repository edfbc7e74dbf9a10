"""Time one contestant in a process of its own; the result is one line of JSON on standard output.

STARTED is the reading of the monotonic clock when this process was launched, so that imports count.

python -m benchmarks.one NAME N_QUBITS N_LAYERS ENTANGLER PRECISION WORKERS STARTED
"""

import json
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np

from benchmarks.contestants import CONTESTANTS, Problem, Step

BATCH, ITERATIONS, MAX_SECONDS = 64, 50, 40.0
LIBRARIES = ("lightning", "blas", "numpy")


def _adam_training(step: Step, problem: Problem, watch: "Watch") -> tuple[list[float], float, np.ndarray]:
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
        watch.next()
        if iteration == 0:
            reference = loss, gradient
        if iteration >= 3 and sum(seconds) > MAX_SECONDS:
            break
    return seconds, *reference


class Watch:
    """Adds up the time that the device spends on amplitudes, step by step: in Lightning's bindings, BLAS and NumPy.

    Attributes:
        seconds: of each step, by library; the rest of a step is Python.
        n_wires: of the largest register.
    """

    def __init__(self) -> None:
        self.seconds: list[dict[str, float]] = []
        self.n_wires = 0
        self._current = dict.fromkeys(LIBRARIES, 0.0)
        self._is_inside = False

    def next(self) -> None:
        """Begin the next step."""
        self.seconds.append(dict(self._current))
        self._current.update(dict.fromkeys(LIBRARIES, 0.0))

    def attach(self) -> None:
        """Watch all executions from now on."""
        from qkd_pl.devices.lightning.crosses import Crosses
        from qkd_pl.devices.lightning.pullback import Pullback
        from qkd_pl.devices.lightning.register import Register

        from qkd_pl.devices.lightning import sweep
        from qkd_pl.devices.lightning.readout import Readout

        watched = {
            "lightning": {Register: ("run", "undo", "undo_on_bras", "load", "read"), Pullback: ("_product",)},
            "blas": {Crosses: ("add",), Readout: ("expectations",), sweep: ("_project",)},
            "numpy": {Readout: ("bras",), sweep: ("product_states",)},
        }
        for library, places in watched.items():
            for place, names in places.items():
                for name in names:
                    setattr(place, name, self._timed(library, getattr(place, name)))
        make = Crosses.__init__

        def noted(crosses, n_wires, *arguments):
            self.n_wires = max(self.n_wires, n_wires)
            make(crosses, n_wires, *arguments)

        Crosses.__init__ = noted

    def _timed(self, library: str, function: Callable) -> Callable:
        # There are a hundred calls in a millisecond, so that this must do little itself.
        clock, current = time.perf_counter, self._current

        def timed(*arguments, **keywords):
            if self._is_inside:
                return function(*arguments, **keywords)
            self._is_inside = True
            start = clock()
            result = function(*arguments, **keywords)
            current[library] += clock() - start
            self._is_inside = False
            return result

        return timed


def main(name: str, n_qubits: str, n_layers: str, entangler: str, precision: str, workers: str, started: str) -> None:
    """Print seconds per step, seconds of a cold training, and loss and norm of the first gradient.

    The fastest step counts, also for the shares: others on the same machine can only make a step slower.
    """
    problem = Problem(int(n_qubits), int(n_layers), entangler, precision, int(workers))
    step = CONTESTANTS[name](problem)
    watch = Watch()
    if is_watched := name == "qkd.lightning" and problem.workers == 1:
        watch.attach()
    seconds, loss, gradient = _adam_training(step, problem, watch)
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
    if is_watched:
        fastest = min(range(2, len(seconds)), key=seconds.__getitem__)
        shares = {library: spent / seconds[fastest] for library, spent in watch.seconds[fastest].items()}
        result |= {f"share_in_{library}": share for library, share in shares.items()}
        result["wires_simulated"] = watch.n_wires
    print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
