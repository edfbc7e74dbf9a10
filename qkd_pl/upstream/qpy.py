"""Qiskit's QPY: what a stored circuit claims is checked before anything of that size is built.

The client's decoder builds as many qubits, and vectors as long, as a few bytes say, and makes an instance of whichever
class of Qiskit's library an instruction names.
"""

import struct
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from typing import Any

from qiskit.qpy import formats
from qiskit.qpy.binary_io import circuits, value
from qiskit_ibm_runtime import RuntimeDecoder

from qkd_pl.errors import FileFormatError

#: Earlier versions hold expressions as program text.
OLDEST = 13
_OTHER_INSTRUCTIONS = frozenset(
    {"Barrier", "Delay", "Measure", "Reset", "Initialize", "StatePreparation", "UnitaryGate"}
)
#: Where the client's decoder looks for its reader of circuits; the module's name depends on the version.
_CLIENT = sys.modules[RuntimeDecoder.__module__]
_reading = threading.RLock()
_thread = threading.local()


@contextmanager
def bounded_circuits(most: int) -> Iterator[None]:
    """Let this thread read circuits by the client's decoder, which claim together at most ``most`` bits and parameters.

    Within it, a circuit of another version, or with instructions that a compiled circuit does not have, raises
    :class:`FileFormatError`. Circuits that other threads read meanwhile are theirs.
    """
    places: list[tuple[Any, str, Callable[[Any], Any]]] = [
        (_CLIENT, "load", _one_program),
        (circuits, "_read_header_v12", _counted_bits),
        (circuits, "_read_instruction", _known_instruction),
        (value, "_read_parameter_vec", _counted_parameters),
    ]
    with _reading:
        own = [getattr(module, name) for module, name, _ in places]
        _thread.left = most
        try:
            for (module, name, checked), read in zip(places, own, strict=True):
                setattr(module, name, wraps(read)(checked(read)))
            yield
        finally:
            _thread.left = None
            for (module, name, _), read in zip(places, own, strict=True):
                setattr(module, name, read)


def _is_bounded() -> bool:
    return getattr(_thread, "left", None) is not None


def _claim(count: int) -> None:
    if count > _thread.left:
        raise FileFormatError(f"circuits that claim {count:,} bits and parameters; allowed are {_thread.left:,} more")
    _thread.left -= count


def _peek(file: Any, form: str) -> tuple[Any, ...]:
    position = file.tell()
    content = file.read(struct.calcsize(form))
    file.seek(position)
    return struct.unpack(form, content)


def _one_program(read: Callable[..., Any]) -> Callable[..., Any]:
    def checked(file: Any, *arguments: Any, **settings: Any) -> Any:
        if _is_bounded():
            header = formats.FILE_HEADER_V10._make(_peek(file, formats.FILE_HEADER_V10_PACK))
            if header.qpy_version < OLDEST or header.num_programs != 1:
                found = f"{header.num_programs:,} circuits in QPY {header.qpy_version}"
                raise FileFormatError(f"{found}; must be one in QPY {OLDEST} or later")
        return read(file, *arguments, **settings)

    return checked


def _counted_bits(read: Callable[..., Any]) -> Callable[..., Any]:
    def checked(*arguments: Any, **settings: Any) -> Any:
        found = read(*arguments, **settings)
        if _is_bounded():
            _claim(found[0]["num_qubits"] + found[0]["num_clbits"])
        return found

    return checked


def _counted_parameters(read: Callable[..., Any]) -> Callable[..., Any]:
    def checked(file: Any, vectors: dict[Any, Any]) -> Any:
        if not _is_bounded():
            return read(file, vectors)
        head = formats.PARAMETER_VECTOR_ELEMENT._make(_peek(file, formats.PARAMETER_VECTOR_ELEMENT_PACK))
        if uuid.UUID(int=uuid.UUID(bytes=head.uuid).int - head.index) not in vectors:  # a vector not seen before
            _claim(head.vector_size)
        return read(file, vectors)

    return checked


def _known_instruction(read: Callable[..., Any]) -> Callable[..., Any]:
    def checked(file: Any, *arguments: Any, **settings: Any) -> Any:
        if _is_bounded():
            form = formats.CIRCUIT_INSTRUCTION_V2_PACK
            head = formats.CIRCUIT_INSTRUCTION_V2._make(_peek(file, form))
            name = _peek(file, f"{form}{head.name_size}s")[-1].decode(errors="replace")
            if name not in _instructions():
                raise FileFormatError(f"a circuit with the instruction {name!r:.50}, which no compiled circuit has")
            if head.num_ctrl_qubits > head.num_qargs:
                raise FileFormatError(f"{name} of {head.num_qargs} qubits claims {head.num_ctrl_qubits:,} controls")
        return read(file, *arguments, **settings)

    return checked


@cache
def _instructions() -> frozenset[str]:
    """Names of the classes that an instruction may be of."""
    from qiskit.circuit.library import standard_gates

    return _OTHER_INSTRUCTIONS | {name for name in vars(standard_gates) if name.endswith("Gate")}
