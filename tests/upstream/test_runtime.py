"""What we rely on in qiskit-ibm-runtime, whichever generation is installed."""

import json
import re
import warnings
from importlib import import_module
from pathlib import Path

import pytest
import qiskit_ibm_runtime
import requests
from example_payloads import payload
from loopback import API_KEY, INSTANCE, Server, respond
from plans import make_plan
from qiskit_aer import AerSimulator
from qiskit_ibm_runtime import RuntimeEncoder
from qiskit_ibm_runtime.api.exceptions import RequestsApiError

from qkd_pl.devices.ibm.payload import Payload
from qkd_pl.devices.ibm.service import primitives
from qkd_pl.errors import BackendError, InvalidInputError, ServiceError
from qkd_pl.upstream import runtime
from qkd_pl.upstream.runtime import Connections, Generation, WatchedService

V2 = pytest.mark.skipif(Generation.V2 not in runtime.installed(), reason="the client has no EstimatorV2 any more")
EXECUTOR = pytest.mark.skipif(Generation.EXECUTOR not in runtime.installed(), reason="the client has no Executor yet")
OLD_ONLY = pytest.mark.skipif(Generation.EXECUTOR in runtime.installed(), reason="the client has the Executor")


def connect(kind: type = WatchedService) -> WatchedService:
    service: WatchedService = kind(channel="ibm_quantum_platform", token=API_KEY, instance=INSTANCE)
    return service


def test_the_newer_generation_is_preferred_and_the_other_can_be_chosen() -> None:
    assert runtime.generation() is runtime.installed()[0]
    for each in runtime.installed():
        assert runtime.generation(str(each)) is each
    if len(runtime.installed()) == 2:
        assert runtime.generation() is Generation.EXECUTOR


@pytest.mark.parametrize("name", ["v3", "", 2])
def test_other_generations_are_refused(name: object) -> None:
    with pytest.raises(InvalidInputError, match=r"primitives=.*must be one of 'v2', 'executor'"):
        runtime.generation(name)  # type: ignore[arg-type]


@OLD_ONLY
def test_a_generation_that_is_not_installed_is_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"qiskit-ibm-runtime 0\.\d+\.\d+ has only 'v2'"):
        runtime.generation("executor")


@OLD_ONLY
def test_a_result_that_needs_a_newer_client_says_so() -> None:
    with pytest.raises(BackendError, match=r"needs qiskit-ibm-runtime 0\.50"):
        runtime.decode_result('{"schema_version": "v2.0", "data": []}')


@pytest.mark.parametrize("primitive", ["estimator", "sampler"])
@pytest.mark.parametrize("generation", runtime.installed())
def test_options_and_classes_fit_each_other(primitive: runtime.Primitive, generation: Generation) -> None:
    options = runtime.options_type(primitive, generation)(max_execution_time=60, twirling={"enable_gates": True})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the class itself, see test_loopback.py
        made = runtime.primitive_type(primitive, generation)(mode=AerSimulator(), options=options)
    assert made.options.max_execution_time == 60
    assert made.options.twirling.enable_gates is True


@EXECUTOR
def test_an_executor_job_carries_tags_time_limit_and_backend(direct: Server) -> None:
    job = Payload("estimator", make_plan().payloads[0].pubs, {"max_execution_time": 33, "primitives": "executor"})
    primitives.send(job, connect().backend("ibm_manila"), ["mine"])
    (stored,) = direct.service.jobs.values()
    assert stored.body["program_id"] == "executor"
    assert (stored.tags, stored.body["cost"], stored.body["backend"]) == (["mine"], 33, "ibm_manila")


@OLD_ONLY
def test_the_old_clients_own_submissions_use_what_it_deprecates(direct: Server) -> None:
    """Why ``filterwarnings`` lets one warning of its pass: it comes from the client, about the client."""
    job, backend = make_plan().payloads[0], connect().backend("ibm_manila")
    with pytest.warns(DeprecationWarning, match="The RuntimeOptions class is deprecated") as caught:
        primitives.send(job, backend)
    folder = Path(qiskit_ibm_runtime.__file__).parent
    assert all(Path(each.filename).is_relative_to(folder) for each in caught)


@EXECUTOR
def test_the_new_client_needs_no_such_exception(direct: Server) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        primitives.send(make_plan().payloads[0], connect().backend("ibm_manila"))
    assert len(direct.service.jobs) == 1


