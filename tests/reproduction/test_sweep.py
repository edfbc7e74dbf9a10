"""The sweep that is killed here runs in a process of its own: this file, started as a script."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from qkd_pl.errors import InvalidInputError
from reproduction.sweep import Unit, run_units


def square(*, value: int, directory: Path) -> dict[str, int]:
    """Leaves one line in a file for each time that it is called."""
    with (directory / f"calls-{value}").open("a") as calls:
        calls.write("called\n")
    return {"square": value**2}


def fail(*, value: int, directory: Path) -> dict[str, int]:
    raise RuntimeError(f"unit {value} failed")


def write_artifact(*, value: int, directory: Path) -> dict[str, int]:
    (directory / "made").write_text("x")
    return square(value=value, directory=directory)


def die(*, value: int, directory: Path) -> dict[str, int]:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def calls(directory: Path) -> dict[int, int]:
    return {int(path.name.split("-")[1]): path.read_text().count("\n") for path in directory.glob("calls-*")}


def units(n: int, function=square) -> list[Unit]:
    return [Unit(f"squares/{value}", function, {"value": value}) for value in range(n)]


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_units(tmp_path, workers):
    assert run_units(units(5), tmp_path, workers=workers) == [{"square": v * v} for v in range(5)]
    assert calls(tmp_path) == dict.fromkeys(range(5), 1)


def test_a_result_file_tells_what_was_computed(tmp_path):
    run_units(units(2), tmp_path)
    stored = json.loads((tmp_path / "squares" / "1.json").read_text())
    assert stored["arguments"] == {"value": 1}
    assert stored["result"] == {"square": 1}
    assert stored["seconds"] >= 0


def test_finished_units_are_not_computed_again(tmp_path):
    run_units(units(3), tmp_path)
    assert run_units(units(5), tmp_path) == [{"square": v * v} for v in range(5)]
    assert calls(tmp_path) == dict.fromkeys(range(5), 1)


def test_after_a_failed_unit_the_sweep_goes_on_where_it_was(tmp_path):
    with pytest.raises(RuntimeError, match="unit 2 failed"):
        run_units([*units(2), Unit("squares/2", fail, {"value": 2})], tmp_path)
    run_units(units(3), tmp_path)
    assert calls(tmp_path) == {0: 1, 1: 1, 2: 1}


def test_a_killed_sweep_goes_on_without_computing_a_finished_unit_twice(tmp_path):
    """Killed in its third unit, and again in its fifth."""
    for deadly in (2, 4):
        script = subprocess.run([sys.executable, __file__, str(tmp_path), str(deadly)], capture_output=True)
        assert script.returncode == -signal.SIGKILL
        assert sorted(calls(tmp_path)) == list(range(deadly))
    assert run_units(units(6), tmp_path) == [{"square": v * v} for v in range(6)]
    assert calls(tmp_path) == dict.fromkeys(range(6), 1)


def test_other_arguments_are_refused_by_name(tmp_path):
    run_units([Unit("one", square, {"value": 1})], tmp_path)
    before = (tmp_path / "one.json").read_bytes()
    with pytest.raises(InvalidInputError, match=r"one\.json.*other settings \(value\).*another output directory"):
        run_units([Unit("one", square, {"value": 2})], tmp_path)
    assert (tmp_path / "one.json").read_bytes() == before
    assert calls(tmp_path) == {1: 1}


def test_a_removed_argument_is_named_too(tmp_path):
    (tmp_path / "one.json").write_text(json.dumps({"arguments": {"value": 1, "old": 2}, "result": {}}))
    with pytest.raises(InvalidInputError, match=r"other settings \(old\)"):
        run_units([Unit("one", square, {"value": 1})], tmp_path)


@pytest.mark.parametrize("content", ['{"result": ', "[]", "{}", ""])
def test_a_damaged_result_is_refused(tmp_path, content):
    (tmp_path / "one.json").write_text(content)
    with pytest.raises(InvalidInputError, match=r"one\.json: not a result file.*remove it"):
        run_units([Unit("one", square, {"value": 1})], tmp_path)


def test_arguments_are_compared_as_json(tmp_path):
    run_units([Unit("one", lambda *, pair, directory: {"n": len(pair)}, {"pair": (1, 2)})], tmp_path)
    assert run_units([Unit("one", fail, {"pair": (1, 2)})], tmp_path) == [{"n": 2}]


def test_a_unit_without_its_artifact_is_computed_again(tmp_path):
    unit = Unit("one", write_artifact, {"value": 1}, artifact="made")
    run_units([unit], tmp_path)
    run_units([unit], tmp_path)
    assert calls(tmp_path) == {1: 1}
    (tmp_path / "made").unlink()
    run_units([unit], tmp_path)
    assert calls(tmp_path) == {1: 2}


def test_scratch_is_kept_until_the_result_is_stored(tmp_path):
    (tmp_path / "part").write_text("half done")
    with pytest.raises(RuntimeError, match="unit 1 failed"):
        run_units([Unit("one", fail, {"value": 1}, scratch="part")], tmp_path)
    assert (tmp_path / "part").exists()
    run_units([Unit("one", square, {"value": 1}, scratch="part")], tmp_path)
    assert not (tmp_path / "part").exists()


def test_progress_is_shown_only_if_there_is_work(tmp_path, capsys):
    run_units(units(2), tmp_path, title="squares")
    assert "squares: 100%" in capsys.readouterr().err
    run_units(units(2), tmp_path, title="squares")
    assert capsys.readouterr().err == ""


if __name__ == "__main__":
    deadly = int(sys.argv[2])
    run_units([*units(deadly), Unit(f"squares/{deadly}", die, {"value": deadly})], Path(sys.argv[1]))


def test_a_result_that_has_vanished_is_named(tmp_path):
    """Results are taken by position: one that is missing must not let the others move up."""
    unmade = Unit("two", square, {"value": 2}, artifact="never made")
    with pytest.raises(InvalidInputError, match="the result of two was computed, but is not there"):
        run_units([*units(2), unmade], tmp_path)
