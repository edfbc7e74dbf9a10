"""The loopback service itself, driven by the unmodified client, with every generation of primitives that it has."""

from contextlib import AbstractContextManager, nullcontext

import numpy as np
import pytest
from loopback import API_KEY, INSTANCE, Server, reset_after
from qiskit import QuantumCircuit
from qiskit_ibm_runtime import QiskitRuntimeService
from qiskit_ibm_runtime.exceptions import IBMRuntimeError

from qkd_pl.upstream import runtime
from qkd_pl.upstream.runtime import Generation

GENERATIONS = pytest.mark.parametrize("generation", runtime.installed())


def announced(generation: Generation) -> AbstractContextManager:
    """The client announces the end of the old generation to whoever makes one, as soon as it has the new one."""
    is_old = generation is Generation.V2 and Generation.EXECUTOR in runtime.installed()
    return pytest.deprecated_call(match="class is deprecated") if is_old else nullcontext()


def connect() -> QiskitRuntimeService:
    return QiskitRuntimeService(channel="ibm_quantum_platform", token=API_KEY, instance=INSTANCE)


def run(primitive: str, generation: Generation, pubs: list, tag: str = "mine", **arguments: int):
    options = {"environment": {"job_tags": [tag]}}
    with announced(generation):
        made = runtime.primitive_type(primitive, generation)(mode=connect().backend("ibm_manila"), options=options)
    return made.run(pubs, **arguments)


def bell() -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.rz(np.pi / 2, 0)
    circuit.sx(0)
    circuit.rz(np.pi / 2, 0)
    circuit.cx(0, 1)
    return circuit


@GENERATIONS
@pytest.mark.parametrize("way", ["direct", "proxied"])
def test_runs_submitted_pubs(way: str, generation: Generation, request: pytest.FixtureRequest) -> None:
    server: Server = request.getfixturevalue(way)
    values = run("estimator", generation, [(bell(), ["ZZ", "ZI"])]).result(timeout=60)[0].data.evs
    # 4,096 shots by default: a standard deviation of at most 0.016.
    np.testing.assert_allclose(values, [1, 0], atol=1e-9 if generation is Generation.V2 else 0.1)
    assert [stored.tags for stored in server.service.jobs.values()] == [["mine"]]


@GENERATIONS
def test_runs_the_sampler(generation: Generation, direct: Server) -> None:
    circuit = bell()
    circuit.measure_all()
    counts = run("sampler", generation, [circuit], shots=100).result(timeout=60)[0].data.meas.get_counts()
    assert set(counts) == {"00", "11"}
    assert sum(counts.values()) == 100


@GENERATIONS
def test_finds_jobs_by_tag(generation: Generation, direct: Server) -> None:
    for tag in ("a", "b", "b"):
        run("estimator", generation, [(bell(), ["ZZ"])], tag)
    assert [len(connect().jobs(job_tags=[tag], limit=None)) for tag in "abc"] == [1, 2, 0]


@GENERATIONS
@pytest.mark.parametrize(("way", "jobs"), [("direct", 1), ("proxied", 2)])
def test_client_orphans_or_doubles_a_job_on_reset(
    way: str, jobs: int, generation: Generation, request: pytest.FixtureRequest
) -> None:
    """The client's own behaviour that qkd_pl's submission must make harmless."""
    server: Server = request.getfixturevalue(way)
    server.break_on("POST", "/jobs", reset_after, times=1)
    with pytest.raises(IBMRuntimeError) if way == "direct" else nullcontext():
        run("estimator", generation, [(bell(), ["ZZ"])])
    assert len(server.service.jobs) == jobs
