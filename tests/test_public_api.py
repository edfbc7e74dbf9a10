"""What a user may import, and in which direction the modules import each other."""

import ast
import inspect
from pathlib import Path

import pytest

import qkd_pl

ROOT = Path(qkd_pl.__file__).parent
NAMES = {"datasets", "QAE", "QNN", "QNNClassifier", "load_model", "DeviceSpec", "load_devices", "Ensemble", "KDTrainer"}
MODULES = sorted(path for path in ROOT.rglob("*.py"))


def public_names(module) -> set[str]:
    """What a module re-exports by ``import name as name``."""
    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    imports = (node for node in tree.body if isinstance(node, ast.ImportFrom))
    return {alias.asname for node in imports for alias in node.names if alias.asname == alias.name}


def test_the_public_names():
    assert set(qkd_pl.__all__) >= NAMES
    assert len(qkd_pl.__all__) <= 40
    assert {"Dataset", "topological_phases", "ground_states"} <= public_names(qkd_pl.datasets)


@pytest.mark.parametrize("name", ["callbacks", "datasets", "plotting", "schedules", "statistics"])
def test_public_modules_name_what_they_give(name):
    module = getattr(qkd_pl, name)
    for given in module.__all__:
        assert hasattr(module, given), given
    assert public_names(module) <= set(module.__all__)
    foreign = {
        given
        for given in module.__all__
        if not getattr(vars(module)[given], "__module__", "qkd_pl").startswith("qkd_pl")
    }
    assert foreign <= {"Schedule"}, "an alias of types is Python's"


def test_every_public_name_is_documented():
    for name in qkd_pl.__all__:
        assert inspect.getdoc(getattr(qkd_pl, name)), name


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_are_documented_and_of_a_readable_size(path):
    source = path.read_text(encoding="utf-8")
    if source.strip():
        assert ast.get_docstring(ast.parse(source))
    assert source.count("\n") <= 400


def imports_of(path: Path) -> set[str]:
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}


def test_losses_know_no_circuit_and_the_trainer_no_device():
    def internal(name):
        return {module for module in imports_of(ROOT / name) if module.startswith("qkd_pl")}

    for path in (ROOT / "training" / "losses").glob("*.py"):
        others = {module for module in imports_of(path) if module.startswith("qkd_pl")}
        allowed = ("qkd_pl.training.losses", "qkd_pl.training.schedules", "qkd_pl.checks", "qkd_pl.errors")
        others = {module for module in others if not module.startswith(allowed)}
        assert others <= {"qkd_pl.circuits.readout", "qkd_pl.storage"}, path
        assert "pennylane" not in imports_of(path)
    assert internal("errors.py") == set()
    assert internal("storage.py") == {"qkd_pl.bounded", "qkd_pl.errors"}
    assert not {module for module in internal("training/trainer.py") if "lightning" in module or "ibm" in module}
    for path in (ROOT / "devices" / "ibm").rglob("*.py"):
        assert "qkd_pl.training.trainer" not in imports_of(path)


def test_imports_form_no_cycle():
    """A depth-first search over the modules' imports, the package's own __init__ files left out."""
    graph = {}
    for path in MODULES:
        name = ".".join(("qkd_pl", *path.relative_to(ROOT).with_suffix("").parts))
        if path.name != "__init__.py":
            graph[name] = {module for module in imports_of(path) if module != name}
    done: set[str] = set()

    def visit(name, trail):
        assert name not in trail, f"{' → '.join([*trail, name])}"
        if name in graph and name not in done:
            for module in graph[name]:
                visit(module, [*trail, name])
            done.add(name)

    for name in graph:
        visit(name, [])
    assert done == set(graph)


def test_errors_have_one_base_class():
    from qkd_pl import errors

    classes = [value for value in vars(errors).values() if inspect.isclass(value)]
    assert len(classes) > 3
    assert all(issubclass(value, errors.QKDError | UserWarning) for value in classes)
