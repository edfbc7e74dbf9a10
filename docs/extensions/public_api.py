"""Pages of the public names, one each, of the internal modules, and links to them."""

import inspect
import pkgutil
import re
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

import qkd_pl

#: Base classes whose own members are documented elsewhere.
_OTHERS = "BaseModel, BaseEstimator, ClassifierMixin, RegressorMixin"
#: What public functions return: not imported by name, but used by everybody.
RETURNED = (
    "qkd_pl.networks.classification.TrainedQNN",
    "qkd_pl.networks.regression.TrainedRegressor",
    "qkd_pl.networks.compression.TrainedQAE",
    "qkd_pl.devices.ibm.compile.plan.Plan",
    "qkd_pl.devices.ibm.compile.cost.Cost",
    "qkd_pl.devices.ibm.jobs.jobs.Job",
    "qkd_pl.devices.calibration.Calibration",
)
_NO_PAGE = ("qkd_pl.cli", "qkd_pl.upstream", "qkd_pl.__main__")


def public_objects() -> dict[str, Any]:
    """What stands behind each public name."""
    return {name: getattr(qkd_pl, name) for name in qkd_pl.__all__}


def public_places() -> dict[str, str]:
    """From where each public thing is defined to where it is documented."""
    places = {}
    for name, value in public_objects().items():
        if isinstance(value, ModuleType):
            members = {key: member for key, member in vars(value).items() if not key.startswith("_")}
            for key, member in members.items():
                if getattr(member, "__module__", "").startswith(f"{value.__name__}"):
                    places[f"{member.__module__}.{key}"] = f"{value.__name__}.{key}"
        else:
            places[f"{value.__module__}.{name}"] = f"qkd_pl.{name}"
    return places | {name: name for name in RETURNED}


def write_pages(app: Sphinx) -> None:
    """Write the pages from ``qkd_pl.__all__`` and from the modules that there are."""
    folder = Path(app.srcdir, "generated", "api")
    folder.mkdir(parents=True, exist_ok=True)
    rows, returned = [], []
    for name, value in public_objects().items():
        _write(folder / f"{name}.rst", _page(name, value))
        rows.append(_row(f"kd.{name}", name, value))
    for path in RETURNED:
        module, _, name = path.rpartition(".")
        _write(folder / f"{name}.rst", f"{_title(name)}\n{_class(path)}")
        returned.append(_row(name, name, getattr(import_module(module), name)))
    names = [*qkd_pl.__all__, *(path.rpartition(".")[2] for path in RETURNED)]
    tables = {"rows": "\n".join(rows), "returned": "\n".join(returned), "names": "\n   ".join(names)}
    _write(folder / "index.rst", _INDEX.format(**tables))
    packages = _internal_modules()
    for package, modules in packages.items():
        _write(folder / f"{package}.rst", _internals(package, modules))
    _write(folder / "internals.rst", _INTERNALS.format(names="\n   ".join(packages)))


def _write(path: Path, text: str) -> None:
    """Leave an unchanged file as it is, so that Sphinx does not read it again."""
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def _title(text: str) -> str:
    return f"{text}\n{'=' * len(text)}\n"


def _row(title: str, page: str, value: Any) -> str:
    summary = (inspect.getdoc(value) or "").partition("\n\n")[0].replace("\n", " ")
    return f"   * - :doc:`{title} <{page}>`\n     - {summary.replace('|', chr(92) + '|')}"


def _class(path: str) -> str:
    return f".. autoclass:: {path}\n   :members:\n   :inherited-members: {_OTHERS}\n"


def _page(name: str, value: Any) -> str:
    if isinstance(value, ModuleType):
        imported = "   :imported-members:\n" if hasattr(value, "__path__") else ""
        directive = f".. automodule:: {value.__name__}\n   :members:\n{imported}   :exclude-members: ttest_1samp\n"
    elif inspect.isclass(value):
        directive = _class(f"qkd_pl.{name}")
    else:
        directive = f".. autofunction:: qkd_pl.{name}\n"
    return f"{_title(f'kd.{name}')}\n{directive}"


def _internal_modules() -> dict[str, list[str]]:
    """The internal modules, by the package that they are in."""
    public = {value.__name__ for value in public_objects().values() if isinstance(value, ModuleType)}
    found: dict[str, list[str]] = {}
    for module in pkgutil.walk_packages(qkd_pl.__path__, "qkd_pl."):
        if not module.ispkg and module.name not in public and not module.name.startswith(_NO_PAGE):
            found.setdefault(module.name.rpartition(".")[0], []).append(module.name)
    return found


def _internals(package: str, modules: list[str]) -> str:
    places = public_places()
    parts = [_title(package)]
    for module in modules:
        if module in places.values():  # a public function has this name, and is all that the module holds
            continue
        hidden = [place.rpartition(".")[2] for place in places if place.rpartition(".")[0] == module]
        exclude = f"   :exclude-members: {', '.join(hidden)}\n" if hidden else ""
        exclude += "   :ignore-module-all:\n"
        name = module.removeprefix(f"{package}.")
        parts.append(f"{name}\n{'-' * len(name)}\n\n.. automodule:: {module}\n   :members:\n{exclude}")
    return "\n".join(parts)


def link_names(app: Sphinx, doctree: nodes.document) -> None:
    """Make ``kd.QNN`` in a text a link to its page."""
    for node in list(doctree.findall(nodes.literal)):
        match = re.fullmatch(r"kd\.(\w+)((?:\.\w+)*)(\(.*\))?", node.astext())
        if match and match[1] in qkd_pl.__all__ and not isinstance(node.parent, nodes.reference | pending_xref):
            home = getattr(qkd_pl, match[1])
            target = (home.__name__ if isinstance(home, ModuleType) else f"qkd_pl.{match[1]}") + match[2]
            link = pending_xref(
                "", node.deepcopy(), refdomain="py", reftype="obj", reftarget=target, refexplicit=True, refwarn=True
            )
            node.replace_self(link)


def resolve(app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Element) -> nodes.Element | None:
    """Find a name by the place where it is defined; a name that exists and has no page stays plain text."""
    if node.get("refdomain") != "py":
        return None
    domain, target = env.get_domain("py"), node["reftarget"]
    for defined, place in public_places().items():
        if target == defined or target.startswith(f"{defined}."):
            target = place + target.removeprefix(defined)
    if "." not in target or target == node["reftarget"]:
        bare = [name for name in domain.objects if name.endswith(f".{target}")]
        target = bare[0] if len(bare) == 1 else target
    if target in domain.objects:
        return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", target, node, content)
    return content if _exists(target) else None


def _exists(name: str) -> bool:
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            value: Any = import_module(".".join(parts[:length]))
        except ImportError:
            continue
        try:
            for part in parts[length:]:
                value = getattr(value, part)
        except AttributeError:
            return False
        return True
    return False


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("builder-inited", write_pages)
    app.connect("doctree-read", link_names)
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True}


_INDEX = """API
===

Everything public stands at the top level: ``import qkd_pl as kd``. Each name has a page with shapes, dtypes, units,
errors and, mostly, an example.

.. list-table::
   :widths: 30 70
   :class: names

{rows}

What they return
----------------

.. list-table::
   :widths: 30 70
   :class: names

{returned}

.. toctree::
   :hidden:

   {names}
"""
_INTERNALS = """Internals
=========

What the public names are made of: for those who read or change the package. Nothing here is promised to stay.

.. toctree::
   :maxdepth: 1

   {names}
"""
