"""SIGKILL at every moment of a submission, then another process: exactly one job, and its result."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from children import send, submit_and_linger
from loopback import Server, hang
from plans import LOGITS, TOLERANCE
from processes import start, wait_for_stage

from qkd_pl.devices.ibm.jobs.jobs import attach, jobs
from qkd_pl.devices.ibm.service.job_status import Stage, Status

READ = """
import json, sys
from qkd_pl.devices.ibm.jobs.jobs import attach
print(json.dumps(attach(sys.argv[1]).result(timeout=60).tolist()))
"""


@contextmanager
def killed(server: Server, moment: str) -> Iterator[None]:
    """Submit in a child process and kill it at ``moment``."""
    faults = {
        "receipt written, not connected": ("POST", "/identity/token", hang()),
        "about to be sent": ("GET", "/instances/usage", hang()),
        "sent, not accepted": ("POST", "/jobs", hang()),
        "accepted, answer not seen": ("POST", "/jobs", hang(accept=True)),
    }
    fault = server.break_on(*faults[moment]) if moment in faults else None
    child = start(submit_and_linger)
    if fault is not None:
        assert fault.hit.wait(60)
    else:
        wait_for_stage(Stage.SUBMITTED)
    os.kill(child.pid or 0, signal.SIGKILL)
    child.join(60)
    server.faults.clear()
    yield


@pytest.mark.parametrize(
    ("moment", "stage", "status", "accepted"),
    [
        ("receipt written, not connected", Stage.PREPARED, Status.UNSENT, 0),
        ("about to be sent", Stage.SENDING, Status.UNSENT, 0),
        ("sent, not accepted", Stage.SENDING, Status.UNSENT, 0),
        ("accepted, answer not seen", Stage.SENDING, Status.DONE, 1),
        ("submitted", Stage.SUBMITTED, Status.DONE, 1),
    ],
)
def test_killed(moment: str, stage: Stage, status: Status, accepted: int, proxied: Server) -> None:
    with killed(proxied, moment):
        (job,) = jobs()
        assert job.receipt.parts[0].stage is stage
        assert len(proxied.service.jobs) == accepted
        assert attach(job.id).status() is status
        assert len(proxied.service.jobs) == accepted, "asking for the status sent it"
        attach(job.id).send()
        np.testing.assert_allclose(attach(job.id).result(timeout=30), LOGITS, atol=TOLERANCE)
        assert len(proxied.service.jobs) == 1


def test_processes_that_send_at_once_send_one_job(proxied: Server) -> None:
    with killed(proxied, "receipt written, not connected"):
        (job,) = jobs()
        senders = [start(send, job.id) for _ in range(3)]
        for sender in senders:
            sender.join(120)
        assert [sender.exitcode for sender in senders] == [0, 0, 0]
        assert len(proxied.service.jobs) == 1


def test_a_new_process_reads_what_a_dead_one_submitted(proxied: Server) -> None:
    with killed(proxied, "submitted"):
        (job,) = jobs()
        command = [sys.executable, "-c", READ, job.id]
        output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
        np.testing.assert_allclose(json.loads(output), LOGITS, atol=TOLERANCE)
        asked = len(proxied.requests)
        job.result(timeout=0)
        assert len(proxied.requests) == asked
