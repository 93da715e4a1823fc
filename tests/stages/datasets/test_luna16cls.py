"""LUNA16Cls: patches of slices."""

from pathlib import Path

import numpy as np
import pytest
from trees import listed, prepared

from pipeline.errors import ConfigError


def write_patches(folder: Path, scans: int = 4, dtype: str = "u1") -> Path:
    for part in ("train", "test"):
        (folder / part).mkdir(parents=True)
        for scan in range(scans):
            rng = np.random.default_rng([scan, len(part)])
            for label in (0, 1):
                patch = rng.integers(0, 256, (8, 32, 32)).astype(dtype)
                copies = ["", "_aug1"] if part == "train" else [""]
                for copy in copies:
                    name = f"{label}_1.3.6.1.4.{scan}{label}{part}_0{copy}.npy"
                    np.save(folder / part / name, patch)
    return folder


def test_slices_are_steps_and_turned_copies_stay_together(tmp_path: Path) -> None:
    folder = write_patches(tmp_path / "set")
    parts = prepared("luna16cls", folder, 8, validation=0.25)
    assert parts.test is not None
    assert [len(part) for part in (parts.train, parts.validation, parts.test)] == [12, 4, 8]
    assert len(np.unique(parts.validation.groups)) == 2
    frames = parts.train.example(0)
    assert (frames.shape, frames.dtype) == ((8, 1, 32, 32), np.uint8)
    (item, *_) = listed("luna16cls", folder)
    assert item.group.startswith("1.3.6.1.4.")


def test_values_that_are_not_bytes_are_scaled(tmp_path: Path) -> None:
    folder = write_patches(tmp_path / "set", dtype="f4")
    parts = prepared("luna16cls", folder, 8, validation=0.25, range=[0.0, 510.0])
    assert parts.train.example(0).dtype == np.uint8
    assert 100 < parts.train.example(0).max() < 129


@pytest.mark.parametrize("name", ["x_1.npy", "7_1.npy"])
def test_a_name_without_a_class_is_refused(tmp_path: Path, name: str) -> None:
    np.save(tmp_path / name, np.zeros((8, 32, 32), np.uint8))
    with pytest.raises(ConfigError, match=r"must begin with its class, 0 or 1, as in 1_SCAN_0"):
        listed("luna16cls", tmp_path)


def test_a_set_that_is_not_there_says_what_to_get(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"get LUNA16, .* from luna16\.grand-challenge\.org"):
        listed("luna16cls", tmp_path / "none")
