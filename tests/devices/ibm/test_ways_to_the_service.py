"""Keys of an entry that say by whom, which way and how jobs are sent: what reaches the service, and what must not."""

import base64
import json
import logging
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pennylane as qml
import pytest
from loopback import API_KEY, Network, Server
from loopback.service import INSTANCE
from plans import TOLERANCE, make_plan
from qiskit_ibm_runtime import QiskitRuntimeService
from qiskit_ibm_runtime.accounts import management

import qkd_pl as kd
from qkd_pl.devices.ibm.device import IBMDevice
from qkd_pl.devices.ibm.jobs.jobs import jobs, submit
from qkd_pl.devices.ibm.jobs.ledger import Ledger
from qkd_pl.devices.ibm.payload import Payload
from qkd_pl.devices.ibm.service import polling
from qkd_pl.errors import BackendError, CredentialsError, InvalidInputError, ServiceError

PASSWORD = "proxy pass/word-42"


@pytest.fixture(autouse=True)
def quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "FIRST_SECONDS", 0.02)


def hardware(**options: Any) -> Any:
    """A QNode that measures cos(angle) by one job of a machine."""
    way = {"backend": "ibm_manila", "token_env": "QISKIT_IBM_TOKEN", "transpile_attempts": 1} | options

    @qml.set_shots(1000)
    @qml.qnode(IBMDevice(2, **way))
    def circuit(angle: float) -> Any:
        qml.RX(angle, 0)
        qml.CNOT([0, 1])
        return qml.expval(qml.Z(1))

    return circuit


def gates() -> set[str]:
    """Of the circuits of the newest job."""
    job = jobs()[0]
    payload = Payload.decode(job.ledger.payload(job.receipt.parts[0]))
    return {each.operation.name for pub in payload.pubs for each in pub.circuit.data}


@pytest.fixture
def fractional(direct: Server) -> Server:
    """A machine with RX and RZZ of any angle."""
    direct.service.snapshot = "fractional"
    return direct


def test_fractional_gates_are_kept_from_compiling_to_sending(fractional: Server) -> None:
    np.testing.assert_allclose(hardware(use_fractional_gates=True)(0.3), np.cos(0.3), atol=TOLERANCE)
    assert "rx" in gates()
    assert jobs()[0].receipt.target["use_fractional_gates"] is True


def test_without_the_key_there_are_none(fractional: Server) -> None:
    np.testing.assert_allclose(hardware()(0.3), np.cos(0.3), atol=TOLERANCE)
    assert "rx" not in gates()
    assert "use_fractional_gates" not in jobs()[0].receipt.target


def test_a_backend_object_keeps_its_own(fractional: Server) -> None:
    service = QiskitRuntimeService(channel="ibm_quantum_platform", token=API_KEY, instance=INSTANCE)
    backend = service.backend("ibm_manila", use_fractional_gates=True)
    np.testing.assert_allclose(hardware(backend=backend)(0.3), np.cos(0.3), atol=TOLERANCE)
    assert "rx" in gates()
    with pytest.raises(InvalidInputError, match="use_fractional_gates: the backend was opened without them"):
        hardware(backend=service.backend("ibm_manila"), use_fractional_gates=True)


@pytest.mark.parametrize("angle", [-0.7, 0.4, 2.9])
def test_an_rzz_of_which_nobody_knows_the_angle_is_not_sent(fractional: Server, angle: float) -> None:
    """The client refuses angles outside 0 to π/2, which it can tell only when the job is sent."""

    @qml.set_shots(1000)
    @qml.qnode(IBMDevice(2, "ibm_manila", token_env="QISKIT_IBM_TOKEN", use_fractional_gates=True))
    def circuit(x: float) -> Any:
        qml.Hadamard(0)
        qml.IsingZZ(x, [0, 1])
        return qml.expval(qml.X(0))

    np.testing.assert_allclose(circuit(np.array([angle, angle])), np.cos(angle), atol=TOLERANCE)
    assert "rzz" not in gates()


def test_further_tags_reach_the_service_beside_ours(direct: Server) -> None:
    hardware(job_tags=["alice", "phases"])(0.3)
    (stored,) = direct.service.jobs.values()
    assert stored.tags == [jobs()[0].receipt.parts[0].tag, "alice", "phases"]


def test_a_job_of_somebody_else_with_the_same_further_tag_is_none_of_ours(direct: Server) -> None:
    target = {**make_plan().target, "job_tags": ["alice"]}
    theirs = direct.service.accept(json.dumps({"backend": "ibm_manila", "program_id": "estimator", "tags": ["alice"]}))
    direct.service.polls_until_done = 10_000
    job = submit(make_plan(target=target))
    job.cancel()
    assert theirs.status == "Queued"
    assert [stored.status for stored in direct.service.jobs.values()] == ["Queued", "Cancelled"]


@pytest.mark.parametrize("tags", [["qkd-pl-0123456789abcdef-0"], ["two words"], ["x" * 81], ["a"] * 21, "alice", [3]])
def test_tags_that_cannot_be_are_refused(tags: Any) -> None:
    with pytest.raises(kd.errors.DeviceConfigError, match="job_tags"):
        kd.DeviceSpec(name="a", plugin="qkd.ibm", shots=5, options={"job_tags": tags})
    with pytest.raises(InvalidInputError, match="job_tags"):
        IBMDevice(1, "aer", job_tags=tags)


