"""The command ``qkd-pl``."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from matplotlib.figure import Figure

from qkd_pl import __version__, figure_commands, job_commands
from qkd_pl.console import Json, clear_errors
from qkd_pl.experiments.data_sets import format_data_sets, run_over_data_sets
from qkd_pl.experiments.table1 import Table1Settings, format_table1, run_table1
from qkd_pl.figure_commands import (
    Candidates,
    Dask,
    Device,
    Iterations,
    Out,
    Rate,
    Scale,
    Seeds,
    TeacherLayers,
    Teachers,
    Temperature,
    Workers,
    run_experiment,
)
from qkd_pl.plotting import plot_arms
from qkd_pl.registry import DeviceSpec, load_devices

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
reproduce = typer.Typer(help="Reproduce a table or figure of the paper (arXiv 2603.21586).", no_args_is_help=True)
reproduce.add_typer(figure_commands.app)
app.add_typer(reproduce, name="reproduce")
app.add_typer(job_commands.app)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        print(__version__)
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Knowledge distillation for quantum neural networks."""


@app.command()
def devices(
    path: Annotated[Path | None, typer.Option(help="A device file other than the one that is found.")] = None,
    as_json: Json = False,
) -> None:
    """List the devices of the registry."""
    with clear_errors():
        registry = load_devices(path)
        specs = dict(registry)
    if as_json:
        print(json.dumps({"path": str(registry.path), "default": registry.default, **_dump(specs)}, indent=1))
        return
    print(f"{registry.path}, default: {registry.default}")
    width = max(map(len, specs))
    for name, spec in specs.items():
        shots = "exact" if spec.shots is None else f"{spec.shots} shots"
        print(f"  {name:<{width}} {spec.plugin:<18} {shots:<12} {spec.diff_method}")


def _dump(registry: Any) -> dict[str, dict[str, DeviceSpec]]:
    return {"devices": {name: spec.model_dump() for name, spec in registry.items()}}


@app.command()
def distill(
    seeds: Seeds = 5,
    out: Out = Path("runs/distill"),
    qubits: Annotated[int, typer.Option(min=4, help="Qubits of the teacher.")] = 7,
    teacher_layers: TeacherLayers = 2,
    student_qubits: Annotated[int, typer.Option(min=2, help="Qubits of student (1), behind the autoencoder.")] = 2,
    student_layers: Annotated[int, typer.Option(min=1, help="Layers of student (1).")] = 2,
    thin_layers: Annotated[int, typer.Option(min=1, help="Layers of student (2).")] = 1,
    iterations: Iterations = 50,
    learning_rate: Rate = 0.3,
    temperature: Temperature = 0.5,
    logit_scale: Scale = 30.0,
    teacher_candidates: Candidates = 5,
    teachers: Teachers = 1,
    qae_iterations: Annotated[int, typer.Option(min=1, help="Iterations of the autoencoder.")] = 600,
    qae_candidates: Annotated[int, typer.Option(min=1, help="Autoencoders trained, to choose the best from.")] = 1,
    train_size: Annotated[int, typer.Option(min=1, help="Training states.")] = 500,
    test_size: Annotated[int, typer.Option(min=1, help="Test states.")] = 500,
    device: Device = "lightning",
    workers: Workers = 2,
    as_json: Json = False,
) -> None:
    """Train a teacher and distil it into fewer qubits and into fewer layers: the paper's Table 1.

    Each student is trained in three arms from the same initial weights on the same batches: without a teacher, with KD,
    and with scaled cross-entropy, the control. With the defaults this takes less than a minute on two cores. Repeating
    the command resumes it.
    """
    with clear_errors():
        settings = Table1Settings(
            n_qubits=qubits,
            teacher_layers=teacher_layers,
            student_qubits=student_qubits,
            student_layers=student_layers,
            thin_layers=thin_layers,
            iterations=iterations,
            teacher_iterations=iterations,
            learning_rate=learning_rate,
            temperature=temperature,
            logit_scale=logit_scale,
            teacher_candidates=teacher_candidates,
            teachers=teachers,
            qae_iterations=qae_iterations,
            qae_candidates=qae_candidates,
            n_train=train_size,
            n_test=test_size,
            device=device,
        )
        where = (seeds, out, workers, None)
        run_experiment("table1", run_table1, settings, where, _plot_table1, format_table1, as_json)


@reproduce.command()
def table1(
    seeds: Seeds = 3,
    data_sets: Annotated[int, typer.Option(min=1, help="Data sets, each with a teacher of its own.")] = 20,
    out: Out = Path("runs/table1"),
    iterations: Annotated[int, typer.Option(min=1, help="Iterations of the students; the paper has 50.")] = 50,
    teachers: Annotated[int, typer.Option(min=1, help="How many of the best of 20 teachers are averaged.")] = 1,
    device: Device = "lightning",
    workers: Workers = 2,
    dask: Dask = None,
    as_json: Json = False,
) -> None:
    """Table 1 with the settings of the README; --iterations 300 --teachers 5 is its second part.

    Every data set counts once, by the mean over its seeds, so that the intervals are over data, teachers and
    autoencoders.
    """
    with clear_errors():
        settings = Table1Settings(iterations=iterations, teachers=teachers, device=device)
        run = partial(run_over_data_sets, data_sets=data_sets)
        where = (seeds, out, workers, dask)
        run_experiment("table1", run, settings, where, _plot_table1, format_data_sets, as_json)


def _plot_table1(summary: Mapping[str, Any]) -> Figure:
    labels = {"few_qubits": "student (1): fewer qubits", "few_layers": "student (2): fewer layers"}
    students = {labels[student]: arms for student, arms in summary["students"].items()}
    return plot_arms(students, summary["teacher"]["test_accuracy"])
