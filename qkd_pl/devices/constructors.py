"""What a device's constructor takes, read from its source: nothing is imported, which would take seconds."""

import ast
from functools import cache
from importlib.abc import InspectLoader
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec, resolve_name


@cache
def read_keywords(module: str, name: str) -> frozenset[str] | None:
    """Names of all arguments of a class's constructor and, where it passes them on, of its parents'.

    Of several definitions of a name the first counts, and of several parents the first.

    Args:
        module: where the class is defined, or imported by ``from … import``.
        name: of the class.

    Returns:
        the names; None where the source does not tell, for example of a compiled class, of a broken module, or of a
        constructor that itself does something with further arguments, such as keep them for a simulator.

    Example:
        >>> "width" in (read_keywords("textwrap", "TextWrapper") or ())
        True
    """
    try:
        return _read(module, name)
    except (SyntaxError, ValueError, ImportError, RecursionError):  # of others' code; importing it would tell, too
        return None


def _read(module: str, name: str) -> frozenset[str] | None:
    spec = _found(module)
    if spec is None or not isinstance(spec.loader, InspectLoader) or (source := spec.loader.get_source(module)) is None:
        return None
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return _of_class(node, module)
        if isinstance(node, ast.ImportFrom):
            for each in node.names:
                if (each.asname or each.name) == name:
                    package = module if spec.submodule_search_locations else module.rpartition(".")[0]
                    return _read(resolve_name("." * node.level + (node.module or ""), package), each.name)
    return None


def _of_class(node: ast.ClassDef, module: str) -> frozenset[str] | None:
    own = next((each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"), None)
    taken: frozenset[str] = frozenset()
    if own is not None:
        taken = frozenset(each.arg for each in (*own.args.args, *own.args.kwonlyargs))
        if own.args.kwarg is None:
            return taken
        if not _only_passes_on(own, own.args.kwarg.arg):
            return None
    if not node.bases:
        return taken
    first = node.bases[0]
    inherited = _read(module, first.id) if isinstance(first, ast.Name) else None
    return None if inherited is None else taken | inherited


def _only_passes_on(constructor: ast.FunctionDef, rest: str) -> bool:
    """Whether the further arguments go to the parent's constructor, and nowhere else."""
    passed = {
        id(keyword.value)
        for call in ast.walk(constructor)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "super().__init__"
        for keyword in call.keywords
        if keyword.arg is None
    }
    uses = [id(each) for each in ast.walk(constructor) if isinstance(each, ast.Name) and each.id == rest]
    return bool(uses) and passed.issuperset(uses)


def _found(module: str) -> ModuleSpec | None:
    """Where a module lies; the usual way of asking would import the packages around it."""
    whole, *rest = module.split(".")
    spec = find_spec(whole)
    for each in rest:
        if spec is None or spec.submodule_search_locations is None:
            return None
        whole = f"{whole}.{each}"
        spec = PathFinder.find_spec(whole, spec.submodule_search_locations)
    return spec
