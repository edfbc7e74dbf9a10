"""What our files may say: the base of their schemas, and what all of them share."""

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, ValidationError

from qkd_pl.errors import FileFormatError

Text = Annotated[str, StringConstraints(max_length=10_000)]
Short = Annotated[str, StringConstraints(max_length=500)]
Count = Annotated[int, Field(ge=0, lt=2**53)]
Number = Annotated[float, Field(allow_inf_nan=False)]
#: Settings, records and descriptions of which only the form is known.
Record = dict[Text, JsonValue]

_Schema = TypeVar("_Schema", bound=BaseModel)


class Closed(BaseModel):
    """A schema without conversions and further keys; immutable.

    Example:
        >>> class Point(Closed):
        ...     x: Number
        >>> parsed(Point, {"x": 1.5}, "example").x
        1.5
        >>> parsed(Point, {"x": "1.5", "y": 0}, "example")
        Traceback (most recent call last):
        ...
        qkd_pl.errors.FileFormatError: example: x: Input should be a valid number; y: Extra inputs are not permitted
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", hide_input_in_errors=True)


def parsed(schema: type[_Schema], value: Any, source: object) -> _Schema:
    """A value read from a file, if it is of this form.

    Args:
        schema: the form.
        value: plain data, as JSON gives it.
        source: the file, for the message.

    Raises:
        FileFormatError: it is not; the message names the file and up to three of the places.
    """
    try:
        return schema.model_validate(value)
    except ValidationError as error:
        raise FileFormatError(f"{source}: {described(error)}") from None


def described(error: ValidationError) -> str:
    """The first three problems, each with its place, cut at a sensible length."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    found = []
    for each in problems[:3]:
        place = ".".join(map(str, each["loc"]))[:100]
        message = each["msg"].removeprefix("Value error, ")[:200]
        found.append(f"{place}: {message}" if place else message)
    rest = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
    return "; ".join(found) + rest
