"""What the child processes of the tests do; in a module of its own, so that a fork server can import it."""

import os
import time
from collections.abc import Mapping

from plans import make_plan

from qkd_pl.devices.ibm.jobs.jobs import attach, submit


def submit_and_linger(environment: Mapping[str, str]) -> None:
    """Submit a job, then wait to be killed."""
    os.environ.update(environment)
    submit(make_plan())
    time.sleep(600)


def send(environment: Mapping[str, str], job: str) -> None:
    """Send a job that may have been sent."""
    os.environ.update(environment)
    attach(job).send()
