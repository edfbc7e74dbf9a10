"""The page of the command line, generated from the commands themselves."""

import re
from pathlib import Path
from typing import Any

import click
import typer
from sphinx.application import Sphinx

from qkd_pl.cli.app import app as command_line


def write_page(app: Sphinx) -> None:
    """Write the page from the commands and the help texts of their options."""
    command: Any = typer.main.get_command(command_line)
    parts = [
        "# Command line",
        _code("qkd-pl [OPTIONS] COMMAND …"),
        _sentences(command.help),
        *_options(command, "qkd-pl"),
    ]
    for name, each in sorted(command.commands.items()):
        parts += [f"## qkd-pl {name}", _code(_usage(each, f"qkd-pl {name}")), _sentences(each.help)]
        parts += _options(each, f"qkd-pl {name}")
    path = Path(app.srcdir, "generated", "commands.md")
    path.parent.mkdir(exist_ok=True)
    text = "\n\n".join(parts) + "\n"
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def _code(text: str) -> str:
    return f"```text\n{text}\n```"


def _sentences(text: str | None) -> str:
    return _escaped(re.sub(r"[ \t]*\n[ \t]*(?=\S)", " ", text or "").replace("\n ", "\n\n"))


def _escaped(text: str) -> str:
    """Text as Markdown, with names of options as code."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"(?<!\w)--[a-z][a-z-]*", r"`\g<0>`", part.replace("<", "\\<")) for part in parts[::2]]
    return "".join(f"`{part}`" if index % 2 else part for index, part in enumerate(parts))


def _usage(command: click.Command, name: str) -> str:
    return f"{name} {' '.join(command.collect_usage_pieces(click.Context(command)))}"


def _options(command: click.Command, name: str) -> list[str]:
    """One definition for each argument and option, with its default."""
    context = click.Context(command, info_name=name)
    rows = []
    for parameter in command.params:
        hint = parameter.get_help_record(context)
        if hint is None:
            text = getattr(parameter, "help", "") or ""
            rows.append(f"`{parameter.human_readable_name}`\n: {_escaped(' '.join(text.split()))}")
        else:
            rows.append(f"`{hint[0]}`\n: {_escaped(' '.join(hint[1].split()))}")
    return rows


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("builder-inited", write_page)
    return {"parallel_read_safe": True}
