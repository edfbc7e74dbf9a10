"""Does a search find a student that works where its teacher does not? On fresh states, and by jobs on Aer.

A teacher of 10 layers tells the phases of 7 qubits; a search without labels looks for a student on each backend, at
1,024 shots. The student it chooses, and the teacher, are then measured on states that the search has not seen, and the
student once more by a job on Aer, with the states prepared in the circuit, against what qkd.noisy predicts for it.
``--mnist`` searches for students of an 8-layer ring teacher of the digits 1 and 5 (10 bits) on a 16-qubit backend.

    python -m benchmarks.student_search [--backends fake_nairobi fake_sherbrooke] [--trials 16] [--mnist]

Searches are kept under runs/, so that a second call goes on with, or reads, those of the first.
"""

import argparse
import json
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import qkd_pl as kd
from qkd_pl.devices.calibration import fit_calibration, spread_out
from qkd_pl.devices.ibm.jobs.ledger import Ledger
from qkd_pl.devices.spec import DeviceSpec
from qkd_pl.errors import CalibrationError
from qkd_pl.search.evaluation import Evaluator, logits_of, noisy_spec, price
from qkd_pl.search.found import Found, Row
from qkd_pl.search.student_search import StudentSearch
from qkd_pl.storage import write_json

RESULTS = Path(__file__).parents[1] / "results" / "benchmarks" / "student_search.json"
_SHOTS, _FRESH, _IN_JOB, _DRAWS = 1024, 500, 200, 8


