"""The notebooks in ``tutorials/`` as pages, with their committed outputs, and the gallery that shows them."""

import base64
import re
from pathlib import Path
from typing import Any

import nbformat
from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]


def write_pages(app: Sphinx) -> None:
    """Write a page for each notebook and the gallery; nothing is run."""
    folder = Path(app.srcdir, "generated", "tutorials")
    folder.mkdir(parents=True, exist_ok=True)
    cards, names = [], []
    for path in sorted((ROOT / "tutorials").glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        link = f"{app.config.REPOSITORY}/blob/main/tutorials/{path.name}"
        page = Page(folder, path.stem)
        for cell in notebook.cells:
            page.add(cell)
        title, rest = page.parts[0].split("\n", 1)
        page.parts[0] = f"{title}\n\n*[This page as a notebook]({link}).*\n{rest}"
        (folder / f"{path.stem}.md").write_text("\n\n".join(page.parts) + "\n", encoding="utf-8")
        cards.append(_card(path.stem, title.lstrip("# "), rest.strip().split("\n\n")[0], page.images[-1]))
        names.append(path.stem)
    (folder / "index.md").write_text(_GALLERY.format(cards="\n".join(cards), names="\n".join(names)), encoding="utf-8")


class Page:
    """A notebook on its way to Markdown; its images go to files beside it."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.parts: list[str] = []
        self.images: list[str] = []

    def add(self, cell: Any) -> None:
        """Add a cell and what it gave."""
        if cell.cell_type == "markdown":
            self.parts.append(cell.source)
            return
        self.parts.append(f"```python\n{cell.source}\n```")
        for output in cell.outputs:
            data = output.get("data", {})
            if "image/png" in data:
                self._add_image(data["image/png"])
            elif text := output.get("text", data.get("text/plain", "")):
                self.parts.append(f"```text\n{text.rstrip()}\n```")

    def _add_image(self, encoded: str) -> None:
        name = f"{self.name}-{len(self.images) + 1}.png"
        (self.folder / name).write_bytes(base64.b64decode(encoded))
        self.images.append(name)
        self.parts.append(f"![Output of the cell above]({name})")


def _card(name: str, title: str, text: str, image: str) -> str:
    first = re.split(r"(?<=\.)\s", " ".join(text.split()))[0]
    return (
        f"::::{{container}} card\n:::{{image}} {image}\n:target: {name}.html\n:alt: {title}\n:::\n\n"
        f"[{title}]({name}.md)\n\n{first}\n::::\n"
    )


_GALLERY = """# Tutorials

Notebooks that run in under two minutes each; every figure is the output of the code on its page. They are in the folder
`tutorials/` of the repository: `pip install '.[tutorials]'`, then `jupyter lab tutorials`.

:::::{{container}} gallery
{cards}
:::::

```{{toctree}}
:hidden:

{names}
```
"""


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True}
