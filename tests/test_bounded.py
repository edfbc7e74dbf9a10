import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qkd_pl.bounded import parse_json
from qkd_pl.checks import check_count, check_number, cut, nearest
from qkd_pl.errors import FileFormatError, InvalidInputError
from qkd_pl.schema import Closed, Number, Record, parsed

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)
HUGE = 10**6000


@given(_VALUES)
def test_json_comes_back(value):
    assert parse_json(json.dumps(value), 1 << 20, "it") == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 65 + "]" * 65, "nested more than 64 deep"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100 + "1" + "}" * 100, "nested more than 64 deep"),
        ("9" * 5000, "a number of 5,000 digits"),
        (b'"\xff"', "not readable JSON"),
        ("{", "not readable JSON"),
        ("1" * 2000, "2,000 bytes, allowed are 1,000"),
    ],
)
def test_what_json_may_not_be(text, message):
    most = 1000 if "allowed" in message else 1 << 20
    with pytest.raises(FileFormatError, match=f"^it: .*{message}"):
        parse_json(text, most, "it")


def test_sixty_four_levels_are_allowed():
    assert parse_json("[" * 64 + "]" * 64, 1000, "it")


@pytest.mark.parametrize("check", [check_count, lambda name, value: check_number(name, value, 0, 1)])
@pytest.mark.parametrize("value", [-HUGE, "x" * 10_000, [0] * 10_000], ids=["number", "text", "list"])
def test_messages_are_cut(check, value):
    with pytest.raises(InvalidInputError) as caught:
        check("n", value)
    assert len(str(caught.value)) < 300


def test_what_cannot_be_shown_is_named():
    assert cut(HUGE) == "<a int that is too long to be shown>"
    assert nearest(HUGE, ["aer"]) == ""


class Example(Closed):
    """Something with a number and whatever else."""

    number: Number
    rest: Record


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"number": float("nan"), "rest": {}}, "number: Input should be a finite number"),
        ({"number": True, "rest": {}}, "number: Input should be a valid number"),
        ({"number": "1", "rest": {}}, "number: Input should be a valid number"),
        ({"number": 10**399, "rest": {}}, "number"),
        ({"number": 1, "rest": {"a": object()}}, "rest"),
        ({"number": 1, "rest": {}, **{"x" * 10_000 + str(i): 0 for i in range(9)}}, "and 6 more"),
        ([], "Input should be a valid dictionary"),
    ],
)
def test_a_schema_converts_nothing_and_says_where(value, message):
    with pytest.raises(FileFormatError, match=f"^it: .*{message}") as caught:
        parsed(Example, value, "it")
    assert len(str(caught.value)) < 1000
