"""No setting, account, or ledger leads the API key, an access token or circuits to another host."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest
import requests
from loopback import API_KEY, INSTANCE, Server
from qiskit_ibm_runtime.accounts import management

from qkd_pl.devices.ibm.access import Access
from qkd_pl.devices.ibm.addresses import check_iam, check_service
from qkd_pl.devices.ibm.service import connection
from qkd_pl.devices.ibm.service.backends import connect
from qkd_pl.devices.ibm.service.tokens import SafeTokens
from qkd_pl.errors import BackendError, QKDError, ServiceError

SERVICES = [
    "https://quantum.cloud.ibm.com/api/v1/jobs",
    "https://eu-de.quantum.cloud.ibm.com/api/v1",
    "https://quantum.cloud.ibm.com:443/",
    "https://QUANTUM.cloud.ibm.com/",
]
IAMS = [
    "https://iam.cloud.ibm.com/identity/token",
    "https://private.iam.cloud.ibm.com",
    "https://iam.test.cloud.ibm.com",
]
ELSEWHERE = [
    "http://iam.cloud.ibm.com",
    "https://iam.cloud.ibm.com:8443",
    "https://iam.cloud.ibm.com@elsewhere.example",
    "https://elsewhere.example@iam.cloud.ibm.com",
    "https://iam.cloud.ibm.com.elsewhere.example",
    "https://elsewhere.example/.iam.cloud.ibm.com",
    "https://elsewhere.example#.cloud.ibm.com",
    "https://elsewhere.example\\.cloud.ibm.com",
    "https://elsewherecloud.ibm.com",
    "https://iam.cloud.ibm.com:99999999",
    "https://[::1]/",
    "https://",
    "//iam.cloud.ibm.com",
    "",
]


@pytest.mark.parametrize("url", [*SERVICES, *IAMS])
def test_ibm_cloud_is_allowed(url: str) -> None:
    check_service(url)


@pytest.mark.parametrize("url", IAMS)
def test_iam_is_allowed(url: str) -> None:
    check_iam(url)


@pytest.mark.parametrize("url", ELSEWHERE)
def test_elsewhere_is_refused(url: str) -> None:
    for check in (check_iam, check_service):
        with pytest.raises(ServiceError) as refused:
            check(url)
        assert not refused.value.transient


@pytest.mark.parametrize("url", SERVICES)
def test_the_key_does_not_go_to_the_service(url: str) -> None:
    with pytest.raises(ServiceError, match="the API key is not sent to 'https://"):
        check_iam(url)


def test_what_may_be_secret_in_an_address_is_not_shown() -> None:
    with pytest.raises(ServiceError) as refused:
        check_service("https://somebody:word@elsewhere.example/path?key=word")
    assert "word" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["http://quantum.cloud.ibm.com/api/v1", "https://elsewhere.example/", "http://127.0.0.1:9/"]
)
def test_a_secured_session_sends_nothing_elsewhere(url: str) -> None:
    with pytest.raises(ServiceError, match="nothing is sent to"):
        connection.secure(requests.Session()).get(url)


@pytest.fixture
def asked(direct: Server, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hosts that anybody wanted to reach."""
    hosts: list[str] = []
    resolve = socket.getaddrinfo

    def noting(host: Any, *arguments: Any, **settings: Any) -> Any:
        hosts.append(host)
        return resolve(host, *arguments, **settings)

    monkeypatch.setattr(socket, "getaddrinfo", noting)
    return hosts


@pytest.mark.parametrize(
    "url", ["https://elsewhere.example", "http://cloud.ibm.com", "https://a@elsewhere.example", "x"]
)
def test_the_url_of_a_saved_account_leads_nowhere(
    url: str, asked: list[str], direct: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = {"default-ibm-quantum-platform": {"channel": "ibm_quantum_platform", "token": API_KEY, "url": url}}
    (tmp_path / "accounts.json").write_text(json.dumps(saved))
    monkeypatch.setattr(management, "_DEFAULT_ACCOUNT_CONFIG_JSON_FILE", str(tmp_path / "accounts.json"))
    monkeypatch.delenv("QISKIT_IBM_TOKEN")
    for instance in (None, INSTANCE):
        with pytest.raises(QKDError):
            connect(Access(instance=instance))
    assert set(asked) <= {"iam.cloud.ibm.com"}
    assert not [each for each in direct.requests if each != "POST /identity/token"]


@pytest.mark.parametrize(
    "region", ["elsewhere.example/", "elsewhere.example#", "a@elsewhere.example/", "elsewhere.example?"]
)
def test_the_region_of_an_instance_leads_nowhere(region: str, asked: list[str], direct: Server) -> None:
    """It becomes a part of the host's name, and stands in ``devices.yaml``."""
    crn = f"crn:v1:bluemix:public:quantum-computing:{region}:a/account:instance::"
    with pytest.raises(BackendError):
        connect(Access(token_env="QISKIT_IBM_TOKEN", instance=crn))
    assert not any("elsewhere" in host for host in asked)


@pytest.mark.parametrize("url", ELSEWHERE)
def test_the_token_manager_asks_iam_alone(url: str, asked: list[str]) -> None:
    with pytest.raises(ServiceError, match="the API key is not sent to"):
        SafeTokens(API_KEY, url=url or "https://x").get_token()
    assert asked == []
