"""A job's result as the service sends it: bounded, decoded, checked against what the job asked for."""

import math
from typing import Any

import numpy as np
from qiskit.primitives import BitArray, PrimitiveResult
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.sampler_pub import SamplerPub

from qkd_pl.bounded import inflated_size, parse_json, tagged
from qkd_pl.checks import cut, kind_of
from qkd_pl.devices.ibm.payload import REGISTER, Payload
from qkd_pl.errors import BackendError, FileFormatError, JobResultError
from qkd_pl.upstream.runtime import Generation, decode_result

#: An expectation value is at most this many times the sum of the observable's |coefficients|. Without mitigation 1;
#: read-out mitigation divides by measured factors, and extrapolation to zero noise overshoots.
MITIGATED_BOUND = 10.0
_ROUNDING = 1e-6
_FIXED_BYTES = 1 << 24  # of metadata, whatever the size of the job
_BYTES_PER_VALUE = 512  # the value, its errors, and those for each noise factor and extrapolator
#: What the client's encoder names in a result. Its decoder also makes circuits and whatever class of Qiskit it is told.
_TYPES = frozenset(
    {
        *("PrimitiveResult", "PubResult", "EstimatorPubResult", "SamplerPubResult", "DataBin", "BitArray", "ndarray"),
        *("ExecutionSpans", "ExecutionSpanCollection", "ExecutionSpan", "DoubleSliceSpan"),
        *("TwirledSliceSpan", "TwirledSliceSpanV2", "PauliLindbladMap", "complex", "datetime", "set", "to_json"),
    }
)
_RANDOMIZED = 4  # the Executor sends which measurements it flipped, and rounds shots up


def most_bytes(payload: Payload) -> int:
    """The longest result, in bytes, packed or unpacked, that a job of this payload can have."""
    values = sum(_result_size(pub) for pub in payload.pubs)
    size = _FIXED_BYTES + _BYTES_PER_VALUE * values
    if payload.generation is Generation.EXECUTOR or payload.primitive == "sampler":
        # Bit strings of all shots; circuits of an Estimator are as many as it has values, or fewer.
        bits = max(pub.circuit.num_qubits for pub in payload.pubs)
        size += _RANDOMIZED * values * max(payload.shots or 1, 64) * math.ceil(bits / 8) * 3
    return size


def read(text: str, payload: Payload) -> list[np.ndarray]:
    """Numbers in the service's text, one array for each PUB.

    Raises:
        JobResultError: it is damaged, or not what ``payload`` asked for.
        BackendError: the installed client is too old for it.
    """
    try:
        most = most_bytes(payload)
        document = parse_json(text, most, "the result")
        if inflated_size(document, most) > most:
            raise JobResultError(f"the result unpacks to more than the {most:,} bytes that it can have")
        if others := {name for name, _ in tagged(document)} - _TYPES:
            raise JobResultError(f"the result holds {cut(min(others))}, which no result of a job has")
        result = decode_result(text)
        return values(result, payload)
    except (BackendError, JobResultError):
        raise
    except FileFormatError as error:
        raise JobResultError(f"the result is damaged ({error})") from None
    except Exception as error:  # the client's decoders raise whatever they stumble over
        raise JobResultError(f"the result is damaged ({type(error).__name__}: {error!s:.200})") from None


def values(result: Any, payload: Payload) -> list[np.ndarray]:
    """Numbers of a job's ``result``, one array for each PUB, checked against what ``payload`` asked for.

    Returns:
        Estimator: float64 of shape (observables, rows). Sampler: uint8 of shape (rows, shots, bits), bit i of wire i.

    Raises:
        JobResultError: a part is missing, of another type or shape, not finite, or beyond what an expectation value can
            be (:data:`MITIGATED_BOUND`).
    """
    if not isinstance(result, PrimitiveResult):
        raise JobResultError(f"the result is {kind_of(result)}, not a PrimitiveResult: incomplete download?")
    if len(result) != len(payload.pubs):
        raise JobResultError(f"the result holds {len(result)} PUBs, the job asked for {len(payload.pubs)}")
    found = []
    for index, (part, pub) in enumerate(zip(result, payload.pubs, strict=True)):
        if isinstance(pub, SamplerPub):
            found.append(_read_bits(part, pub, index))
        else:
            found.append(_read_estimates(part, pub, index, _bound(payload)))
    return found


def _bound(payload: Payload) -> float:
    plain = payload.options.get("resilience_level") == 0 and not payload.options.get("resilience")
    return 1.0 + _ROUNDING if plain or payload.shots is None else MITIGATED_BOUND


def _result_size(pub: EstimatorPub | SamplerPub) -> int:
    return math.prod(pub.shape) if pub.shape else 1


def _read_estimates(part: Any, pub: EstimatorPub, index: int, bound: float) -> np.ndarray:
    evs = getattr(getattr(part, "data", None), "evs", None)
    if not isinstance(evs, np.ndarray) or evs.shape != pub.shape or evs.dtype.kind not in "fiu":
        found = f"{type(evs).__name__} of shape {getattr(evs, 'shape', None)}"
        raise JobResultError(
            f"the result of PUB {index}: expectation values are a {found}, expected a real array {pub.shape}"
        )
    estimates = evs.astype(np.float64)
    if not np.isfinite(estimates).all():
        raise JobResultError(
            f"the result of PUB {index}: {np.sum(~np.isfinite(estimates))} expectation values are not finite"
        )
    largest = np.array([sum(map(abs, observable.values())) for observable in pub.observables.ravel().tolist()])
    limits = np.broadcast_to(bound * largest.reshape(pub.observables.shape), pub.shape)
    if (np.abs(estimates) > limits).any():
        worst = np.unravel_index(np.argmax(np.abs(estimates) - limits), pub.shape)
        raise JobResultError(
            f"the result of PUB {index}: an expectation value is {estimates[worst]:.3g}; that of this observable is at "
            f"most {largest.max():.3g}, or {limits[worst]:.3g} after error mitigation"
        )
    return estimates


def _read_bits(part: Any, pub: SamplerPub, index: int) -> np.ndarray:
    measured = getattr(getattr(part, "data", None), REGISTER, None)
    expected = (*pub.shape, pub.shots, pub.circuit.num_clbits)
    if not isinstance(measured, BitArray):
        raise JobResultError(f"the result of PUB {index}: measurements are {kind_of(measured)}, expected a BitArray")
    if (found := (*measured.shape, measured.num_shots, measured.num_bits)) != expected:
        raise JobResultError(
            f"the result of PUB {index}: measurements have (…, shots, bits) = {found}, expected {expected}"
        )
    # Bytes are big-endian: clbit 0 is the last bit of the last byte.
    return np.unpackbits(measured.array, axis=-1)[..., ::-1][..., : measured.num_bits]
