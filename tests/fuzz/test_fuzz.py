"""A short run of the fuzz command: ``python tests/fuzz`` reads thousands."""

import pytest
from fuzz_formats import FORMATS
from fuzz_run import fuzz

FEW = {"ledger": 100}


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files_are_read_or_refused_by_our_errors(name):
    report = fuzz(name, range(FEW.get(name, 300)), seed=1)
    assert report.is_good, f"{report}: {report.raw} {report.hangs}"
    assert report.refused > report.accepted > 0


def test_a_reader_that_hangs_is_broken_off(monkeypatch):
    def hang(path, source):
        while path.name == "damaged" and started:
            pass
        started.append(source)

    started = []
    form = FORMATS["devices"]
    monkeypatch.setitem(FORMATS, "devices", type(form)(form.sound, form.damage, hang))
    monkeypatch.setattr("fuzz_run.SECONDS", 0.1)
    assert fuzz("devices", range(2), seed=0).hangs == [0, 1]


def test_what_is_found_is_counted(monkeypatch, tmp_path):
    """A reader that stumbles, over the same files, must not pass."""

    def stumble(path, source):
        if path.read_bytes() not in sound:
            raise KeyError("iteration")

    form = FORMATS["devices"]
    sound = form.sound(tmp_path).values()
    monkeypatch.setitem(FORMATS, "devices", type(form)(form.sound, form.damage, stumble))
    report = fuzz("devices", range(20), seed=0)
    assert not report.is_good
    assert sum(map(len, report.raw.values())) > 10
