import math

import numpy as np
import pytest

from qkd_pl.errors import InvalidInputError
from qkd_pl.training.schedules import Cosine, Linear, Step, check_schedule, describe_schedule, value_at


def test_a_step_schedule_is_a_power():
    schedule = Step(0.3, factor=0.5, every=3)
    assert [schedule(i) for i in range(7)] == [0.3] * 3 + [0.15] * 3 + [0.075]


def test_linear_and_cosine_have_ends_a_middle_and_a_length():
    for schedule in (Linear(2.0, -1.0, 10), Cosine(2.0, -1.0, 10)):
        assert schedule(0) == 2.0
        assert schedule(5) == pytest.approx(0.5)
        assert schedule(10) == schedule(1000) == -1.0
    assert Cosine(1.0, 0.0, 8)(2) == pytest.approx((1 + math.cos(math.pi / 4)) / 2)


def test_numbers_schedules_and_functions_have_values():
    assert [value_at(each, 4) for each in (0.5, Step(1.0, 0.5, 2), lambda i: i / 8)] == [0.5, 0.25, 0.5]


def test_what_determines_a_schedule():
    assert describe_schedule(np.float32(0.5), 3) == 0.5
    assert describe_schedule(Linear(1.0, 0.0, np.int64(4)), 3) == {
        "type": "Linear",
        "start": 1.0,
        "stop": 0.0,
        "length": 4,
    }
    assert describe_schedule(lambda i: 2.0**-i, 3) == {"type": "function", "values": [1.0, 0.5, 0.25]}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Step(0.0), "start=0.0.*above 0"),
        (lambda: Step(0.1, factor=-1), "factor=-1"),
        (lambda: Step(0.1, every=0), "every=0"),
        (lambda: Linear(1.0, float("nan"), 3), "stop=nan: must be a finite number"),
        (lambda: Cosine(1.0, 0.0, 0), "length=0"),
        (lambda: check_schedule("rate", None, 0), "rate=None: must be a number, a schedule, or a function"),
        (lambda: check_schedule("rate", -0.1, 0), "rate=-0.1"),
        (lambda: check_schedule("rate", Linear(1.0, -1.0, 4), 0, iterations=5), r"rate in iteration 3=-0\.5"),
        (lambda: check_schedule("rate", Step(1.0), 1e-3, iterations=10**30), r"rate in iteration 660="),
        (lambda: check_schedule("rate", lambda: 1.0, 0, iterations=1), "rate: the schedule fails at iteration 0"),
        (lambda: check_schedule("rate", Step, 0), "rate=<class"),
    ],
)
def test_what_is_no_schedule_or_leaves_its_range_is_named(make, message):
    with pytest.raises(InvalidInputError, match=message):
        make()
