"""Child processes that can be killed; started at once, because the server they are forked from has imported it all."""

import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from typing import Any

import pytest

from qkd_pl.devices.ibm.jobs.jobs import jobs
from qkd_pl.devices.ibm.service.job_status import Stage

_processes = multiprocessing.get_context("forkserver")


def start(target: Callable[..., None], *arguments: Any) -> ForkServerProcess:
    """Call ``target`` of the module ``children`` with this environment and the arguments."""
    with pytest.MonkeyPatch.context() as patch:
        # The fork server looks for modules to preload on its own path only.
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        _processes.set_forkserver_preload(["children"])
        forkserver.ensure_running()
    child = _processes.Process(target=target, args=(dict(os.environ), *arguments), daemon=True)
    child.start()
    return child


def wait_for_stage(stage: Stage, jobs_at_least: int = 1) -> None:
    """Until so many jobs have a part at this stage."""
    deadline = time.monotonic() + 120
    while sum(any(part.stage is stage for part in job.receipt.parts) for job in jobs()) < jobs_at_least:
        assert time.monotonic() < deadline
        time.sleep(0.05)
