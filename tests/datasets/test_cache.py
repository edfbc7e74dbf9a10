import warnings

import numpy as np
import pytest

from qkd_pl.datasets import topological_phases
from qkd_pl.datasets.cache import cache_directory, cached
from qkd_pl.storage import read_tensors, write_tensors

SHAPES = {"a": (3,)}


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("QKD_PL_CACHE", str(tmp_path))
    return tmp_path


class Counter:
    """A computation that counts how often it ran."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> dict[str, np.ndarray]:
        self.calls += 1
        return {"a": np.arange(3.0)}


def test_computes_once_and_reads_afterwards():
    compute = Counter()
    first, second = cached("thing", {"n": 1}, compute, SHAPES), cached("thing", {"n": 1}, compute, SHAPES)
    assert compute.calls == 1
    np.testing.assert_array_equal(first["a"], second["a"])


def test_every_argument_and_the_kind_are_part_of_the_key():
    compute = Counter()
    for kind, arguments in [("thing", {"n": 1}), ("thing", {"n": 2}), ("thing", {"n": 1, "m": 0}), ("other", {"n": 1})]:
        cached(kind, arguments, compute, SHAPES)
    assert compute.calls == 4


def test_the_format_version_is_part_of_the_key(monkeypatch):
    compute = Counter()
    cached("thing", {}, compute, SHAPES)
    monkeypatch.setattr("qkd_pl.datasets.cache.FORMAT_VERSION", 99)
    cached("thing", {}, compute, SHAPES)
    assert compute.calls == 2


@pytest.mark.parametrize("damage", [lambda b: b[:40], lambda b: b[:-1] + bytes([b[-1] ^ 1]), lambda b: b""])
def test_a_damaged_file_is_reported_and_rebuilt(empty_cache, damage):
    compute = Counter()
    cached("thing", {}, compute, SHAPES)
    (path,) = empty_cache.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(RuntimeWarning, match=f"rebuilding a damaged cache file.*{path.name}"):
        rebuilt = cached("thing", {}, compute, SHAPES)
    assert compute.calls == 2
    np.testing.assert_array_equal(rebuilt["a"], np.arange(3.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cached("thing", {}, compute, SHAPES)
    assert compute.calls == 2


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ({"a": np.arange(4.0)}, r"tensor 'a' is float64 \(4,\), expected float64 \(3,\)"),
        ({"a": np.arange(3)}, "tensor 'a' is int64"),
        ({"a": np.array([0.0, np.nan, 2.0])}, "not finite"),
        ({"a": np.arange(3.0), "b": np.zeros(1)}, "something else"),
        ({}, "something else"),
        ({"a": np.arange(3.0), "b": np.zeros(1 << 14)}, "bytes, allowed are"),
    ],
)
def test_a_sound_file_with_other_contents_is_rebuilt(empty_cache, tensors, reason):
    compute = Counter()
    cached("thing", {"n": 1}, compute, SHAPES)
    (path,) = empty_cache.iterdir()
    write_tensors(path, "thing", tensors, read_tensors(path, "thing")[1])
    with pytest.warns(RuntimeWarning, match=reason):
        rebuilt = cached("thing", {"n": 1}, compute, SHAPES)
    np.testing.assert_array_equal(rebuilt["a"], np.arange(3.0))


def test_a_file_of_other_arguments_is_rebuilt(empty_cache):
    compute = Counter()
    for n in (1, 2):
        cached("thing", {"n": n}, compute, SHAPES)
    one, two = empty_cache.iterdir()
    one.write_bytes(two.read_bytes())
    with pytest.warns(RuntimeWarning, match="something else"):
        cached("thing", {"n": 1 if read_tensors(two, "thing")[1]["arguments"] == {"n": 2} else 2}, compute, SHAPES)
    assert compute.calls == 3


def test_a_failed_computation_leaves_nothing(empty_cache):
    def fail():
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        cached("thing", {}, fail, SHAPES)
    assert list(empty_cache.iterdir()) == []


def test_topological_phases_are_not_computed_twice(monkeypatch):
    arguments = {"n_qubits": 3, "n_train": 4, "n_test": 2, "seed": 9}
    first = topological_phases(**arguments)
    monkeypatch.setattr("qkd_pl.datasets.phases.ground_states", lambda *_, **__: pytest.fail("computed again"))
    second = topological_phases(**arguments)
    for one, two in zip((*first[0], *first[1]), (*second[0], *second[1]), strict=True):
        assert one.tobytes() == two.tobytes()


@pytest.mark.parametrize(
    "change", [{"n_qubits": 4}, {"n_train": 5}, {"n_test": 3}, {"seed": 10}, {"h1": (0.0, 1.9)}], ids=str
)
def test_another_argument_of_topological_phases_is_another_file(empty_cache, change):
    arguments = {"n_qubits": 3, "n_train": 4, "n_test": 2, "seed": 9}
    topological_phases(**arguments)
    topological_phases(**{**arguments, **change})
    assert len(list(empty_cache.iterdir())) == 2


def test_the_directory_follows_the_environment(empty_cache, monkeypatch):
    assert cache_directory() == empty_cache
    monkeypatch.delenv("QKD_PL_CACHE")
    assert cache_directory().name == "qkd_pl"
