"""``python -m reproduction``, from the top folder of a clone."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from qkd_pl.cli.console import clear_errors
from reproduction.claims import write_page
from reproduction.experiments import EXPERIMENTS, RunOptions, run_experiment
from reproduction.options import command

app = typer.Typer(
    help="Reproduce the table and figures of arXiv 2603.21586, and our own experiments.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

for name, experiment in EXPERIMENTS.items():
    classes = {"settings": experiment.settings, "options": RunOptions}
    defaults = {"seeds": experiment.seeds, "out": Path("results") / experiment.folder / name}
    app.command(name)(command(partial(run_experiment, name), classes, defaults))


@app.command()
def claims(
    results: Annotated[Path, typer.Option(help="Folder of the raw results, a file for each run.")] = Path("results"),
) -> None:
    """Write README.md and all figures of the results: the paper's claims, what was found, and a verdict on each.

    Nothing is computed but the summaries of the raw results. dark-knowledge-gains.png shows for several experiments
    when KD adds to a good logit scale.
    """
    with clear_errors():
        count = write_page(results)
    print(f"{results / 'README.md'}: {count} runs")


if __name__ == "__main__":
    app(prog_name="python -m reproduction")
