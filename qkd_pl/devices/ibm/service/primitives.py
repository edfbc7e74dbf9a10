"""The one place that calls qiskit-ibm-runtime's primitives, for real backends and simulated ones."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from qiskit.converters import circuit_to_dag, dag_to_circuit
from qiskit.primitives import BackendEstimatorV2
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit_aer import AerSimulator
from qiskit_aer.primitives import EstimatorV2 as ExactEstimator
from qiskit_aer.primitives import SamplerV2 as AerSampler
from qiskit_ibm_runtime import Batch

from qkd_pl.devices.ibm.payload import OUR_OPTIONS, Payload, replaced
from qkd_pl.errors import InvalidInputError
from qkd_pl.upstream import runtime
from qkd_pl.upstream.runtime import Generation, Primitive
from qkd_pl.warning import warn


def is_simulator(backend: Any) -> bool:
    """Whether ``backend`` runs in this process rather than on IBM's service."""
    return isinstance(backend, AerSimulator)


def check_options(primitive: Primitive, options: Mapping[str, Any]) -> None:
    """Refuse ``options`` of a payload that the primitive does not have, by the client's own validation.

    Raises:
        InvalidInputError: names the primitive and what its validation says.
    """
    _client_options(primitive, options, tags=())


def send(payload: Payload, backend: Any, tags: Sequence[str] = (), batch: Any = None, rehearsal: bool = False) -> Any:
    """Start ``payload`` on ``backend`` and return the job at once.

    Args:
        payload: what to run; its circuits must be of this backend's instruction set.
        backend: an ``IBMBackend``, or an ``AerSimulator`` (which ignores mitigation options, with a warning).
        tags: the service keeps them with the job and finds it by them; a local job has none.
        batch: the value of :func:`open_batch` for the same backend.
        rehearsal: the service only estimates what the job would use (:func:`runtime.can_rehearse`).

    Returns:
        The client's job: ``job_id()``, ``status()``, ``result()``, ``cancel()``.
    """
    options = _client_options(payload.primitive, payload.options, tags)
    if is_simulator(backend):
        return _simulate(payload, backend)
    primitive = runtime.primitive_type(payload.primitive, payload.generation)(mode=batch or backend, options=options)
    return primitive.run(sendable(payload), **({"dry_run": True} if rehearsal else {}))


def sendable(payload: Payload) -> list[EstimatorPub | SamplerPub]:
    """The PUBs, whose circuits the client's own preparation may extend: one that remembers its layout warns of it."""
    if payload.generation is Generation.V2:
        return list(payload.pubs)
    return [replaced(pub, dag_to_circuit(circuit_to_dag(pub.circuit))) for pub in payload.pubs]


@contextmanager
def open_batch(backend: Any, n_jobs: int) -> Iterator[Any]:
    """Batch mode for several jobs on real hardware; ``None`` for one job or a simulator."""
    if n_jobs < 2 or is_simulator(backend):
        yield None
        return
    with new_batch(backend) as batch:
        yield batch


def new_batch(backend: Any) -> Batch:
    """A batch on real hardware; it ends by :func:`close_batch`, or by itself."""
    return Batch(backend=backend)


def takes_jobs(batch: Batch) -> bool:
    """Whether the service still takes jobs for a batch: one that has lasted too long is closed by it."""
    return bool((batch.details() or {}).get("accepting_jobs"))


def close_batch(batch: Batch) -> None:
    """Send no more; what was sent runs."""
    batch.close()


def _client_options(primitive: Primitive, options: Mapping[str, Any], tags: Sequence[str]) -> Any:
    generation = runtime.generation(options.get("primitives"))
    chosen = {key: value for key, value in options.items() if key not in OUR_OPTIONS}
    if tags:
        chosen["environment"] = {**chosen.get("environment", {}), "job_tags": list(tags)}
    try:
        made = runtime.options_type(primitive, generation)(**chosen)
    except (ValueError, TypeError) as error:
        raise InvalidInputError(f"options of the {primitive} ({generation}), {chosen}: {error}") from error
    if generation is Generation.EXECUTOR and (method := _needs_noise_model(options)):
        raise InvalidInputError(
            f"resilience.{method}: the newer client's jobs do not learn the noise that it needs; use primitives: v2"
        )
    return made


def _needs_noise_model(options: Mapping[str, Any]) -> str | None:
    """The mitigation that rests on learnt noise of the layers of two-qubit gates, if any."""
    resilience = options.get("resilience", {})
    if resilience.get("pec_mitigation"):
        return "pec_mitigation"
    zne = resilience.get("zne_mitigation", options.get("resilience_level") == 2)
    return "zne.amplifier: pea" if zne and resilience.get("zne", {}).get("amplifier") == "pea" else None


def _simulate(payload: Payload, backend: AerSimulator) -> Any:
    """Run in this process, on ``backend`` itself: the client's local mode copies the noise model for every job."""
    ignored = sorted(set(payload.options) - OUR_OPTIONS - {"environment"})
    if ignored:
        warn(f"{backend.name} is a simulator: {', '.join(ignored)} have no effect on it")
    seed = payload.options.get("seed")
    pubs = list(payload.pubs)
    if payload.primitive == "sampler":
        return AerSampler.from_backend(backend, seed=seed).run(pubs)
    if payload.shots is None:
        return _exact(pubs, backend)
    return BackendEstimatorV2(backend=backend, options={"seed_simulator": seed}).run(pubs)


def _exact(pubs: list[EstimatorPub], backend: AerSimulator) -> Any:
    if backend.options.noise_model is not None:
        raise InvalidInputError(f"shots=None on {backend.name}: exact values need backend 'aer'; ask for shots here")
    return ExactEstimator.from_backend(backend).run(pubs)
