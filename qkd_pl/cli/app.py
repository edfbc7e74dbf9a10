"""The command ``qkd-pl``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from qkd_pl import __version__
from qkd_pl.cli import distill_command, job_commands, search_command
from qkd_pl.cli.console import Json, clear_errors
from qkd_pl.devices.registry import load_devices
from qkd_pl.devices.spec import DeviceSpec

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
app.add_typer(distill_command.app)
app.add_typer(job_commands.app)
app.add_typer(search_command.app)


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
    """List the devices of the registry.

    Wherever a device is asked for, it can also be an installed PennyLane
    plugin (default.qubit), which is exact; or aer, or a simulated IBM device
    (fake_torino), with 4096 shots.

    In Python, it can be any PennyLane device, or be written in place:
    `kd.DeviceSpec(name="mine", plugin="qkd.ibm", options={"backend": "aer"})`

    Hardware needs an entry with max_qpu_seconds, its limit for a job.
    """
    with clear_errors():
        registry = load_devices(path)
    if as_json:
        entries = {name: spec.to_json() | {"hardware": spec.runs_on_hardware} for name, spec in registry.items()}
        print(json.dumps({"path": str(registry.path), "default": registry.default, "devices": entries}, indent=1))
        return
    print(f"{registry.path}, default: {registry.default}")
    rows = [("name", "plugin", "backend", "shots", "gradient", "runs on"), *map(_row, registry.values())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def _row(spec: DeviceSpec) -> tuple[str, ...]:
    backend = "" if spec.backend is None else str(spec.to_json()["options"].get("backend", spec.backend))
    shots = "exact" if spec.shots is None else str(spec.shots)
    place = f"hardware, ≤ {spec.max_qpu_seconds:g} s a job" if spec.runs_on_hardware else "this machine"
    return spec.name, spec.plugin, backend, shots, spec.diff_method, place
