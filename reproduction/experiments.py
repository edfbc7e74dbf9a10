"""The experiments by the names of their commands: settings, run, text and figure of each."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from qkd_pl.checks import check_count
from qkd_pl.devices.registry import resolve_device
from qkd_pl.errors import FileFormatError, InvalidInputError
from qkd_pl.schema import parsed
from qkd_pl.storage import atomic_path
from reproduction.cluster import dask_cluster
from reproduction.dark_knowledge import DarkKnowledgeOptions, format_dark_knowledge, run_dark_knowledge
from reproduction.data_sets import DataSetsSettings, format_data_sets, run_over_data_sets
from reproduction.depth import format_depth, run_depth
from reproduction.depth_figures import plot_device_depth
from reproduction.device_depth import DeviceDepthSettings, format_device_depth, run_device_depth
from reproduction.device_figures import plot_device_images, plot_noisy_teacher, plot_shots_scale
from reproduction.device_images import DeviceImagesSettings, format_device_images, run_device_images
from reproduction.few_labels import FewLabelsSettings, format_few_labels, run_few_labels
from reproduction.figure4 import Figure4Settings
from reproduction.figure5 import Figure5Settings
from reproduction.figure6 import Figure6Settings, format_figure6, run_figure6
from reproduction.figures import plot_curves, plot_dark_knowledge, plot_depths, plot_table1
from reproduction.function import FunctionSettings, format_function, run_function
from reproduction.noisy_teacher import NoisyTeacherSettings, format_noisy_teacher, run_noisy_teacher
from reproduction.options import changed, from_json, to_arguments
from reproduction.pays_figures import plot_few_labels, plot_function, plot_regression, plot_which_loss
from reproduction.regression import RegressionSettings, format_regression, run_regression
from reproduction.results import Results
from reproduction.results_schema import RunLine
from reproduction.shots_scale import ShotsScaleSettings, format_shots_scale, run_shots_scale
from reproduction.which_loss import WhichLossSettings, format_which_loss, run_which_loss

Summary = dict[str, Any]
DPI = 120


@dataclass(frozen=True)
class Experiment:
    """One experiment.

    Attributes:
        settings: dataclass of everything that the results depend on, except the number of seeds.
        seeds: how many by default.
        run: from settings, seeds and results to the summary.
        describe, plot: from the summary to text and figure.
        folder: of its raw results by default, in ``results``.
    """

    settings: type
    seeds: int
    run: Callable[..., Summary]
    describe: Callable[[Mapping[str, Any]], str]
    plot: Callable[[Mapping[str, Any]], Figure]
    folder: str = ""


def _run_dark_knowledge(options: DarkKnowledgeOptions, *rest: Any, **settings: Any) -> Summary:
    return run_dark_knowledge(options.to_settings(), *rest, **settings)


EXPERIMENTS = {
    "table1": Experiment(DataSetsSettings, 3, run_over_data_sets, format_data_sets, plot_table1),
    "dark-knowledge": Experiment(
        DarkKnowledgeOptions, 10, _run_dark_knowledge, format_dark_knowledge, plot_dark_knowledge
    ),
    "figure4": Experiment(Figure4Settings, 10, run_depth, format_depth, plot_depths),
    "figure5": Experiment(Figure5Settings, 5, run_depth, format_depth, plot_depths),
    "figure6": Experiment(Figure6Settings, 5, run_figure6, format_figure6, plot_curves),
    "few-labels": Experiment(FewLabelsSettings, 20, run_few_labels, format_few_labels, plot_few_labels),
    "regression": Experiment(RegressionSettings, 10, run_regression, format_regression, plot_regression),
    "which-loss": Experiment(WhichLossSettings, 10, run_which_loss, format_which_loss, plot_which_loss),
    "function": Experiment(FunctionSettings, 20, run_function, format_function, plot_function),
    "noisy-teacher": Experiment(
        NoisyTeacherSettings, 1, run_noisy_teacher, format_noisy_teacher, plot_noisy_teacher, "devices"
    ),
    "device-depth": Experiment(
        DeviceDepthSettings, 2, run_device_depth, format_device_depth, plot_device_depth, "devices"
    ),
    "device-images": Experiment(
        DeviceImagesSettings, 3, run_device_images, format_device_images, plot_device_images, "devices"
    ),
    "shots-scale": Experiment(ShotsScaleSettings, 20, run_shots_scale, format_shots_scale, plot_shots_scale, "devices"),
}


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What all experiments share.

    Attributes:
        seeds: runs of each arm of each student.
        out: raw results are in OUT.jsonl, and are not computed again; the figure is OUT.png and OUT.pdf; models and
            checkpoints are in the folder OUT.
        workers: processes.
        dask: run on the Dask cluster with this scheduler instead, for example tcp://10.0.0.1:8786; its machines need a
            file system in common.
        json: print the summary as JSON, for scripts, instead of text.
    """

    seeds: int
    out: Path
    workers: int = 2
    dask: str | None = None
    json: bool = False

    def __post_init__(self) -> None:
        check_count("seeds", self.seeds)
        check_count("workers", self.workers)


