"""From a backend's name in ``devices.yaml`` to something that runs circuits: Aer, a fake device, or IBM hardware."""

import inspect
from functools import cache
from typing import Any

from qkd_pl.checks import cut, kind_of, nearest
from qkd_pl.devices.ibm.access import SAVED, Access
from qkd_pl.devices.ibm.sending import PLAIN, LeastBusy, Sending
from qkd_pl.devices.ibm.service import deadline
from qkd_pl.devices.ibm.service.connection import SafeService
from qkd_pl.devices.ibm.service.deadline import Deadline
from qkd_pl.devices.ibm.service.failures import redacted, translate
from qkd_pl.errors import BackendError, CredentialsError, InvalidInputError, ServiceError

_HOW_TO_SAVE = "QiskitRuntimeService.save_account(token=…)"


def open_backend(name: Any, n_wires: int, access: Access = SAVED, sending: Sending = PLAIN) -> Any:
    """Backend called ``name``, or one for a backend object.

    Args:
        name: ``"aer"`` (ideal simulator), ``"fake_…"`` (simulator with the noise of an IBM device; its noise model is
            built once per process), ``"least_busy"``, or the name of an IBM backend. A Qiskit backend object is taken
            as it is if it is IBM's or a Qiskit Aer simulator; any other with a target is simulated with its noise.
        n_wires: qubits that the circuits need; ``least_busy`` looks among backends with at least as many.
        access: account and way to IBM's service.
        sending: of which the choice of ``least_busy`` and ``use_fractional_gates`` count; simulators have none of them.

    Returns:
        ``AerSimulator`` for the first two, ``IBMBackend`` for the others; each with a ``target``.

    Raises:
        BackendError: there is no such backend, it is too small, or the service cannot be reached.
        InvalidInputError: ``name`` is neither a name nor a backend that circuits can be compiled for.
        CredentialsError: there is no account, or the service refuses it.
    """
    if not isinstance(name, str):
        backend = _given(name, sending)
        name = backend.name
    elif not name:
        raise BackendError("backend: needs a name: aer, fake_…, least_busy, or that of an IBM backend")
    elif name == "aer":
        backend = _ideal()
    elif name.startswith("fake_"):
        backend = _fake(name)
    else:
        try:
            backend = _hardware(name, n_wires, access, sending)
        except BackendError as error:
            if (alike := _simulator_alike(name)) is not None:
                error.add_note(f"There is also the simulator {alike!r}.")
            raise
    if n_wires > backend.num_qubits:
        raise BackendError(f"backend {name!r} has {backend.num_qubits} qubits, the device asks for {n_wires} wires")
    return backend


def connect(access: Access = SAVED, limit: Deadline | None = None) -> Any:
    """IBM's runtime service, with the API key in the variable that ``access`` names or else a saved Qiskit account.

    Raises:
        CredentialsError: neither exists, or the service refuses the key. The key itself is in no message.
        ServiceError: the service cannot be reached, within ``limit`` if there is one; the message says what failed.
    """
    settings = access.settings()
    failure: BackendError
    # Raised after the except block, so that the client's own message, which may quote the key, is not attached.
    try:
        service = deadline.within(
            (limit or Deadline(None)).cap(deadline.CALL_SECONDS),
            lambda: SafeService(**settings),
            "connecting to IBM Quantum",
        )
    except Exception as error:
        failure = _connection_error(error, access)
    else:
        return service
    raise failure


def _given(backend: Any, sending: Sending) -> Any:
    """A backend that the primitives can run on, for any that circuits can be compiled for."""
    from qiskit.providers import BackendV2
    from qiskit_aer import AerSimulator
    from qiskit_ibm_runtime import IBMBackend

    without = isinstance(backend, IBMBackend) and not getattr(backend.options, "use_fractional_gates", False)
    if sending.use_fractional_gates and without:
        raise InvalidInputError(
            "use_fractional_gates: the backend was opened without them; open it by "
            "service.backend(name, use_fractional_gates=True)"
        )
    if isinstance(backend, AerSimulator | IBMBackend):
        return backend
    if not isinstance(backend, BackendV2) or backend.num_qubits is None:
        raise InvalidInputError(
            f"backend: {kind_of(backend)}; must be a name, an IBM backend, an AerSimulator, or a BackendV2 "
            "with a number of qubits"
        )
    # An object may be changed between two uses, so that its simulator is not remembered.
    return AerSimulator.from_backend(backend)


