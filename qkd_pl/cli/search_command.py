"""The command ``qkd-pl search``: the student of a teacher that runs best on one device."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from qkd_pl.cli.console import DEVICE_OF_JOBS, Json, clear_errors

app = typer.Typer()


@app.command("search")
def search_command(
    data: Annotated[Path, typer.Option(help="An .npz file with `inputs` (n, …) and, optionally, `labels` (n,).")],
    teacher: Annotated[Path, typer.Option(help="A saved model, or its outputs (n, K) in an .npy file.")],
    device: Annotated[str, typer.Option(help=f"What the student is for: {DEVICE_OF_JOBS}.")],
    embedding: Annotated[str | None, typer.Option(help="How inputs enter; by default as in the teacher.")] = None,
    max_qpu_seconds: Annotated[float | None, typer.Option(help="For all inputs.", min=0)] = None,
    max_two_qubit_gates: Annotated[int | None, typer.Option(help="Of a circuit.", min=0)] = None,
    max_depth: Annotated[int | None, typer.Option(help="Of a circuit.", min=0)] = None,
    preparation: Annotated[str, typer.Option(help="device, or ideal: states enter from outside.")] = "device",
    trials: Annotated[int, typer.Option(help="Students to try.", min=1)] = 40,
    iterations: Annotated[int, typer.Option(help="Of each training.", min=1)] = 60,
    workers: Annotated[int, typer.Option(help="Processes.", min=1)] = 1,
    seed: Annotated[int, typer.Option(help="Of everything random.", min=0)] = 0,
    out: Annotated[Path, typer.Option(help="Folder of the search; repeating the command resumes it.")] = Path(
        "runs/search"
    ),
    as_json: Json = False,
) -> None:
    """Search for the student that agrees most with a teacher on a device, within a budget."""
    with clear_errors():
        from qkd_pl.cli.data_files import read_array, read_samples
        from qkd_pl.networks.models import load_model
        from qkd_pl.search.student_search import StudentSearch

        inputs, labels = read_samples(data)
        search = StudentSearch(
            read_array(teacher) if teacher.suffix == ".npy" else load_model(teacher),
            inputs,
            device,
            labels=labels,
            embedding=embedding,
            max_qpu_seconds=max_qpu_seconds,
            max_two_qubit_gates=max_two_qubit_gates,
            max_depth=max_depth,
            preparation=preparation,
            trials=trials,
            iterations=iterations,
            workers=workers,
            seed=seed,
        )
        found = search.run(out)
    if as_json:
        rows = [{**asdict(row), "network": None} for row in found.table]
        told = {"table": rows, "front": [row.name for row in found.front], "left_out": dict(found.left_out)}
        print(json.dumps(told, indent=1, default=str))
        return
    print(f"{found.table}\n\nfront: {', '.join(row.name for row in found.front)}\nbest: {found.best_row.path}")
    if found.left_out:
        print(f"left out: {_counted(found.left_out)}")


def _counted(left_out: Mapping[str, str]) -> str:
    """How many trials of each kind are not in the table, with the first as an example."""
    kinds: dict[str, list[str]] = {}
    for number, why in left_out.items():
        kind, _, reason = why.partition(": ")
        kinds.setdefault(kind, []).append(f"trial {number}: {reason}")
    return ", ".join(f"{len(trials)} {kind} ({trials[0]})" for kind, trials in kinds.items())