def run_experiment(name: str, settings: Any, options: RunOptions) -> None:
    """Run or resume an experiment, draw its figure beside its results, and print its summary."""
    experiment = EXPERIMENTS[name]
    resolve_device(settings.device)  # an unknown name is refused before anything is made
    results = Results(options.out, describe_run(name, settings, options.seeds))
    with dask_cluster(options.dask):
        summary = experiment.run(settings, options.seeds, results, workers=options.workers)
    save_figure(name, summary, options.out)
    if options.json:
        print(json.dumps(summary, indent=1))
        return
    print(f"{experiment.describe(summary)}\n\nraw results and figure: {options.out}.jsonl and .png")


def describe_run(name: str, settings: Any, seeds: int) -> dict[str, Any]:
    """JSON-able: all that :func:`stored_summary` needs to compute the summary again from raw results."""
    return {"experiment": name, "settings": changed(settings), "seeds": seeds}


@dataclass(frozen=True)
class StoredRun:
    """What a file of raw results says.

    Attributes:
        experiment: its name.
        command: that computes the results.
        summary: of the results.
    """

    experiment: str
    command: str
    summary: Summary


def stored_run(file: Path) -> StoredRun:
    """The summary of what is in a file of raw results; nothing is computed.

    Raises:
        FileFormatError: the file does not say of which run it is.
        InvalidInputError: results are missing.
    """
    results = Results(file.with_suffix(""), is_frozen=True)
    run = parsed(RunLine, results.run or {}, f"{file}: the first line must name the experiment")
    if run.experiment not in EXPERIMENTS:
        raise FileFormatError(f"{file}: the first line must name the experiment, one of {', '.join(EXPERIMENTS)}")
    experiment = EXPERIMENTS[run.experiment]
    for name, count in {**run.settings, "seeds": run.seeds}.items():
        if (name == "seeds" or name.endswith("candidates")) and isinstance(count, int) and count > len(results.records):
            raise FileFormatError(f"{file}: {name}={count}: more than the {len(results.records)} results")
    try:
        settings = from_json(experiment.settings, run.settings)
    except InvalidInputError as error:
        raise FileFormatError(f"{file}: {error!s:.1000}") from None
    options = f"{to_arguments(settings)} --seeds {run.seeds}".strip()
    summary = experiment.run(settings, run.seeds, results)
    return StoredRun(run.experiment, f"python -m reproduction {run.experiment} {options}", summary)


def save_figure(name: str, summary: Mapping[str, Any], out: Path) -> None:
    """Draw the figure of an experiment to ``<out>.png`` and, for print, ``<out>.pdf``."""
    save(EXPERIMENTS[name].plot(summary), out)


def save(figure: Figure, out: Path, kinds: Sequence[str] = ("png", "pdf")) -> None:
    """A figure in some kinds of file, as curves and text where the kind allows; without dates and random names."""
    with rc_context({"svg.hashsalt": out.name, "svg.fonttype": "none", "pdf.fonttype": 42}):
        for kind in kinds:
            metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind, {})
            with atomic_path(out.with_name(f"{out.name}.{kind}")) as temporary:
                figure.savefig(temporary, format=kind, dpi=DPI, metadata=metadata)
