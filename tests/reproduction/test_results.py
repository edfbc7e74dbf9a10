"""The file of raw results: what it holds, and that neither kills nor two processes at once lose any."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from qkd_pl.errors import FileFormatError
from reproduction.results import Results, finished_file, write_finished

RUN = {"experiment": "squares", "seeds": 2}


def lines(out: Path) -> list[dict]:
    return [json.loads(line) for line in out.with_name(f"{out.name}.jsonl").read_text().splitlines()]


def finish(out: Path, *values: int) -> None:
    for value in values:
        write_finished(out, f"squares/{value}", {"value": value}, {"square": value**2}, 0.1)


def test_a_line_for_the_run_and_one_for_each_unit_in_order(tmp_path):
    out = tmp_path / "it.v2"  # what looks like an extension stays
    finish(out, 2, 10, 1)
    Results(out, RUN)
    first, *rest = lines(out)
    assert first == RUN
    assert [line["name"] for line in rest] == ["squares/1", "squares/10", "squares/2"]
    assert rest[0] == {"name": "squares/1", "arguments": {"value": 1}, "result": {"square": 1}, "seconds": 0.1}
    assert not list(out.rglob("*.json"))


def test_numbers_come_back_bit_for_bit(tmp_path):
    values = [0.1, 1 / 3, 0.9720878526277076, 5e-324, 1e22, -0.0]
    write_finished(tmp_path / "it", "one", {"values": values}, {"values": values}, 0.0)
    Results(tmp_path / "it", RUN)
    stored = Results(tmp_path / "it", is_frozen=True).records["one"]
    assert [v.hex() for v in stored["result"]["values"]] == [v.hex() for v in values]
    assert stored["arguments"] == {"values": values}


def test_only_a_run_that_adds_results_changes_the_file(tmp_path):
    out = tmp_path / "it"
    finish(out, 1)
    Results(out, RUN)
    before = (tmp_path / "it.jsonl").stat()
    assert Results(out, {**RUN, "seeds": 1}).records.keys() == {"squares/1"}
    assert (tmp_path / "it.jsonl").stat() == before
    finish(out, 2)
    Results(out, {**RUN, "seeds": 3})
    assert lines(out)[0] == {**RUN, "seeds": 3}


def test_nothing_is_lost_between_packing_and_removing(tmp_path, monkeypatch):
    """Killed after the file was written, before the small files were removed, and the other way round."""
    out = tmp_path / "it"
    finish(out, 1, 2)
    with monkeypatch.context() as killed:
        killed.setattr(Path, "unlink", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            Results(out, RUN)
    assert len(lines(out)) == 3
    finish(out, 3)
    with monkeypatch.context() as killed:
        killed.setattr(Results, "_write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            Results(out, RUN)
    assert finished_file(out, "squares/3").is_file()
    assert Results(out, RUN).records.keys() == {"squares/1", "squares/2", "squares/3"}


def test_what_a_killed_process_left_half_written_is_no_result(tmp_path):
    out = tmp_path / "it"
    finish(out, 1)
    (out / "finished" / "squares" / ".2.json.0a1b.json").write_text('{"name": "squa')
    assert Results(out, RUN).records.keys() == {"squares/1"}


def test_two_processes_that_pack_at_once_lose_nothing(tmp_path):
    out = tmp_path / "it"
    program = (
        "import sys; from pathlib import Path\n"
        "from reproduction.results import Results, write_finished\n"
        "out, first = Path(sys.argv[1]), int(sys.argv[2])\n"
        "results = Results(out)\n"
        "for value in range(first, first + 40):\n"
        "    write_finished(out, str(value), {}, {'square': value**2}, 0.0)\n"
        "    results.pack()\n"
    )
    commands = [[sys.executable, "-c", program, str(out), first] for first in ("0", "40")]
    processes = [subprocess.Popen(command, cwd=Path(__file__).parents[2]) for command in commands]
    assert [process.wait(120) for process in processes] == [0, 0]
    assert {int(line["name"]): line["result"]["square"] for line in lines(out)} == {v: v * v for v in range(80)}


@pytest.mark.parametrize("line", ['{"name": "two", "arguments"', "[]", '{"name": "two"}', ""])
def test_a_damaged_line_is_named(tmp_path, line):
    finish(tmp_path / "it", 1)
    Results(tmp_path / "it", RUN)
    with (tmp_path / "it.jsonl").open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(FileFormatError, match=r"it\.jsonl, line 3: not a result.*remove the line"):
        Results(tmp_path / "it")


def test_frozen_results_touch_nothing(tmp_path):
    finish(tmp_path / "it", 1)
    assert Results(tmp_path / "it", is_frozen=True).records == {}
    assert [path.name for path in tmp_path.iterdir()] == ["it"]
