"""What was found out once and is looked up from then on, by any thread."""

from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


def remembered(known: dict[Hashable, T], key: Hashable, limit: int, find_out: Callable[[], T]) -> T:
    """``known[key]``, or what ``find_out()`` says, which is kept; beyond ``limit`` entries all are forgotten."""
    with suppress(KeyError):
        return known[key]
    found = find_out()
    if len(known) >= limit:
        known.clear()
    known[key] = found
    return found