def main() -> None:
    """Search, measure, print and store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backends", nargs="*", default=["fake_nairobi", "fake_sherbrooke"])
    parser.add_argument("--preparations", nargs="+", default=["ideal", "device"], choices=["ideal", "device"])
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0, help="of data, teacher and search")
    parser.add_argument("--mnist", action="store_true", help="search for students of MNIST 1/5, too")
    chosen = parser.parse_args()
    for preparation in chosen.preparations:
        for backend in chosen.backends:
            _store(_phases(backend, preparation, chosen))
    if chosen.mnist:
        _store(_mnist("fake_guadalupe", chosen))


def _store(row: dict[str, Any]) -> None:
    """In place of what was measured before of the same."""
    rows = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else []
    same = ("problem", "backend", "preparation")
    rows = [each for each in rows if any(each[name] != row[name] for name in same)]
    write_json(RESULTS, sorted([*rows, row], key=lambda each: [each[name] for name in same]))


def _phases(backend: str, preparation: str, chosen: argparse.Namespace) -> dict[str, Any]:
    train, fresh = kd.datasets.topological_phases(n_qubits=7, n_train=300, n_test=_FRESH, seed=chosen.seed)
    trainer = kd.KDTrainer(iterations=150, seed=chosen.seed)
    teacher = trainer.fit(kd.QNN(7, 10), train, loss=kd.CrossEntropy(logit_scale=30.0))
    print(f"teacher: accuracy {teacher.score(*fresh):.3f} without noise", flush=True)
    space = kd.SearchSpace(n_qubits=(7,))
    return _searched(teacher, train, fresh, _device(backend), preparation, space, chosen, "phases")


def _mnist(backend: str, chosen: argparse.Namespace) -> dict[str, Any]:
    train, fresh = kd.datasets.mnist((1, 5), n_components=10, n_train=400, n_test=_FRESH)
    trainer = kd.KDTrainer(iterations=200, learning_rate=0.1, seed=chosen.seed)
    network = kd.QNN(10, 8, embedding="phase")
    teacher = trainer.fit(network, train, loss=kd.CrossEntropy(logit_scale=10.0))
    print(f"teacher: accuracy {teacher.score(*fresh):.3f} without noise", flush=True)
    space = kd.SearchSpace(n_qubits=(10, 6), n_layers=(1, 2, 4), train_on=("lightning",))
    return _searched(teacher, train, fresh, _device(backend), "device", space, chosen, "mnist")


def _device(backend: str) -> DeviceSpec:
    return DeviceSpec(name=backend, plugin="qkd.ibm", shots=_SHOTS, seed=7, options={"backend": backend})


def _searched(
    teacher: Any,
    train: Any,
    fresh: Any,
    device: DeviceSpec,
    preparation: str,
    space: Any,
    chosen: argparse.Namespace,
    name: str,
) -> dict[str, Any]:
    search = StudentSearch(
        teacher,
        train.inputs,
        device,
        labels=train.labels,
        space=space,
        preparation=preparation,
        trials=chosen.trials,
        workers=chosen.workers,
        seed=chosen.seed,
    )
    folder = Path("runs") / f"student-search-{name}-{device.name}-{preparation}-{chosen.seed}-{chosen.trials}"
    start, used = time.perf_counter(), time.process_time()
    found = search.run(folder)
    spent = _spent(folder, time.perf_counter() - start, time.process_time() - used)
    told: dict[str, Any] = {
        "problem": name,
        "backend": device.name,
        "preparation": preparation,
        "trials": chosen.trials,
        **spent,
        "front": [_written(row) for row in found.front],
        "teacher": next((_written(row) for row in found.table if row.path is None), None),
        "best": _written(found.best_row),
    }
    print(found.front, flush=True)
    told |= _on_fresh(teacher, found, fresh, device, preparation == "ideal")
    print({key: value for key, value in told.items() if key not in ("front", "teacher", "best")}, flush=True)
    return told


def _spent(folder: Path, seconds: float, processor_seconds: float) -> dict[str, float]:
    """What a search took, in all calls that went on with it."""
    path, now = folder / "spent.json", {"seconds": seconds, "processor_seconds": processor_seconds}
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else dict.fromkeys(now, 0.0)
    spent = {name: round(before[name] + value, 1) for name, value in now.items()}
    write_json(path, spent)
    return spent


def _written(row: Row) -> dict[str, Any]:
    names = ("name", "agreement", "confirmed", "accuracy", "calibrated", "two_qubit_gates", "depth", "qpu_seconds")
    return {**{name: getattr(row, name) for name in names}, "inputs": str(row.entrance), "setting": row.setting}


def _on_fresh(teacher: Any, found: Found, fresh: Any, device: DeviceSpec, ideal: bool) -> dict[str, Any]:
    """Accuracies of student and teacher on fresh inputs, and of the student by a job, predicted and done."""
    best, row = found.best, found.best_row
    student, _ = _accuracies(best, row.entrance(fresh.inputs), fresh.labels, device, ideal, row.absorb)
    calibrated, raw = _accuracies(teacher, fresh.inputs, fresh.labels, device, ideal, False)
    few, labels = row.entrance(fresh.inputs[:_IN_JOB]), fresh.labels[:_IN_JOB]
    predicted, _ = _accuracies(best, few, labels, device, False, row.absorb)
    with TemporaryDirectory() as folder:
        outputs = kd.submit(found.plan(fresh.inputs[:_IN_JOB]), Ledger(Path(folder) / "jobs.sqlite")).result()
    return {
        "fresh_exact_student": float(best.score(row.entrance(fresh.inputs), fresh.labels)),
        "fresh_exact_teacher": float(teacher.score(*fresh)),
        "fresh_student": student,
        "fresh_teacher": calibrated,
        "fresh_teacher_not_calibrated": raw,
        "predicted_by_noisy_with_preparation": predicted,
        "job_on_aer": _accuracy(outputs, labels),
        "job_inputs": len(labels),
    }


def _accuracies(
    model: Any, inputs: np.ndarray, labels: np.ndarray, device: DeviceSpec, ideal: bool, absorb: bool
) -> tuple[list[float], list[float]]:
    """Mean and standard deviation over draws of the shots, calibrated by 50 of the inputs, as jobs do, and raw."""
    costs = price(model, inputs, len(inputs), device, absorb=absorb, ideal_preparation=ideal)
    evaluator = Evaluator(model.network, noisy_spec(device, ideal), device, costs.shots, 123, absorb)
    exact, batch = model.outputs(inputs), model.encode(inputs)
    sample = spread_out(exact, 50)
    calibrated, raw = [], []
    for _ in range(_DRAWS):
        outputs = evaluator.outputs(model.weights, batch)
        raw.append(_accuracy(outputs, labels))
        with suppress(CalibrationError):  # with too little signal a job leaves its result raw, too
            line = fit_calibration(exact[sample], outputs[sample], costs.place, shots=costs.shots, created="")
            outputs = line.apply(outputs)
        calibrated.append(_accuracy(outputs, labels))
    return _spread(calibrated), _spread(raw)


def _accuracy(outputs: np.ndarray, labels: np.ndarray) -> float:
    return float(np.mean(logits_of(outputs).argmax(axis=1) == labels))


def _spread(values: list[float]) -> list[float]:
    return [float(np.mean(values)), float(np.std(values))]


if __name__ == "__main__":
    main()
