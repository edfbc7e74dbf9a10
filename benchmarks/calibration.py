"""What calibration restores on a noisy device, and how many inputs and shots it needs.

One-layer students on a line, distilled from two-layer teachers without labels on 7-qubit ground states, run under the
noise of fake_nairobi; accuracies on 500 test states: exact, raw and calibrated, mean over the data sets, and how far
raw and calibrated ones are from the exact one of the same data set. Calibration inputs are training states. With
``whole``, gates that no output depends on are run as well.

    python -m benchmarks.calibration [--data-sets 8] [--anew]

Data sets whose results are stored are not run again, unless with ``--anew``.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

import qkd_pl as kd
from qkd_pl.devices.calibration import Place, fit_calibration, spread_out
from qkd_pl.devices.spec import EXACT
from qkd_pl.errors import CalibrationError
from qkd_pl.storage import write_json

RESULTS = Path(__file__).parents[1] / "results" / "benchmarks" / "calibration.json"
PLACE = Place.of("fake_nairobi", (), ("Z(0)", "Z(1)"))
INPUTS = (10, 20, 50, 500)
_SHOWN = 50
#: (what is run, preparation, causal cone, shots); wires 0, 1, … on qubits 0, 1, … where the layout is said to be plain.
ARMS = (
    ("ideal preparation, whole, plain layout", "ideal", False, None),
    ("ideal preparation, whole, plain layout", "ideal", False, 4096),
    ("ideal preparation, whole", "ideal", False, None),
    ("ideal preparation", "ideal", True, None),
    ("staircase", "staircase", True, None),
    ("ideal preparation", "ideal", True, 1024),
    ("ideal preparation", "ideal", True, 4096),
    ("staircase", "staircase", True, 1024),
    ("staircase", "staircase", True, 4096),
)


def main() -> None:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-sets", type=int, default=8)
    parser.add_argument("--anew", action="store_true", help="run all data sets, also those whose results are stored")
    chosen = parser.parse_args()
    rows = json.loads(RESULTS.read_text()) if RESULTS.exists() and not chosen.anew else []
    for seed in sorted(set(range(chosen.data_sets)) - {row["data_set"] for row in rows}):
        rows += _of_data_set(seed)
        write_json(RESULTS, rows)
    for arm in dict.fromkeys((row["arm"], row["shots"]) for row in rows):
        _print(arm, [row for row in rows if (row["arm"], row["shots"]) == arm])


def _print(arm: tuple[str, int | None], rows: list[dict[str, Any]]) -> None:
    means = {name: np.mean([row[name] for row in rows]) for name in ("exact", "raw", "shot_noise_only")}
    fits = {count: [row["calibrated"][str(count)] for row in rows] for count in INPUTS}
    shown = ", ".join(
        f"{count} inputs {np.mean([each for each in found if each is not None]):.3f}"
        + (f" ({found.count(None)} refused)" if None in found else "")
        for count, found in fits.items()
    )
    print(
        f"{arm[0]}, {arm[1] or 'no'} shots: exact {means['exact']:.3f}, raw {means['raw']:.3f}, calibrated {shown}; "
        f"with shot noise alone, on slopes like these, {means['shot_noise_only']:.3f}; from the exact one, raw "
        f"{_distance(rows, [row['raw'] for row in rows])}, calibrated {_distance(rows, fits[_SHOWN])}; slopes "
        f"{np.mean([row['slope'] for row in rows]):.2f}, misfit {np.mean([row['misfit'] for row in rows]):.3f}"
    )


def _distance(rows: list[dict[str, Any]], accuracies: list[float | None]) -> str:
    """Of the accuracies from the exact ones: mean and largest, over the data sets."""
    found = [abs(each - row["exact"]) for row, each in zip(rows, accuracies, strict=True) if each is not None]
    return f"{np.mean(found):.3f} (at most {np.max(found):.3f})"


def _of_data_set(seed: int) -> list[dict[str, Any]]:
    train, test = kd.datasets.topological_phases(n_qubits=7, n_train=500, n_test=500, seed=seed)
    trainer = kd.KDTrainer(iterations=50, learning_rate=0.3, seed=seed)
    teachers = [
        kd.KDTrainer(iterations=50, learning_rate=0.3, seed=100 * seed + each).fit(
            kd.QNN(7, 2), train, loss=kd.CrossEntropy(logit_scale=30.0)
        )
        for each in range(5)
    ]
    teacher = max(teachers, key=lambda each: each.score(*train))
    network = kd.QNN(7, 1, topology="line")
    student = trainer.fit(network, (train.inputs, None), teacher=teacher, loss=kd.Distillation(temperature=0.5))
    return [_row(seed, student, train.inputs, test, *arm) for arm in ARMS]


def _row(
    seed: int, student: Any, inputs: np.ndarray, test: Any, arm: str, preparation: str, cone: bool, shots: int | None
) -> dict[str, Any]:
    options: dict[str, Any] = {"backend": "fake_nairobi", "preparation": preparation}
    if "plain layout" in arm:
        options["initial_layout"] = list(range(7))
    device = kd.DeviceSpec(name="noisy", plugin="qkd.noisy", shots=shots, seed=seed, causal_cone=cone, options=options)
    known, exact = (student.outputs(each, EXACT) for each in (inputs, test.inputs))
    seen, raw = (student.outputs(each, device) for each in (inputs, test.inputs))
    calibrated: dict[str, float | None] = {}
    for count in INPUTS:
        sample = spread_out(known, count)
        try:
            found = fit_calibration(known[sample], seen[sample], PLACE, shots=shots, created="")
        except CalibrationError:
            calibrated[str(count)] = None
        else:
            calibrated[str(count)] = _accuracy(found.apply(raw), test.labels)
    return {
        "data_set": seed,
        "arm": arm,
        "shots": shots,
        "exact": _accuracy(exact, test.labels),
        "raw": _accuracy(raw, test.labels),
        "calibrated": calibrated,
        "shot_noise_only": _accuracy(_with_shot_noise(exact, found.slope, shots, seed), test.labels),
        "slope": list(found.slope),
        "misfit": list(found.misfit),
        "margin": float(np.median(np.abs(exact[:, 0] - exact[:, 1]))),
    }


def _with_shot_noise(exact: np.ndarray, slope: tuple[float, ...], shots: int | None, seed: int) -> np.ndarray:
    """Outputs on a perfectly affine device, sampled and corrected: what is lost there no calibration restores."""
    if shots is None:
        return exact
    means = np.clip(exact * slope, -1, 1)
    drawn = 2 * np.random.default_rng(seed).binomial(shots, (1 + means) / 2) / shots - 1
    return drawn / slope


def _accuracy(outputs: np.ndarray, labels: np.ndarray) -> float:
    return float(np.mean(outputs.argmax(axis=1) == labels))


if __name__ == "__main__":
    main()
