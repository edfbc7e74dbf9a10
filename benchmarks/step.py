"""Seconds per distillation step, ours against other simulators: JSON and a figure.

python -m benchmarks.step [--max-seconds SECONDS] [QUBITSxLAYERS ...]     by default 7x2 10x4 15x3 15x4 15x10

All contestants of a size are measured one after the other in one run; stored rows of other sizes are kept.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import distributions, version
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from benchmarks.contestants import CONTESTANTS
from qkd_pl.storage import atomic_path, write_json

RESULTS = Path(__file__).parent.parent / "results" / "benchmarks"
# A student whose outputs depend on ten of its qubits only; ours alone, with a CZ ring.
CONE = (15, 4)
SIZES = [(7, 2), (10, 4), (15, 3), CONE, (15, 10)]
# Beyond these sizes one step takes minutes, or more memory than most machines have.
LARGEST = dict.fromkeys(
    ["lightning.qubit", "lightning.kokkos", "Qulacs", "DeepQuantum", "TorchQuantum-NG"],
    (10, 4),
)
SINGLE_PRECISION = [
    "qkd.lightning",
    "default.qubit with jax.jit",
    "TensorCircuit-NG",
    "DeepQuantum",
    "TorchQuantum-NG",
]
ONLY_SINGLE_PRECISION = {"TorchQuantum-NG"}
PACKAGES = [
    "pennylane",
    "pennylane-lightning",
    "tensorcircuit-ng",
    "jax",
    "mindquantum",
    "numpy",
    "qulacs",
    "pennylane-lightning-kokkos",
    "deepquantum",
    "torchquantum-ng",
    "torch",
]


def find_distribution(package: str) -> bool:
    """Whether a package is installed."""
    return any(distributions(name=package))


def _runs(n_qubits: int, n_layers: int) -> list[tuple[str, int, int, str, str, int]]:
    """Contestant, size, entangler, precision and workers of every run of a size."""
    if (n_qubits, n_layers) == CONE:
        return [("qkd.lightning", n_qubits, n_layers, "cz", "complex128", 1)]
    names = [name for name in CONTESTANTS if (n_qubits, n_layers) <= LARGEST.get(name, (n_qubits, n_layers))]
    runs = [(name, n_qubits, n_layers, "cnot", "complex128", 1) for name in names if name not in ONLY_SINGLE_PRECISION]
    runs += [(name, n_qubits, n_layers, "cnot", "complex64", 1) for name in names if name in SINGLE_PRECISION]
    runs.append(("qkd.lightning", n_qubits, n_layers, "cz", "complex128", 1))
    if n_qubits >= 12:
        runs.append(("qkd.lightning", n_qubits, n_layers, "cnot", "complex128", 2))
    return runs


def _measure(run: tuple[str, int, int, str, str, int], max_seconds: float) -> dict:
    environment = os.environ | {"OMP_NUM_THREADS": "1"} if run[0] == "qkd.lightning" else dict(os.environ)
    started = time.clock_gettime(time.CLOCK_MONOTONIC)
    command = [sys.executable, "-m", "benchmarks.one", *map(str, run), str(started)]
    keys = ("contestant", "n_qubits", "n_layers", "entangler", "precision", "workers")
    row = dict(zip(keys, run, strict=True))
    try:
        finished = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=max_seconds
        )
    except subprocess.TimeoutExpired:
        return row | {"error": f"not ready within {max_seconds:g} s"}
    if finished.returncode:
        return row | {"error": finished.stderr.strip().splitlines()[-1]}
    return row | json.loads(finished.stdout.strip().splitlines()[-1])


def _check_agreement(rows: list[dict]) -> None:
    """All contestants must compute the same loss and gradient, or their speeds say nothing."""
    for row in rows:
        same = [r for r in rows if "loss" in r and all(r[k] == row[k] for k in ("n_qubits", "n_layers", "entangler"))]
        tolerance = 1e-8 if all(r["precision"] == "complex128" for r in same) else 1e-4
        for key in ("loss", "gradient_norm"):
            np.testing.assert_allclose([r[key] for r in same], same[0][key], rtol=tolerance)


def _draw(rows: list[dict], path: Path) -> None:
    figure, axes = plt.subplots(1, 2, figsize=(13, 4), layout="constrained")
    titles = {"seconds_per_step": "one step, batch 64", "seconds_of_cold_training": "50 steps from a cold process"}
    measured = [row for row in rows if "loss" in row and row["entangler"] == "cnot"]
    sizes = sorted({(row["n_qubits"], row["n_layers"]) for row in measured})
    series = sorted({(row["contestant"], row["precision"], row["workers"]) for row in measured})
    names = list(dict.fromkeys(contestant for contestant, _, _ in series))
    for axis, (key, title) in zip(axes, titles.items(), strict=True):
        for contestant, precision, workers in series:
            points = {
                (row["n_qubits"], row["n_layers"]): row[key]
                for row in measured
                if (row["contestant"], row["precision"], row["workers"]) == (contestant, precision, workers)
            }
            label = f"{contestant}, {precision}" + (f", {workers} workers" if workers > 1 else "")
            places = [i for i, size in enumerate(sizes) if size in points]
            marker = "o" if contestant == "qkd.lightning" else "s"
            line = "--" if workers > 1 else {"complex128": "-", "complex64": ":"}[precision]
            color = f"C{names.index(contestant)}"
            axis.plot(places, [points[sizes[i]] for i in places], marker + line, color=color, label=label)
        axis.set(yscale="log", title=title, ylabel="seconds", xlabel="qubits × layers")
        axis.set_xticks(range(len(sizes)), [f"{n} × {layers}" for n, layers in sizes])
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", fontsize="x-small")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150)


def main(sizes: list[tuple[int, int]], max_seconds: float) -> None:
    """Run all contestants one after the other; what was measured is stored after each size, and drawn at the end."""
    machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    versions = {package: version(package) for package in PACKAGES if find_distribution(package)}
    for size in sizes:
        rows = []
        for run in _runs(*size):
            rows.append(_measure(run, max_seconds))
            print(*run, rows[-1].get("seconds_per_step", rows[-1].get("error")), flush=True)
        _check_agreement([row for row in rows if "loss" in row])
        rows = sorted([*_stored_rows(except_for=size), *rows], key=_size)
        write_json(RESULTS / "step.json", {"machine": machine, "versions": versions, "rows": rows})
        _draw(rows, RESULTS / "step.png")


def _stored_rows(except_for: tuple[int, int]) -> list[dict]:
    path = RESULTS / "step.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.is_file() else []
    return [row for row in rows if _size(row) != except_for]


def _size(row: dict) -> tuple[int, int]:
    return row["n_qubits"], row["n_layers"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.step")
    parser.add_argument("sizes", nargs="*", metavar="QUBITSxLAYERS")
    parser.add_argument("--max-seconds", type=float, default=900, help="for a contestant to compile and run some steps")
    arguments = parser.parse_args()
    chosen = [tuple(int(part) for part in size.split("x")) for size in arguments.sizes]
    main(chosen or SIZES, arguments.max_seconds)
