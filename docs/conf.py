"""Configuration of the documentation: ``sphinx-build -W --keep-going -n docs docs/_build``."""

import logging
import sys
import urllib.request
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "extensions"))
logging.getLogger("qiskit").setLevel(logging.WARNING)  # it reports every pass of the transpiler otherwise

REPOSITORY = "https://github.com/qkd-pl/qkd_pl"
INVENTORIES = {
    "pennylane": "https://docs.pennylane.ai/en/stable/",
    "sklearn": "https://scikit-learn.org/stable/",
    "numpy": "https://numpy.org/doc/stable/",
    "qiskit": "https://quantum.cloud.ibm.com/docs/api/qiskit/",
}


def is_reachable(address: str) -> bool:
    """Whether an inventory can be read just now: without a network the site is built without links to others."""
    try:
        with urllib.request.urlopen(f"{address}objects.inv", timeout=5) as answer:
            return answer.status == 200
    except (OSError, ValueError):
        return False


project = "qkd_pl"
author = "The qkd_pl developers"
project_copyright = f"{author}, Apache 2.0"
version = release = installed_version("qkd-pl")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "myst_parser",
    "command_pages",
    "docstrings",
    "public_api",
    "repository_links",
    "tutorial_pages",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"qkd_pl {version}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_theme_options = {"top_of_page_buttons": []}

add_module_names = False
autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
maximum_signature_line_length = 80
napoleon_numpy_docstring = False
napoleon_use_ivar = True
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

intersphinx_mapping = {name: (place, None) for name, place in INVENTORIES.items() if is_reachable(place)}
# References within the package must resolve; those to others stay plain text where their inventory is out of reach.
nitpick_ignore_regex = [("py:.*", r"(?!qkd_pl\.).*")]
