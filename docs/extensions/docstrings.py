"""Docstrings as reStructuredText reads them."""

import re
from typing import Any

from sphinx.application import Sphinx

_SCIKIT_LEARN = r"set_\w+_request|get_metadata_routing"
_COLON = "\ue000"  # of Unicode's private use


def escape_kets(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Keep reStructuredText from taking |0⟩⟨0| for a substitution; code stays as it is."""
    for index, line in enumerate(lines):
        if not re.match(r"\s*(>>>|\.\.\.)", line):
            parts = line.split("``")
            parts[::2] = [part.replace("|", "\\|") for part in parts[::2]]
            lines[index] = "``".join(parts)


def prepare(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Write ``a, b: text`` as two entries, and hide from napoleon the colons of properties, which end no type."""
    if what in ("property", "attribute", "data"):
        lines[:] = [line.replace(":", _COLON) for line in lines]
        return
    result: list[str] = []
    index = 0
    while index < len(lines):
        match = re.match(r"(\s+)(\w+(?:, \w+)+): (\S.*)", lines[index])
        index += 1
        if not match:
            result.append(lines[index - 1])
            continue
        indent, names, text = match.groups()
        rest = []
        while index < len(lines) and lines[index].startswith(f"{indent} "):
            rest.append(lines[index])
            index += 1
        for each in names.split(", "):
            result += [f"{indent}{each}: {text}", *rest]
    lines[:] = result


def restore_colons(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Undo what :func:`prepare` did to properties."""
    lines[:] = [line.replace(_COLON, ":") for line in lines]


def skip_member(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Leave out the methods that scikit-learn generates, whose documentation is its own."""
    return True if re.fullmatch(_SCIKIT_LEARN, name) else None


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", prepare, priority=400)  # napoleon has 500
    app.connect("autodoc-process-docstring", restore_colons, priority=600)
    app.connect("autodoc-process-docstring", escape_kets, priority=600)
    app.connect("autodoc-skip-member", skip_member)
    return {"parallel_read_safe": True}