@cache
def _ideal() -> Any:
    from qiskit_aer import AerSimulator

    return AerSimulator()


@cache
def fake_backends() -> dict[str, type]:
    """Qiskit's fake backends by their names; imports its client, which takes seconds."""
    from qiskit_ibm_runtime import fake_provider

    # The provider's own look-up builds all sixty backends and warns about some of them.
    return {kind.backend_name: kind for _, kind in inspect.getmembers(fake_provider, _is_fake_backend)}


def _simulator_alike(name: str) -> str | None:
    """The simulator that somebody may have meant by a name of hardware."""
    bare = name.lower().removeprefix("ibm_").removeprefix("fake").removesuffix("v2").strip("_")
    return next((each for each in ("aer", *fake_backends()) if each in (bare, f"fake_{bare}")), None)


@cache
def _fake(name: str) -> Any:
    from qiskit_aer import AerSimulator

    classes = fake_backends()
    if name not in classes:
        close = nearest(name, classes) or f"; there are {', '.join(sorted(classes))}"
        raise BackendError(f"backend {cut(name)} does not exist{close}")
    return AerSimulator.from_backend(classes[name]())


def _is_fake_backend(member: Any) -> bool:
    return inspect.isclass(member) and bool(getattr(member, "backend_name", None))


def _hardware(name: str, n_wires: int, access: Access, sending: Sending) -> Any:
    service = connect(access)
    gates = {"use_fractional_gates": True} if sending.use_fractional_gates else {}

    def call() -> Any:
        if name != "least_busy":
            return service.backend(name, **gates)
        found = _least_busy(service, n_wires, sending.least_busy or LeastBusy())
        # The client's own search opens what it has found without this option.
        return service.backend(found.name, **gates) if gates else found

    what = f"opening backend {name!r}"
    try:
        backend = deadline.within(deadline.CALL_SECONDS, call, what)
    except Exception as error:
        problem = translate(error, what, [*access.secrets(), *_saved_secrets()])
        reason = _redacted(error, access)
    else:
        service.secure_all()
        return backend
    if isinstance(problem, ServiceError | CredentialsError):
        raise problem
    raise BackendError(f"backend {name!r} is not available to this account: {reason}")


def _least_busy(service: Any, n_wires: int, chosen: LeastBusy) -> Any:
    size = max(n_wires, chosen.min_num_qubits or 0)
    return service.least_busy(min_num_qubits=size, filters=chosen.admits, operational=True, simulator=False)


def _connection_error(error: Exception, access: Access) -> BackendError:
    from qiskit_ibm_runtime.accounts import AccountNotFoundError

    token_env, token = access.token_env, access.token
    if isinstance(error, AccountNotFoundError) and access.account is not None:
        return CredentialsError(
            f"account: there is no saved Qiskit account {access.account!r}; saved are "
            f"{', '.join(SafeService.saved_accounts()) or 'none'}; save one with {_HOW_TO_SAVE}"
        )
    variable = f"set the environment variable {token_env}" if token_env else "name a variable with token_env"
    if isinstance(error, AccountNotFoundError):
        missing = f"{token_env} is not set and there is" if token_env else "there is"
        return CredentialsError(f"{missing} no saved Qiskit account: {variable}, or save one with {_HOW_TO_SAVE}")
    source = f"the key in {token_env}" if token else f"the saved Qiskit account {access.account or ''}".rstrip()
    problem = translate(error, "connecting", [*access.secrets(), *_saved_secrets()])
    if isinstance(problem, CredentialsError):
        return CredentialsError(f"IBM Quantum refuses {source}: {variable}, or save another with {_HOW_TO_SAVE}")
    if isinstance(problem, ServiceError):
        return ServiceError(f"cannot connect to IBM Quantum: {problem}", problem.status, problem.retry_after)
    return BackendError(f"cannot connect to IBM Quantum with {source}: {_redacted(error, access)}")


def _redacted(error: Exception, access: Access) -> str:
    return redacted(f"{type(error).__name__}: {error}", [*access.secrets(), *_saved_secrets()])


def _saved_secrets() -> list[str]:
    """Keys of the saved accounts, and what their proxies ask for."""
    accounts = list(SafeService.saved_accounts().values())
    proxies = [account.get("proxies") or {} for account in accounts]
    urls = [url for each in proxies for url in (each.get("urls") or {}).values()]
    return [account.get("token", "") for account in accounts] + urls + [e.get("password_ntlm") or "" for e in proxies]
