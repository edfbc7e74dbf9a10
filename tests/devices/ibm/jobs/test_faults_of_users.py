"""The fault matrix for QNodes and for the command line: outages, redirects and damaged results."""

from typing import Any

import numpy as np
import pytest
from children import qnode
from fault_checks import DEADLINE
from loopback import Server, cut_json, reset_after, reset_before, respond, truncate
from loopback.faults import redirect_to
from plans import LOGITS, TOLERANCE, make_plan
from typer.testing import CliRunner

from qkd_pl.cli.job_commands import app
from qkd_pl.devices.ibm.jobs.jobs import attach, jobs, submit
from qkd_pl.errors import QKDError

pytestmark = pytest.mark.usefixtures("impatient", "no_secrets")
ELSEWHERE = redirect_to("https://elsewhere.example/jobs", 307)
PASSING_SENDS = {"503": respond(503), "429": respond(429), "reset": reset_before, "lost": reset_after, "cut": cut_json}
PASSING_READS = {"503": respond(503), "reset": reset_before, "truncated": truncate, "cut": cut_json, "{}": respond(200)}
LASTING_SENDS = {"403": respond(403), "401": respond(401), "redirect": ELSEWHERE}
LASTING_READS = {"403": respond(403), "401": respond(401), "cut": cut_json}
READS = ["/jobs/[^/]+", "/jobs/[^/]+/results"]


def run(*arguments: object) -> Any:
    finished = CliRunner().invoke(app, [str(each) for each in arguments])
    if finished.exit_code:
        assert finished.stderr.startswith("error: ")
        assert "Traceback" not in finished.stderr
    return finished


@pytest.mark.parametrize("fault", PASSING_SENDS)
def test_a_qnode_survives_a_submission_that_breaks_once(fault: str, direct: Server) -> None:
    direct.break_on("POST", "/jobs", PASSING_SENDS[fault], times=1)
    np.testing.assert_allclose(qnode()(0.3), np.cos(0.3), atol=TOLERANCE)
    assert len(direct.service.active) == 1


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize("fault", PASSING_READS)
def test_a_qnode_survives_reading_that_breaks_once(fault: str, path: str, direct: Server) -> None:
    broken = direct.break_on("GET", path, PASSING_READS[fault], times=1)
    np.testing.assert_allclose(qnode()(0.3), np.cos(0.3), atol=TOLERANCE)
    assert broken.hit.is_set()
    assert len(direct.service.jobs) == 1


@pytest.mark.parametrize("fault", LASTING_SENDS)
def test_a_qnode_says_that_nothing_was_sent(fault: str, direct: Server) -> None:
    circuit = qnode()
    direct.break_on("POST", "/jobs", LASTING_SENDS[fault])
    with pytest.raises(QKDError) as refused:
        circuit(0.3)
    (job,) = jobs()
    assert job.id in refused.value.__notes__[0]
    assert direct.service.jobs == {}


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize("fault", LASTING_READS)
def test_a_qnode_whose_result_cannot_be_read_leaves_a_job_to_attach_to(fault: str, path: str, direct: Server) -> None:
    if fault == "cut" and path == READS[0]:
        pytest.skip("a status that is cut is an outage, which a QNode waits out")
    circuit = qnode()
    direct.break_on("GET", path, LASTING_READS[fault])
    with pytest.raises(QKDError):
        circuit(0.3)
    direct.faults.clear()
    (job,) = jobs()
    np.testing.assert_allclose(attach(job.id).values(timeout=30)[0][0], np.cos([[0.3]]), atol=TOLERANCE)
    assert len(direct.service.jobs) == 1


@pytest.mark.parametrize("fault", LASTING_SENDS)
def test_the_command_send_fails_in_one_line_and_works_later(fault: str, direct: Server) -> None:
    direct.break_on("POST", "/jobs", LASTING_SENDS[fault])
    with pytest.raises(QKDError):
        submit(make_plan(), timeout=DEADLINE)
    (job,) = jobs()
    assert run("send", job.id, "--timeout", DEADLINE).exit_code == 1
    assert direct.service.jobs == {}
    direct.faults.clear()
    assert run("send", job.id).exit_code == 0
    np.testing.assert_allclose(job.result(timeout=30), LOGITS, atol=TOLERANCE)


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize("fault", [*PASSING_READS, "redirect"])
def test_the_command_result_fails_in_one_line_and_works_later(fault: str, path: str, direct: Server) -> None:
    job = submit(make_plan())
    direct.break_on("GET", path, ELSEWHERE if fault == "redirect" else PASSING_READS[fault])
    assert run("result", job.id, "--timeout", 1).exit_code == 1
    direct.faults.clear()
    told = attach(job.id).result(timeout=30)
    np.testing.assert_allclose(told, LOGITS, atol=TOLERANCE)


def test_the_commands_jobs_and_cancel_in_an_outage(direct: Server) -> None:
    direct.service.polls_until_done = 10_000
    job = submit(make_plan())
    direct.break_on("GET", "/jobs/[^/]+", respond(503))
    direct.break_on("POST", "/jobs/[^/]+/cancel", respond(503))
    assert job.id in run("jobs").stdout
    assert run("cancel", job.id, "--timeout", 1).exit_code == 1
    direct.faults.clear()
    assert "cancelled" in run("cancel", job.id).stdout
