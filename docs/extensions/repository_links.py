"""Links and images of files in the repository that pages include: to the page of the site, or to the repository."""

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

#: Files that have a page of their own on the site.
PAGES = {
    "CHANGELOG.md": "/changelog.md",
    "CONTRIBUTING.md": "/contributing.md",
    "results/README.md": "/results.md",
    "tutorials": "/generated/tutorials/index.md",
}
ROOT = Path(__file__).parents[2]


def target_of(link: str, folder: Path, repository: str) -> str:
    """Where a relative link of a file in ``folder`` leads from a page of the site.

    Raises:
        ExtensionError: there is no such file.
    """
    path, hash_mark, anchor = link.partition("#")
    file = (folder / path).resolve()
    if not file.exists():
        raise ExtensionError(f"{folder}: the link {link} leads nowhere")
    place = file.relative_to(ROOT).as_posix()
    if place.startswith("docs/"):
        return f"/{place.removeprefix('docs/')}{hash_mark}{anchor}"
    if place in PAGES:
        return PAGES[place] + hash_mark + anchor
    return f"{repository}/{'tree' if file.is_dir() else 'blob'}/main/{place}{hash_mark}{anchor}"


def rewrite(app: Sphinx, relative_path: Any, parent: str, content: list[str]) -> None:
    """Rewrite the relative links and images of an included file."""
    folder = Path(app.srcdir, relative_path).resolve().parent
    up = "../" * parent.count("/") + "../"

    def link(match: re.Match) -> str:
        if match["image"]:
            return f"![{match['text']}]({up}{(folder / match['target']).resolve().relative_to(ROOT).as_posix()})"
        return f"[{match['text']}]({target_of(match['target'], folder, app.config.REPOSITORY)})"

    pattern = r"(?P<image>!?)\[(?P<text>[^\]]+)\]\((?!https?:|#|mailto:)(?P<target>[^)]+)\)"
    content[0] = re.sub(pattern, link, content[0])


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_config_value("REPOSITORY", "", "env")
    app.connect("include-read", rewrite)
    return {"parallel_read_safe": True}
