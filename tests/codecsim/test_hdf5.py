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


def test_an_attribute_that_is_not_there(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        assert attribute(file, "recording", "") == ""
        with pytest.raises(KeyError):
            attribute(file, "digest")
