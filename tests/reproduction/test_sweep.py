"""The sweep that is killed here runs in a process of its own: this file, started as a script."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from qkd_pl.errors import InvalidInputError
from reproduction.results import Results
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


def read_artifact(*, value: int, directory: Path) -> dict[str, int]:
    assert (directory / "made").is_file()
    return square(value=value, directory=directory)


def other_artifact(*, value: int, directory: Path) -> dict[str, int]:
    (directory / "made").write_text("y")
    return {"square": 5}


def die(*, value: int, directory: Path) -> dict[str, int]:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def run(made: list[Unit], directory: Path, **settings) -> list[dict[str, int]]:
    return run_units(made, Results(directory), **settings)


def calls(directory: Path) -> dict[int, int]:
    return {int(path.name.split("-")[1]): path.read_text().count("\n") for path in directory.glob("calls-*")}


def units(n: int, function=square) -> list[Unit]:
    return [Unit(f"squares/{value}", function, {"value": value}) for value in range(n)]


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_units(tmp_path, workers):
    assert run(units(5), tmp_path, workers=workers) == [{"square": v * v} for v in range(5)]
    assert calls(tmp_path) == dict.fromkeys(range(5), 1)


def test_finished_units_are_not_computed_again(tmp_path):
    run(units(3), tmp_path)
    assert run(units(5), tmp_path) == [{"square": v * v} for v in range(5)]
    assert calls(tmp_path) == dict.fromkeys(range(5), 1)


def test_results_alone_are_enough_to_resume_from(tmp_path):
    """As in a clone, where nothing but the file of results is."""
    run(units(3), tmp_path / "here")
    (tmp_path / "there.jsonl").write_bytes((tmp_path / "here.jsonl").read_bytes())
    assert run(units(3), tmp_path / "there") == [{"square": v * v} for v in range(3)]
    assert not (tmp_path / "there").exists()
    run(units(4), tmp_path / "there")
    assert calls(tmp_path / "there") == {3: 1}


def test_frozen_results_are_never_computed(tmp_path):
    run(units(2), tmp_path / "it")
    frozen = Results(tmp_path / "it", is_frozen=True)
    assert run_units(units(2), frozen) == [{"square": 0}, {"square": 1}]
    with pytest.raises(InvalidInputError, match=r"it\.jsonl: 2 results are missing, such as that of squares/2"):
        run_units(units(4), frozen)


def test_after_a_failed_unit_the_sweep_goes_on_where_it_was(tmp_path):
    with pytest.raises(RuntimeError, match="unit 2 failed"):
        run([*units(2), Unit("squares/2", fail, {"value": 2})], tmp_path)
    run(units(3), tmp_path)
    assert calls(tmp_path) == {0: 1, 1: 1, 2: 1}


def test_a_killed_sweep_goes_on_without_computing_a_finished_unit_twice(tmp_path):
    """Killed in its third unit, and again in its fifth."""
    for deadly in (2, 4):
        script = subprocess.run([sys.executable, __file__, str(tmp_path), str(deadly)], capture_output=True)
        assert script.returncode == -signal.SIGKILL
        assert sorted(calls(tmp_path)) == list(range(deadly))
    assert run(units(6), tmp_path) == [{"square": v * v} for v in range(6)]
    assert calls(tmp_path) == dict.fromkeys(range(6), 1)


def test_other_arguments_are_refused_by_name(tmp_path):
    out = tmp_path / "it"
    run([Unit("one", square, {"value": 1})], out)
    before = out.with_name("it.jsonl").read_bytes()
    with pytest.raises(InvalidInputError, match=r"it\.jsonl: one .* other settings \(value\); choose another --out"):
        run([Unit("one", square, {"value": 2})], out)
    with pytest.raises(InvalidInputError, match=r"other settings \(new, value\)"):
        run([Unit("one", square, {"new": 1})], out)
    assert out.with_name("it.jsonl").read_bytes() == before
    assert calls(out) == {1: 1}


def test_arguments_are_compared_as_json(tmp_path):
    run([Unit("one", lambda *, pair, directory: {"n": len(pair)}, {"pair": (1, 2)})], tmp_path)
    assert run([Unit("one", fail, {"pair": (1, 2)})], tmp_path) == [{"n": 2}]


def test_a_lost_artifact_is_made_again_only_for_a_unit_that_needs_it(tmp_path):
    source = Unit("one", write_artifact, {"value": 1}, folder="part", artifact="made")
    run([source], tmp_path)
    artifact = tmp_path / "part" / "made"
    assert artifact.is_file()
    artifact.unlink()
    assert run([source], tmp_path) == [{"square": 1}]
    assert not artifact.exists()
    user = Unit("two", read_artifact, {"value": 2}, folder="part", needs=(source,))
    assert run([source, user], tmp_path) == [{"square": 1}, {"square": 4}]
    assert calls(tmp_path / "part") == {1: 2, 2: 1}
    artifact.unlink()
    run([source, user], tmp_path)
    assert calls(tmp_path / "part") == {1: 2, 2: 1}


def test_needs_are_met_from_the_deepest_on_and_once(tmp_path):
    cache = Unit("cache", square, {"value": 0})
    first = Unit("first", write_artifact, {"value": 1}, artifact="made", needs=(cache,))
    users = [Unit(f"user-{value}", read_artifact, {"value": value}, needs=(cache, first)) for value in (2, 3)]
    assert run(users, tmp_path) == [{"square": 4}, {"square": 9}]
    assert calls(tmp_path) == dict.fromkeys(range(4), 1)


def test_an_artifact_made_again_with_another_result_is_told(tmp_path):
    source = Unit("one", write_artifact, {"value": 1}, artifact="made")
    run([source], tmp_path)
    (tmp_path / "made").unlink()
    changed = Unit("one", other_artifact, {"value": 1}, artifact="made")
    user = Unit("two", read_artifact, {"value": 2}, needs=(changed,))
    with pytest.warns(
        UserWarning, match=r"one\.json: computed again as .*'square': 5.*stored result .*'square': 1.* stays"
    ):
        run([user], tmp_path)
    assert run([source], tmp_path) == [{"square": 1}]


def test_a_unit_that_does_not_write_its_artifact_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"two was computed, but did not write .*never made"):
        run([Unit("two", square, {"value": 2}, artifact="never made")], tmp_path)


def test_scratch_is_kept_until_the_result_is_stored(tmp_path):
    (tmp_path / "part").write_text("half done")
    with pytest.raises(RuntimeError, match="unit 1 failed"):
        run([Unit("one", fail, {"value": 1}, scratch="part")], tmp_path)
    assert (tmp_path / "part").exists()
    run([Unit("one", square, {"value": 1}, scratch="part")], tmp_path)
    assert not (tmp_path / "part").exists()


def test_progress_is_shown_only_if_there_is_work(tmp_path, capsys):
    run(units(2), tmp_path, title="squares")
    assert "squares: 100%" in capsys.readouterr().err
    run(units(2), tmp_path, title="squares")
    assert capsys.readouterr().err == ""


if __name__ == "__main__":
    deadly = int(sys.argv[2])
    run([*units(deadly), Unit(f"squares/{deadly}", die, {"value": deadly})], Path(sys.argv[1]))
