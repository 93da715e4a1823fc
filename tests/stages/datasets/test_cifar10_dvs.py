"""CIFAR10-DVS: AEDAT 2.0 as published, or tonic's AEDAT4."""

from pathlib import Path

import numpy as np
import pytest
from trees import listed, prepared

from pipeline.errors import ConfigError
from recordings import START_US, some_events, write_recording
from stages.datasets.cifar10_dvs import Cifar10Dvs
from stages.datasets.frames import events_of, recorded
from stages.formats import create_recording

BIN = {"use": "time_bin", "window_us": 5_000, "size": [128, 128]}


def write_classes(folder: Path, ending: str, each: int = 2) -> Path:
    for label, name in enumerate(Cifar10Dvs.classes):
        for number in range(each):
            events = some_events(300, 60_000, seed=10 * label + number)
            events["t"] -= START_US
            path = folder / name / f"cifar10_{name}_{number}{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            if ending == ".aedat4":
                write_recording(path, events)
            else:
                with create_recording(path, 128, 128) as writer:
                    writer.write(events)
    return folder


def test_published_recordings_give_ten_steps_of_5_ms(tmp_path: Path) -> None:
    write_classes(tmp_path / "set", ".aedat")
    parts = prepared("cifar10_dvs", tmp_path / "set", 10, BIN, validation=0.5, seed=1)
    assert np.bincount(parts.train.labels).tolist() == [1] * 10
    assert parts.train.classes[0] == "airplane"
    frames = parts.train.example(0)
    assert frames.shape == (10, 2, 128, 128)
    assert 0 < frames.sum() < 300
    assert parts.train.window_us == 5_000
    assert parts.train.sensor_size == (128, 128)


def test_tonics_tree_is_listed_as_by_tonic(tmp_path: Path) -> None:
    from tonic import datasets as tonic

    class Local(tonic.CIFAR10DVS):  # type: ignore[misc, name-defined]
        def _check_exists(self) -> bool:
            return True

    Local.__name__ = "CIFAR10DVS"
    write_classes(tmp_path / "CIFAR10DVS", ".aedat4", each=1)
    theirs = Local(str(tmp_path))
    items = listed("cifar10_dvs", tmp_path)
    assert {item.source["path"]: item.label for item in items} == dict(
        zip(theirs.data, theirs.targets, strict=True)
    )
    # Its own reader of AEDAT4 needs a package that it does not bring along; replay does not.
    for item, one in zip(items, recorded(items), strict=True):
        wanted = some_events(300, 60_000, seed=10 * item.label)
        wanted["t"] -= START_US
        assert np.array_equal(events_of(one), wanted)


def test_a_set_that_is_not_there_says_what_to_get(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"get CIFAR10-DVS .* from its authors' page on figshare"):
        listed("cifar10_dvs", tmp_path)
