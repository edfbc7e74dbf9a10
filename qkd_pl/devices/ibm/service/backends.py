"""From a backend's name in ``devices.yaml`` to something that runs circuits: Aer, a fake device, or IBM hardware."""

import inspect
import os
from functools import cache
from typing import Any

from qkd_pl.checks import cut, kind_of, nearest
from qkd_pl.devices.ibm.service import deadline
from qkd_pl.devices.ibm.service.connection import SafeService
from qkd_pl.devices.ibm.service.deadline import Deadline
from qkd_pl.devices.ibm.service.failures import redacted, translate
from qkd_pl.errors import BackendError, CredentialsError, InvalidInputError, ServiceError

_HOW_TO_SAVE = "QiskitRuntimeService.save_account(token=…)"


def open_backend(name: Any, n_wires: int, token_env: str | None = None, instance: str | None = None) -> Any:
    """Backend called ``name``, or one for a backend object.

    Args:
        name: ``"aer"`` (ideal simulator), ``"fake_…"`` (simulator with the noise of an IBM device; its noise model is
            built once per process), ``"least_busy"``, or the name of an IBM backend. A Qiskit backend object is taken
            as it is if it is IBM's or a Qiskit Aer simulator; any other with a target is simulated with its noise.
        n_wires: qubits that the circuits need; ``least_busy`` looks among backends with at least as many.
        token_env: environment variable that holds the IBM Quantum API key; ``None`` for the saved Qiskit account.
        instance: IBM Cloud resource name or instance name; ``None`` for the account's own choice.

    Returns:
        ``AerSimulator`` for the first two, ``IBMBackend`` for the others; each with a ``target``.

    Raises:
        BackendError: there is no such backend, it is too small, or the service cannot be reached.
        InvalidInputError: ``name`` is neither a name nor a backend that circuits can be compiled for.
        CredentialsError: there is no account, or the service refuses it.
    """
    if not isinstance(name, str):
        backend = _given(name)
        name = backend.name
    elif not name:
        raise BackendError("backend: needs a name: aer, fake_…, least_busy, or that of an IBM backend")
    elif name == "aer":
        backend = _ideal()
    elif name.startswith("fake_"):
        backend = _fake(name)
    else:
        try:
            backend = _hardware(name, n_wires, token_env, instance)
        except BackendError as error:
            if (alike := _simulator_alike(name)) is not None:
                error.add_note(f"There is also the simulator {alike!r}.")
            raise
    if n_wires > backend.num_qubits:
        raise BackendError(f"backend {name!r} has {backend.num_qubits} qubits, the device asks for {n_wires} wires")
    return backend


def connect(token_env: str | None = None, instance: str | None = None, limit: Deadline | None = None) -> Any:
    """IBM's runtime service, with the API key in the variable ``token_env`` or else the saved Qiskit account.

    Raises:
        CredentialsError: neither exists, or the service refuses the key. The key itself is in no message.
        ServiceError: the service cannot be reached, within ``limit`` if there is one; the message says what failed.
    """
    token = os.environ.get(token_env) if token_env else None
    channel = "ibm_quantum_platform" if token else None
    failure: BackendError
    # Raised after the except block, so that the client's own message, which may quote the key, is not attached.
    try:
        service = deadline.within(
            (limit or Deadline(None)).cap(deadline.CALL_SECONDS),
            lambda: SafeService(channel=channel, token=token, instance=instance),
            "connecting to IBM Quantum",
        )
    except Exception as error:
        failure = _connection_error(error, token, token_env)
    else:
        return service
    raise failure


def _given(backend: Any) -> Any:
    """A backend that the primitives can run on, for any that circuits can be compiled for."""
    from qiskit.providers import BackendV2
    from qiskit_aer import AerSimulator
    from qiskit_ibm_runtime import IBMBackend

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


def _hardware(name: str, n_wires: int, token_env: str | None, instance: str | None) -> Any:
    service = connect(token_env, instance)
    token = os.environ.get(token_env) if token_env else None

    def call() -> Any:
        if name == "least_busy":
            return service.least_busy(min_num_qubits=n_wires, operational=True, simulator=False)
        return service.backend(name)

    what = f"opening backend {name!r}"
    try:
        backend = deadline.within(deadline.CALL_SECONDS, call, what)
    except Exception as error:
        problem = translate(error, what, [token or "", *_saved_tokens()])
        reason = _redacted(error, token)
    else:
        service.secure_all()
        return backend
    if isinstance(problem, ServiceError | CredentialsError):
        raise problem
    raise BackendError(f"backend {name!r} is not available to this account: {reason}")


def _connection_error(error: Exception, token: str | None, token_env: str | None) -> BackendError:
    from qiskit_ibm_runtime.accounts import AccountNotFoundError

    variable = f"set the environment variable {token_env}" if token_env else "name a variable with token_env"
    if isinstance(error, AccountNotFoundError):
        missing = f"{token_env} is not set and there is" if token_env else "there is"
        return CredentialsError(f"{missing} no saved Qiskit account: {variable}, or save one with {_HOW_TO_SAVE}")
    source = f"the key in {token_env}" if token else "the saved Qiskit account"
    problem = translate(error, "connecting", [token or "", *_saved_tokens()])
    if isinstance(problem, CredentialsError):
        return CredentialsError(f"IBM Quantum refuses {source}: {variable}, or save another with {_HOW_TO_SAVE}")
    if isinstance(problem, ServiceError):
        return ServiceError(f"cannot connect to IBM Quantum: {problem}", problem.status, problem.retry_after)
    return BackendError(f"cannot connect to IBM Quantum with {source}: {_redacted(error, token)}")


def _redacted(error: Exception, token: str | None) -> str:
    return redacted(f"{type(error).__name__}: {error}", [token or "", *_saved_tokens()])


def _saved_tokens() -> list[str]:
    return [account.get("token", "") for account in SafeService.saved_accounts().values()]
