"""An edited loss is another one; the same source, compiled again in another process, is the same."""

import subprocess
import sys
from functools import partial

import pytest

from qkd_pl import Relational
from qkd_pl.training.losses.description import describe_loss

FUNCTION = """
FACTOR = 2.0

def inner(outputs):
    return FACTOR * outputs + (outputs in {"x", "y", "z"})

def loss(outputs, targets, margin=0.3, *, more=1):
    return [inner(each) - margin for each in outputs]
"""
OBJECT = """
class Base:
    level = 3

    @property
    def double(self):
        return 2 * self.level

    @staticmethod
    def square(value):
        return value**2

class Own(Base):
    def __init__(self):
        self.strength, self.opaque = 1.0, object()

    def __call__(self, outputs, targets):
        return self.strength * self.square(outputs), outputs

loss = Own()
"""
METHOD = OBJECT + "\nloss = loss.__call__\n"
CLOSURE = """
def make(scale):
    def again(n):
        return again(n - 1) if n else scale
    return lambda outputs, targets: (again(3) * outputs, outputs)

loss = make(0.5)
"""


def described(source: str) -> dict:
    space = {"__name__": "own"}
    exec(compile(source, "own.py", "exec"), space)
    return describe_loss(space["loss"], 5)


@pytest.mark.parametrize(
    ("source", "old", "new"),
    [
        (FUNCTION, "- margin", "+ margin"),
        (FUNCTION, "margin=0.3", "margin=0.4"),
        (FUNCTION, "more=1", "more=2"),
        (FUNCTION, "FACTOR = 2.0", "FACTOR = 3.0"),
        (FUNCTION, "FACTOR * outputs", "FACTOR / outputs"),
        (OBJECT, "level = 3", "level = 4"),
        (OBJECT, "2 * self.level", "3 * self.level"),
        (OBJECT, "value**2", "value**3"),
        (OBJECT, "= 1.0, object()", "= 2.0, object()"),
        (OBJECT, "self.strength * self", "self.strength + self"),
        (METHOD, "= 1.0, object()", "= 2.0, object()"),
        (METHOD, "self.strength * self", "self.strength + self"),
        (CLOSURE, "make(0.5)", "make(0.6)"),
        (CLOSURE, "n - 1", "n - 2"),
    ],
)
def test_an_edit_is_told_and_a_comment_or_another_line_is_not(source, old, new):
    assert old in source
    assert described(source) != described(source.replace(old, new))
    assert described(source) == described("# a remark\n\n" + source)


@pytest.mark.parametrize("source", [FUNCTION, OBJECT, METHOD, CLOSURE])
def test_another_process_describes_it_alike(source):
    script = f"{described_source()}\nprint(described({source!r}))"
    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "5"}
    )
    assert told.stdout.strip() == str(described(source))


def described_source() -> str:
    import inspect

    return (
        f"import sys\nsys.path[:0] = {sys.path!r}\n"
        f"from qkd_pl.training.losses.description import describe_loss\n{inspect.getsource(described)}"
    )


def power(outputs, targets, exponent=2):
    return (outputs**exponent).mean(), outputs


def test_arguments_that_a_partial_binds_count():
    one, other = (describe_loss(partial(power, exponent=exponent), 5) for exponent in (2, 3))
    assert one == describe_loss(partial(power, exponent=2), 5) != other


def test_losses_of_the_package_are_told_by_their_settings_alone():
    assert describe_loss(Relational(), 5) == {"type": "Relational", "delta": 1.0}
