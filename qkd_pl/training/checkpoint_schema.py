"""What a checkpoint's manifest must say; whatever else stands there is refused before a run is set to it."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from qkd_pl.schema import Closed, Count, Record, Short

Word128 = Annotated[int, Field(ge=0, lt=2**128)]
Word32 = Annotated[int, Field(ge=0, lt=2**32)]


class _Words(Closed):
    state: Word128
    inc: Word128


class RandomState(Closed):
    """Of NumPy's generator PCG64, as its bit generator gives it."""

    bit_generator: Literal["PCG64"]
    state: _Words
    has_uint32: Literal[0, 1]
    uinteger: Word32


class CallbackState(Closed):
    """The JSON-able half of a callback's state; arrays are tensors."""

    type: Short
    state: Record


class CheckpointManifest(Closed):
    """All of a checkpoint but its tensors."""

    fingerprint: Record
    iteration: Count
    stopped: bool
    history: list[Record]
    callbacks: Annotated[list[CallbackState], Field(max_length=1000)]
    random_states: dict[Short, RandomState]

    @model_validator(mode="after")
    def _check_history(self) -> "CheckpointManifest":
        if len(self.history) != self.iteration:
            raise ValueError(f"history has {len(self.history)} records of {self.iteration} iterations")
        return self
