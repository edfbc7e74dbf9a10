"""Commands whose options are the fields of dataclasses: names, types, defaults and help texts stand there alone.

The help text of a field is its entry under ``Attributes:`` in the docstring of its class or of the base class that
first had it; that of a command is what stands above, in the docstring of the first class.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typer
from pydantic import ConfigDict, TypeAdapter, ValidationError

from qkd_pl.checks import cut
from qkd_pl.cli.console import clear_errors
from qkd_pl.errors import InvalidInputError

_STRICT = ConfigDict(strict=True, allow_inf_nan=False)


def command(
    function: Callable[..., None], classes: Mapping[str, type], defaults: Mapping[str, Any] | None = None
) -> Callable[..., None]:
    """A function for typer with an option for every field of some dataclasses.

    Args:
        function: called with an instance of each class.
        classes: name of the argument → dataclass of its value. Fields may be of type ``int``, ``float``, ``str``,
            ``bool`` (False by default), ``Path``, ``Literal`` of strings, a tuple of numbers, or one of these or None.
        defaults: by name of the field, where they are not those of the class.
    """
    named = [(cls, field) for cls in classes.values() for field in fields(cls)]
    parameters = [
        _parameter(
            field,
            get_type_hints(cls)[field.name],
            help_texts(cls)[field.name],
            (defaults or {}).get(field.name, field.default),
        )
        for cls, field in named
    ]

    def call(**values: Any) -> None:
        with clear_errors():
            converted = {
                field.name: _converted(field.name, get_type_hints(cls)[field.name], values[field.name])
                for cls, field in named
            }
            instances = {
                name: cls(**{field.name: converted[field.name] for field in fields(cls)})
                for name, cls in classes.items()
            }
            function(**instances)

    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    call.__doc__ = description(next(iter(classes.values())))
    return call


def option(name: str) -> str:
    """The option of a field.

    Example:
        >>> option("n_train")
        '--n-train'
    """
    return f"--{name.replace('_', '-')}"


def to_arguments(settings: Any) -> str:
    """The options that make these settings: those that differ from the defaults, as one types them.

    Example:
        >>> from reproduction.figure5 import Figure5Settings
        >>> to_arguments(Figure5Settings(student_layers=(4, 5), device="default"))
        '--student-layers 4,5 --device default'
    """
    values = changed(settings)
    return " ".join(f"{option(name)} {_shown(value)}" for name, value in values.items())


def changed(settings: Any) -> dict[str, Any]:
    """The fields that differ from their defaults."""
    values = {field.name: (getattr(settings, field.name), field.default) for field in fields(settings)}
    return {name: value for name, (value, default) in values.items() if value != default}


def description(cls: type) -> str:
    """The docstring of a dataclass, up to its attributes, each paragraph on one line."""
    text = inspect.cleandoc(cls.__doc__ or "").partition("Attributes:")[0].strip()
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def help_texts(cls: type) -> dict[str, str]:
    """The text under ``Attributes:`` for each attribute of a class and its bases.

    Example:
        >>> from reproduction.figure4 import Figure4Settings
        >>> help_texts(Figure4Settings)["teacher_layers"]
        'Layers of a QNN as the teacher.'
    """
    texts = {}
    for base in reversed(cls.__mro__):
        attributes = inspect.cleandoc(vars(base).get("__doc__") or "").partition("Attributes:\n")[2]
        for entry in re.split(r"\n(?=    \w)", attributes.partition("\n\n")[0]):
            name, _, text = entry.strip().partition(": ")
            text = " ".join(text.replace("``", "").split())
            texts[name] = text[:1].upper() + text[1:]
    return texts


def from_json(cls: type, values: Mapping[str, Any]) -> Any:
    """An instance from what :func:`changed` gave, after a way through JSON, which knows no tuples.

    Raises:
        InvalidInputError: the class has no such field, or a value is not of its type.
    """
    if unknown := values.keys() - {field.name for field in fields(cls)}:
        raise InvalidInputError(f"{cls.__name__}: has no setting {', '.join(sorted(unknown))}")
    hints = get_type_hints(cls)
    tuples = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    for name, value in tuples.items():
        try:
            TypeAdapter(hints[name], config=_STRICT).validate_python(value)
        except ValidationError:
            raise InvalidInputError(f"{cls.__name__}: {name}={cut(value)}: must be of type {hints[name]}") from None
    return cls(**tuples)


def _parameter(field: Field, kind: Any, text: str, default: Any) -> inspect.Parameter:
    inner, is_optional = _without_none(kind)
    annotation, metavar = inner, None
    if get_origin(inner) is Literal:
        annotation, metavar = str, "|".join(get_args(inner))
    elif get_origin(inner) is tuple:
        annotation, metavar, default = str, "N,N,...", _shown(default)
    info = typer.Option(option(field.name), help=text, metavar=metavar)
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if default is MISSING else default,
        annotation=Annotated[annotation | None if is_optional else annotation, info],
    )


def _without_none(kind: Any) -> tuple[Any, bool]:
    if get_origin(kind) in (UnionType, Union):
        (inner,) = (argument for argument in get_args(kind) if argument is not NoneType)
        return inner, True
    return kind, False


def _converted(name: str, kind: Any, value: Any) -> Any:
    """What typer gives as text and cannot check."""
    inner, _ = _without_none(kind)
    if get_origin(inner) is Literal and value not in get_args(inner):
        raise InvalidInputError(f"{option(name)} {value}: must be one of {', '.join(get_args(inner))}")
    if get_origin(inner) is not tuple:
        return value
    try:
        return tuple(get_args(inner)[0](part) for part in value.split(","))
    except ValueError as error:
        raise InvalidInputError(f"{option(name)} {value}: expected numbers separated by commas") from error


def _shown(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
