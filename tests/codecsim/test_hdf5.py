"""Attributes of HDF5 files, however they were written."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from codecsim.hdf5 import attribute, put_attributes


def test_attributes_are_what_h5py_gives(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        put_attributes(file, {"text": "Zoë", "none": "", "fps": 29.97, "count": 7})
        file.attrs["variable"] = "Zoë, of any length"
        file.attrs.create("padded", b"ab ", dtype=h5py.string_dtype("ascii", 8))
        file.attrs["one"] = np.array([2.5])
        file.attrs["several"] = np.arange(3)
    with h5py.File(tmp_path / "a.h5") as file:
        found = {name: attribute(file, name) for name in file.attrs if name != "several"}
        assert found == {
            "text": "Zoë",
            "none": "",
            "fps": 29.97,
            "count": 7,
            "variable": "Zoë, of any length",
            "padded": "ab ",
            "one": 2.5,
        }
        np.testing.assert_array_equal(attribute(file, "several"), np.arange(3))


@pytest.mark.parametrize("is_first", [True, False])
def test_a_heap_that_would_be_read_for_ever(tmp_path: Path, is_first: bool) -> None:
    """An object that becomes free space of no size."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.attrs["first"], file.attrs["second"] = "of any length", "another"
        put_attributes(file, {"fixed": "text"})
    data = bytearray(path.read_bytes())
    objects = data.index(b"GCOL") + 16
    at = objects if is_first else objects + 16 + 16
    data[at : at + 16] = bytes(16)
    path.write_bytes(data)
    with h5py.File(path) as file:
        assert attribute(file, "fixed") == "text"
        for name in ("first", "second"):
            with pytest.raises(ValueError, match="text of variable length in a damaged heap"):
                attribute(file, name)


def test_an_attribute_that_is_not_there(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        assert attribute(file, "recording", "") == ""
        with pytest.raises(KeyError):
            attribute(file, "digest")
