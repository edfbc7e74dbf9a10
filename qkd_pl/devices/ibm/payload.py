"""What one job sends: circuits of the backend's instruction set, observables, parameter arrays and options."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit_ibm_runtime import RuntimeDecoder, RuntimeEncoder

from qkd_pl.bounded import inflated_size, parse_json, tagged
from qkd_pl.checks import check_choice, cut
from qkd_pl.errors import FileFormatError, InvalidInputError
from qkd_pl.upstream import runtime
from qkd_pl.upstream.qpy import bounded_circuits
from qkd_pl.upstream.runtime import Generation, Primitive

#: Name of the classical register that Sampler circuits measure into.
REGISTER = "meas"
#: Options of a payload that are not the client's.
OUR_OPTIONS = frozenset({"seed", "primitives"})
_FORMAT = 1
#: Of an encoded payload, packed or unpacked.
MOST_BYTES = 1 << 28
_PUB_TYPES: dict[str, type[EstimatorPub] | type[SamplerPub]] = {"estimator": EstimatorPub, "sampler": SamplerPub}
_MAX_SEED = 2**31 - 1
_TYPES = frozenset({"ndarray", "QuantumCircuit"})
#: Bits and parameters that the circuits of a payload may claim beyond one for each eight bytes, as a register has them.
_SPARE_CLAIMS = 1 << 18


def precision_for(shots: int | None) -> float:
    """Target precision of an Estimator PUB that runs exactly ``shots`` shots; 0.0 (exact) for ``None``.

    The primitives run ceil(1 / precision²) shots, and 1/√shots rounded down to a float gives one shot too many for
    about a third of all numbers (2, 7, …, 1000, …).
    """
    if shots is None:
        return 0.0
    precision = 1 / math.sqrt(shots)
    while math.ceil(1 / precision**2) > shots:
        precision = math.nextafter(precision, 2)
    return precision


def shots_of(pub: EstimatorPub | SamplerPub) -> int | None:
    """Shots that ``pub`` asks for each row of parameters and measurement basis; ``None`` for exact values."""
    if isinstance(pub, SamplerPub):
        return pub.shots
    return math.ceil(1 / pub.precision**2) if pub.precision else None


@dataclass(frozen=True, eq=False)
class Payload:
    """One job, independent of PennyLane and of any account.

    Attributes:
        primitive: ``"estimator"`` (expectation values) or ``"sampler"`` (bit strings).
        pubs: primitive unified blocs. An Estimator PUB holds an ISA circuit, observables of shape (observables, 1),
            parameters of shape (rows, parameters) and a precision (0 for exact simulation). A Sampler PUB holds an
            ISA circuit with one classical register ``meas`` whose bit i is wire i, parameters and shots.
        options: JSON-able settings as the user chose them: those of qiskit-ibm-runtime's ``EstimatorOptions`` or
            ``SamplerOptions``; ``seed`` in 1..2³¹−1 for simulators; and ``primitives``, the generation of the client's
            primitives that sends the job and that it was priced for, by default the one to prefer of those installed.
    """

    primitive: Primitive
    pubs: tuple[EstimatorPub | SamplerPub, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_choice("primitive", self.primitive, _PUB_TYPES)
        if not isinstance(self.options, Mapping) or not all(isinstance(key, str) for key in self.options):
            raise InvalidInputError(f"options={cut(self.options)}: must map names to settings")
        for name in ("execution", "resilience", "twirling", "dynamical_decoupling", "environment"):
            if not isinstance(self.options.get(name, {}), Mapping):
                raise InvalidInputError(f"options: {name}={cut(self.options[name])}: must map names to settings")
        if not self.pubs or not all(isinstance(pub, _PUB_TYPES[self.primitive]) for pub in self.pubs):
            raise InvalidInputError(f"pubs of a {self.primitive} job must be one or more {self.primitive} PUBs")
        if len({shots_of(pub) for pub in self.pubs}) > 1:
            raise InvalidInputError("all PUBs of one job must ask for the same number of shots")
        seed = self.options.get("seed")
        if seed is not None and not (isinstance(seed, int) and 1 <= seed <= _MAX_SEED):
            # Aer and the client treat 0 as "no seed".
            raise InvalidInputError(f"seed={seed!r}: allowed are 1..{_MAX_SEED}")

    @property
    def generation(self) -> Generation:
        """Of the client's primitives, that sends the job."""
        return runtime.generation(self.options.get("primitives"))

    @property
    def shots(self) -> int | None:
        """Shots for each row of parameters and measurement basis; ``None`` for exact values."""
        return shots_of(self.pubs[0])

    def encode(self) -> str:
        """JSON text that holds the whole job, in the service's own encoding."""
        document = {
            "format": _FORMAT,
            "primitive": self.primitive,
            "options": dict(self.options),
            "pubs": list(self.pubs),
        }
        return json.dumps(document, cls=RuntimeEncoder)

    @classmethod
    def decode(cls, text: str) -> "Payload":
        """Read back what :meth:`encode` wrote.

        Raises:
            FileFormatError: the text is cut, altered, or not a payload.
        """
        plain = parse_json(text, MOST_BYTES, "job payload")
        if (size := inflated_size(plain, MOST_BYTES)) > MOST_BYTES:
            raise FileFormatError(f"job payload: unpacks to more than the {MOST_BYTES:,} bytes that are allowed")
        if not isinstance(plain, dict) or plain.get("format") != _FORMAT:
            found = cut(plain.get("format") if isinstance(plain, dict) else plain, 50)
            raise FileFormatError(f"job payload of format {found}; this version reads format {_FORMAT}")
        if others := {name for name, _ in tagged(plain)} - _TYPES:
            raise FileFormatError(
                f"job payload: holds {cut(min(others))}; must hold {' and '.join(sorted(_TYPES))} alone"
            )
        try:
            with bounded_circuits(_SPARE_CLAIMS + size // 8):
                document = json.loads(text, cls=RuntimeDecoder)
            container = _PUB_TYPES[document["primitive"]]
            pubs = tuple(container.coerce(tuple(pub)) for pub in document["pubs"])
            return cls(document["primitive"], pubs, document["options"])
        except Exception as error:  # Qiskit's and the client's decoders raise whatever they stumble over
            raise FileFormatError(f"not a readable job payload ({type(error).__name__}: {error!s:.200})") from error


def fingerprint(payloads: Sequence[Payload], target: Mapping[str, Any]) -> str:
    """Equal for jobs that ask the same of the same backend: circuits, numbers and options, whatever the seed."""
    digest = hashlib.sha256()
    where = {key: target.get(key) for key in ("backend", "instance")}
    for payload in payloads:
        options = {key: value for key, value in payload.options.items() if key != "seed"}
        head = [where, payload.primitive, str(payload.generation), options]
        digest.update(json.dumps(head, sort_keys=True, default=str).encode())
        for pub in payload.pubs:
            _update(digest, pub)
    return digest.hexdigest()


def _update(digest: Any, pub: EstimatorPub | SamplerPub) -> None:
    circuit = pub.circuit
    for each in circuit.data:
        bits = [circuit.find_bit(bit).index for bit in (*each.qubits, *each.clbits)]
        # Parameters by name and numbers in full: their text is the same in every process.
        parameters = [str(value) if hasattr(value, "parameters") else repr(value) for value in each.operation.params]
        digest.update(repr((each.operation.name, bits, parameters)).encode())
    if isinstance(pub, EstimatorPub):
        digest.update(repr([sorted(each.items()) for each in pub.observables.ravel().tolist()]).encode())
    values = np.ascontiguousarray(pub.parameter_values.as_array(circuit.parameters), dtype="<f8")
    digest.update(repr((circuit.num_qubits, values.shape, shots_of(pub))).encode())
    digest.update(values.tobytes())


def replaced(pub: EstimatorPub | SamplerPub, circuit: Any) -> EstimatorPub | SamplerPub:
    """The same PUB with another circuit of the same parameters."""
    if isinstance(pub, SamplerPub):
        return SamplerPub(circuit, pub.parameter_values, pub.shots)
    return EstimatorPub(circuit, pub.observables, pub.parameter_values, pub.precision)


def estimator_pub(circuit: Any, observables: Any, parameters: np.ndarray, shots: int | None) -> EstimatorPub:
    """PUB for expectation values; its result has shape (observables, rows).

    Args:
        circuit: ISA circuit with P parameters.
        observables: sequence of ``SparsePauliOp`` on the ISA circuit's qubits.
        parameters: (rows, P) floats, columns in the order of ``circuit.parameters``.
        shots: for each row and measurement basis, or ``None`` for exact values.
    """
    column = [[observable] for observable in observables]
    return EstimatorPub.coerce((circuit, column, parameters, precision_for(shots)))


def sampler_pub(circuit: Any, parameters: np.ndarray, shots: int) -> SamplerPub:
    """PUB for bit strings; its result has shape (rows, shots, bits). Arguments as in :func:`estimator_pub`."""
    return SamplerPub.coerce((circuit, parameters, shots))
