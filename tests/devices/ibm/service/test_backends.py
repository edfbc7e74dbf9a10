"""Names of backends, and what is said, and not said, about credentials."""

import logging

import pytest
from qiskit_ibm_runtime.accounts import AccountNotFoundError
from qiskit_ibm_runtime.exceptions import IBMNotAuthorizedError

from qkd_pl.devices.ibm.access import Access
from qkd_pl.devices.ibm.service.backends import connect, open_backend
from qkd_pl.errors import BackendError, CredentialsError

TOKEN = "secret-api-key-0123456789"


class Service:
    """Stands in for QiskitRuntimeService: fails as told, or offers two backends."""

    failure: Exception | None = None
    calls: list

    def __init__(self, **arguments):
        type(self).calls.append(arguments)
        if self.failure:
            raise self.failure

    @staticmethod
    def saved_accounts():
        return {"default": {"token": "saved-key-987"}}

    def secure_all(self):
        """It has no connections."""

    def backend(self, name):
        raise ValueError(f"No backend {name} for token {TOKEN}")

    def least_busy(self, min_num_qubits, filters, operational, simulator):
        assert (operational, simulator) == (True, False)
        assert callable(filters)
        return open_backend("fake_manila", min_num_qubits)


@pytest.fixture
def service(monkeypatch):
    monkeypatch.setattr(Service, "failure", None)
    monkeypatch.setattr(Service, "calls", [], raising=False)
    monkeypatch.setattr("qkd_pl.devices.ibm.service.backends.SafeService", Service)
    monkeypatch.delenv("MY_TOKEN", raising=False)
    return Service


def test_aer_is_ideal_and_fakes_are_noisy():
    assert open_backend("aer", 4).options.noise_model is None
    fake = open_backend("fake_manila", 5)
    assert not fake.options.noise_model.is_ideal()
    assert fake.num_qubits == 5


def test_a_noise_model_is_built_once():
    assert open_backend("fake_manila", 2) is open_backend("fake_manila", 3)


def test_unknown_fake_backend_names_a_close_one():
    with pytest.raises(BackendError, match=r"fake_manilla.*fake_manila"):
        open_backend("fake_manilla", 2)


@pytest.mark.parametrize(
    ("name", "simulator"),
    [("manila", "fake_manila"), ("ibm_manila", "fake_manila"), ("FakeManilaV2", "fake_manila"), ("AER", "aer")],
)
def test_a_simulator_of_that_name_is_named(service, name, simulator):
    with pytest.raises(BackendError) as caught:
        open_backend(name, 1)
    assert caught.value.__notes__ == [f"There is also the simulator {simulator!r}."]


def test_hardware_of_another_name_has_no_simulator(service):
    with pytest.raises(BackendError) as caught:
        open_backend("ibm_somewhere", 1)
    assert not hasattr(caught.value, "__notes__")


def test_too_many_wires():
    with pytest.raises(BackendError, match=r"5 qubits.*6 wires"):
        open_backend("fake_manila", 6)


def test_token_comes_from_the_named_variable(service, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", TOKEN)
    connect(Access(token_env="MY_TOKEN", instance="mine"))
    assert service.calls == [{"channel": "ibm_quantum_platform", "token": TOKEN, "instance": "mine"}]


def test_saved_account_where_the_variable_is_not_set(service):
    connect(Access(token_env="MY_TOKEN"))
    assert service.calls == [{"channel": None, "token": None, "instance": None}]


def test_least_busy_with_enough_qubits(service):
    assert open_backend("least_busy", 4, Access(token_env="MY_TOKEN")).num_qubits == 5


def test_missing_account_says_which_and_how(service, monkeypatch):
    monkeypatch.setattr(service, "failure", AccountNotFoundError("Unable to find account."))
    with pytest.raises(
        CredentialsError, match=r"MY_TOKEN is not set.*set the environment variable MY_TOKEN.*save_account"
    ):
        connect(Access(token_env="MY_TOKEN"))
    with pytest.raises(CredentialsError, match=r"token_env"):
        connect()


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (IBMNotAuthorizedError(f"401 for {TOKEN}"), CredentialsError),
        (ConnectionError(f"cannot reach host with {TOKEN} or saved-key-987"), BackendError),
    ],
)
def test_no_token_in_any_error_or_log(service, monkeypatch, caplog, failure, expected):
    monkeypatch.setenv("MY_TOKEN", TOKEN)
    monkeypatch.setattr(service, "failure", failure)
    with caplog.at_level(logging.DEBUG), pytest.raises(expected) as caught:
        connect(Access(token_env="MY_TOKEN"))
    assert "MY_TOKEN" in str(caught.value)
    for secret in (TOKEN, "saved-key-987"):
        assert secret not in str(caught.value)
        assert secret not in caplog.text
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_unknown_backend_of_the_service(service, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", TOKEN)
    with pytest.raises(BackendError, match=r"ibm_nowhere") as caught:
        open_backend("ibm_nowhere", 2, Access(token_env="MY_TOKEN"))
    assert TOKEN not in str(caught.value)
