"""Commands made of dataclasses: every field is an option, and its help text stands in a docstring alone."""

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import pytest
import typer
from typer.testing import CliRunner

from reproduction.experiments import EXPERIMENTS, RunOptions
from reproduction.options import changed, command, description, from_json, help_texts, option, to_arguments


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A shape.

    Drawn
    somewhere.

    Attributes:
        sides: how many, on several
            lines of text.
        colour: its ``colour``.
    """

    sides: int = 3
    colour: Literal["red", "blue"] = "red"


@dataclass(frozen=True, kw_only=True)
class Star(Shape):
    """A star.

    Attributes:
        angles: in degrees.
        size: in metres, if it is known.
        name: what it is called.
    """

    sides: int = 5
    angles: tuple[float, ...] = (30.0, 40.5)
    size: float | None = None
    name: str = "star"


@dataclass(frozen=True, kw_only=True)
class Where:
    """Where.

    Attributes:
        path: a file.
        loud: say more.
    """

    path: Path
    loud: bool = False


@pytest.fixture
def run():
    seen = []
    app = typer.Typer()
    made = command(lambda **values: seen.append(values), {"star": Star, "where": Where}, {"path": Path("here")})
    app.command()(made)

    def invoke(*arguments):
        seen.clear()
        result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"})
        return result, seen[0] if seen else None

    return invoke


def test_without_options_the_defaults_of_the_classes_count(run):
    _, values = run()
    assert values == {"star": Star(), "where": Where(path=Path("here"))}


def test_every_option_reaches_its_field(run):
    arguments = ("--sides", "7", "--colour", "blue", "--angles", "1,2.5", "--size", "2", "--name", "x", "--loud")
    _, values = run(*arguments, "--path", "there")
    star = Star(sides=7, colour="blue", angles=(1.0, 2.5), size=2.0, name="x")
    assert values == {"star": star, "where": Where(path=Path("there"), loud=True)}


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (("--colour", "green"), "error: --colour green: must be one of red, blue", 1),
        (("--angles", "1,x"), "error: --angles 1,x: expected numbers separated by commas", 1),
        (("--sides", "x"), "--sides", 2),
        (("--no-loud",), "--no-loud", 2),
    ],
)
def test_wrong_values_are_named(run, arguments, message, code):
    result, values = run(*arguments)
    assert values is None
    assert result.exit_code == code
    assert message in result.stderr


def test_help_shows_text_type_and_default(run):
    text = " ".join(re.sub(r"[│╭╮╰╯─]", " ", run("--help")[0].stdout).split())
    assert "A star." in text
    for words in (
        "How many, on several lines of text.",
        "red|blue",
        "[default: 5]",
        "[default: 30.0,40.5]",
        "Its colour.",
    ):
        assert words in text, words


def test_inherited_texts_and_paragraphs():
    assert help_texts(Star)["sides"] == "How many, on several lines of text."
    assert description(Shape) == "A shape.\n\nDrawn somewhere."


def test_what_differs_from_the_defaults_comes_back_from_arguments_and_from_json(run):
    star = Star(sides=4, angles=(1.0,), size=3.0)
    assert to_arguments(Star()) == ""
    assert run(*to_arguments(star).split())[1]["star"] == star
    assert from_json(Star, {"sides": 4, "angles": [1.0], "size": 3.0}) == star
    assert changed(star) == {"sides": 4, "angles": (1.0,), "size": 3.0}
    with pytest.raises(ValueError, match="Star: has no setting points"):
        from_json(Star, {"points": 1})


@pytest.mark.parametrize("settings", [*(e.settings for e in EXPERIMENTS.values()), RunOptions])
def test_every_setting_of_every_experiment_has_a_text(settings):
    texts = help_texts(settings)
    assert [option(field.name) for field in fields(settings) if not texts.get(field.name)] == []
