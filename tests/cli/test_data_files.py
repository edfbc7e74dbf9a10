import numpy as np
import pytest

from qkd_pl.cli.data_files import read_array, read_samples
from qkd_pl.errors import FileFormatError


def test_samples_come_back_with_and_without_labels(tmp_path):
    inputs, labels = np.arange(6.0).reshape(3, 2), np.array([0, 1, 0])
    np.savez(tmp_path / "both.npz", inputs=inputs, labels=labels)
    np.savez(tmp_path / "inputs.npz", inputs=inputs)
    for name, expected in (("both", labels), ("inputs", None)):
        found, found_labels = read_samples(tmp_path / f"{name}.npz")
        np.testing.assert_array_equal(found, inputs)
        np.testing.assert_array_equal(found_labels, expected)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"labels": np.zeros(3)},
            "not an .npz file with inputs and, optionally, labels: no array 'inputs'; there are: labels",
        ),
        ({"inputs": np.zeros(3)}, r"inputs of shape \(3,\); expected inputs"),
        (
            {"inputs": np.zeros((3, 2)), "labels": np.zeros(2)},
            r"inputs of shape \(3, 2\) and labels \(2,\); expected inputs \(n, …\) and, optionally, labels \(n,\)",
        ),
        ({"inputs": np.array([[None]])}, "not an .npz file"),
    ],
)
def test_wrong_samples_are_named(tmp_path, arrays, message):
    np.savez(tmp_path / "it.npz", **arrays)
    with pytest.raises(FileFormatError, match=rf"it\.npz: .*{message}"):
        read_samples(tmp_path / "it.npz")


@pytest.mark.parametrize("read", [read_samples, read_array])
@pytest.mark.parametrize("content", [b"", b"no array", b"PK\x03\x04 no archive"])
def test_other_files_are_named(tmp_path, read, content):
    (tmp_path / "it").write_bytes(content)
    with pytest.raises(FileFormatError, match=r"it: not an \.np[yz] file"):
        read(tmp_path / "it")
    with pytest.raises(FileNotFoundError, match="gone: no such"):
        read(tmp_path / "gone")


def test_an_npy_file_is_no_npz_file(tmp_path):
    np.save(tmp_path / "it.npy", np.zeros((3, 2)))
    with pytest.raises(FileFormatError, match=r"it\.npy: not an \.npz file"):
        read_samples(tmp_path / "it.npy")
    np.testing.assert_array_equal(read_array(tmp_path / "it.npy"), np.zeros((3, 2)))
