import subprocess
import sys
from types import ModuleType

import pytest

from qkd_pl.devices.constructors import read_keywords
from qkd_pl.devices.plugins import device_keywords, installed_plugins

NO_OPTIONS = {"self", "wires", "shots"}
MODULE = """
import abc
from textwrap import TextWrapper as Imported
class Plain:
    def __init__(self, a, *, b=1): ...
class Heir(Plain): ...
class Further(Plain, abc.ABC):
    def __init__(self, c, **rest):
        super().__init__(c, **rest)
class Keeping(Plain):
    def __init__(self, c, **rest):
        super().__init__(c, **rest)
        self.rest = rest
class Ignoring(Plain):
    def __init__(self, **rest):
        super().__init__(0)
class Later(Keeping): ...
class Foreign(abc.ABC): ...
class Empty: ...
Bound = Plain
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A package whose import fails, with the classes in a module of it."""
    (tmp_path / "unimportable").mkdir()
    (tmp_path / "unimportable" / "__init__.py").write_text("from .inner import Heir as Renamed\nraise SystemError\n")
    (tmp_path / "unimportable" / "inner.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    read_keywords.cache_clear()
    return "unimportable.inner"


#: Their constructors hand further arguments to a simulator.
KEEPING = {"default.tensor", "qiskit.aer", "qiskit.basicsim", "qiskit.remote"}


@pytest.mark.parametrize("plugin", sorted(KEEPING))
def test_what_a_constructor_keeps_for_a_simulator_is_not_told(plugin):
    assert read_keywords(installed_plugins()[plugin].module, installed_plugins()[plugin].attr) is None


@pytest.mark.parametrize("plugin", sorted(set(installed_plugins()) - KEEPING))
def test_the_source_of_every_installed_device_tells_what_the_device_itself_tells(plugin):
    point = installed_plugins()[plugin]
    assert read_keywords(point.module, point.attr) - NO_OPTIONS == device_keywords(plugin)


@pytest.mark.parametrize(
    ("name", "keywords"),
    [
        ("Plain", {"self", "a", "b"}),
        ("Heir", {"self", "a", "b"}),
        ("Further", {"self", "a", "b", "c"}),
        ("Empty", set()),
        ("Keeping", None),
        ("Ignoring", None),
        ("Later", None),
        ("Foreign", None),
        ("Bound", None),
        ("Absent", None),
    ],
)
def test_a_class_is_read_without_its_package(module, name, keywords):
    assert read_keywords(module, name) == keywords
    assert "unimportable" not in sys.modules


def test_imported_names_are_followed(module):
    assert read_keywords("unimportable", "Renamed") == {"self", "a", "b"}
    assert "width" in read_keywords(module, "Imported")
    assert "unimportable" not in sys.modules


@pytest.mark.parametrize(
    "absent", ["no_such_package", "unimportable.absent", "unimportable.absent.deeper", "math", "math.textwrap"]
)
def test_what_has_no_source_tells_nothing(module, absent):
    assert read_keywords(absent, "TextWrapper") is None


@pytest.mark.parametrize(
    "source",
    [
        "class Mine(: ...",
        "class Mine: ...\n\0",
        "from unimportable.broken import Mine",
        "from .broken import Mine",
        "from ... import Mine",
        b"class Mine: '\xff'",
    ],
)
def test_broken_modules_tell_nothing(module, tmp_path, source):
    path = tmp_path / "unimportable" / "broken.py"
    path.write_bytes(source if isinstance(source, bytes) else source.encode())
    assert read_keywords("unimportable.broken", "Mine") is None


def test_a_module_that_was_not_imported_in_the_usual_way_tells_nothing(monkeypatch):
    monkeypatch.setitem(sys.modules, "specless", ModuleType("specless"))
    assert read_keywords("specless", "Mine") is None


def test_reading_all_installed_devices_imports_none():
    code = (
        f"keeping = {KEEPING}\n"
        "import sys; from qkd_pl.devices.plugins import installed_plugins, may_take\n"
        "taken = {name: may_take(name, ['no such option']) for name in installed_plugins()}\n"
        "assert {name for name, may in taken.items() if may} == keeping, taken\n"
        "assert not {'pennylane', 'pennylane_lightning', 'pennylane_qiskit', 'qiskit'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
