import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from qkd_pl.errors import FileFormatError
from qkd_pl.storage import atomic_path, checksum, read_tensors, write_json, write_tensors

TENSORS = {"weights": np.arange(6.0).reshape(2, 3), "counts": np.array([1, 2, 3]), "empty": np.empty((0, 4))}
MANIFEST = {"seed": 3, "history": [{"loss": 0.25}], "nothing": None}


@pytest.fixture
def stored(tmp_path):
    path = tmp_path / "file.safetensors"
    write_tensors(path, "model", TENSORS, MANIFEST)
    return path


def test_tensors_and_manifest_come_back_unchanged(stored):
    tensors, manifest = read_tensors(stored, "model")
    assert manifest == MANIFEST
    assert set(tensors) == set(TENSORS)
    for name, expected in TENSORS.items():
        assert tensors[name].dtype == expected.dtype
        np.testing.assert_array_equal(tensors[name], expected)


@pytest.mark.parametrize("view", [lambda a: a.T, lambda a: a[::-1], lambda a: a[:, ::2]], ids=["T", "flip", "stride"])
def test_views_keep_their_logical_order(tmp_path, view):
    array = view(np.arange(12.0).reshape(3, 4))
    write_tensors(tmp_path / "view.safetensors", "model", {"a": array}, {})
    np.testing.assert_array_equal(read_tensors(tmp_path / "view.safetensors", "model")[0]["a"], array)


def test_a_file_cut_at_any_length_is_refused(stored):
    content = stored.read_bytes()
    for length in range(len(content)):
        stored.write_bytes(content[:length])
        with pytest.raises(FileFormatError, match=r"file\.safetensors"):
            read_tensors(stored, "model")


@pytest.mark.parametrize("mask", [0x01, 0x20, 0xFF])
def test_a_flipped_byte_anywhere_is_noticed(stored, mask):
    content = stored.read_bytes()
    for position in range(len(content)):
        altered = bytearray(content)
        altered[position] ^= mask
        stored.write_bytes(altered)
        with pytest.raises(FileFormatError, match=r"file\.safetensors"):
            read_tensors(stored, "model")


def test_appended_bytes_are_noticed(stored):
    stored.write_bytes(stored.read_bytes() + b"\0" * 8)
    with pytest.raises(FileFormatError):
        read_tensors(stored, "model")


def test_another_kind_is_named(stored):
    with pytest.raises(FileFormatError, match="holds a model, expected a checkpoint"):
        read_tensors(stored, "checkpoint")


def test_a_foreign_safetensors_file_is_recognised(tmp_path):
    path = tmp_path / "foreign.safetensors"
    save_file(TENSORS, path)
    with pytest.raises(FileFormatError, match="not one written by qkd_pl"):
        read_tensors(path, "model")


@pytest.mark.parametrize(
    "content", [b"", b"\x80\x04K\x01.", b"{}", os.urandom(200)], ids=["empty", "pickle", "json", "noise"]
)
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match="other: not a model of qkd_pl: no readable safetensors file"):
        read_tensors(path, "model")


def test_arrays_in_the_place_of_a_model_are_recognised(tmp_path):
    np.savez(tmp_path / "data.npz", inputs=np.eye(4))
    np.save(tmp_path / "data.npy", np.eye(4))
    with pytest.raises(FileFormatError, match=r"data\.npz: not a model of qkd_pl, but an \.npz file or another zip"):
        read_tensors(tmp_path / "data.npz", "model")
    with pytest.raises(FileFormatError, match=r"data\.npy: not a checkpoint of qkd_pl, but an \.npy file"):
        read_tensors(tmp_path / "data.npy", "checkpoint")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent: no such model file"):
        read_tensors(tmp_path / "absent", "model")


def write_half(path):
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError("interrupted")


def test_a_failed_write_leaves_the_old_file_and_no_other(stored):
    before = stored.read_bytes()
    with pytest.raises(TypeError):
        write_tensors(stored, "model", {"a": np.ones(2)}, {"not": object()})
    with pytest.raises(RuntimeError, match="interrupted"):
        write_half(stored)
    assert stored.read_bytes() == before
    assert list(stored.parent.iterdir()) == [stored]


def test_a_file_is_replaced_whole(stored):
    """Whoever reads the old file while it is replaced gets all of the old one, never a mixture."""
    before = stored.read_bytes()
    with stored.open("rb") as old:
        write_tensors(stored, "model", {"a": np.ones(2)}, {})
        assert old.read() == before
    assert stored.read_bytes() != before


def test_a_full_disk_leaves_the_old_file_and_no_other(stored, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    before = stored.read_bytes()
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        write_tensors(stored, "model", {"a": np.ones(2)}, {})
    assert stored.read_bytes() == before
    assert list(stored.parent.iterdir()) == [stored]


def test_an_error_while_writing_a_new_file_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "new" / "result.json", float("nan"))
    assert list((tmp_path / "new").iterdir()) == []


def test_json_is_written_readably_into_new_directories(tmp_path):
    path = tmp_path / "a" / "b" / "result.json"
    write_json(path, {"b": [1, 2.5], "a": None})
    assert json.loads(path.read_text()) == {"a": None, "b": [1, 2.5]}
    assert path.read_text().index('"a"') < path.read_text().index('"b"')


@pytest.mark.parametrize(
    "other",
    [
        {"a": np.zeros(4), "b": np.ones(1)},
        {"a": np.zeros(4, dtype=np.float32), "b": np.zeros(1)},
        {"a": np.zeros((2, 2)), "b": np.zeros(1)},
        {"c": np.zeros(4), "b": np.zeros(1)},
        {"a": np.zeros(4)},
    ],
    ids=["value", "dtype", "shape", "name", "missing"],
)
def test_checksum_tells_apart_all_that_matters(other):
    arrays = {"a": np.zeros(4), "b": np.zeros(1)}
    assert checksum(arrays) == checksum(dict(reversed(arrays.items())))
    assert checksum(arrays) != checksum(other)
    assert checksum(arrays) != checksum(arrays, "manifest")


def test_a_home_directory_can_be_written_as_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    write_tensors("~/models/a.safetensors", "model", {"x": np.arange(3)}, {})
    assert (tmp_path / "models" / "a.safetensors").is_file()
    np.testing.assert_array_equal(read_tensors("~/models/a.safetensors", "model")[0]["x"], np.arange(3))


def test_leftovers_of_killed_writers_are_removed_by_the_next_write(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    script = f"""
import os
from pathlib import Path
from qkd_pl.storage import atomic_path
with atomic_path(Path({str(path)!r})) as temporary:
    temporary.write_text("half")
    os._exit(9)
"""
    subprocess.run([sys.executable, "-c", script], timeout=120)
    (leftover,) = tmp_path.iterdir()
    assert leftover != path
    stranger = tmp_path / ".model.json.notes"
    stranger.touch()
    with atomic_path(path) as mine:
        mine.touch()
        with atomic_path(path) as temporary:
            temporary.write_text("whole")
        assert mine.exists(), "somebody in a living process is writing it"
        mine.write_text("newer")
    assert sorted(tmp_path.iterdir()) == [stranger, path]
