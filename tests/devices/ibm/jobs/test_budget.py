"""A budget of QPU seconds over 28 days: asked before anything is spent, corrected by what was used."""

import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pennylane as qml
import pytest
from loopback import Server, respond
from plans import FlatCost, make_plan
from typer.testing import CliRunner

from qkd_pl.cli.job_commands import app
from qkd_pl.devices.ibm.device import IBMDevice
from qkd_pl.devices.ibm.jobs.jobs import Job, jobs, submit
from qkd_pl.devices.ibm.jobs.ledger import Ledger
from qkd_pl.devices.ibm.service import polling
from qkd_pl.errors import CostLimitError, InvalidInputError


@pytest.fixture(autouse=True)
def quick_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "FIRST_SECONDS", 0.02)


def spend(seconds: float, total: float | None = 100, instance: str | None = None) -> Job:
    target = {**make_plan().target, "max_qpu_seconds_total": total, "instance": instance}
    return submit(make_plan(target=target, cost=FlatCost(seconds)))


def postdate(days: float) -> None:
    """Let the ledger's spending lie so many days further back."""
    then = (datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="milliseconds")
    with closing(sqlite3.connect(Ledger().path)) as database, database:
        database.execute("UPDATE spending SET dated = ?", (then,))


def test_what_exceeds_the_budget_is_refused_before_anything_is_written_or_sent(direct: Server) -> None:
    spend(60)
    spend(40)
    asked = len(direct.requests)
    with pytest.raises(CostLimitError, match=r"about 1 QPU seconds, after 100 in the last 28 days.*_total: 100"):
        spend(1)
    assert len(jobs()) == len(direct.service.jobs) == 2
    assert len(direct.requests) == asked


def test_after_28_days_it_is_forgotten(direct: Server) -> None:
    spend(100)
    postdate(27.9)
    with pytest.raises(CostLimitError):
        spend(1)
    postdate(28.1)
    spend(1)


def test_what_was_used_counts_in_the_place_of_the_estimate(direct: Server) -> None:
    job = spend(100)
    assert (Ledger().spent(None), job.used_seconds) == (100, None)
    job.result(timeout=30)
    assert (Ledger().spent(None), job.used_seconds) == (3, 3)
    spend(97)


@pytest.mark.parametrize("usage", [None, "3", -1, float("nan"), [], {}])
def test_while_the_service_does_not_tell_the_estimate_counts(usage: Any, direct: Server) -> None:
    direct.break_on("GET", "/jobs/[^/]+/metrics", respond(200, {"usage": {"quantum_seconds": usage}}))
    job = spend(50)
    job.result(timeout=30)
    assert (Ledger().spent(None), job.used_seconds) == (50, None)


@pytest.mark.parametrize("status", [401, 404, 500])
def test_a_service_that_refuses_its_metrics_keeps_no_result_back(status: int, direct: Server) -> None:
    direct.break_on("GET", "/jobs/[^/]+/metrics", respond(status))
    job = spend(50)
    assert job.result(timeout=30).shape == (3, 2)
    assert Ledger().spent(None) == 50


def test_what_was_never_sent_costs_nothing_once_it_is_cancelled(direct: Server) -> None:
    direct.break_on("POST", "/identity/token", respond(401))
    with pytest.raises(Exception, match="refuses"):
        spend(100)
    assert Ledger().spent(None) == 100, "it may yet be sent"
    direct.faults.clear()
    jobs()[0].cancel()
    assert Ledger().spent(None) == 0


def test_each_instance_has_its_own(direct: Server) -> None:
    ledger = Ledger()
    add = {"payloads": ["{}"], "arrays": {}, "cost": {"qpu_seconds": 60.0}}
    for instance in ("crn:one", "crn:two"):
        ledger.add(target={**make_plan().target, "instance": instance, "max_qpu_seconds_total": 100}, **add)
    with pytest.raises(CostLimitError, match="crn:one"):
        ledger.add(target={**make_plan().target, "instance": "crn:one", "max_qpu_seconds_total": 100}, **add)


def test_jobs_without_a_budget_count_for_those_with_one(direct: Server) -> None:
    spend(80, total=None)
    with pytest.raises(CostLimitError):
        spend(30)


def test_submitting_side_by_side_does_not_overdraw_it(direct: Server) -> None:
    def attempt(_: int) -> bool:
        try:
            spend(30)
        except CostLimitError:
            return False
        return True

    with ThreadPoolExecutor(6) as threads:
        assert sum(threads.map(attempt, range(6))) == 3


def test_simulators_spend_nothing() -> None:
    submit(make_plan(remote=False, cost=FlatCost(1000.0))).result()
    assert Ledger().spent(None) == 0
    finished = CliRunner().invoke(app, ["jobs"])
    assert "QPU" not in finished.stdout
    (described,) = json.loads(CliRunner().invoke(app, ["jobs", "--json"]).stdout)
    assert described["estimated_qpu_seconds"] is described["used_qpu_seconds"] is None


def test_jobs_shows_used_against_estimated(direct: Server) -> None:
    job = spend(50)
    assert "? of about 50 QPU seconds" in CliRunner().invoke(app, ["jobs"]).stdout
    job.result(timeout=30)
    assert "3 of about 50 QPU seconds" in CliRunner().invoke(app, ["jobs"]).stdout


def hardware(**options: Any) -> Any:
    device = IBMDevice(1, "ibm_manila", token_env="QISKIT_IBM_TOKEN", transpile_attempts=1, **options)

    @qml.set_shots(1000)
    @qml.qnode(device)
    def circuit(angle: float) -> Any:
        qml.RY(angle, 0)
        return qml.expval(qml.Z(0))

    return circuit


def test_qnodes_ask_for_it_too(direct: Server) -> None:
    circuit = hardware(max_qpu_seconds_total=3.5)
    circuit(0.3)  # estimated at 2.35 or so, used 3
    with pytest.raises(CostLimitError, match=r"max_qpu_seconds_total: 3\.5"):
        circuit(0.3)
    assert len(direct.service.jobs) == 1


@pytest.mark.parametrize("budget", [0, -1, float("nan"), "600", True])
def test_a_budget_that_limits_nothing_is_refused(budget: Any) -> None:
    with pytest.raises(InvalidInputError, match="max_qpu_seconds_total"):
        IBMDevice(1, "aer", max_qpu_seconds_total=budget)


@pytest.mark.parametrize(("options", "seconds"), [({"max_qpu_seconds": 59.5}, 60), ({}, None)])
def test_the_service_stops_jobs_at_what_was_allowed(options: Any, seconds: int | None, direct: Server) -> None:
    hardware(**options)(0.3)
    (stored,) = direct.service.jobs.values()
    assert stored.body.get("cost") == seconds