def test_every_connection_is_seen_before_it_is_used(direct: Server) -> None:
    seen: list[requests.Session] = []

    class Watched(WatchedService):
        def secure(self, session: requests.Session) -> None:
            seen.append(session)

    service = connect(Watched)
    service.secure_all()
    assert {client._session for client in Connections(service)} == set(seen)
    assert all(isinstance(session, requests.Session) for session in seen)
    assert all(session.auth.tm.apikey == API_KEY and session.auth.crn == INSTANCE for session in seen)  # type: ignore[union-attr]
    manager = seen[0].auth.tm  # type: ignore[union-attr]
    assert isinstance(manager.http_config, dict)
    assert re.fullmatch(r"[\w.-]+", manager.get_token())
    assert manager.request_time >= 0


def test_answers_about_jobs_arrive_as_they_are(direct: Server) -> None:
    direct.service.polls_until_done = 10_000
    requests_of = Connections(connect(), INSTANCE)
    stored = direct.service.accept(json.dumps({"backend": "ibm_manila", "program_id": "estimator", "tags": ["a"]}))
    assert [job["id"] for job in requests_of.jobs("a", most=10)] == [stored.id]
    assert requests_of.jobs("b", most=10) == []
    assert requests_of.job(stored.id)["tags"] == ["a"]
    requests_of.cancel(stored.id)
    assert requests_of.job(stored.id)["state"]["status"] == "Cancelled"
    assert requests_of.result(stored.id) == ""


def test_what_a_job_used_is_told_in_its_metrics(direct: Server) -> None:
    """As the service tells it; the client's own object of a job would ask for its circuits as well."""
    requests_of = Connections(connect(), INSTANCE)
    stored = direct.service.accept(json.dumps({"backend": "ibm_manila", "program_id": "estimator", "tags": ["a"]}))
    assert requests_of.metrics(stored.id)["usage"] == {"quantum_seconds": 3}
    assert [each for each in direct.requests if stored.id in each] == [f"GET /jobs/{stored.id}/metrics"]
    direct.break_on("GET", "/jobs/[^/]+/metrics", respond(404))
    with pytest.raises(RequestsApiError, match="404"):
        requests_of.metrics(stored.id)


@pytest.mark.parametrize("answer", [[], [{"usage": 1}], "no", 5, None])
def test_metrics_of_another_shape_are_refused(answer: object, direct: Server) -> None:
    requests_of = Connections(connect(), INSTANCE)
    direct.break_on("GET", "/jobs/[^/]+/metrics", respond(200, json.dumps(answer)))
    with pytest.raises(ServiceError, match="metrics of job job-1 are none"):
        requests_of.metrics("job-1")


def test_long_lists_are_read_page_by_page_up_to_a_bound(direct: Server) -> None:
    body = json.dumps({"backend": "ibm_manila", "program_id": "estimator", "tags": ["a"]})
    ids = [direct.service.accept(body).id for _ in range(450)]
    requests_of = Connections(connect(), INSTANCE)
    assert [job["id"] for job in requests_of.jobs("a", most=10_000)] == ids
    assert len(requests_of.jobs("a", most=300)) == 300


@pytest.mark.parametrize("answer", [[], {}, {"jobs": 5}, "no", None])
def test_answers_of_another_shape_are_refused(answer: object, monkeypatch: pytest.MonkeyPatch, direct: Server) -> None:
    service = connect()
    client = type(service._active_api_client)
    monkeypatch.setattr(client, "jobs_get", lambda *_, **__: answer)
    monkeypatch.setattr(client, "job_get", lambda *_, **__: None if isinstance(answer, dict) else answer)
    with pytest.raises(ServiceError, match="no list of jobs"):
        Connections(service).jobs("a", most=10)
    with pytest.raises(ServiceError, match="describes no job"):
        Connections(service).job("job-1")


def test_results_of_the_old_primitives_are_read_by_every_client() -> None:
    """A job that an older client has sent."""
    finished = primitives.send(payload("estimator", None), AerSimulator()).result()
    read = runtime.decode_result(json.dumps(finished, cls=RuntimeEncoder))
    assert read[0].data.evs.tolist() == finished[0].data.evs.tolist()


@EXECUTOR
def test_the_executors_decoders_have_the_form_that_we_chain() -> None:
    for decoder in import_module("qiskit_ibm_runtime.decoders.defaults").DEFAULT_DECODERS["executor"]:
        assert callable(decoder.decode)
        assert callable(decoder.is_applicable)
