import subprocess
import sys

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
    def __init__(self, c, **rest): ...
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


@pytest.mark.parametrize("plugin", installed_plugins())
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


def test_reading_all_installed_devices_imports_none():
    code = (
        "import sys; from qkd_pl.devices.plugins import installed_plugins, may_take\n"
        "taken = {name: may_take(name, ['no such option']) for name in installed_plugins()}\n"
        "assert not any(taken.values()), taken\n"
        "assert not {'pennylane', 'pennylane_lightning', 'pennylane_qiskit', 'qiskit'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
