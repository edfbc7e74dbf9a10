"""The loopback service itself, driven by the unmodified client."""

import numpy as np
import pytest
from loopback import API_KEY, INSTANCE, Server, reset_after
from qiskit import QuantumCircuit
from qiskit_ibm_runtime import EstimatorV2, QiskitRuntimeService, SamplerV2
from qiskit_ibm_runtime.exceptions import IBMRuntimeError


def connect() -> QiskitRuntimeService:
    return QiskitRuntimeService(channel="ibm_quantum_platform", token=API_KEY, instance=INSTANCE)


def tagged(tag: str) -> dict[str, dict[str, list[str]]]:
    return {"environment": {"job_tags": [tag]}}


def bell() -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.rz(np.pi / 2, 0)
    circuit.sx(0)
    circuit.rz(np.pi / 2, 0)
    circuit.cx(0, 1)
    return circuit


@pytest.mark.parametrize("way", ["direct", "proxied"])
def test_runs_submitted_pubs(way: str, request: pytest.FixtureRequest) -> None:
    server: Server = request.getfixturevalue(way)
    backend = connect().backend("ibm_manila")
    job = EstimatorV2(mode=backend, options=tagged("mine")).run([(bell(), ["ZZ", "ZI"])])
    values = job.result(timeout=20)[0].data.evs
    np.testing.assert_allclose(values, [1, 0], atol=1e-9)
    assert [stored.tags for stored in server.service.jobs.values()] == [["mine"]]


def test_runs_the_sampler(direct: Server) -> None:
    circuit = bell()
    circuit.measure_all()
    job = SamplerV2(mode=connect().backend("ibm_manila")).run([circuit], shots=100)
    counts = job.result(timeout=20)[0].data.meas.get_counts()
    assert set(counts) == {"00", "11"}
    assert sum(counts.values()) == 100


def test_finds_jobs_by_tag(direct: Server) -> None:
    service = connect()
    backend = service.backend("ibm_manila")
    for tag in ("a", "b", "b"):
        EstimatorV2(mode=backend, options=tagged(tag)).run([(bell(), ["ZZ"])])
    assert [len(service.jobs(job_tags=[tag], limit=None)) for tag in "abc"] == [1, 2, 0]


@pytest.mark.parametrize(("way", "jobs"), [("direct", 1), ("proxied", 2)])
def test_client_orphans_or_doubles_a_job_on_reset(way: str, jobs: int, request: pytest.FixtureRequest) -> None:
    """The client's own behaviour that qkd_pl's submission must make harmless."""
    server: Server = request.getfixturevalue(way)
    backend = connect().backend("ibm_manila")
    server.break_on("POST", "/jobs", reset_after, times=1)
    if way == "direct":
        with pytest.raises(IBMRuntimeError):
            EstimatorV2(mode=backend).run([(bell(), ["ZZ"])])
    else:
        EstimatorV2(mode=backend).run([(bell(), ["ZZ"])])
    assert len(server.service.jobs) == jobs
