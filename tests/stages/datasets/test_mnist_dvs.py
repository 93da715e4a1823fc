"""MNIST-DVS: a recording for each digit and scale."""

from pathlib import Path

import numpy as np
import pytest
from trees import listed, prepared

from pipeline.errors import ConfigError
from recordings import START_US, some_events
from stages.formats import create_recording

BIN = {"use": "time_bin", "window_us": 100_000, "size": [40, 40]}


def write_digits(folder: Path, name: str = "scale{}", each: int = 2) -> Path:
    for digit in range(10):
        for scale in (4, 8, 16):
            place = folder / f"grabbed_data{digit}" / name.format(scale)
            place.mkdir(parents=True)
            for number in range(1, each + 1):
                events = some_events(200 * scale, 2_000_000, seed=100 * digit + number)
                events["t"] -= START_US
                path = place / f"mnist_{digit}_scale{scale:02d}_{number:04d}.aedat"
                with create_recording(path, 128, 128) as writer:
                    writer.write(events)
    return folder


def test_one_scale_is_taken_unless_others_are_asked_for(tmp_path: Path) -> None:
    folder = write_digits(tmp_path / "set", each=1)
    items = listed("mnist_dvs", folder)
    assert [item.label for item in items] == list(range(10))
    assert items[3].key == "grabbed_data3/scale16/mnist_3_scale16_0001.aedat"
    assert len(listed("mnist_dvs", folder, scales=(4, 8, 16))) == 30


def test_a_digit_is_in_one_part_at_all_its_scales(tmp_path: Path) -> None:
    folder = write_digits(tmp_path / "set", each=2)
    items = listed("mnist_dvs", folder, scales=(4, 16))
    assert sorted({item.group for item in items})[:3] == ["0/0001", "0/0002", "1/0001"]
    parts = prepared("mnist_dvs", folder, 20, BIN, validation=0.5, scales=[4, 16])
    assert np.bincount(parts.train.labels).tolist() == [2] * 10
    assert not set(parts.train.groups) & set(parts.validation.groups)
    assert parts.train.example(0).shape == (20, 2, 40, 40)


def test_scales_may_have_a_leading_zero(tmp_path: Path) -> None:
    folder = write_digits(tmp_path, name="scale{:02d}", each=1)
    assert len(listed("mnist_dvs", folder, scales=(4,))) == 10


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"get MNIST-DVS .* from IMSE-CNM, Sevilla: .*MNISTDVS"):
        listed("mnist_dvs", tmp_path)
    (tmp_path / "grabbed_data0" / "scale4").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"data\.scales: .*grabbed_data0 has no folder scale16"):
        listed("mnist_dvs", tmp_path)
