"""What we rely on in Qiskit's reader of circuits: nothing is built before what it claims has been checked."""

import base64
import io
import json
import struct
import threading
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from plans import make_plan
from qiskit import QuantumCircuit, qpy
from qiskit.circuit import ParameterVector
from qiskit.circuit.library import MCXGate
from qiskit.qpy import formats
from qiskit_ibm_runtime import RuntimeDecoder, RuntimeEncoder

from qkd_pl.devices.ibm.payload import Payload
from qkd_pl.errors import FileFormatError
from qkd_pl.upstream.qpy import bounded_circuits

HUGE = 2**32 - 1
_TABLED = 16  # from this version on, the places of the circuits stand in front of them


def packed(circuit: QuantumCircuit) -> bytes:
    """As the client packs it."""
    text = json.loads(json.dumps(circuit, cls=RuntimeEncoder))["__value__"]
    return zlib.decompress(base64.b64decode(text))


def decoded(content: bytes) -> Any:
    text = base64.b64encode(zlib.compress(content)).decode()
    return json.loads(json.dumps({"__type__": "QuantumCircuit", "__value__": text}), cls=RuntimeDecoder)


def turned(length: int = 2) -> QuantumCircuit:
    angles = ParameterVector("angle", length)
    circuit = QuantumCircuit(6, 1)
    circuit.ry(angles[0] + 0.5, 0)
    for angle in angles[1:]:
        circuit.rz(angle, 1)
    circuit.append(MCXGate(5), range(6))
    circuit.measure(0, 0)
    return circuit


def changed(content: bytes, start: int, form: str, **fields: Any) -> bytes:
    """With other values in the structure that lies at ``start``."""
    kinds = {
        "file": formats.FILE_HEADER_V10,
        "circuit": formats.CIRCUIT_HEADER_V12,
        "gate": formats.CIRCUIT_INSTRUCTION_V2,
    }
    pack = getattr(
        formats,
        {"file": "FILE_HEADER_V10", "circuit": "CIRCUIT_HEADER_V12", "gate": "CIRCUIT_INSTRUCTION_V2"}[form] + "_PACK",
    )
    found = kinds[form]._make(struct.unpack_from(pack, content, start))._replace(**fields)
    size = struct.calcsize(pack)
    return content[:start] + struct.pack(pack, *found) + content[start + size :]


def of_circuit(content: bytes, **fields: Any) -> bytes:
    """With other values in the header of the one circuit."""
    start = formats.FILE_HEADER_V10_SIZE + formats.TYPE_KEY_SIZE
    version = formats.FILE_HEADER_V10._make(struct.unpack_from(formats.FILE_HEADER_V10_PACK, content)).qpy_version
    return changed(content, start + formats.CIRCUIT_TABLE_ENTRY_SIZE * (version >= _TABLED), "circuit", **fields)


def gate(content: bytes, name: bytes) -> int:
    """Where the instruction of this name starts."""
    return content.index(name) - formats.CIRCUIT_INSTRUCTION_V2_SIZE


def longer_vector(content: bytes) -> bytes:
    short, long = (struct.pack("!HQ", len("angle"), size) for size in (2, 2**40))
    assert short in content
    return content.replace(short, long)


LIES: dict[str, Callable[[bytes], bytes]] = {
    "qubits": lambda it: of_circuit(it, num_qubits=HUGE),
    "classical bits": lambda it: of_circuit(it, num_clbits=HUGE),
    "a vector": longer_vector,
    "controls": lambda it: changed(it, gate(it, b"MCXGate"), "gate", num_ctrl_qubits=HUGE),
    "another class": lambda it: it.replace(b"Measure", b"QFTGate"),
    "a circuit of the library": lambda it: it.replace(b"MCXGate", b"IQPChen"),
    "control flow": lambda it: it.replace(b"Measure", b"ForLoop"),
    "many programs": lambda it: changed(it, 0, "file", num_programs=2**60),
    "an old version": lambda it: changed(it, 0, "file", qpy_version=12),
}


@pytest.mark.parametrize("lie", LIES)
def test_what_is_claimed_is_refused_before_it_is_built(lie: str) -> None:
    content = LIES[lie](packed(turned()))
    tracemalloc.start()
    try:
        with bounded_circuits(1000), pytest.raises(FileFormatError):
            decoded(content)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_sound_circuits_are_read_as_they_were() -> None:
    circuit = turned()
    with bounded_circuits(7 + 2):
        assert decoded(packed(circuit)) == circuit


def test_claims_add_up() -> None:
    with bounded_circuits(2 * 9 + 8):
        decoded(packed(turned()))
        decoded(packed(turned()))
        with pytest.raises(FileFormatError, match=r"claim 2 bits and parameters; allowed are"):
            decoded(packed(turned()))


def test_afterwards_and_in_other_threads_nothing_is_bounded() -> None:
    circuit, found = turned(), []
    with bounded_circuits(0):
        other = threading.Thread(target=lambda: found.append(decoded(packed(circuit))))
        other.start()
        other.join()
        assert found == [circuit]
    content = io.BytesIO()
    qpy.dump([turned(), turned(5)], content)
    content.seek(0)
    assert len(qpy.load(content)) == 2


def other_payload(change: Callable[[dict[str, Any]], Any]) -> str:
    document = json.loads(make_plan().payloads[0].encode())
    change(document)
    return json.dumps(document)


@pytest.mark.parametrize(
    "kind", ["spmatrix", "settings", "Instruction", "NoiseModel", "BindingsArray", "_json", 5, None]
)
def test_a_payload_holds_circuits_and_arrays_alone(kind: Any) -> None:
    text = other_payload(lambda payload: payload["options"].update(x={"__type__": kind, "__value__": "UEsDBA"}))
    with pytest.raises(FileFormatError, match="must hold QuantumCircuit and ndarray alone"):
        Payload.decode(text)


def test_a_key_that_comes_twice_hides_nothing() -> None:
    """The decoder makes what it is told to make of the first value, too, which is not in the document."""
    text = make_plan().payloads[0].encode()
    hidden = '{"pubs": [{"__type__": "spmatrix", "__value__": ""}], ' + text[1:]
    with pytest.raises(FileFormatError, match="one of its keys twice"):
        Payload.decode(hidden)


def test_a_payload_with_a_lying_circuit_is_refused() -> None:
    def lie(payload: dict[str, Any]) -> None:
        circuit = payload["pubs"][0][0]
        content = zlib.decompress(base64.b64decode(circuit["__value__"]))
        circuit["__value__"] = base64.b64encode(zlib.compress(LIES["qubits"](content))).decode()

    with pytest.raises(FileFormatError, match=r"claim 4,294,967,295 bits and parameters"):
        Payload.decode(other_payload(lie))
