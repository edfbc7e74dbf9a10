"""The command ``qkd-pl distill``: the user's data and teacher, or, without them, the demonstration of the README."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from qkd_pl.cli.console import ANY_DEVICE, Json, clear_errors
from qkd_pl.cli.distill_settings import Demonstration, OwnDistillation
from qkd_pl.errors import InvalidInputError

app = typer.Typer()

_OWN = "Your own data and teacher"
_OWN_NAMES = {each.name for each in fields(OwnDistillation)} - {"device"}


def _own(text: str, **limits: Any) -> Any:
    """An option that goes with ``--data``."""
    return typer.Option(help=text, rich_help_panel=_OWN, **limits)


@app.command("distill")
def distill_command(
    context: typer.Context,
    data: Annotated[
        Path | None, _own("An .npz file with `inputs` (n, …) and, optionally, class indices `labels` (n,).")
    ] = None,
    teacher: Annotated[Path | None, _own("A saved QNN, or its outputs (n, K) for all inputs in an .npy file.")] = None,
    qubits: Annotated[int | None, _own("Qubits of the student; by default the teacher's.", min=1)] = None,
    layers: Annotated[int, _own("Layers of the student.", min=1)] = OwnDistillation.layers,
    embedding: Annotated[
        str | None,
        _own("How inputs enter: state, amplitude, phase, angle or basis; by default the teacher's."),
    ] = None,
    topology: Annotated[
        str, _own("Of the student's entanglers: ring, or line, which takes fewer gates on a device.")
    ] = OwnDistillation.topology,
    iterations: Annotated[int, _own("Updates of the weights.", min=1)] = OwnDistillation.iterations,
    learning_rate: Annotated[
        float, _own("Adam's step size, in radians; times 0.9 every 10 updates.")
    ] = OwnDistillation.learning_rate,
    batch_size: Annotated[int, _own("Samples per update.", min=1)] = OwnDistillation.batch_size,
    temperature: Annotated[
        float | None,
        _own("Temperature T of the KD loss; by default 0.5, or 1/30 for log-probabilities."),
    ] = None,
    alpha: Annotated[float, _own("Weight α of the teacher; 1 needs no labels.", min=0, max=1)] = OwnDistillation.alpha,
    logit_scale: Annotated[float, _own("Logit scale s of the cross-entropy.")] = OwnDistillation.logit_scale,
    test_fraction: Annotated[float, _own("Fraction of samples held out for scores.")] = OwnDistillation.test_fraction,
    seed: Annotated[int, _own("Seed of the split, the initial weights and the batches.", min=0)] = OwnDistillation.seed,
    seeds: Annotated[int, typer.Option(min=1, help="Runs per arm, of the demonstration.")] = Demonstration.seeds,
    device: Annotated[str, typer.Option(help=f"Where to train: {ANY_DEVICE}.")] = Demonstration.device,
    out: Annotated[Path, typer.Option(help="Folder of models and checkpoints.")] = Path("runs/distill"),
    as_json: Json = False,
) -> None:
    """Distil your own data and teacher into a student, or, without --data, show distillation on quantum phases.

    The demonstration trains a teacher of 7 qubits and distils it into 2 qubits
    behind an autoencoder, and into 1 layer, beside the same students without a
    teacher and with cross-entropy on scaled logits. It takes half a minute.
    Repeating a command resumes it.
    """
    given = {name: value for name, value in context.params.items() if _is_given(context, name)}
    own = {name: value for name, value in given.items() if name in _OWN_NAMES}
    with clear_errors():
        _check_together(own, given.get("seeds"))
        report, text = (
            _distil_own(own | {"device": device}, out) if own else _demonstrate(given.get("seeds"), device, out)
        )
    print(json.dumps(report, indent=1) if as_json else text)


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"  # the enumeration is Click's own, or Typer's copy of it


def _check_together(given: dict[str, Any], seeds: int | None) -> None:
    """Refuse options of the demonstration and of own data together, and half of a pair."""
    if given and (missing := [name for name in ("data", "teacher") if name not in given]):
        others = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise InvalidInputError(
            f"{others}: needs --{' and --'.join(missing)}; without both, only the demonstration runs"
        )
    if given and seeds is not None:
        raise InvalidInputError(f"--seeds {seeds}: belongs to the demonstration; with --data there is --seed")


def _distil_own(given: dict[str, Any], out: Path) -> tuple[dict[str, Any], str]:
    from qkd_pl.cli.distill_data import distil_own, format_own

    report = distil_own(OwnDistillation(**given), out)
    return report, format_own(report)


def _demonstrate(seeds: int | None, device: str, out: Path) -> tuple[dict[str, Any], str]:
    from qkd_pl.cli.distill_demonstration import demonstrate, format_demonstration

    chosen = {} if seeds is None else {"seeds": seeds}
    report = demonstrate(Demonstration(**chosen, device=device), out)
    return report, format_demonstration(report)