@pytest.mark.parametrize("chosen", [{}, {"min_num_qubits": 5}, {"among": ["ibm_a", "ibm_manila"]}])
def test_the_least_busy_machine_is_one_of_those_asked_for(direct: Server, chosen: dict[str, Any]) -> None:
    np.testing.assert_allclose(hardware(backend="least_busy", least_busy=chosen)(0.3), np.cos(0.3), atol=TOLERANCE)
    assert jobs()[0].receipt.target["backend"] == "ibm_manila"


def test_the_least_busy_machine_keeps_its_fractional_gates(fractional: Server) -> None:
    hardware(backend="least_busy", use_fractional_gates=True)(0.3)
    assert "rx" in gates()


@pytest.mark.parametrize("chosen", [{"min_num_qubits": 6}, {"among": ["ibm_a"]}, {"processor": "Heron"}])
def test_where_there_is_none_of_them_nothing_is_opened(direct: Server, chosen: dict[str, Any]) -> None:
    with pytest.raises(BackendError, match="No backend matches"):
        hardware(backend="least_busy", least_busy=chosen)
    assert not direct.service.jobs


@pytest.fixture
def saved(direct: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The account ``lab`` has the right key, the default one has another."""
    monkeypatch.delenv("QISKIT_IBM_TOKEN")
    monkeypatch.setattr(management, "_DEFAULT_ACCOUNT_CONFIG_JSON_FILE", str(tmp_path / "accounts.json"))
    save = {"channel": "ibm_quantum_platform", "filename": str(tmp_path / "accounts.json")}
    QiskitRuntimeService.save_account(token="wrong-key-0123456789", name="other", set_as_default=True, **save)
    QiskitRuntimeService.save_account(token=API_KEY, name="lab", **save)


@pytest.mark.usefixtures("saved")
def test_a_saved_account_by_its_name(direct: Server) -> None:
    circuit = hardware(account="lab", token_env=None)
    np.testing.assert_allclose(circuit(0.3), np.cos(0.3), atol=TOLERANCE)
    assert jobs()[0].receipt.target["account"] == "lab"
    with pytest.raises(CredentialsError, match="refuses"):
        hardware(token_env=None)
    with pytest.raises(CredentialsError, match=r"no saved Qiskit account 'lob'; saved are .*lab"):
        hardware(account="lob", token_env=None)


def test_another_address_of_ibm(direct: Server) -> None:
    hardware(url="https://test.cloud.ibm.com")(0.3)
    assert "quantum.test.cloud.ibm.com" in direct.hosts
    assert "quantum.cloud.ibm.com" not in direct.hosts
    assert not direct.service.raw_key_seen


@pytest.mark.parametrize(
    "url",
    ["https://evil.example.org", "https://cloud.ibm.com.example.org", "http://cloud.ibm.com", "https://u@cloud.ibm.com",
     "https://cloud.ibm.com:444", "https://cloud.ibm.com/x", "https://xcloud.ibm.com", "cloud.ibm.com", "https://[", 5],
)  # fmt: skip
def test_an_address_that_is_not_ibms_is_refused(url: Any) -> None:
    with pytest.raises(InvalidInputError, match="url: "):
        hardware(url=url)


def test_an_address_of_a_saved_account_gets_no_key(direct: Server, tmp_path: Path, monkeypatch: Any) -> None:
    """Not even if the file of accounts leads elsewhere."""
    file = tmp_path / "accounts.json"
    monkeypatch.setattr(management, "_DEFAULT_ACCOUNT_CONFIG_JSON_FILE", str(file))
    account = {"channel": "ibm_quantum_platform", "token": API_KEY, "url": "https://127.0.0.1:9"}
    file.write_text(json.dumps({"lab": account}))
    with pytest.raises((ServiceError, BackendError), match="the API key is not sent to"):
        hardware(account="lab", token_env=None)
    assert not direct.requests


def proxied_by(network: Network, **more: Any) -> dict[str, Any]:
    return {"proxies": {"urls": {"https": network.proxy}, **more}}


def test_everything_goes_through_the_proxy(server: Server, network: Network) -> None:
    np.testing.assert_allclose(hardware(**proxied_by(network))(0.3), np.cos(0.3), atol=TOLERANCE)
    # IAM, the search for instances, the catalogue and the service: nothing else leads to the server here.
    assert len(server.hosts) == 4
    assert network.tunnels >= 4


def test_a_proxy_with_a_password_that_stands_nowhere(
    server: Server, network: Network, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PROXY_PASSWORD", PASSWORD)
    network.credentials = base64.b64encode(f"jane:{PASSWORD}".encode()).decode()
    way = proxied_by(network, username="jane", password_env="PROXY_PASSWORD")
    with caplog.at_level(logging.DEBUG):
        np.testing.assert_allclose(hardware(**way)(0.3), np.cos(0.3), atol=TOLERANCE)
        network.credentials = "another"
        with pytest.raises(BackendError, match="the proxy refuses") as refused:
            hardware(**way)
    for secret in (PASSWORD, "proxy%20pass%2Fword-42"):
        assert secret.encode() not in Ledger().path.read_bytes()
        assert secret not in caplog.text
        assert secret not in str(refused.value)
    assert jobs()[0].receipt.target["proxies"]["username"] == "jane"


def test_a_password_that_is_missing_is_asked_for(network: Network) -> None:
    with pytest.raises(CredentialsError, match="PROXY_PASSWORD, the password of the proxies, is not set"):
        hardware(**proxied_by(network, username="jane", password_env="PROXY_PASSWORD"))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"proxies": {"urls": {"https": "http://jane:s3cret@proxy:3128"}}}, "must hold no user and no password"),
        ({"proxies": {"urls": {"https": "s3cret"}}}, "must be like http://proxy.example.org:3128"),
        ({"proxies": {"urls": {"https": "http://p:1"}, "password_env": "s3cret"}}, "environment variable in capitals"),
        ({"proxies": {"urls": {"https": "http://p:1"}, "username": "jane"}}, "go together"),
        ({"proxies": {"urls": {}}}, "proxies.urls"),
        ({"proxies": {"urls": {"https": "http://p:1"}, "password_ntlm": "s3cret"}}, "unknown key.*password_env"),
        ({"account": "lab", "token_env": "A"}, "leave token_env out"),
        ({"url": "https://cloud.ibm.com"}, "url: needs token_env"),
        ({"least_busy": {"min_num_qubits": 7}, "backend": "ibm_x"}, "another backend is given"),
        ({"least_busy": {"operational": False}, "backend": "least_busy"}, "unknown key.*processor"),
        ({"execution_mode": "session"}, "billed by the clock.*allowed: 'job', 'batch'"),
        ({"execution_mode": "batches"}, "execution_mode: .*'batch'"),
        ({"use_fractional_gates": "yes"}, "use_fractional_gates: .*boolean"),
    ],
)
def test_what_cannot_be_is_refused_when_it_is_read_and_no_secret_repeated(options: Any, told: str) -> None:
    entry = {"shots": 5, "max_qpu_seconds": 5.0, "options": {"backend": "ibm_manila"} | options}
    with pytest.raises(kd.errors.DeviceConfigError, match=told) as refused:
        kd.DeviceSpec(name="a", plugin="qkd.ibm", **entry)
    assert "s3cret" not in str(refused.value)


def test_all_jobs_of_a_device_are_in_one_batch(direct: Server) -> None:
    circuit = hardware(execution_mode="batch")
    for angle in (0.1, 0.2, 0.3):
        np.testing.assert_allclose(circuit(angle), np.cos(angle), atol=TOLERANCE)
    assert [stored.body["session_id"] for stored in direct.service.jobs.values()] == ["session-1"] * 3
    assert [each["mode"] for each in direct.service.sessions.values()] == ["batch"]


def test_a_batch_that_the_service_has_ended_is_followed_by_another(direct: Server) -> None:
    circuit = hardware(execution_mode="batch")
    circuit(0.1)
    direct.service.close_session("session-1")
    np.testing.assert_allclose(circuit(0.2), np.cos(0.2), atol=TOLERANCE)
    assert [stored.body["session_id"] for stored in direct.service.jobs.values()] == ["session-1", "session-2"]


def test_the_batch_ends_with_the_device(direct: Server) -> None:
    device = IBMDevice(1, "ibm_manila", token_env="QISKIT_IBM_TOKEN", transpile_attempts=1, execution_mode="batch")
    end = next(each for each in weakref.finalize._registry if each.peek()[0] is device)  # type: ignore[attr-defined]
    qml.set_shots(qml.QNode(lambda: qml.expval(qml.Z(0)), device), 100)()
    assert direct.service.sessions["session-1"]["accepting_jobs"]
    end()
    assert not direct.service.sessions["session-1"]["accepting_jobs"]


def test_single_jobs_have_no_batch_otherwise(direct: Server) -> None:
    hardware()(0.1)
    assert "session_id" not in next(iter(direct.service.jobs.values())).body
    assert not direct.service.sessions


def test_a_training_on_hardware_is_one_batch(direct: Server) -> None:
    options = {"backend": "ibm_manila", "token_env": "QISKIT_IBM_TOKEN", "transpile_attempts": 1}
    options |= {"execution_mode": "batch", "job_tags": ["training"]}
    spec = kd.DeviceSpec(name="m", plugin="qkd.ibm", shots=50, max_qpu_seconds=600.0, options=options)
    train = kd.datasets.topological_phases(n_qubits=3, n_train=4, n_test=4, seed=0)[0]
    kd.KDTrainer(iterations=2, batch_size=2, seed=0, device=spec).fit(kd.QNN(3, 1, topology="line"), train)
    stored = list(direct.service.jobs.values())
    assert len(stored) >= 2
    assert {each.body["session_id"] for each in stored} == {"session-1"}
    assert all(each.tags[1:] == ["training"] for each in stored)
