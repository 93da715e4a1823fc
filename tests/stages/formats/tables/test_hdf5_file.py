"""New HDF5 files: there is room for all of it, or nothing is begun."""

from pathlib import Path

import h5py
import pytest
from disk import disk_of

from stages.formats.tables.hdf5_file import new_hdf5


def test_what_was_reserved_and_not_needed_is_given_back(tmp_path: Path) -> None:
    path = tmp_path / "some.h5"
    with new_hdf5(path, 1 << 20) as file:
        file["numbers"] = range(1000)
    assert path.stat().st_size < 20_000
    with h5py.File(path) as theirs:
        assert list(theirs["numbers"]) == list(range(1000))


def test_without_room_nothing_is_left(tmp_path: Path) -> None:
    with disk_of(10_000), pytest.raises(OSError, match="File too large"):  # noqa: SIM117
        with new_hdf5(tmp_path / "some.h5", 1 << 20):
            raise AssertionError("it must not come to that")
    assert list(tmp_path.iterdir()) == []


def test_what_goes_wrong_meanwhile_leaves_nothing(tmp_path: Path) -> None:
    def write() -> None:
        with new_hdf5(tmp_path / "some.h5", 1 << 10):
            raise KeyError

    with pytest.raises(KeyError):
        write()
    assert list(tmp_path.iterdir()) == []
