"""Keys of an entry that belong together, as a closed schema whose messages repeat no value: it may be a secret."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, StringConstraints, ValidationError

from qkd_pl.checks import nearest, plain
from qkd_pl.errors import InvalidInputError
from qkd_pl.schema import Closed

Name = Annotated[str, StringConstraints(min_length=1, max_length=500)]


class Keys(Closed):
    """Base of such schemas."""

    @classmethod
    def made(cls, settings: Mapping[str, Any]) -> Self:
        """From settings, NumPy's numbers included.

        Raises:
            InvalidInputError: names what is wrong and what is allowed, and repeats no value.
        """
        try:
            return cls(**{key: plain(value) for key, value in settings.items()})
        except ValidationError as error:
            problems = "; ".join(_described(each, cls) for each in error.errors())
        # Outside the except block, so that the values are not in the context either.
        raise InvalidInputError(problems)


def _described(problem: Mapping[str, Any], kind: type[BaseModel]) -> str:
    path = [each for each in problem["loc"] if each != "[key]"]
    key = ".".join(map(str, path))
    if problem["type"] == "extra_forbidden":
        fields = _fields(kind, path[:-1])
        return f"{key}: unknown key{nearest(str(path[-1]), fields)}; allowed: {', '.join(fields)}"
    message = problem["msg"].removeprefix("Value error, ").removeprefix("the value: ")
    return f"{key}: {message}" if key else message


def _fields(kind: Any, path: Iterable[Any]) -> list[str]:
    for each in path:
        nested = kind.model_fields[each].annotation
        kind = next(one for one in (nested, *getattr(nested, "__args__", ())) if isinstance(one, type))
    return list(kind.model_fields)
