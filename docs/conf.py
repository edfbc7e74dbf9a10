"""Configuration of the documentation: ``sphinx-build -W --keep-going -n docs docs/_build``."""

import logging
import re
from importlib.metadata import version as installed_version
from typing import Any

from sphinx.application import Sphinx

logging.getLogger("qiskit").setLevel(logging.WARNING)  # it reports every pass of the transpiler otherwise

project = "qkd_pl"
author = "The qkd_pl developers"
version = release = installed_version("qkd-pl")

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "myst_parser"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "qkd_pl"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 2

# References within the package must resolve; those to others stay plain text, so that building needs no network.
nitpick_ignore_regex = [("py:.*", r"(?!qkd_pl\.).*")]

_SCIKIT_LEARN = r"set_\w+_request"


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


def plain_file_links(app: Sphinx, relative_path: Any, parent: str, content: list[str]) -> None:
    """Of the README's links and images of files in the repository, which the site lacks, keep the text."""
    content[0] = re.sub(r"!?\[([^\]]+)\]\((?!https?:)[^)]+\)", r"\1", content[0])


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("include-read", plain_file_links)
    app.connect("autodoc-process-docstring", escape_kets)
    app.connect("autodoc-skip-member", skip_member)
