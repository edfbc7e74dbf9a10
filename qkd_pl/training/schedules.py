"""Settings that change while a network is trained: learning rate, temperature, α.

Wherever a schedule is taken, a number means a constant, and a function from the iteration (0, 1, …) to a number is
taken as it is. The schedules here are frozen and hashable, have a length of their own, and so do not depend on how
long a training is: a longer run begins like a shorter one.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from math import cos, isfinite, pi
from numbers import Real
from sys import maxsize
from typing import Any

from qkd_pl.checks import check_count, check_number
from qkd_pl.errors import InvalidInputError

__all__ = ["DEFAULT_RATE", "Cosine", "Linear", "Schedule", "Step"]

#: A number, one of the schedules below, or a function from the iteration to a number.
Schedule = float | Callable[[int], float]


@dataclass(frozen=True)
class Step:
    """``start``, multiplied by ``factor`` after every ``every`` iterations.

    Raises:
        InvalidInputError: a setting is not a finite number above 0, or ``every`` not a positive integer.

    Example:
        >>> rate = Step(0.3)  # the trainer's default
        >>> [round(rate(iteration), 3) for iteration in (0, 9, 10, 20)]
        [0.3, 0.3, 0.27, 0.243]
    """

    start: float
    factor: float = 0.9
    every: int = 10

    def __post_init__(self) -> None:
        check_number("start", self.start, 0, above=True)
        check_number("factor", self.factor, 0, above=True)
        check_count("every", self.every)

    def __call__(self, iteration: int) -> float:
        return self.start * self.factor ** (iteration // self.every)


#: The learning rate of all our experiments, unless they say otherwise.
DEFAULT_RATE = Step(0.3)


@dataclass(frozen=True)
class Linear:
    """From ``start`` to ``stop`` in equal steps over ``length`` iterations, and ``stop`` from then on.

    Example:
        >>> [round(Linear(1.0, 0.0, length=4)(iteration), 2) for iteration in range(6)]
        [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    """

    start: float
    stop: float
    length: int

    def __post_init__(self) -> None:
        _check_ends(self.start, self.stop, self.length)

    def __call__(self, iteration: int) -> float:
        done = min(iteration / self.length, 1.0)
        return self.start * (1.0 - done) + self.stop * done


@dataclass(frozen=True)
class Cosine:
    """From ``start`` to ``stop`` along half a cosine over ``length`` iterations, and ``stop`` from then on.

    Loshchilov and Hutter, arXiv 1608.03983, without restarts.

    Example:
        >>> [round(Cosine(1.0, 0.0, length=4)(iteration), 3) for iteration in range(6)]
        [1.0, 0.854, 0.5, 0.146, 0.0, 0.0]
    """

    start: float
    stop: float
    length: int

    def __post_init__(self) -> None:
        _check_ends(self.start, self.stop, self.length)

    def __call__(self, iteration: int) -> float:
        share = (1.0 + cos(pi * min(iteration / self.length, 1.0))) / 2.0
        return self.start * share + self.stop * (1.0 - share)


def value_at(schedule: Schedule, iteration: int) -> float:
    """The value of a number, a schedule or a function at an iteration."""
    return float(schedule(iteration) if callable(schedule) else schedule)


def check_schedule(
    name: str, schedule: Any, low: float, high: float = float("inf"), *, above: bool = False, iterations: int = 0
) -> None:
    """Refuse a value that is not a schedule, or leaves its range in one of the first ``iterations``.

    Raises:
        InvalidInputError: names the setting, the iteration, the value and what is allowed.
    """
    if isinstance(schedule, Real) and not isinstance(schedule, bool):
        check_number(name, schedule, low, high, above=above)
        return
    if not callable(schedule) or isinstance(schedule, type):
        raise InvalidInputError(f"{name}={schedule!r}: must be a number, a schedule, or a function of the iteration")
    places: Iterable[int] = range(iterations)
    if isinstance(schedule, Step | Linear | Cosine) and iterations > 1:
        # They rise or fall all the way: from within the range they leave it once, and halving finds where.
        def leaves(iteration: int) -> bool:
            value = float(schedule(iteration))
            return not ((low < value if above else low <= value) and value <= high)

        reach = min(iterations, maxsize)  # no sequence is longer
        places = [0, min(bisect_left(range(reach), True, key=leaves), reach - 1)]
    for iteration in places:
        check_number(f"{name} in iteration {iteration}", _value(name, schedule, iteration), low, high, above=above)


def describe_schedule(schedule: Schedule, iterations: int) -> Any:
    """What determines a schedule, JSON-able: a number, its settings, or the values of a function.

    The values of a function are listed for a run of ``iterations``; those of a longer and a shorter run of the same
    function agree as far as both go.
    """
    if not callable(schedule):
        return float(schedule)
    if isinstance(schedule, Step | Linear | Cosine):
        settings = {name: value.item() if hasattr(value, "item") else value for name, value in asdict(schedule).items()}
        return {"type": type(schedule).__name__, **settings}
    return {"type": "function", "values": [_value("schedule", schedule, each) for each in range(iterations)]}


def _value(name: str, schedule: Callable[[int], float], iteration: int) -> float:
    try:
        return float(schedule(iteration))
    except (TypeError, ValueError, LookupError, ArithmeticError) as error:
        raise InvalidInputError(f"{name}: the schedule fails at iteration {iteration}: {error!r}") from error


def _check_ends(start: float, stop: float, length: int) -> None:
    for name, value in (("start", start), ("stop", stop)):
        if not isinstance(value, Real) or isinstance(value, bool) or not isfinite(value):
            raise InvalidInputError(f"{name}={value!r}: must be a finite number")
    check_count("length", length)
