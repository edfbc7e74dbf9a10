"""A real Dask scheduler and two workers, as processes on this machine, one of which is killed during a sweep."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qkd_pl.errors import ClusterError
from reproduction import cluster
from reproduction.__main__ import app
from reproduction.cluster import dask_cluster
from reproduction.results import Results
from reproduction.sweep import Unit, run_units

PATIENCE = 60  # seconds, for what takes about one
FIGURE = [
    *("figure4", "--n-qubits", "3", "--student-layers", "1", "--teacher-layers", "1", "--seeds", "2"),
    *("--iterations", "3", "--teacher-iterations", "3", "--teacher-candidates", "2", "--n-train", "12"),
    *("--n-test", "12"),
]


def slow_square(*, value: int, directory: Path) -> dict[str, int]:
    """Tells who computes it, takes its time, and tells that it is done."""
    (directory / f"started-{value}-{os.getpid()}").touch()
    time.sleep(0.3)
    (directory / f"finished-{value}-{os.getpid()}").touch()
    return {"square": value**2}


def wait_for(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.fixture
def dask_processes(tmp_path) -> Iterator[tuple[str, list[subprocess.Popen]]]:
    """Address of a scheduler, and its two workers."""
    contact = tmp_path / "scheduler.json"
    places = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}

    def start(*arguments: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "dask", *arguments, "--scheduler-file", str(contact)]
        return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    scheduler = start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
    processes = [scheduler]
    try:
        wait_for(contact.exists)
        options = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(tmp_path))
        workers = [start("worker", *options) for _ in range(2)]
        processes += workers
        yield json.loads(contact.read_text())["address"], workers
    finally:
        for process in processes:
            process.kill()
            process.wait()


def markers(directory: Path, kind: str) -> list[tuple[int, int]]:
    """(unit, process) for each call that got so far."""
    names = [path.name.split("-") for path in directory.glob(f"{kind}-*")]
    return sorted((int(value), int(pid)) for _, value, pid in names)


def test_a_killed_worker_costs_nothing_but_its_unit(dask_processes, tmp_path):
    address, workers = dask_processes
    directory = tmp_path / "sweep"
    directory.mkdir()
    victim = workers[0].pid

    def kill_when_busy() -> None:
        def busy() -> bool:
            done = markers(directory, "finished")
            return any(pid == victim for _, pid in done) and any(
                pid == victim and (value, pid) not in done for value, pid in markers(directory, "started")
            )

        while True:
            wait_for(busy)
            os.kill(victim, signal.SIGSTOP)
            os.waitid(os.P_PID, victim, os.WSTOPPED)
            if busy():  # still: whether a unit that has ended since was reported, nobody knows
                break
            os.kill(victim, signal.SIGCONT)
        os.kill(victim, signal.SIGKILL)

    killer = threading.Thread(target=kill_when_busy)
    units = [Unit(f"squares/{value}", slow_square, {"value": value}) for value in range(12)]
    with dask_cluster(address):
        wait_for(lambda: cluster_size(address) == 2)
        killer.start()
        results = run_units(units, Results(directory))
    killer.join()
    assert workers[0].wait(PATIENCE) == -signal.SIGKILL
    assert results == [{"square": value**2} for value in range(12)]
    finished = markers(directory, "finished")
    assert [value for value, _ in finished] == list(range(12)), "a finished unit was computed again"
    assert {pid for _, pid in finished} == {worker.pid for worker in workers}
    lost = set(markers(directory, "started")) - set(finished)
    assert [pid for _, pid in lost] == [victim]


def cluster_size(address: str) -> int:
    from distributed import Client

    with Client(address, set_as_default=False) as client:
        return len(client.scheduler_info()["workers"])


def test_the_command_gives_the_same_results_on_a_cluster(dask_processes, tmp_path):
    address, _ = dask_processes
    here, there = tmp_path / "here", tmp_path / "there"
    for out, where in ((here, ["--workers", "1"]), (there, ["--dask", address])):
        result = CliRunner().invoke(app, [*FIGURE, "--out", str(out), *where])
        assert result.exit_code == 0, result.output
    first, second = (Results(out).records for out in (here, there))
    assert len(first) == 1 + 2 + 1 + 3 * 2
    for record in (*first.values(), *second.values()):
        record.pop("seconds")
    assert first == second


def test_without_an_address_sweeps_stay_here(tmp_path):
    with dask_cluster(None):
        assert run_units([Unit("one", slow_square, {"value": 3})], Results(tmp_path)) == [{"square": 9}]
    assert [pid for _, pid in markers(tmp_path, "finished")] == [os.getpid()]


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch):
    monkeypatch.setattr(cluster, "_CONNECT_SECONDS", 0.5)
    with (
        pytest.raises(ClusterError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:1"),
        dask_cluster("tcp://127.0.0.1:1"),
    ):
        pass


def test_without_dask_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ClusterError, match=r"pip install 'qkd-pl\[dask\]'"), dask_cluster("tcp://127.0.0.1:1"):
        pass
