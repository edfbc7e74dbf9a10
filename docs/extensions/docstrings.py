"""Docstrings as reStructuredText reads them."""

import re
from typing import Any

from sphinx.application import Sphinx

_SCIKIT_LEARN = r"set_\w+_request|get_metadata_routing"


def escape_kets(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Keep reStructuredText from taking |0⟩⟨0| for a substitution; code stays as it is."""
    for index, line in enumerate(lines):
        if not re.match(r"\s*(>>>|\.\.\.)", line):
            parts = line.split("``")
            parts[::2] = [part.replace("|", "\\|") for part in parts[::2]]
            lines[index] = "``".join(parts)


def skip_member(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Leave out the methods that scikit-learn generates, whose documentation is its own."""
    return True if re.fullmatch(_SCIKIT_LEARN, name) else None


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", escape_kets)
    app.connect("autodoc-skip-member", skip_member)
    return {"parallel_read_safe": True}
