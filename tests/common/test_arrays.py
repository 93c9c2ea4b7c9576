"""NumPy's files come back as they were written; what is damaged is one line."""

import io
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tspcrep.common.arrays import read_array, read_arrays
from tspcrep.common.errors import UserError

DTYPES = st.sampled_from(["<f4", ">f8", "<i8", ">u2", "?", "<U3", ">U2", "S2"])


@given(array=DTYPES.flatmap(lambda kind: arrays.arrays(kind, arrays.array_shapes(min_side=0))))
def test_what_was_written_is_read(tmp_path_factory, array):
    folder = tmp_path_factory.mktemp("arrays")
    np.save(folder / "a.npy", array)
    np.savez(folder / "a.npz", a=array, b=array[:0])
    for found in (read_array(folder / "a.npy"), read_arrays(folder / "a.npz")["a"]):
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)
    assert read_arrays(folder / "a.npz", "b".__eq__).keys() == {"b"}


def npy(header):
    """A .npy of a header and eight bytes."""
    text = header.encode() + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text + b"\xff" * 8


def objects():
    content = io.BytesIO()
    np.save(content, np.array([{}, None]), allow_pickle=True)
    return content.getvalue()


DAMAGED = {
    "empty": b"",
    "text": b"not an array",
    "cut": npy("{'descr': '<f8', 'fortran_order': False, 'shape': (2,)}"),
    "huge": npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1152921504606846976,)}"),
    "negative": npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-2,)}"),
    "no end": npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1,"),
    "no characters": npy("{'descr': '<U2', 'fortran_order': False, 'shape': (1,)}"),
    "version": b"\x93NUMPY\x09" + npy("{'descr': '<f8'}")[7:],
    "objects": objects(),
}


@pytest.mark.parametrize("kind", DAMAGED)
@pytest.mark.parametrize("inside", [False, True])
def test_what_is_damaged_is_one_line(tmp_path, kind, inside):
    path = tmp_path / "a.npz"
    if inside:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.npy", DAMAGED[kind])
    else:
        path.write_bytes(DAMAGED[kind])
    with pytest.raises(UserError, match=r"a\.npz: cannot be read as NP") as caught:
        (read_arrays if inside else read_array)(path)
    assert "\n" not in str(caught.value) and "unsafe" not in str(caught.value)


def test_what_is_missing_or_a_folder_is_one_line(tmp_path):
    for path in (tmp_path, tmp_path / "none.npz"):
        for read in (read_array, read_arrays):
            with pytest.raises(UserError, match="cannot be read as NP"):
                read(path)
