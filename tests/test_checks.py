import numpy as np
import pytest

from qkd_pl.checks import check_count, check_number
from qkd_pl.errors import InvalidInputError


@pytest.mark.parametrize("value", [1, 7, np.int64(3)])
def test_whole_numbers_are_accepted(value):
    check_count("n_layers", value)


@pytest.mark.parametrize("value", [0, -1, 1.0, 2.5, "3", None, True, float("nan")])
def test_anything_else_is_no_count(value):
    with pytest.raises(InvalidInputError, match=r"n_layers=.*: must be a whole number of at least 1"):
        check_count("n_layers", value)


@pytest.mark.parametrize(
    ("value", "low", "high", "above"), [(0, 0, 1, False), (1, 0, 1, True), (np.float32(0.5), 0, 1, True)]
)
def test_numbers_in_range_are_accepted(value, low, high, above):
    check_number("alpha", value, low, high, above=above)


@pytest.mark.parametrize("value", [-0.1, 1.1, "0.5", None, True, float("nan"), float("inf"), 1j])
def test_numbers_out_of_range_are_named(value):
    with pytest.raises(InvalidInputError, match=r"alpha=.*: must be a finite number from 0 to 1"):
        check_number("alpha", value, 0, 1)


@pytest.mark.parametrize(("low", "above", "allowed"), [(0, True, "above 0"), (0, False, "of at least 0")])
def test_open_ranges_say_so(low, above, allowed):
    with pytest.raises(InvalidInputError, match=f"temperature=-1: must be a finite number {allowed}"):
        check_number("temperature", -1, low, above=above)
    if above:
        with pytest.raises(InvalidInputError, match=r"temperature=0\.0"):
            check_number("temperature", 0.0, low, above=True)
