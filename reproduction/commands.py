"""The commands ``qkd-pl reproduce figure4``, ``figure5``, ``figure6`` and ``dark-knowledge``."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, cast, get_args

import typer
from matplotlib.figure import Figure

from qkd_pl.cli.console import Json, clear_errors
from qkd_pl.devices.registry import load_devices
from qkd_pl.errors import InvalidInputError
from qkd_pl.storage import atomic_path
from reproduction.candidates import TeacherKind
from reproduction.claims import DARK_KNOWLEDGE, read_summaries, results_page
from reproduction.cluster import dask_cluster
from reproduction.dark_knowledge import PROBLEMS, format_dark_knowledge, run_dark_knowledge
from reproduction.depth import format_depth, run_depth
from reproduction.figure4 import Figure4Settings
from reproduction.figure5 import Figure5Settings
from reproduction.figure6 import Figure6Settings, format_figure6, run_figure6
from reproduction.figures import plot_curves, plot_dark_knowledge, plot_dark_knowledge_gains, plot_depths

app = typer.Typer()

Seeds = Annotated[int, typer.Option(min=1, help="Runs of each arm of each student.")]
Out = Annotated[Path, typer.Option(help="Where models, raw results and the figure are stored; reused to resume.")]
Workers = Annotated[int, typer.Option(min=1, help="Processes.")]
Dask = Annotated[
    str | None,
    typer.Option(
        "--dask",
        metavar="ADDRESS",
        help="Run on the Dask cluster with this scheduler instead, for example tcp://10.0.0.1:8786; its machines need "
        "a file system in common.",
    ),
]
Device = Annotated[str, typer.Option(help="Device to train on, a name in devices.yaml.")]
Qubits = Annotated[int, typer.Option(min=2, help="Qubits of teacher and students.")]
Layers = Annotated[str, typer.Option(help="Layers of the students, separated by commas.")]
TeacherLayers = Annotated[int, typer.Option(min=1, help="Layers of the teacher.")]
Candidates = Annotated[int, typer.Option(min=1, help="Teachers trained, to choose the best from.")]
Teachers = Annotated[int, typer.Option(min=1, help="How many of the best teachers are averaged.")]
Iterations = Annotated[int, typer.Option(min=1, help="Iterations of teachers and students.")]
Rate = Annotated[float, typer.Option(help="Adam's step size, in radians.")]
Temperature = Annotated[float, typer.Option(help="Temperature T of the KD loss.")]
Scale = Annotated[float, typer.Option(help="Logit scale s of teachers and of the control arm.")]
TrainSize = Annotated[int | None, typer.Option(min=1, help="Only the first so many training images.")]
TestSize = Annotated[int | None, typer.Option(min=1, help="Only the first so many test images.")]
Kind = Annotated[str, typer.Option("--teacher", help="qnn, or mlp: a classical network that sees the images.")]


@app.command()
def figure4(
    seeds: Seeds = 10,
    out: Out = Path("runs/figure4"),
    qubits: Qubits = 15,
    layers: Layers = "1,2,3",
    teacher_layers: TeacherLayers = 10,
    teacher_candidates: Candidates = 3,
    teachers: Teachers = 1,
    iterations: Iterations = 50,
    learning_rate: Rate = 0.3,
    temperature: Temperature = 0.5,
    logit_scale: Scale = 10.0,
    train_size: Annotated[int, typer.Option(min=1, help="Training states.")] = 500,
    test_size: Annotated[int, typer.Option(min=1, help="Test states.")] = 500,
    device: Device = "lightning",
    workers: Workers = 2,
    dask: Dask = None,
    as_json: Json = False,
) -> None:
    """Figure 4: phases of a 15-qubit chain, students of one to three layers.

    After data and teachers (about five minutes), a seed takes about half a minute on two cores. Repeating the command
    resumes it, and adds seeds.
    """
    with clear_errors():
        settings = Figure4Settings(
            n_qubits=qubits,
            student_layers=_layers(layers),
            teacher_layers=teacher_layers,
            teacher_candidates=teacher_candidates,
            teachers=teachers,
            iterations=iterations,
            teacher_iterations=iterations,
            learning_rate=learning_rate,
            temperature=temperature,
            logit_scale=logit_scale,
            n_train=train_size,
            n_test=test_size,
            device=device,
        )
        run_experiment("figure4", run_depth, settings, (seeds, out, workers, dask), plot_depths, format_depth, as_json)


@app.command()
def figure5(
    seeds: Seeds = 5,
    out: Out = Path("runs/figure5"),
    qubits: Qubits = 15,
    layers: Layers = "4,5,6,7,8",
    teacher: Kind = "qnn",
    teacher_layers: TeacherLayers = 10,
    teacher_candidates: Candidates = 1,
    teachers: Teachers = 1,
    iterations: Iterations = 350,
    learning_rate: Rate = 0.1,
    temperature: Temperature = 0.1,
    logit_scale: Scale = 10.0,
    train_size: TrainSize = None,
    test_size: TestSize = None,
    device: Device = "lightning",
    workers: Workers = 2,
    dask: Dask = None,
    as_json: Json = False,
) -> None:
    """Figure 5: MNIST digits 1 and 5 as bits of 15 principal components, students of four to eight layers.

    After the teacher (about three minutes), a seed takes about eight minutes on two cores, of which depths 4 to 6,
    whose outputs depend on 10 to 14 qubits only, take two. Repeating the command resumes it, and adds seeds.
    """
    with clear_errors():
        settings = Figure5Settings(
            n_qubits=qubits,
            student_layers=_layers(layers),
            teacher=_kind(teacher),
            teacher_layers=teacher_layers,
            teacher_candidates=teacher_candidates,
            teachers=teachers,
            iterations=iterations,
            teacher_iterations=iterations,
            learning_rate=learning_rate,
            temperature=temperature,
            logit_scale=logit_scale,
            n_train=train_size,
            n_test=test_size,
            device=device,
        )
        run_experiment("figure5", run_depth, settings, (seeds, out, workers, dask), plot_depths, format_depth, as_json)


@app.command()
def figure6(
    seeds: Seeds = 5,
    out: Out = Path("runs/figure6"),
    layers: Annotated[int, typer.Option(min=1, help="Layers of teacher and students.")] = 4,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of teacher and students.")] = 31,
    teacher: Kind = "qnn",
    teacher_candidates: Candidates = 1,
    teachers: Teachers = 1,
    learning_rate: Rate = 0.03,
    temperature: Temperature = 1 / 30,
    alpha: Annotated[float, typer.Option(min=0, max=1, help="Weight α of the teacher in the KD loss.")] = 0.5,
    logit_scale: Scale = 30.0,
    train_size: TrainSize = None,
    test_size: TestSize = None,
    device: Device = "lightning",
    workers: Workers = 2,
    dask: Dask = None,
    as_json: Json = False,
) -> None:
    """Figure 6: all ten digits in the amplitudes of 10 qubits, a teacher and students of the same size.

    After the teacher (about five minutes), a seed takes about seven minutes on two cores. Repeating the command resumes
    it, and adds seeds.
    """
    with clear_errors():
        settings = Figure6Settings(
            n_layers=layers,
            epochs=epochs,
            teacher=_kind(teacher),
            teacher_candidates=teacher_candidates,
            teachers=teachers,
            learning_rate=learning_rate,
            temperature=temperature,
            alpha=alpha,
            logit_scale=logit_scale,
            n_train=train_size,
            n_test=test_size,
            device=device,
        )
        where = (seeds, out, workers, dask)
        run_experiment("figure6", run_figure6, settings, where, plot_curves, format_figure6, as_json)


@app.command("dark-knowledge")
def dark_knowledge(
    seeds: Seeds = 10,
    out: Out = Path("runs/dark-knowledge"),
    experiment: Annotated[str, typer.Option(help=f"The problem: {', '.join(PROBLEMS)}.")] = "table1",
    teacher_candidates: Annotated[int | None, typer.Option(min=1, help="Teachers trained for each quality.")] = None,
    device: Device = "lightning",
    workers: Workers = 2,
    dask: Dask = None,
    as_json: Json = False,
) -> None:
    """What KD adds to the best logit scale, against the temperature and the teacher's quality.

    For Table 1's student (2), after the teachers (about ten seconds), a seed takes about two seconds on two cores;
    for figure4 to figure6, one to two minutes after five to ten. Repeating the command resumes it, and adds seeds.
    """
    with clear_errors():
        if experiment not in PROBLEMS:
            raise InvalidInputError(f"--experiment {experiment}: must be one of {', '.join(PROBLEMS)}")
        settings = PROBLEMS[experiment]
        settings = replace(settings, problem=replace(settings.problem, device=device))
        if teacher_candidates is not None:
            settings = replace(settings, teacher_candidates=teacher_candidates)
        where = (seeds, out, workers, dask)
        run_experiment(
            "dark-knowledge",
            run_dark_knowledge,
            settings,
            where,
            plot_dark_knowledge,
            format_dark_knowledge,
            as_json,
        )


@app.command()
def claims(
    results: Annotated[Path, typer.Option(help="Holds one directory of results per experiment.")] = Path("results"),
) -> None:
    """Write README.md in the directory of results: the paper's claims, our figures, and a verdict on each.

    The figure beside it, dark-knowledge.png, shows for all experiments when KD adds to a good logit scale.
    """
    with clear_errors():
        summaries = read_summaries(results)
        if not summaries:
            raise InvalidInputError(f"{results}: no results; expected directories such as table1 with a summary.json")
        with atomic_path(results / "README.md") as temporary:
            temporary.write_text(results_page(summaries), encoding="utf-8")
        dark_knowledge = {title: summaries[name] for name, title in DARK_KNOWLEDGE.items() if name in summaries}
        if dark_knowledge:
            with atomic_path(results / "dark-knowledge.png") as temporary:
                plot_dark_knowledge_gains(dark_knowledge).savefig(temporary, dpi=150)
    print(f"{results / 'README.md'}: {len(summaries)} experiments")


def run_experiment(
    name: str,
    experiment: Callable[..., dict[str, Any]],
    settings: Any,
    where: tuple[int, Path, int, str | None],
    plot: Callable[[Mapping[str, Any]], Figure],
    describe: Callable[[Mapping[str, Any]], str],
    as_json: bool,
) -> None:
    """Run or resume an experiment, draw its figure beside its results, and print its summary.

    Args:
        name: of the figure's file.
        experiment, settings: what is run.
        where: seeds, directory of the results, worker processes, and address of a Dask scheduler or None.
        plot, describe: from the summary to the figure and the text.
        as_json: print the summary itself instead.
    """
    seeds, out, workers, dask = where
    load_devices()[settings.device]
    with dask_cluster(dask):
        summary = experiment(settings, seeds, out, workers=workers)
    plot(summary).savefig(out / f"{name}.png", dpi=150)
    if as_json:
        print(json.dumps(summary, indent=1))
        return
    print(f"{describe(summary)}\n\nmodels, raw results, summary.json and {name}.png are in {out}")


def _layers(text: str) -> tuple[int, ...]:
    try:
        layers = tuple(int(part) for part in text.split(","))
    except ValueError:
        layers = ()
    if not layers or min(layers) < 1 or len(set(layers)) != len(layers):
        raise InvalidInputError(f"--layers {text}: expected different positive integers separated by commas")
    return layers


def _kind(text: str) -> TeacherKind:
    if text not in get_args(TeacherKind):
        raise InvalidInputError(f"--teacher {text}: must be one of {', '.join(get_args(TeacherKind))}")
    return cast(TeacherKind, text)
