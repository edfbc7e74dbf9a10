"""What the child processes of the tests do; in a module of its own, so that a fork server can import it."""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import pennylane as qml
from plans import make_plan

from qkd_pl.devices.ibm.device import IBMDevice
from qkd_pl.devices.ibm.jobs.jobs import attach, submit


def submit_and_linger(environment: Mapping[str, str]) -> None:
    """Submit a job, then wait to be killed."""
    os.environ.update(environment)
    submit(make_plan())
    time.sleep(600)


def run_qnode(environment: Mapping[str, str], angle: float = 0.3) -> None:
    """Evaluate a QNode on hardware and wait for it."""
    os.environ.update(environment)
    qnode()(angle)


def qnode() -> Callable[[float], Any]:
    """⟨Z⟩ after RY(angle): cos(angle)."""
    device = IBMDevice(1, "ibm_manila", token_env="QISKIT_IBM_TOKEN", transpile_attempts=1)

    @qml.set_shots(1000)
    @qml.qnode(device)
    def circuit(angle: float) -> Any:
        qml.RY(angle, 0)
        return qml.expval(qml.Z(0))

    return circuit


def send(environment: Mapping[str, str], job: str) -> None:
    """Send a job that may have been sent."""
    os.environ.update(environment)
    attach(job).send()
