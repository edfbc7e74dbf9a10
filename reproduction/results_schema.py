"""What a line of raw results must say, and what the results of a unit of work must be."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Annotated, Any, get_type_hints

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic takes that of Python 3.11 for incomplete

from qkd_pl.errors import FileFormatError
from qkd_pl.schema import Closed, Count, Number, Record, Short, Text, described

Share = Annotated[float, Field(ge=0, le=1)]


class Sizes(TypedDict):
    """Of the data of an experiment."""

    n_train: Count
    n_test: Count


class Accuracies(TypedDict):
    """Of a teacher or a student."""

    train_accuracy: Share
    test_accuracy: Share


class TeacherAccuracy(TypedDict):
    """Of several teachers, averaged."""

    teacher_test_accuracy: Share


class Fidelities(TypedDict):
    """Of an autoencoder; sampling errors may carry them beyond 0 and 1."""

    train_fidelity: Number
    test_fidelity: Number
    best_subspace_weight: Number


class _Curve(TypedDict):
    iterations: Annotated[list[Count], Field(min_length=1)]
    curve: list[Share]
    train_accuracy: Share
    test_accuracy: Share


def _same_length(result: _Curve) -> _Curve:
    if len(result["iterations"]) != len(result["curve"]):
        raise ValueError(f"curve: {len(result['curve'])} values at {len(result['iterations'])} iterations")
    return result


#: Test accuracy after some of the iterations, and the accuracies at the end.
Curve = Annotated[_Curve, AfterValidator(_same_length)]


class RunLine(Closed):
    """The first line: which run it is."""

    experiment: Short
    settings: Record
    seeds: Annotated[int, Field(ge=1, lt=2**31)]


class ResultLine(Closed):
    """Any other line, and a file of a unit that is not packed yet."""

    name: Text
    arguments: Record
    result: Record
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]


def check_result(function: Callable[..., Any], result: Mapping[str, Any], source: str) -> None:
    """Refuse a stored result that is not of the type that the unit's function says it returns.

    Raises:
        FileFormatError: begins with ``source``.
    """
    adapter = _adapter(function)
    try:
        if adapter is not None:
            adapter.validate_python(result, strict=True)
    except ValidationError as error:
        raise FileFormatError(f"{source}: result: {described(error)}; remove the line to compute it again") from None


@lru_cache(maxsize=64)
def _adapter(function: Callable[..., Any]) -> TypeAdapter | None:
    kind = get_type_hints(function, include_extras=True).get("return")
    return None if kind is None else TypeAdapter(kind)
