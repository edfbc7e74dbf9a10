"""What determines a loss, so that a checkpoint of another one is told apart, and an edited one too."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import Any

import numpy as np

from qkd_pl.storage import checksum
from qkd_pl.training.losses.base import Sum
from qkd_pl.training.schedules import describe_schedule

_OURS = "qkd_pl."


def describe_loss(loss: Any, iterations: int) -> dict[str, Any]:
    """What determines a loss in a run of ``iterations``, JSON-able: its type and settings, schedules by their values.

    A loss of the user's own is described by its code as well: a function by what it computes with, an object by its
    methods and attributes. Code is Python's bytecode, which another version of Python may write differently.

    Example:
        >>> from qkd_pl import CrossEntropy
        >>> describe_loss(CrossEntropy(logit_scale=10), 50)
        {'type': 'CrossEntropy', 'logit_scale': 10}
    """
    if isinstance(loss, Sum):
        terms = [{"weight": weight, **describe_loss(term, iterations)} for weight, term in loss.terms]
        return {"type": "Sum", "terms": terms}
    if isinstance(loss, FunctionType | MethodType | partial):
        return _Description().of_function(loss)
    if hasattr(loss, "__qualname__"):  # a builtin
        return {"type": "function", "name": _name(loss)}
    describe = _Description().of
    scheduled = getattr(loss, "scheduled", {})
    described = {
        name: describe_schedule(value, iterations) if name in scheduled and value is not None else describe(value)
        for name, value in _settings(loss).items()
    }
    methods = {name: describe(value) for name, value in _own_parts(type(loss))}
    return {"type": type(loss).__name__, **described, **({"code": _digest(methods)} if methods else {})}


class _Description:
    """One description; it remembers which functions it is in, since a function may call itself."""

    def __init__(self) -> None:
        self._seen: set[int] = set()

    def of(self, value: Any) -> Any:
        """A value, JSON-able."""
        if isinstance(value, np.generic):
            return value.item()
        if value is None or isinstance(value, str | bool | int | float):
            return value
        if isinstance(value, np.ndarray):
            return {"sha256": checksum({"array": value}) if value.dtype != object else repr(value)}
        if isinstance(value, Mapping):
            return {str(name): self.of(each) for name, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.of(each) for each in value]
        if isinstance(value, FunctionType | MethodType | partial):
            return self.of_function(value)
        if is_dataclass(value) and not isinstance(value, type):
            return {"type": type(value).__name__} | {name: self.of(each) for name, each in _settings(value).items()}
        if isinstance(value, Callable) or type(value).__repr__ is object.__repr__:  # type: ignore[arg-type]
            return _name(value)  # the usual text of an object tells its address, which differs from run to run
        return str(value)

    def of_function(self, function: FunctionType | MethodType | partial) -> dict[str, Any]:
        """A function by its name, and a checksum of its code and of the values that it computes with."""
        if isinstance(function, partial):
            return {"type": "partial", **self.of({"of": function.func, "args": function.args, **function.keywords})}
        if isinstance(function, MethodType):
            owner = function.__self__
            held = _name(owner) if isinstance(owner, type) else self.of(_settings(owner))
            return {**self.of_function(function.__func__), "object": held}  # type: ignore[arg-type]
        told = {"type": "function", "name": _name(function)}
        if id(function) in self._seen or function.__module__.startswith(_OURS):
            return told
        self._seen.add(id(function))
        values = [function.__defaults__, function.__kwdefaults__, list(_enclosed(function)), _globals(function)]
        return {**told, "code": _digest([_code(function.__code__), self.of(values)])}


def _settings(value: Any) -> dict[str, Any]:
    if is_dataclass(value):
        return {each.name: getattr(value, each.name) for each in fields(value)}
    return dict(getattr(value, "__dict__", {}))


def _own_parts(kind: type) -> Iterator[tuple[str, Any]]:
    """Methods and attributes of the user's own classes, without what a dataclass generates."""
    for each in kind.__mro__[:-1]:
        if each.__module__.startswith(_OURS):
            continue
        for name, value in vars(each).items():
            if name == "__call__" or not name.startswith("_"):
                function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
                yield f"{each.__qualname__}.{name}", function


def _enclosed(function: FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not assigned yet
            yield None


def _globals(function: FunctionType) -> dict[str, Any]:
    """Numbers, text, arrays and functions of the function's own module that it names; not modules and classes."""
    known = function.__globals__
    named = {name: known[name] for name in sorted(_names(function.__code__)) if name in known}
    return {
        name: value
        for name, value in named.items()
        if isinstance(value, str | bool | int | float | np.ndarray | np.generic | tuple)
        or (isinstance(value, FunctionType) and value.__module__ == function.__module__)
    }


def _names(code: CodeType) -> set[str]:
    inner = (_names(each) for each in code.co_consts if isinstance(each, CodeType))
    return set(code.co_names).union(*inner)


def _code(code: CodeType) -> list[Any]:
    """What a piece of bytecode does, without where it stands in its file."""
    constants = [_code(each) if isinstance(each, CodeType) else _constant(each) for each in code.co_consts]
    return [code.co_code.hex(), list(code.co_names), constants]


def _constant(value: Any) -> str:
    return repr(sorted(map(repr, value))) if isinstance(value, frozenset) else repr(value)  # a set has no order


def _digest(parts: Any) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _name(value: Any) -> str:
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"
