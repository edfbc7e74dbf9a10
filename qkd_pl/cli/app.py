"""The command ``qkd-pl``; what is heavy is imported by the commands that need it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qkd_pl import __version__
from qkd_pl.cli import distill_command, job_commands
from qkd_pl.cli.console import Json, clear_errors

if TYPE_CHECKING:
    from qkd_pl.devices.registry import DeviceSpec

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
app.add_typer(distill_command.app)
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
    from qkd_pl.devices.registry import load_devices

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


def _dump(registry: Any) -> "dict[str, dict[str, DeviceSpec]]":
    return {"devices": {name: spec.model_dump() for name, spec in registry.items()}}
