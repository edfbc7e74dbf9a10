"""The two pieces of pennylane-qiskit that we use: its remote device, and its map from operations to Qiskit's gates.

The plugin imports the names ``EstimatorV2`` and ``SamplerV2`` of qiskit-ibm-runtime, which announces their removal for
2026-12-24 or later. It uses them only in methods that we override, so that a client without them serves us as well.
"""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import qiskit_ibm_runtime

from qkd_pl.errors import InvalidInputError

__all__ = ["QISKIT_OPERATION_MAP", "RemoteDevice", "SessionlessDevice"]

_OLD_PRIMITIVES = ("EstimatorV2", "SamplerV2")


class _Gone:
    """Stands for a primitive that the installed client has no longer, while the plugin imports it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError("this version of qiskit-ibm-runtime has no EstimatorV2 and SamplerV2 any more")


@contextmanager
def _old_names() -> Iterator[None]:
    """Let ``from qiskit_ibm_runtime import EstimatorV2, SamplerV2`` succeed, and leave the client as it was."""
    missing = [name for name in _OLD_PRIMITIVES if not hasattr(qiskit_ibm_runtime, name)]
    for name in missing:
        setattr(qiskit_ibm_runtime, name, _Gone)
    try:
        yield
    finally:
        for name in missing:
            delattr(qiskit_ibm_runtime, name)


if TYPE_CHECKING:
    from pennylane_qiskit import RemoteDevice
    from pennylane_qiskit.converter import QISKIT_OPERATION_MAP
else:
    with _old_names():
        RemoteDevice = importlib.import_module("pennylane_qiskit").RemoteDevice
        QISKIT_OPERATION_MAP = importlib.import_module("pennylane_qiskit.converter").QISKIT_OPERATION_MAP


class SessionlessDevice(RemoteDevice):
    """The plugin's remote device without sessions, which our jobs would ignore without a word.

    Raises:
        InvalidInputError: it is given a session, or ``pennylane_qiskit.qiskit_session`` is asked for one.
    """

    @property
    def _session(self) -> Any:
        """What the plugin's ``qiskit_session`` reads before it opens a session, which our jobs would ignore."""
        raise InvalidInputError(
            "qiskit_session: qkd.ibm sends each call as one job, with a receipt that outlives this process, and takes "
            "no session; the Open Plan has none. With execution_mode='batch' all jobs of the device are in one batch"
        )

    @_session.setter
    def _session(self, session: Any) -> None:
        if session is not None:
            raise InvalidInputError("session: qkd.ibm takes none; each call is one job, or one batch of jobs")
