"""One training step under a device's exact noise, ours against other density-matrix simulators.

python -m benchmarks.noisy [--max-seconds SECONDS] [SIZE ...]     SIZE as in the table SIZES; by default all of them

Every contestant runs the same compiled circuit with the same channels, in a process of its own, one after the other;
losses and gradients are compared. Needs the extra ``bench``.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from qkd_pl.storage import write_json

RESULTS = Path(__file__).parent.parent / "results" / "benchmarks"
SIZES = {
    "5x2": (5, 2, "fake_manila", "ring"),
    "7x2": (7, 2, "fake_nairobi", "ring"),
    "10x1": (10, 1, "fake_guadalupe", "line"),
}
BATCH, STEPS = 64, 50
Step = Callable[[np.ndarray, np.ndarray], tuple[float, np.ndarray]]


class Problem:
    """The circuit as ``qkd.noisy`` compiles it, and the step: gradient of the mean square of the two logits."""

    def __init__(self, size: str) -> None:
        import pennylane as qml

        from qkd_pl import QNN
        from qkd_pl.devices.noisy.device import NoisyDevice

        n_qubits, n_layers, backend, topology = SIZES[size]
        self.network = QNN(n_qubits, n_layers, embedding="phase", topology=topology)
        self.device = NoisyDevice(n_qubits, backend=backend)
        tape = qml.tape.make_qscript(self.network.circuit)(
            np.zeros((2, n_qubits)), np.zeros(self.network.weights_shape)
        )
        lowered = self.device._circuit(self.device._read(tape)).lowered
        self.isa, self.columns, self.final = lowered.circuit, lowered.columns, lowered.final
        self.model = self.device.backend.options.noise_model
        self.used = sorted({q for _, qubits, *_ in self._raw() for q in qubits} | set(self.final[:2]))

    def gates(self) -> list[tuple[np.ndarray | None, tuple[int, ...], tuple, list[np.ndarray]]]:
        """(matrix or None for RZ, qubits, affine angle, Kraus operators behind it), qubits numbered from 0."""
        return [(m, tuple(map(self.used.index, q)), angle, kraus) for m, q, angle, kraus in self._raw()]

    def readout(self) -> list[tuple[int, float, float]]:
        """(qubit, factor, offset) of each logit."""
        from qkd_pl.upstream import aer

        errors = [np.asarray(aer.readout_error(self.model, qubit).probabilities) for qubit in self.final[:2]]
        return [
            (self.used.index(qubit), 1 - error[0, 1] - error[1, 0], error[1, 0] - error[0, 1])
            for qubit, error in zip(self.final, errors, strict=False)
        ]

    def _raw(self) -> list:
        from qiskit.quantum_info import Kraus

        from qkd_pl.upstream import aer

        found = []
        for each in self.isa.data:
            qubits = tuple(self.isa.find_bit(qubit).index for qubit in each.qubits)
            expressions = [p for p in each.operation.params if getattr(p, "parameters", None)]
            matrix, angle = None, ((), (), 0.0)
            if expressions:
                parameters = sorted(expressions[0].parameters, key=lambda p: p.index)
                slopes = tuple(float(expressions[0].gradient(p)) for p in parameters)
                constant = float(expressions[0].bind(dict.fromkeys(parameters, 0.0)))
                angle = tuple(self.columns[p.index] for p in parameters), slopes, constant
            else:
                # With its qubits reversed, a matrix reads the first one as the most significant.
                matrix = np.asarray(each.operation.to_matrix())
            error = aer.gate_error(self.model, each.operation.name, qubits)
            kraus = [] if error is None else Kraus(error.to_quantumchannel()).data
            kraus = kraus if isinstance(kraus, list) else list(kraus[0])
            found.append((matrix, qubits[::-1], angle, [np.asarray(k) for k in kraus]))
        return found


def ours(problem: Problem) -> Step:
    """``qkd.noisy`` as the trainer calls it."""
    import pennylane as qml

    from qkd_pl.gradients import vjp

    network = problem.network
    qnode = qml.QNode(network.circuit, problem.device, interface="autograd", diff_method="adjoint", device_vjp=True)

    def step(weights: np.ndarray, bits: np.ndarray) -> tuple[float, np.ndarray]:
        logits, pullback = vjp(qnode, weights, network.encode(bits))
        return float((logits**2).sum() / len(bits)), pullback(2 * logits / len(bits))

    return step


def tensorcircuit(problem: Problem) -> Step:
    """TensorCircuit-NG's density matrix with JAX: vmap over samples, one jit of value and gradient."""
    import jax
    import tensorcircuit as tc

    tc.set_backend("jax")
    tc.set_dtype("complex128")
    gates, readout = problem.gates(), problem.readout()

    def logits(weights, bits):
        table = jax.numpy.concatenate([np.pi * bits, weights.ravel()])
        circuit = tc.DMCircuit(len(problem.used))
        for matrix, qubits, (columns, slopes, constant), kraus in gates:
            if matrix is None:
                angle = sum((s * table[c] for c, s in zip(columns, slopes, strict=True)), constant)
                circuit.rz(qubits[0], theta=angle)
            else:
                circuit.any(*qubits, unitary=matrix)
            if kraus:
                circuit.apply_general_kraus([tc.gates.Gate(k.reshape([2] * 2 * len(qubits))) for k in kraus], [qubits])
        return jax.numpy.stack(
            [f * jax.numpy.real(circuit.expectation((tc.gates.z(), [q]))) + offset for q, f, offset in readout]
        )

    def loss(weights, bits):
        return (jax.vmap(logits, (None, 0))(weights, bits) ** 2).sum() / len(bits)

    compiled = jax.jit(jax.value_and_grad(loss))

    def step(weights: np.ndarray, bits: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = compiled(weights, bits)
        return float(value), np.asarray(gradient)

    return step


def mixed(problem: Problem, interface: str) -> Step:
    """``default.mixed``, broadcast over the batch, with backprop through autograd or jitted JAX."""
    import pennylane as qml

    gates, readout = problem.gates(), problem.readout()
    width = problem.network.weights_shape

    def circuit(table):
        for matrix, qubits, (columns, slopes, constant), kraus in gates:
            if matrix is None:
                qml.RZ(sum((s * table[c] for c, s in zip(columns, slopes, strict=True)), constant), wires=qubits[0])
            else:
                qml.QubitUnitary(matrix, wires=qubits)
            if kraus:
                qml.QubitChannel(kraus, wires=qubits)
        return [qml.expval(qml.Z(qubit)) for qubit, *_ in readout]

    device = qml.device("default.mixed", wires=len(problem.used))
    node = qml.QNode(circuit, device, interface=interface, diff_method="backprop")

    def loss(weights, bits):
        flat = qml.math.reshape(weights, (-1,))
        table = [*(np.pi * bits.T), *(flat[i] for i in range(int(np.prod(width))))]
        values = node(table)
        return sum(((f * v + o) ** 2).sum() for v, (_, f, o) in zip(values, readout, strict=True)) / len(bits)

    if interface == "jax":
        import jax

        jax.config.update("jax_enable_x64", True)
        compiled = jax.jit(jax.value_and_grad(loss))
        return lambda weights, bits: tuple(map(np.asarray, compiled(weights, bits)))
    import autograd

    def step(weights: np.ndarray, bits: np.ndarray) -> tuple[float, np.ndarray]:
        pull, value = autograd.make_vjp(lambda w: loss(w, bits))(weights)
        return float(value), np.asarray(pull(1.0))

    return step


def aer_circuit(problem: Problem) -> Callable[[], float]:
    """Seconds of one circuit by Aer's density matrix; a step of parameter shift takes (2P + 1) × batch of them."""
    from qiskit import QuantumCircuit
    from qiskit_aer import AerSimulator
    from qiskit_aer.library import SaveDensityMatrix

    simulator = AerSimulator(method="density_matrix", noise_model=problem.model, max_parallel_threads=1)
    bound = problem.isa.assign_parameters(np.linspace(0, 1, problem.isa.num_parameters))
    circuit = QuantumCircuit(problem.isa.num_qubits)
    circuit.compose(bound, inplace=True)
    kept = list(problem.final[:2])
    circuit.append(SaveDensityMatrix(len(kept)), kept)

    def seconds() -> float:
        start = time.perf_counter()
        simulator.run([circuit] * 4).result()
        return (time.perf_counter() - start) / 4

    return seconds


CONTESTANTS: dict[str, Callable[[Problem], Step]] = {
    "qkd.noisy": ours,
    "TensorCircuit-NG": tensorcircuit,
    "default.mixed": lambda problem: mixed(problem, "autograd"),
    "default.mixed, JAX": lambda problem: mixed(problem, "jax"),
}


def measure(name: str, size: str, started: float) -> dict:
    """Seconds per step, and of fifty steps from a cold process; for Aer one circuit, extrapolated."""
    problem = Problem(size)
    rng = np.random.default_rng(0)
    weights = rng.uniform(0, 2 * np.pi, problem.network.weights_shape)
    if name == "Aer, parameter shift":
        seconds = aer_circuit(problem)
        circuits = (2 * weights.size + 1) * BATCH
        return {"seconds_per_step": min(seconds() for _ in range(4)) * circuits, "circuits": circuits}
    bits = rng.integers(0, 2, (512, problem.network.n_qubits)).astype(float)
    step = CONTESTANTS[name](problem)
    loss, gradient = step(weights, bits[:BATCH])
    seconds = _repeated(step, weights, bits[:BATCH])
    cold = time.clock_gettime(time.CLOCK_MONOTONIC) - started + (STEPS - 1 - len(seconds)) * float(np.median(seconds))
    row = {"seconds_per_step": min(seconds), "seconds_of_cold_training": cold, "loss": float(loss)}
    row["gradient_norm"] = float(np.linalg.norm(gradient))
    if name == "qkd.noisy":
        step(weights, bits)
        row["seconds_per_step_of_512"] = min(_repeated(step, weights, bits))
    return row


def _repeated(step: Step, weights: np.ndarray, bits: np.ndarray) -> list[float]:
    seconds: list[float] = []
    while len(seconds) < STEPS - 1 and (sum(seconds) < 20 or len(seconds) < 3):
        start = time.perf_counter()
        step(weights + 0.01 * len(seconds), bits)
        seconds.append(time.perf_counter() - start)
    return seconds


def main(sizes: list[str], max_seconds: float) -> None:
    """Measure all contestants of each size; rows of other sizes in ``results/benchmarks/noisy.json`` are kept."""
    path = RESULTS / "noisy.json"
    stored = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.is_file() else []
    rows = [row for row in stored if row["size"] not in sizes]
    for size in sizes:
        for name in (*CONTESTANTS, "Aer, parameter shift"):
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            started = time.clock_gettime(time.CLOCK_MONOTONIC)
            command = [sys.executable, "-m", "benchmarks.noisy", "--one", name, str(started), size]
            row: dict = {"size": size, "contestant": name, "batch": BATCH}
            try:
                done = subprocess.run(
                    command, env=environment, capture_output=True, text=True, check=False, timeout=max_seconds
                )
                failed = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
                row |= json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {"failed": failed[0][:200]}
            except subprocess.TimeoutExpired:
                row["failed"] = f"more than {max_seconds:g} s"
            rows.append(row)
            print(json.dumps(row), flush=True)
    write_json(path, {"rows": rows})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.noisy")
    parser.add_argument("sizes", nargs="*", metavar="SIZE", help=f"of {', '.join(SIZES)}")
    parser.add_argument("--max-seconds", type=float, default=300, help="for a contestant to compile and run some steps")
    parser.add_argument("--one", nargs=2, metavar=("NAME", "STARTED"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one[0], arguments.sizes[0], float(arguments.one[1]))))
    else:
        main(arguments.sizes or list(SIZES), arguments.max_seconds)
