"""Against NumPy's own reader, and archives that lie."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from qkd_pl.cli.data_files import read_samples
from qkd_pl.errors import FileFormatError
from qkd_pl.npz import opened_npz, read_npy, read_npz

_NUMBERS = st.one_of(
    arrays_of.boolean_dtypes(),
    arrays_of.integer_dtypes(endianness="="),
    arrays_of.floating_dtypes(endianness="="),
    arrays_of.complex_number_dtypes(endianness="=", sizes=(64, 128)),
)


def packed(save, *values, **arrays):
    buffer = io.BytesIO()
    save(buffer, *values, **arrays)
    return buffer.getvalue()


def lying(header: str, data: bytes = b"\0" * 48, version: bytes = b"\x01\x00") -> bytes:
    """An archive whose one array has this header."""
    text = header.encode() + b"\n"
    size = len(text).to_bytes(2 if version[0] == 1 else 4, "little")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("inputs.npy", b"\x93NUMPY" + version + size + text + data)
    return buffer.getvalue()


@given(arrays_of.arrays(_NUMBERS, arrays_of.array_shapes(min_dims=0, min_side=0)), st.booleans(), st.booleans())
def test_arrays_are_those_that_numpy_reads(array, is_fortran, is_packed):
    array = np.asfortranarray(array) if is_fortran and array.ndim else array
    content = packed(np.savez_compressed if is_packed else np.savez, x=array, y=np.arange(3))
    found, expected = read_npz(content, 1 << 20, "it"), np.load(io.BytesIO(content))
    assert list(found) == ["x", "y"]
    assert found["x"].dtype == expected["x"].dtype
    assert found["x"].flags.f_contiguous == expected["x"].flags.f_contiguous
    np.testing.assert_array_equal(found["x"], expected["x"])


@pytest.mark.parametrize("array", [np.zeros(()), np.arange(6.0).reshape(2, 3), np.empty((0, 4), np.uint8)])
def test_single_arrays(tmp_path, array):
    np.save(tmp_path / "it.npy", array)
    np.testing.assert_array_equal(read_npy(tmp_path / "it.npy"), array)
    (tmp_path / "it.npy").write_bytes((tmp_path / "it.npy").read_bytes()[:-1] + b"")
    if array.size:
        with pytest.raises(FileFormatError, match=r"it\.npy: of shape"):
            read_npy(tmp_path / "it.npy")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lying("{'descr': '<f8', 'fortran_order': False, 'shape': (10**10,), }"), "damaged arrays"),
        (lying("{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999, 2), }"), r"in 48 bytes"),
        (lying("{'descr': '<f8', 'fortran_order': False, 'shape': (0, 99999999999), }"), r"in 48 bytes"),
        (lying("{'descr': '<f8', 'fortran_order': False, 'shape': (-3, -2), }"), "in 48 bytes"),
        (lying("{'descr': '|O', 'fortran_order': False, 'shape': (6,), }"), "of type object; allowed are numbers"),
        (lying("{'descr': '<U12', 'fortran_order': False, 'shape': (1,), }"), "allowed are numbers"),
        (lying("{'descr': '|V999999999', 'fortran_order': False, 'shape': (1,), }"), "allowed are numbers"),
        (lying("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (6,), }"), "allowed are numbers"),
        (lying("(" * 3000), "damaged arrays"),
        (lying("{" + " " * 10_000 + "}"), "damaged arrays"),
        (
            lying("{'descr': '<f8', 'fortran_order': False, 'shape': (6,), }", version=b"\x03\x00"),
            "in format",
        ),
        (lying("", b"", b"\x02\x00"), "damaged arrays"),
        (packed(np.savez, x=np.zeros(3)), "no array 'inputs'; there are: x"),
        (b"PK\x05\x06", "damaged arrays"),
        (b"", "damaged arrays"),
    ],
)
def test_headers_are_not_believed(content, message):
    tracemalloc.start()
    with pytest.raises(FileFormatError, match=f"^it: .*{message}"), opened_npz(content, "it") as archive:
        archive.read("inputs")
    assert tracemalloc.get_traced_memory()[1] < 2 << 20
    tracemalloc.stop()


def test_other_compressions_are_refused():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("inputs.npy", packed(np.save, np.zeros(3)))
    with (
        pytest.raises(FileFormatError, match="compressed by method 12"),
        opened_npz(buffer.getvalue(), "it") as archive,
    ):
        archive.read("inputs")


@pytest.mark.parametrize("position", range(0, 400, 7))
def test_a_flipped_bit_is_noticed_or_harmless(position):
    content = bytearray(packed(np.savez_compressed, inputs=np.arange(60.0)))
    content[position % len(content)] ^= 4
    try:
        found = read_npz(bytes(content), 1 << 20, "it")
    except FileFormatError:
        return
    for array in found.values():  # the name or a date may be another one; the numbers are not
        np.testing.assert_array_equal(array, np.arange(60.0))


def test_small_files_stay_small(tmp_path):
    """300 kB that unpack to 300 MB are not unpacked; a file of the same size that holds as much is."""
    np.savez_compressed(tmp_path / "bomb.npz", inputs=np.zeros((300, 1 << 20), np.uint8))
    tracemalloc.start()
    with pytest.raises(FileFormatError, match=r"bomb\.npz: unpacks to 314,572,800 bytes; for a file of this size"):
        read_samples(tmp_path / "bomb.npz")
    assert tracemalloc.get_traced_memory()[1] < 2 << 20
    tracemalloc.stop()
    np.savez_compressed(tmp_path / "bits.npz", inputs=np.zeros((1000, 1000)))
    assert read_samples(tmp_path / "bits.npz")[0].shape == (1000, 1000)
